"""A run of many columns, and of megabytes of metadata: every form holds every value."""

from __future__ import annotations

import csv
import io
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from daq.client import Bench, Run
from daq.client.recorded.export import write_batches

WIDTH = 120
METADATA = {f"k{i}": f"{i} " + "x" * 500 for i in range(2000)}


def value(row: int, column: int) -> Any:
    """Floats; in some columns a value is missing, comes late, or changes from int to float."""
    if column == 7:
        return None if row == 1 else row
    if column == 8:
        return 2 if row < 3 else 2.5
    if column == 9:
        return f"text {row}"
    return row + column / 1024


@pytest.fixture(scope="module")
def run(shared: Bench) -> Run:
    with shared.run("wide", **METADATA) as opened:
        for row in range(4):
            names = range(WIDTH if row else WIDTH - 1)
            opened.record(**{f"c{column}": value(row, column) for column in names})
    return shared.runs[opened.id]


def column_in(form: Any, name: str) -> list[Any]:
    return [None if cell is np.ma.masked or cell != cell else cell for cell in form[name]]


def test_every_form_holds_every_column_and_event(run: Run, tmp_path: Any) -> None:
    wanted = {
        f"c{c}": [None if (row, c) == (0, WIDTH - 1) else value(row, c) for row in range(4)]
        for c in range(WIDTH)
    }
    table = run.to_arrow()
    assert {n: table[n].to_pylist() for n in wanted} == wanted
    arrays, frame = run.columns(), run.to_pandas()
    data = run.to_xarray()
    for name, cells in wanted.items():
        assert column_in(arrays, name) == cells
        assert [None if pd.isna(cell) else cell for cell in frame[name]] == cells
        assert column_in({name: data[name].values.tolist()}, name) == cells
    events = [d for n, d in run.documents() if n == "event"]
    assert [e["data"]["c8"] for e in events] == [2, 2, 2, 2.5]
    assert all(len(event["data"]) == WIDTH for event in events)
    text = io.BytesIO()
    write_batches(table.to_batches(), "csv", text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue().decode())))
    assert [row["c119"] and float(row["c119"]) for row in rows] == ["", *wanted["c119"][1:]]
    write_batches(table.to_batches(), "parquet", tmp_path / "run.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "run.parquet")["c7"].to_pylist() == wanted["c7"]
    with h5py.File(run.summary.path) as file:
        stream = file["entry/primary"]
        assert stream["c100"][:].tolist() == wanted["c100"]
        assert stream["c9"].asstr()[:].tolist() == wanted["c9"]
        np.testing.assert_array_equal(stream["c7"][:], [0, np.nan, 2, 3])
    assert run.plot().get_supxlabel().startswith("and 111 more columns")


def test_the_metadata_come_back(run: Run) -> None:
    assert dict(run.detail.summary.metadata) == METADATA

"""Names, values and shapes that Hypothesis draws: every form holds every event under some name."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import event_model
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daq.client.figures.choice import choose
from daq.client.recorded.event_documents import run_documents
from daq.client.recorded.export import write_batches
from daq.client.recorded.run_tables import make_table
from daq.core import NotFoundError, RunOutcome, RunStart, RunSummary
from daq.core.columns import rows_missing
from daq.storage import clean_text
from daq.wire.arrow import TIME, column_of, column_values, from_arrow, is_time_of, to_arrow
from daq.wire.convert import RecordedRun, RecordedStream
from tests.integration.data.test_round_trip import known, same
from tests.unit.storage.test_widening import Row, Stored

NAMES = (
    "time", "time_", "a.b", "a/b", "a_b", "w", "w[0]", "w[0]_", "w_0", "w.re", "w_length", "w_axis",
    "time of w", "event", "event_", "run_id", "outcome", "units", "names", "valid", "lengths",
    "timestamps", "column_blocks", "w (text)", "w_sample", "elapsed", "", " ", ".", "..", "$x^$",
    "new\nline", "µ", "x" * 400,
)  # fmt: skip
names = (st.sampled_from(NAMES) | st.text(max_size=8)).map(clean_text)
arrays = hnp.arrays(
    st.sampled_from(["|b1", "|u1", "<i4", "<f4", "<f8", "<c16"]),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3),
)
kinds = st.sampled_from(
    [
        st.integers(-(2**63), 2**63 - 1), st.integers(0, 9) | st.floats(), st.none() | st.floats(),
        st.none() | st.integers(-9, 9), st.booleans(), st.none() | st.text(max_size=5),
        st.complex_numbers(), st.integers(0, 9) | st.text(max_size=3), arrays, st.none() | arrays,
        hnp.arrays("<f8", 3), st.none() | st.just(np.arange(4)), st.none(),
    ]
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    columns = draw(st.dictionaries(names, kinds, min_size=1, max_size=6))
    return [
        {name: draw(kind) for name, kind in columns.items()} for _ in range(draw(st.integers(1, 4)))
    ]


class Forms:
    """A run as the client has it, with what it should hold."""

    def __init__(self, stored: Stored) -> None:
        block = stored.file
        self.events = len(block.timestamps)
        self.wanted = {
            column.name: [
                None if gone else known(value)
                for value, gone in zip(
                    block.values[column.name], rows_missing(block.values[column.name]), strict=True
                )
            ]
            for column in block.columns
        }
        self.batch = to_arrow(block, times=True)
        self.table = {
            field.name: column.to_numpy(zero_copy_only=False)
            if field.name == TIME
            else column_values(column, field)
            for field, column in zip(self.batch.schema, self.batch.columns, strict=True)
            if is_time_of(field) is None
        }
        summary = RunSummary("r1", "drawn", 1, 9, RunOutcome.COMPLETED, points=self.events)
        streams = (RecordedStream("primary", self.events, stored.columns),)
        self.run = RecordedRun(summary, RunStart("r1", "drawn", 1), streams)
        self.path = stored.path

    def check(self, found: dict[str, list[Any]], *, no_missing: bool = False) -> None:
        assert found.keys() == self.wanted.keys()
        for name, values in self.wanted.items():
            assert same(found[name], values, no_missing=no_missing), name


@settings(max_examples=12)
@given(tables())
def test_every_form_holds_every_event_and_each_name_leads_back(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        forms = Forms(Stored(Path(directory), rows))
        assert forms.events == len(rows)
        check_hdf5(forms)
        check_arrow(forms)
        check_csv(forms)
        check_pandas(forms)
        check_xarray(forms)
        check_documents(forms)
        check_plot(forms)


def check_hdf5(forms: Forms) -> None:
    with h5py.File(forms.path) as file:
        stream = file["entry/primary"]
        columns = [str(d.attrs["column"]) for d in stream.values() if "column" in d.attrs]
        assert sorted(columns) == sorted(forms.wanted)
        lengths = [len(d) for d in stream.values() if "column" in d.attrs]
        assert set(lengths) == {len(stream["time"])} == {forms.events}


def check_arrow(forms: Forms) -> None:
    for batch in (forms.batch, parquet_of(forms)):
        assert len(set(batch.schema.names)) == len(batch.schema.names)
        back = from_arrow(batch)
        forms.check(
            {
                name: [
                    None if gone else known(value)
                    for value, gone in zip(values, rows_missing(values), strict=True)
                ]
                for name, values in back.values.items()
            }
        )
        assert back.column_times.keys() == forms.wanted.keys()


def parquet_of(forms: Forms) -> pa.RecordBatch:
    sink = io.BytesIO()
    write_batches([forms.batch], "parquet", sink)
    (batch,) = pa.parquet.read_table(io.BytesIO(sink.getvalue())).to_batches()
    return batch


def check_csv(forms: Forms) -> None:
    sink = io.BytesIO()
    notes = write_batches([forms.batch], "csv", sink)
    header, *rows = csv.reader(io.StringIO(sink.getvalue().decode(), newline=""))
    assert len(rows) == forms.events
    assert len(set(header)) == len(header)
    for field in forms.batch.schema:
        shape = column_of(field).shape
        is_there = field.name in header or f"{field.name}.re" in header
        spread = any(name.startswith(f"{field.name}[") for name in header)
        assert is_there or spread or any(repr(field.name) in note for note in notes) or 0 in shape


def check_pandas(forms: Forms) -> None:
    frame = make_table("pandas", forms.run, "primary", forms.table)
    assert len(frame) == forms.events
    recorded = {name: frame.attrs["names"].get(name, name) for name in forms.table if name != TIME}
    texts = frame.select_dtypes("str").columns
    frame[texts] = frame[texts].astype(object).where(frame[texts].notna(), None)
    forms.check({recorded[name]: [known(v) for v in frame[name]] for name in recorded})


def check_xarray(forms: Forms) -> None:
    data = make_table("xarray", forms.run, "primary", forms.table)
    (event,) = data[TIME].dims
    assert data.sizes[event] == forms.events
    assert not set(data.dims) & (set(forms.table) - {TIME})
    recorded = {name: data[name].attrs.get("column", name) for name in forms.table if name != TIME}
    assert sorted(recorded.values()) == sorted(forms.wanted)


def check_plot(forms: Forms) -> None:
    with contextlib.suppress(NotFoundError):  # there is no number in it
        drawn = choose(forms.run, forms.table)
        assert len(drawn.time_s) == forms.events
        assert {column.name for column in drawn.signals} <= set(forms.table)


def check_documents(forms: Forms) -> None:
    streams = {"primary": forms.table}
    found: dict[str, list[Any]] = {name: [] for name in forms.wanted}
    for name, document in run_documents(forms.run, streams):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
        if name == "descriptor":
            columns = {key: facts["column"] for key, facts in document["data_keys"].items()}
            assert sorted(columns.values()) == sorted(forms.wanted)
        elif name == "event":
            for key, value in document["data"].items():
                found[columns[key]].append(known(value))
    forms.check(found, no_missing=True)

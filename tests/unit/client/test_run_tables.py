from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from daq.client.recorded.event_documents import run_documents
from daq.client.recorded.run_tables import make_table
from daq.core import Column, NotFoundError, ParameterError, RunOutcome, RunStart, RunSummary
from daq.wire.convert import RecordedRun, RecordedStream

COLUMNS = (
    Column("y", "mm", "<f8", (), "y", "positioner"),
    Column("x", "mm", "<f8", (), "x", "positioner"),
    Column("meter", "W", "<f8", (), "meter"),
    Column("trace", "V", "<f4", (2,), "scope"),
    Column("note", "", "O"),
    Column("good", "", "|b1"),
)


def recorded(points: int, outcome: RunOutcome | None, **metadata: Any) -> RecordedRun:
    summary = RunSummary(
        "r1" * 8, "grid", 10**18, 2 * 10**18, outcome, user="ada", metadata=metadata
    )
    devices = {"meter": {"averaging": 4}}
    start = RunStart(summary.run_id, "grid", 10**18, "ada", metadata, devices=devices)
    return RecordedRun(summary, start, (RecordedStream("primary", points, COLUMNS),))


def table(path: list[tuple[float, float]]) -> dict[str, Any]:
    y, x = (np.array(axis) for axis in zip(*path, strict=True))
    return {
        "time": np.arange(len(path)).astype("datetime64[ns]"),
        "y": y,
        "x": x,
        "meter": 10 * y + x,
        "trace": np.zeros((len(path), 2), "<f4"),
        "note": np.array(["a"] * len(path), object),
        "good": np.array([True] * len(path)),
    }


GRID = {
    "plan_name": "grid_scan",
    "motors": ["y", "x"],
    "shape": [2, 3],
    "extents": [[0, 1], [0, 2]],
    "snaking": [False, True],
}


def test_a_snaked_grid_that_was_stopped_is_filled_with_nothing() -> None:
    path = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1)]
    grid = make_table("auto", recorded(5, RunOutcome.STOPPED, **GRID), "primary", table(path))
    assert grid["meter"].dims == ("y", "x")
    np.testing.assert_array_equal(grid["meter"], [[0, 1, 2], [np.nan, 11, 12]])
    np.testing.assert_array_equal(grid["x"], [0, 1, 2])
    np.testing.assert_array_equal(grid["y"], [0, 1])
    assert grid["trace"].shape == (2, 3, 2)
    assert grid["meter"].attrs["units"] == "W"
    assert grid["x_readback"].attrs["units"] == "mm"


def test_a_grid_that_was_drawn_by_hand_is_one_in_xarray_too() -> None:
    path = [(0, 0), (0, 1), (1, 1), (1, 0)]
    grid = make_table("xarray", recorded(4, RunOutcome.COMPLETED), "primary", table(path))
    np.testing.assert_array_equal(grid["meter"], [[0, 1], [10, 11]])
    assert grid["good"].dtype == bool  # nothing is missing


def test_a_grid_without_a_plan_is_one_in_documents_too() -> None:
    path = [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]
    run = recorded(6, RunOutcome.COMPLETED)
    start = dict(run_documents(run, {"primary": table(path)}))["start"]
    assert start["hints"]["gridding"] == "rectilinear"
    assert start["hints"]["dimensions"] == [(["y"], "primary"), (["x"], "primary")]
    assert (start["shape"], start["extents"]) == ([3, 2], [[0, 2], [0, 1]])
    line = dict(run_documents(run, {"primary": table([(0, 0), (1, 1)])}))["start"]
    assert "gridding" not in line["hints"]


def test_events_that_claim_one_place_are_shown_one_by_one() -> None:
    path = [(0, 0), (0, 1), (0, 1), (1, 2)]
    events = make_table("auto", recorded(4, RunOutcome.FAILED, **GRID), "primary", table(path))
    assert dict(events.sizes) == {"event": 4, "trace_0": 2}


def test_a_line_has_its_positions_as_coordinates() -> None:
    line = make_table(
        "xarray", recorded(2, RunOutcome.COMPLETED), "primary", table([(0, 0), (0, 1)])
    )
    assert line["meter"].dims == ("event",)
    assert set(line.coords) == {"time", "x", "y"}
    assert line["trace"].dims == ("event", "trace_0")


def test_a_frame_has_arrays_as_objects_and_attributes() -> None:
    frame = make_table("auto", recorded(1, RunOutcome.COMPLETED), "primary", table([(0, 0)]))
    assert frame.attrs["units"]["meter"] == "W"
    assert frame["trace"][0].shape == (2,)


def test_what_is_not_there_is_said() -> None:
    run = recorded(1, RunOutcome.COMPLETED)
    with pytest.raises(NotFoundError, match="has no stream 'baseline'; it has primary"):
        make_table("dict", run, "baseline", {})
    with pytest.raises(ParameterError, match="there is no table 'excel'"):
        make_table("excel", run, "primary", {})


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (RunOutcome.COMPLETED, "success"),
        (RunOutcome.STOPPED, "abort"),
        (RunOutcome.KILLED, "abort"),
        (RunOutcome.FAILED, "fail"),
        (RunOutcome.INTERRUPTED, "fail"),
    ],
)
@pytest.mark.parametrize("pages", [False, True])
def test_documents_are_valid_whatever_the_run_held(
    outcome: RunOutcome, status: str, pages: bool
) -> None:
    run = recorded(2, outcome, **GRID, sample=3, scan_id="no number")
    documents = list(run_documents(run, {"primary": table([(0, 0), (0, 1)])}, pages=pages))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    start, descriptor, stop = documents[0][1], documents[1][1], documents[-1][1]
    assert stop["exit_status"] == status
    assert start["scan_id"] == 1_000_000_000  # the metadata hold no number
    assert start["hints"]["gridding"] == "rectilinear"
    assert descriptor["data_keys"]["note"]["dtype"] == "string"
    assert descriptor["configuration"]["meter"]["data"] == {"averaging": 4}


def test_an_open_run_has_no_stop_document() -> None:
    run = recorded(1, None)
    names = [name for name, _ in run_documents(run, {"primary": table([(0, 0)])})]
    assert names == ["start", "descriptor", "event"]

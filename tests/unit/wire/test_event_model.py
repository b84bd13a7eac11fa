"""Documents are what event-model says that they are, whatever a run holds."""

from __future__ import annotations

from dataclasses import replace

import event_model
import numpy as np
import pytest

from daq.core import Column, EventBlock, RunOutcome, RunStart, RunStop
from daq.wire.convert import json_from_wire, json_to_wire
from daq.wire.event_model import DocumentComposer, compose_documents, unpack_page

START = RunStart(
    "r1",
    "edge scan",
    1_700_000_000_000_000_000,
    user="maria",
    metadata={"sample": 7, "owner": "lab", "time": "noon", "a.b": {"c/d": [1]}, "scan_id": 4},
    devices={"stage": {"velocity": 2.0, "homed": True, "axis": "x", "steps": 3}},
    parameters={"points": 3},
)
STOP = RunStop(RunOutcome.STOPPED, START.started_ns + 10**9, "enough", "maria")
COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("camera", "counts", "<u2", (4, 6), "camera"),
    Column("spectrum", "V", "<f4", (5,), "spectrum"),
    Column("note", "", "O"),
    Column("ok", "", "|b1"),
)


def block(first=0, count=3, stream="primary", columns=COLUMNS):
    numbers = np.arange(first, first + count)
    values = {
        "stage": numbers * 0.5,
        "camera": np.zeros((count, 4, 6), "<u2"),
        "spectrum": np.ones((count, 5), "<f4"),
        "note": np.array([f"n{n}" for n in numbers], dtype=object),
        "ok": numbers % 2 == 0,
    }
    times = START.started_ns + numbers * 10**9
    read = {"stage": times - 5 * 10**8}
    return EventBlock(
        stream, first, columns, times, {c.name: values[c.name] for c in columns}, read
    )


def validate(documents):
    for name, document in documents:
        validator = event_model.schema_validators[event_model.DocumentNames[name]]
        validator.validate(document)
    return documents


def names(documents):
    return [name for name, _ in documents]


@pytest.mark.parametrize("uri", ["", "file://lab/data/run.h5"])
def test_every_document_is_valid_and_stays_so_as_json(uri):
    blocks = [block(), block(3, 2), block(0, 1, "dark", COLUMNS[1:2])]
    documents = validate(list(compose_documents(START, blocks, STOP, uri)))
    again = validate([(name, json_from_wire(json_to_wire(d))) for name, d in documents])
    assert [name for name, _ in again] == [name for name, _ in documents]
    for outcome in RunOutcome:
        validate([DocumentComposer(START).end(RunStop(outcome, 1))])


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
def test_whole_documents_of_a_run_that_ended_so(outcome, status):
    start = RunStart(
        "r2",
        "two points",
        1_700_000_000_250_000_000,
        user="maria",
        host="bench",
        execution_id="e7",
        script_name="scan.py",
        script_sha256="ab" * 32,
        metadata={"sample": "glass", "motors": ["stage"]},
        devices={"stage": {"velocity": 2.0}},
        parameters={"points": 2},
        versions={"daq": "1.2"},
    )
    columns = (
        Column("stage", "mm", "<f8", (), "stage", "positioner"),
        Column("meter", "W", "<i4", (), "meter", "detector"),
    )
    times = start.started_ns + np.array([10**9, 3 * 10**9])
    values = {"stage": np.array([0.5, 1.5]), "meter": np.array([7, 8], "<i4")}
    read = {"stage": times - 25 * 10**7}
    events = EventBlock("primary", 0, columns, times, values, read)
    stop = RunStop(outcome, start.started_ns + 5 * 10**9, "so it was", "maria")
    documents = list(compose_documents(start, [events], stop))
    assert documents == [
        ("start", {
            "uid": "r2", "time": 1_700_000_000.25, "plan_name": "two points",
            "plan_type": "generator", "scan_id": 1_700_000_000, "sample": "glass",
            "motors": ["stage"], "hints": {"dimensions": [(["stage"], "primary")]},
            "owner": "maria", "versions": {"daq": "1.2"},
            "daq": {
                "name": "two points", "host": "bench", "execution_id": "e7",
                "script_name": "scan.py", "script_sha256": "ab" * 32, "parameters": {"points": 2},
            },
        }),
        ("descriptor", {
            "uid": "r2-primary", "run_start": "r2", "time": 1_700_000_001.25, "name": "primary",
            "data_keys": {
                "stage": {
                    "source": "device:stage", "dtype": "number", "shape": [], "units": "mm",
                    "object_name": "stage", "role": "positioner", "column": "stage",
                    "dtype_numpy": "<f8",
                },
                "meter": {
                    "source": "device:meter", "dtype": "integer", "shape": [], "units": "W",
                    "object_name": "meter", "role": "detector", "column": "meter",
                    "dtype_numpy": "<i4",
                },
            },
            "object_keys": {"stage": ["stage"], "meter": ["meter"]},
            "configuration": {
                "stage": {
                    "data": {"velocity": 2.0}, "timestamps": {"velocity": 1_700_000_000.25},
                    "data_keys": {
                        "velocity": {"source": "device:stage", "dtype": "number", "shape": []}
                    },
                },
                "meter": {"data": {}, "timestamps": {}, "data_keys": {}},
            },
            "hints": {"stage": {"fields": ["stage"]}, "meter": {"fields": ["meter"]}},
        }),
        ("event_page", {
            "descriptor": "r2-primary", "seq_num": [1, 2],
            "uid": ["r2-primary-1", "r2-primary-2"],
            "time": [1_700_000_001.25, 1_700_000_003.25],
            "data": {"stage": [0.5, 1.5], "meter": [7, 8]},
            "timestamps": {
                "stage": [1_700_000_001.0, 1_700_000_003.0],
                "meter": [1_700_000_001.25, 1_700_000_003.25],
            },
            "filled": {},
        }),
        ("stop", {
            "uid": "r2-stop", "run_start": "r2", "time": 1_700_000_005.25, "exit_status": status,
            "outcome": outcome.value, "reason": "so it was", "stopped_by": "maria",
            "num_events": {"primary": 2},
        }),
    ]  # fmt: skip


def test_no_two_documents_of_a_run_have_the_same_uid():
    odd = [block(0, 2, name) for name in ("primary-2", "stop", "stop-", "dark-v2", "a-", "a--1")]
    again = block(2, 1, "dark", COLUMNS[1:2])
    blocks = [block(), block(3, 2), block(0, 2, "dark"), again, block(0, 2, "a"), *odd]
    documents = list(compose_documents(START, blocks, STOP, "file://lab/run.h5"))
    uids = [d["uid"] for name, d in documents if name != "event_page"]
    uids += [u for name, d in documents if name == "event_page" for u in d["uid"]]
    assert len(uids) == len(set(uids)) > 15


def test_the_order_is_that_of_event_model():
    documents = list(compose_documents(START, [block(), block(3)], STOP, "file://lab/run.h5"))
    assert names(documents) == [
        "start", "descriptor", "stream_resource", "event_page", "stream_datum",
        "event_page", "stream_datum", "stop",
    ]  # fmt: skip
    assert names(compose_documents(START, [], None)) == ["start"]


def test_frames_are_told_by_the_file_and_the_rows_in_which_they_lie():
    documents = list(compose_documents(START, [block(2, 3)], STOP, "file://lab/run.h5"))
    found = dict(documents)
    resource, datum = found["stream_resource"], found["stream_datum"]
    assert resource["uri"] == "file://lab/run.h5"
    assert resource["parameters"]["dataset"] == "/entry/primary/camera"
    assert resource["data_key"] == "camera"
    assert datum["stream_resource"] == resource["uid"]
    assert datum["indices"] == {"start": 2, "stop": 5}
    assert datum["seq_nums"] == {"start": 3, "stop": 6}
    assert found["descriptor"]["data_keys"]["camera"]["external"] == "STREAM:"
    assert "camera" not in found["event_page"]["data"]


def test_without_a_file_frames_are_in_the_events():
    found = dict(compose_documents(START, [block()], STOP))
    assert found["event_page"]["data"]["camera"][0].shape == (4, 6)
    assert "external" not in found["descriptor"]["data_keys"]["camera"]


def test_values_are_plain_and_bear_the_time_at_which_they_were_read():
    page = dict(compose_documents(START, [block()], STOP))["event_page"]
    began = START.started_ns / 1e9
    assert page["data"]["stage"] == [0.0, 0.5, 1.0]
    assert page["data"]["note"] == ["n0", "n1", "n2"]
    assert page["data"]["ok"] == [True, False, True]
    assert page["seq_num"] == [1, 2, 3]
    assert page["timestamps"]["stage"][0] == pytest.approx(began - 0.5)
    assert page["timestamps"]["note"] == page["time"]
    events = list(event_model.unpack_event_page(page))
    assert [event["seq_num"] for event in events] == [1, 2, 3]


def test_metadata_that_event_model_would_misunderstand_keep_another_name():
    _, start = DocumentComposer(START).begin()
    assert start["sample_"] == 7
    assert start["time_"] == "noon"
    assert start["scan_id"] == 4
    assert start["a_b"] == {"c_d": [1]}
    assert start["owner"] == "maria"
    assert start["uid"] == "r1"


def test_what_a_plan_moved_is_what_to_plot_against():
    metadata = {"plan_name": "grid_scan", "motors": ["y", "x"], "shape": [2, 2]}
    old = replace(START, metadata=metadata)  # a grid cannot be drawn without its extents
    assert "gridding" not in DocumentComposer(old).begin()[1]["hints"]
    grid = replace(START, metadata={**metadata, "extents": [[0, 1], [0, 1]]})
    _, start = DocumentComposer(grid).begin()
    assert start["hints"] == {
        "dimensions": [(["y"], "primary"), (["x"], "primary")], "gridding": "rectilinear"
    }  # fmt: skip
    _, start = DocumentComposer(START, axes=["stage"]).begin()
    assert start["hints"] == {"dimensions": [(["stage"], "primary")]}
    own = replace(grid, metadata={**grid.metadata, "hints": {"dimensions": []}})
    assert DocumentComposer(own).begin()[1]["hints"] == {"dimensions": []}
    assert "hints" not in DocumentComposer(START).begin()[1]
    odd = replace(START, metadata={"motors": [1]})
    assert "hints" not in DocumentComposer(odd).begin()[1]


def test_a_page_is_unpacked_as_event_model_does_it():
    page = dict(compose_documents(START, [block()], STOP))["event_page"]
    events = [document for _, document in unpack_page(page)]
    assert [e["uid"] for e in events] == page["uid"]
    for ours, theirs in zip(events, event_model.unpack_event_page(page), strict=True):
        assert ours.keys() == theirs.keys()
        assert (ours["data"]["note"], ours["time"]) == (theirs["data"]["note"], theirs["time"])
    validate([("event", event) for event in events])


def test_the_settings_of_a_device_are_its_configuration():
    descriptor = dict(compose_documents(START, [block()], None))["descriptor"]
    stage = descriptor["configuration"]["stage"]
    assert stage["data"] == {"velocity": 2.0, "homed": True, "axis": "x", "steps": 3}
    kinds = {name: key["dtype"] for name, key in stage["data_keys"].items()}
    assert kinds == {"velocity": "number", "homed": "boolean", "axis": "string", "steps": "integer"}
    assert descriptor["hints"]["stage"] == {"fields": ["stage"]}
    assert descriptor["object_keys"]["script"] == ["note", "ok"]


def test_the_stop_document_tells_how_many_events_there_were():
    blocks = [block(), block(3, 2), block(0, 1, "dark")]
    stop = dict(compose_documents(START, blocks, STOP))["stop"]
    assert stop["num_events"] == {"primary": 5, "dark": 1}
    assert (stop["exit_status"], stop["reason"]) == ("abort", "enough")


def test_columns_whose_names_meet_in_the_file_are_told_apart():
    columns = (
        Column("a/b", "", "<f8", (2, 2)), Column("a_b", "", "<f8", (2, 2)),
        Column("time", "", "<f8", (2, 2)),
    )  # fmt: skip
    values = {c.name: np.zeros((1, 2, 2)) for c in columns}
    data = EventBlock("data", 0, columns, np.zeros(1, np.int64), values)
    documents = compose_documents(START, [data], None, "file:///x")
    paths = [d["parameters"]["dataset"] for name, d in documents if name == "stream_resource"]
    assert paths == ["/entry/data_/a_b", "/entry/data_/a_b_", "/entry/data_/time_"]

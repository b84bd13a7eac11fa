from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq import core
from daq.wire import convert
from daq.wire.generated import daq as pb
from tests.unit.wire import strategies as some

few = settings(deadline=None, max_examples=50)


def over_the_wire(message):
    """Encoded and decoded again, as the other end sees it."""
    return type(message).FromString(bytes(message))


@few
@given(some.views)
def test_an_execution_survives_the_wire(view):
    assert convert.status_from_wire(over_the_wire(convert.status_to_wire(view))) == view


@few
@given(some.scripts)
def test_a_script_survives_the_wire(script):
    message = over_the_wire(convert.script_to_wire(script))
    assert convert.script_from_wire(message, script.source) == script


@few
@given(some.checks)
def test_a_check_survives_the_wire(check):
    assert convert.check_from_wire(over_the_wire(convert.check_to_wire(check))) == check
    uploaded = over_the_wire(convert.upload_to_wire(None, check, "knife.py"))
    assert convert.check_from_wire(uploaded) == check


@few
@given(st.lists(some.outputs, max_size=4))
def test_output_survives_the_wire(lines):
    entries = [over_the_wire(entry) for entry in convert.output_to_wire(lines)]
    assert convert.output_from_wire(entries) == lines


@few
@given(some.stops)
def test_a_stop_survives_the_wire(report):
    assert convert.stop_from_wire(over_the_wire(convert.stop_to_wire(report))) == report


@few
@given(some.descriptions(), some.snapshots)
def test_a_device_survives_the_wire(description, snapshot):
    snapshot = replace(snapshot, id=description.id)
    message = over_the_wire(convert.device_to_wire(description, snapshot))
    assert convert.description_from_wire(message) == description
    assert convert.snapshot_from_wire(message) == snapshot


@few
@given(some.snapshots, st.booleans())
def test_a_device_state_survives_the_wire(snapshot, streaming):
    message = over_the_wire(convert.state_to_wire(snapshot, streaming=streaming))
    assert convert.snapshot_from_wire(message) == snapshot
    assert message.streaming is streaming


@few
@given(some.measurements())
def test_every_sample_of_a_measurement_survives_the_wire(block):
    points = [over_the_wire(point) for point in convert.data_points(block, dropped=3)]
    samples = [convert.measurement_from_wire(point) for point in points]
    assert [point.dropped for point in points] == [3] * len(block)
    assert [sample.sequence for sample in samples] == [
        block.sequence + i for i in range(len(block))
    ]
    for index, sample in enumerate(samples):
        assert sample.channel == block.channel
        assert sample.units == block.units
        assert sample.timestamps[0] == block.timestamps[index]
        if block.sample_shape:
            assert sample.values.dtype == block.values.dtype
            np.testing.assert_array_equal(sample.values[0], block.values[index])
        else:
            assert sample.values[0] == float(block.values[index])


def test_the_value_of_a_waveform_is_its_mean():
    block = core.Measurement("scope", np.array([7]), np.array([[1.0, 2.0, 6.0]]), "V", sequence=0)
    (point,) = convert.data_points(block)
    assert point.value == 3.0
    assert point.shape == [3]


def test_only_the_chosen_samples_are_sent():
    block = core.Measurement("x", np.arange(4), np.arange(4.0), "V", 10)
    assert [p.sequence for p in convert.data_points(block, indices=[3])] == [13]
    assert convert.data_points(block, indices=[]) == []


@few
@given(some.summaries)
def test_a_run_survives_the_wire(summary):
    assert convert.run_from_wire(over_the_wire(convert.run_to_wire(summary))) == summary


@few
@given(
    some.summaries,
    st.dictionaries(some.words, some.jsons, max_size=3),
    st.dictionaries(some.words, st.dictionaries(some.words, some.scalars, max_size=2), max_size=2),
    st.lists(st.tuples(some.words, some.numbers, st.lists(some.columns, max_size=2)), max_size=2),
)
def test_the_detail_of_a_run_survives_the_wire(summary, parameters, devices, streams):
    start = core.RunStart(
        summary.run_id,
        summary.name,
        summary.started_ns,
        summary.user,
        summary.metadata,
        summary.execution_id,
        script_name=summary.script_name,
        script_source="def main(): ...",
        script_sha256="ab",
        parameters=parameters,
        devices=devices,
        versions={"daq": "0.1"},
        host="bench",
    )
    recorded = [convert.RecordedStream(n, points, tuple(c)) for n, points, c in streams]
    message = over_the_wire(convert.run_detail_to_wire(summary, start, recorded))
    back = convert.run_detail_from_wire(message)
    assert back == convert.RecordedRun(summary, start, tuple(recorded))


@few
@given(some.jsons)
def test_json_comes_back_as_it_went(value):
    assert convert.json_from_wire(convert.json_to_wire(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "null"),
        (math.inf, "1e999"),
        (-math.inf, "-1e999"),
        ([math.inf, 1.0], "[1e999, 1.0]"),
        (np.float64(2.5), "2.5"),
        (np.longdouble(2.5), "2.5"),
        (np.bool_(True), "true"),
        (np.arange(3), "[0, 1, 2]"),
        (b"raw", "[114, 97, 119]"),
        (1 + 2j, '{"re": 1.0, "im": 2.0}'),
    ],
)
def test_json_is_strict_whatever_the_value(value, text):
    assert convert.json_to_wire(value) == text
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_a_number_that_is_not_finite_stays_one_in_the_state_of_a_device():
    fields = {"reading": math.nan, "position": math.inf}
    back = convert.scalars_from_wire(convert.json_mapping_to_wire(fields))
    assert math.isnan(back["reading"])
    assert back["position"] == math.inf


@few
@given(st.booleans() | st.integers() | some.floats | some.texts)
def test_the_text_of_a_scalar_is_read_back_as_it_was(value):
    text = convert.scalar_to_text(value)
    assert core.parse_scalar(text, type(value).__name__) == value


@pytest.mark.parametrize(
    ("progress", "percent"),
    [(None, 0), (0.0, 0), (0.999, 99), (1.0, 100), (math.nan, 0), (7.0, 100)],
)
def test_percent_is_100_only_at_the_end(progress, percent):
    record = core.ExecutionRecord(
        "e", "s", "n", {}, "", (core.Transition(core.ExecutionState.PENDING, 1),), progress=progress
    )
    assert convert.status_to_wire(core.ExecutionView(record, 1)).progress_percent == percent


def test_the_current_line_is_shown_with_its_number():
    record = core.ExecutionRecord(
        "e", "s", "n", {}, "", (core.Transition(core.ExecutionState.RUNNING, 1),), line=12
    )
    view = core.ExecutionView(record, 1, source_line="    stage.move_abs(x)  ")
    assert convert.status_to_wire(view).current_line == "12: stage.move_abs(x)"


def test_an_execution_of_a_foreign_daemon_has_at_least_its_state():
    view = convert.status_from_wire(
        pb.ScriptStatus(execution_id="e", state="RUNNING", start_time_ns=5)
    )
    assert view.record.state is core.ExecutionState.RUNNING
    assert view.record.started_ns == 5


def test_output_with_lone_surrogates_is_sent_nevertheless():
    (entry,) = convert.output_to_wire([core.OutputLine(1, "output", "\udc80!")])
    assert over_the_wire(entry).text == "?!"


def test_a_refused_upload_shows_every_violation_with_its_caret():
    check = core.ScriptCheck(
        (
            core.Diagnostic(1, 1, 1, 10, "IMPORT", "no os here", "import os"),
            core.Diagnostic(4, 5, 4, 9, "POLICY", "no eval here", "    eval('1')"),
        )
    )
    answer = convert.upload_to_wire(None, check, "knife.py")
    assert not answer.success
    assert 'File "knife.py", line 1, column 1' in answer.error_message
    assert "POLICY: no eval here" in answer.error_message
    assert "    ^^^^" in answer.error_message


def test_units_are_of_the_position_for_a_movable_and_of_the_reading_else():
    channel = core.Channel("d", "mm")
    movable = core.DeviceDescription(
        "d", "x", core.Category.STAGE, frozenset({core.Capability.MOVABLE}), channel, units="mm"
    )
    snapshot = core.DeviceSnapshot("d", core.DeviceState.READY, 1, 1)
    assert convert.device_to_wire(movable, snapshot).metadata.position_units == "mm"
    meter = replace(movable, capabilities=frozenset({core.Capability.READABLE}), units="W")
    assert convert.device_to_wire(meter, snapshot).metadata.position_units is None
    assert convert.device_to_wire(meter, snapshot).metadata.reading_units == "W"


def test_a_capability_of_a_newer_daemon_is_left_out():
    message = pb.DeviceInfo(id="d", capabilities=["movable", "teleportable"])
    assert convert.description_from_wire(message).capabilities == {core.Capability.MOVABLE}


def test_an_array_of_an_event_is_told_by_its_shape():
    event = core.Event("primary", 4, 1, (), {"x": 1.5, "frame": np.zeros((2, 3))}, {})
    message = convert.event_to_wire(event)
    assert message.sequence == 4
    assert json.loads(message.values_json["frame"]) == {"shape": [2, 3]}
    assert message.values_json["x"] == "1.5"

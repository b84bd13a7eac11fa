"""Scans, functions of one's own and what they leave on record, with a real daemon."""

# mypy: disable-error-code="name-defined"
# Functions here are sent to the daemon, and speak the script language.
from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from daq.client import Bench, glob
from daq.core import (
    CapabilityError,
    LimitError,
    NotFoundError,
    ParameterError,
    ScriptError,
    ScriptSyntaxError,
    UnknownDeviceError,
)

THIS_FILE = Path(__file__)


@contextmanager
def pressing(*conditions: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C as soon as each condition is true, one after the other."""
    given_up = threading.Event()

    def watch() -> None:
        for condition in conditions:
            while not condition():
                if given_up.wait(0.01):
                    return
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        given_up.set()
        thread.join()


def test_a_scan_returns_readbacks_units_and_the_run(bench: Bench) -> None:
    data = bench.scan([bench["power_meter"]], bench["stage"], -0.5, 0.5, 5, sample="blade")
    assert isinstance(data, pd.DataFrame)
    assert list(data.columns) == ["time", "stage", "power_meter"]
    assert data["stage"].to_numpy() == pytest.approx(np.linspace(-0.5, 0.5, 5), abs=0.01)
    assert data["power_meter"].is_monotonic_increasing
    assert data.attrs["units"] == {"stage": "mm", "power_meter": "W"}
    assert data.attrs["run_id"] == bench.runs[-1].id
    assert bench.runs[-1].metadata["sample"] == "blade"


def test_a_grid_comes_back_on_its_axes(bench: Bench) -> None:
    grid = bench.grid_scan(
        "power_meter", "rotator", 0, 1, 2, "stage", -0.2, 0.2, 3, snake=True, name="map"
    )
    assert isinstance(grid, xr.Dataset)
    assert dict(grid.sizes) == {"rotator": 2, "stage": 3}
    assert grid["stage"].to_numpy() == pytest.approx([-0.2, 0.0, 0.2], abs=0.01)
    assert (np.diff(grid["power_meter"].to_numpy(), axis=1) > 0).all()
    assert grid["power_meter"].attrs["units"] == "W"
    assert bench.runs[-1].name == "map"


def test_every_scan_runs_in_the_daemon(bench: Bench) -> None:
    meter, stage, rotator = bench["power_meter"], bench["stage"], bench["rotator"]
    assert len(bench.count([meter], 3, delay=0.01)) == 3
    assert len(bench.list_scan([meter], stage, [0.0, 0.1, 0.3])) == 3
    assert len(bench.spiral_scan([meter], stage, rotator, 0, 0, 0.2, 0.1)) > 4
    adaptive = bench.adaptive_scan([meter], "power_meter", stage, -0.3, 0.3, 0.05, 0.3, 1e-3)
    assert len(adaptive) > 2
    assert len(bench.fly_scan([meter], stage, -0.1, 0.1, interval=0.02)) >= 2


def test_relative_scans_return_to_where_they_began(bench: Bench) -> None:
    meter, stage = bench["power_meter"], bench.motor("stage")
    stage.position = 0.5
    scans = [
        bench.rel_scan([meter], stage, -0.1, 0.1, 2),
        bench.rel_list_scan([meter], stage, [-0.1, 0.1]),
        bench.rel_grid_scan([meter], stage, -0.1, 0.1, 2, to="pandas"),
    ]
    for data in scans:
        assert data["stage"].to_numpy() == pytest.approx([0.4, 0.6], abs=0.01)
    assert len(bench.rel_spiral_scan([meter], stage, "rotator", 0.1, 0.05)) > 4
    assert stage.position == pytest.approx(0.5, abs=0.01)
    assert bench.runs[-1].name == "rel_spiral_scan"


def test_a_relative_scan_that_is_stopped_returns_too(bench: Bench) -> None:
    stage = bench.motor("stage")
    stage.position = 0.5

    def slow():
        rel_scan(["power_meter"], "stage", 1, 2, 1000, dwell=0.05)  # noqa: F821

    execution = bench.submit(slow)
    for update in execution.updates():
        if update.view.record.run_ids:
            break
    execution.stop()
    assert execution.wait().record.state == "STOPPED"
    assert stage.position == pytest.approx(0.5, abs=0.01)


def test_steps_before_and_after_and_at_each_point_are_functions(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    gain = 3.0

    def prepare():
        print("shutter open")

    def tidy():
        print("tidied")

    def amplify(point):
        return {"amplified": gain * point["stage"]}

    data = bench.scan(
        "power_meter", "stage", 0, 1, 2, before=prepare, after=tidy, per_point=amplify
    )
    assert data["amplified"].to_numpy() == pytest.approx([0.0, 3.0])
    assert capsys.readouterr().out == "shutter open\ntidied\n"


def test_scans_nest(bench: Bench) -> None:
    def across(point):
        scan(["rotator", "power_meter"], "stage", -0.1, 0.1, 2)  # noqa: F821

    data = bench.list_scan([], "rotator", [0.0, 1.0], per_point=across)
    assert data["stage"].to_numpy() == pytest.approx([-0.1, 0.1, -0.1, 0.1], abs=0.01)
    assert data["rotator"].to_numpy() == pytest.approx([0, 0, 1, 1], abs=0.1)


def test_a_scan_that_cannot_be_done_raises_what_the_device_said(bench: Bench) -> None:
    def too_far(point):
        device("stage").move_abs(1000)  # noqa: F821

    with pytest.raises(LimitError, match="outside the limits") as caught:
        bench.scan("power_meter", "stage", 0, 1, 2, per_point=too_far)
    assert "bench.runs[" in caught.value.advice


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("stage", 0, 1000, 2), LimitError, "1000 mm is outside the limits"),
        (("stage", float("nan"), 1, 2), LimitError, "nan, which is no position"),
        (("stage", 0, 5), ParameterError, "groups of motor, start, stop"),
        (("stage", 0, 1, "stage", 0, 2, 3), ParameterError, "'stage' is given twice"),
        (("power_meter", 0, 1, 3), CapabilityError, "power_meter: cannot be moved"),
        (("stagee", 0, 1, 3), UnknownDeviceError, "stagee"),
    ],
)
def test_a_scan_that_cannot_be_meant_leaves_no_run(bench: Bench, arguments, error, message) -> None:
    known = len(bench.runs)
    with pytest.raises(error, match=message):
        bench.scan("power_meter", *arguments)
    assert len(bench.runs) == known


def test_a_script_and_a_client_leave_the_same_run(bench: Bench) -> None:
    axes = ["rotator", 0, 2, 2, "stage", -0.2, 0.2, 3]

    @bench.remote
    def from_a_script():
        grid_scan(["power_meter"], *axes, snake=True, sample="gold")  # noqa: F821

    theirs = bench.grid_scan("power_meter", *axes, snake=True, sample="gold")
    client = bench.runs[-1]
    from_a_script()
    script = bench.runs[-1]
    assert script.id != client.id
    assert script.metadata == client.metadata
    assert script.metadata["snaking"] == [False, True]
    assert script.detail.streams == client.detail.streams
    assert script.to_xarray().sizes == theirs.sizes
    starts = [next(iter(run.documents()))[1] for run in (client, script)]
    assert starts[0]["hints"] == starts[1]["hints"]
    assert starts[0]["extents"] == starts[1]["extents"]


def test_what_a_function_records_beside_a_plan_has_a_stream_of_its_own(bench: Bench) -> None:
    def also(point):
        record("rotator", "stage", "power_meter")  # noqa: F821
        scan(["power_meter"], "stage", point["stage"], point["stage"] + 0.1, 2)  # noqa: F821

    grid = bench.grid_scan("power_meter", "rotator", 0, 2, 2, "stage", 0, 1, 3, per_point=also)
    assert dict(grid.sizes) == {"rotator": 2, "stage": 3}
    points = {stream.name: stream.points for stream in bench.runs[-1].detail.streams}
    assert points == {"primary": 6, "per_point": 18}


def test_a_parameter_is_an_axis_as_a_motor_is(bench: Bench) -> None:
    meter, laser = bench["power_meter"], bench.laser("laser")
    laser.wavelength = 800.0
    data = bench.scan([meter], laser.wavelength, 790, 810, 3)
    assert data["laser.wavelength"].to_numpy() == pytest.approx([790, 800, 810], abs=0.5)
    roles = {c.name: c.role for c in bench.runs[-1].detail.streams[0].columns}
    assert roles == {"laser.wavelength": "positioner", "power_meter": "detector"}
    assert bench.runs[-1].metadata["extents"] == [[790, 810]]

    @bench.remote
    def both():
        rel_scan(["power_meter"], device("laser").wavelength, -5, 5, 2)  # noqa: F821
        columns = grid_scan(  # noqa: F821
            ["power_meter"], "laser.wavelength", 790, 810, 2, "stage", 0, 0.1, 2
        )
        return columns["laser.wavelength"]

    laser.wavelength = 800.0
    assert both() == pytest.approx([790, 790, 810, 810], abs=0.5)
    assert dict(bench.runs[-1].to_xarray().sizes) == {"laser.wavelength": 2, "stage": 2}
    assert bench.runs[-2].to_dict()["laser.wavelength"] == pytest.approx([795, 805], abs=0.5)
    known = len(bench.runs)
    for axis, error in [("laser.wavelength", LimitError), ("laser.emission", CapabilityError)]:
        with pytest.raises(error, match=axis):
            bench.scan([meter], axis, 0, 1e6, 3)
    with pytest.raises(NotFoundError, match="no parameter 'colour'"):
        bench.scan([meter], "laser.colour", 0, 1, 3)
    assert len(bench.runs) == known
    laser.wavelength = 800.0


def test_what_is_only_read_along_is_no_axis(bench: Bench) -> None:
    bench.motor("rotator").position = 1.0
    bench.scan(["power_meter", "rotator"], "stage", 0, 0.2, 3)
    roles = {c.name: c.role for c in bench.runs[-1].detail.streams[0].columns}
    assert roles == {"stage": "positioner", "power_meter": "detector", "rotator": "detector"}
    with bench.run("by hand") as run:
        for x in (0.0, 0.1):
            bench.motor("stage").position = x
            run.record("stage", "rotator", "power_meter")
    roles = {c.name: c.role for c in bench.runs[-1].detail.streams[0].columns}
    assert roles == {"stage": "positioner", "rotator": "detector", "power_meter": "detector"}


def test_ctrl_c_stops_a_scan_and_keeps_what_it_has(bench: Bench) -> None:
    known = len(bench.runs)

    def recording() -> bool:
        return len(bench.runs) > known and bench.runs[-1].summary.points >= 2

    with pressing(recording), pytest.raises(KeyboardInterrupt):
        bench.count("power_meter", 10_000, delay=0.02)
    run = bench.runs[-1]
    assert run.summary.outcome == "stopped"
    assert len(run.to_pandas()) >= 2
    assert len(bench.count("power_meter", 1)) == 1


def test_a_second_ctrl_c_stops_by_force(bench: Bench) -> None:
    def stubborn():
        try:
            while True:
                sleep(0.05)  # noqa: F821
        finally:
            while True:
                sleep(0.05)  # noqa: F821

    execution = bench.submit(stubborn)
    states = lambda word: lambda: execution.view.record.state == word  # noqa: E731
    with pressing(states("RUNNING"), states("STOPPING")), pytest.raises(KeyboardInterrupt):
        execution.result()
    assert execution.wait().record.state == "KILLED"


def test_a_function_of_ones_own_runs_with_what_it_uses(bench: Bench) -> None:
    stage = bench["stage"]
    offset = np.array([1.0, 2.0])

    def twice(value):
        return 2 * value

    @bench.remote
    def measure(points, detector):
        columns = scan([detector], stage, 0, 0.1, points)  # noqa: F821
        return {"points": len(columns["stage"]), "offset": twice(offset[1])}

    assert measure(2, bench["power_meter"]) == {"points": 2, "offset": 4.0}
    execution = measure.submit(points=3, detector="power_meter")
    assert execution.result()["points"] == 3
    assert len(execution.run_ids) == 1


def test_a_generator_hands_its_values_out_as_they_come(bench: Bench) -> None:
    @bench.remote
    def positions(count):
        for i in range(count):
            yield {"i": i, "x": float("inf")}

    assert list(positions(2)) == [{"i": 0, "x": float("inf")}, {"i": 1, "x": float("inf")}]
    values = positions(1_000_000)
    assert next(values)["i"] == 0
    values.close()
    assert bench.execution().wait().record.state == "STOPPED"


def test_errors_of_a_function_point_at_its_own_lines(bench: Bench) -> None:
    @bench.remote
    def fails():
        return 1 / 0  # here

    with pytest.raises(ScriptError, match="ZeroDivisionError") as caught:
        fails()
    line = THIS_FILE.read_text().splitlines().index("        return 1 / 0  # here") + 1
    assert f'File "{THIS_FILE}", line {line}, in fails' in caught.value.__notes__[0]

    @bench.remote
    def refused():
        import os

        return os

    with pytest.raises(ScriptSyntaxError, match="module 'os' is not available") as refusal:
        refused()
    assert f'File "{THIS_FILE}", line' in refusal.value.message


def test_runs_are_found_and_read_in_every_form(bench: Bench, tmp_path: Path) -> None:
    bench.count("power_meter", 2, sample="gold leaf")
    run = bench.runs[-1]
    found = bench.runs.search(name="count", since=timedelta(minutes=5), sample=glob("gold*"))
    assert found[0].id == run.id
    assert bench.runs.search(name="count", sample="gold*") == []
    assert [r.id for r in bench.runs[-1:]] == [run.id]
    assert bench.runs.search(sample="gold leaf", until="2001-01-01") == []
    assert bench.runs[run.id[:12]].id == run.id
    assert len(bench.runs) == len(list(bench.runs))
    assert bench.runs[0].summary.started_ns <= run.summary.started_ns
    assert len(run.to_dict()["power_meter"]) == run.to_arrow().num_rows == 2
    assert run.to_dict().attrs["units"] == {"power_meter": "W"}
    assert run.to_xarray()["power_meter"].attrs["units"] == "W"
    assert run.units == {"power_meter": "W"}
    assert "'count' completed, 2 points" in repr(run)
    run.plot(tmp_path / "count.png")
    assert (tmp_path / "count.png").stat().st_size > 1000
    with pytest.raises(IndexError):
        bench.runs[-1_000_000]
    with pytest.raises(NotFoundError):
        bench.runs["no such run"]
    with pytest.raises(ParameterError, match="is no time"):
        bench.runs.search(since="yesterday")


def test_without_pandas_a_scan_gives_a_dict(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    data = bench.count("power_meter", 2)
    assert isinstance(data, dict), type(data)
    assert data["power_meter"].shape == (2,)
    assert data.attrs["run_id"] == bench.runs[-1].id  # type: ignore[attr-defined]


def test_a_script_file_is_started_and_watched(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text("def main(name: str = 'x'):\n    print('hello', name)\n    return name\n")
    execution = bench.start(script, {"name": "ada"})
    texts = [line.text for update in execution.updates() for line in update.output]
    assert texts == ["hello ada"]
    assert execution.result() == "ada"
    assert execution.done

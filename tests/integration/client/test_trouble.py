"""What goes wrong around the client: restarts, devices that vanish, forks, bad input."""

from __future__ import annotations

import logging
import math
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from daq.client import Bench, connect
from daq.core import (
    CommunicationError,
    DeviceError,
    LimitError,
    OfflineError,
    ParameterError,
    ScriptError,
    UnknownDeviceError,
)
from tests.system.daemon_process import ROOT, DaemonProcess

QUIET = ("daq.client.rpc.resuming", "daq.client.bench.detector", "daq.client.blocking.portal")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    for name in QUIET:
        caplog.set_level(logging.CRITICAL, name)


def eventually(condition: Callable[[], object], timeout: float = 20.0) -> None:
    """Ask until it is true; the waiting in between is not what is tested."""
    given_up = threading.Event()
    timer = threading.Timer(timeout, given_up.set)
    timer.start()
    try:
        while not condition():
            assert not given_up.wait(0.02), "it never came true"
    finally:
        timer.cancel()


@contextmanager
def endless_count(bench: Bench, detector: str) -> Iterator[Future[Any]]:
    """A scan without an end in another thread, once it has recorded; stopped if the test fails."""
    known = len(bench.runs)
    with ThreadPoolExecutor(1) as other:
        scan = other.submit(bench.count, detector, 100_000, 0.01)
        try:
            eventually(lambda: len(bench.runs) > known and bench.runs[-1].summary.points >= 2)
            yield scan
        except BaseException:
            bench.execution().stop(force=True)
            raise


def test_a_restart_of_the_daemon_ends_what_ran_there_and_nothing_else(tmp_path: Path) -> None:
    with (
        ExitStack() as daemons,
        DaemonProcess(tmp_path / "data") as first,
        connect(first.address, resume_s=60) as bench,
        ThreadPoolExecutor(1) as other,
    ):
        port = first.address.rpartition(":")[2]

        @bench.remote
        def answer():
            return {"n": 7}

        before = answer.submit()
        assert before.result() == {"n": 7}
        readings: queue.Queue[Any] = queue.Queue()
        subscription = bench.detector("power_meter").subscribe(readings.put, rate_hz=20)
        rotator = bench.motor("rotator")
        rotator.parameters.velocity = 1.0
        motion = rotator.move(300.0, wait=False)
        waiting = other.submit(motion.wait)
        with endless_count(bench, "camera") as scan:
            first.kill()
            with pytest.raises(CommunicationError, match="was lost"):
                waiting.result(60)
            daemons.enter_context(DaemonProcess(tmp_path / "data", "--port", port))
            with pytest.raises(ScriptError, match="the daemon ended while it was RUNNING") as ended:
                scan.result(60)
        run = bench.runs[-1]
        assert f"bench.runs[{run.id[:8]!r}]" in ended.value.advice
        assert (run.summary.outcome, len(run.columns()["time"]) >= 2) == ("interrupted", True)
        while not readings.empty():
            readings.get()
        assert readings.get(timeout=20).value >= 0
        subscription.close()
        assert bench.execution(before.id).result() == {"n": 7}
        assert len(bench.count("power_meter", 2)) == 2


def test_a_daemon_that_does_not_come_back_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    with (
        DaemonProcess(tmp_path / "data") as daemon,
        connect(daemon.address, resume_s=0.3) as bench,
        endless_count(bench, "camera") as scan,
    ):
        daemon.kill()
        with pytest.raises(CommunicationError, match=r"was lost|closed the connection"):
            scan.result(20)


@pytest.fixture
def gone(bench: Bench) -> Iterator[Callable[[str], None]]:
    """Takes devices out of use, as a hand on their plugs would; they come back at the end."""
    taken: list[str] = []

    def take(name: str) -> None:
        taken.append(name)
        bench.call(lambda client: client.bench.disable(name, "unplugged", force=True))

    yield take
    for name in taken:
        bench.call(lambda client, name=name: client.bench.enable(name))  # type: ignore[misc]
        eventually(lambda name=name: bench[name].state().state.is_online)  # type: ignore[misc]


def test_a_device_that_vanishes_ends_its_motion_its_streams_and_the_scan(
    bench: Bench, gone: Callable[[str], None]
) -> None:
    stage, meter = bench.motor("stage"), bench.detector("power_meter")
    stage.parameters.velocity = 0.5
    try:
        motion = stage.move(9.0, wait=False)
        eventually(lambda: stage.is_moving)
        gone("stage")
        assert isinstance(motion.exception(timeout=10), DeviceError)
    finally:
        bench.call(lambda client: client.bench.enable("stage"))
        eventually(lambda: stage.state().state.is_online)
        stage.parameters.velocity = 20.0
    subscription = meter.subscribe(lambda _: None, rate_hz=50)
    with meter.stream(rate_hz=50) as readings, endless_count(bench, "power_meter") as scan:
        gone("power_meter")
        with pytest.raises(OfflineError, match="unplugged"):
            scan.result(20)
        with pytest.raises(OfflineError, match="unplugged") as caught:
            for _ in readings:
                pass
    eventually(lambda: not subscription.is_open)
    assert "enable power_meter" in caught.value.advice
    assert len(bench.runs[-1].columns()["time"]) >= 2
    assert "unplugged" in meter._repr_html_()
    with bench.run("with a gap") as run, pytest.raises(OfflineError):
        run.record("stage", meter)


def test_a_device_that_is_taken_off_the_bench_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    stage, meter = (
        f'[devices.{name}]\ndriver = "simulated.{name}"\n' for name in ("stage", "power_meter")
    )
    file.write_text(stage + meter)
    with (
        DaemonProcess(tmp_path / "data", "--config", str(file)) as daemon,
        connect(daemon.address) as bench,
    ):
        known = bench["power_meter"]
        file.write_text(stage)
        assert bench.call(lambda client: client.bench.reload()).removed == ("power_meter",)
        with pytest.raises(UnknownDeviceError, match="power_meter"):
            known.read()
        assert "power_meter" in bench
        bench.refresh()
        assert list(bench) == ["stage"]
        with pytest.raises(UnknownDeviceError, match="no device 'power_meter'"):
            bench["power_meter"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_moves_nothing(bench: Bench, number: float) -> None:
    stage, camera = bench.motor("stage"), bench.camera("camera")
    before = stage.position
    attempts: list[Callable[[], object]] = [
        lambda: stage.move_relative(number),
        lambda: stage.move(number, wait=False).wait(10),
        lambda: stage.set(number).wait(10),
        lambda: setattr(stage.parameters, "velocity", number),
        lambda: setattr(camera, "exposure", number),
        lambda: setattr(bench.laser("laser"), "wavelength", number),
        lambda: bench.list_scan([], stage, [number]),
        lambda: bench.rel_scan([], stage, -0.1, number, 3),
        lambda: bench.grid_scan([], "rotator", 0, 1, 2, stage, number, number, 2),
        lambda: bench.fly_scan([], stage, before, number, interval=0.1),
    ]
    for attempt in attempts:
        with pytest.raises(LimitError, match=r"is no position; nothing has moved|not a finite"):
            attempt()
    assert stage.position == pytest.approx(before, abs=0.01)
    with bench.run("numbers") as run:
        point = run.record(number=number, wave=[1.0, math.nan])
    np.testing.assert_equal(point.values["number"], number)
    stored = bench.runs[-1].columns()
    np.testing.assert_equal(stored["number"], [number])
    np.testing.assert_equal(stored["wave"], [[1.0, math.nan]])


def test_what_is_no_number_or_no_device_is_said_before_anything_is_sent(bench: Bench) -> None:
    with pytest.raises(ParameterError, match="moves to or by a number of mm, not 'there'"):
        bench.motor("stage").move("there")  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match="3 is no device"):
        bench.scan(3, "stage", 0, 1, 2)
    known = len(bench.runs)
    with pytest.raises(ParameterError, match="there is no table 'list'"):
        bench.count("power_meter", to="list")
    assert len(bench.runs) == known
    with pytest.raises(ParameterError, match=r"'print\(1\)' cannot be read: No such file"):
        bench.start("print(1)")


def test_a_motor_as_a_detector_is_recorded_where_it_is(bench: Bench) -> None:
    data = bench.scan(["rotator"], "stage", 0, 0.1, 2)
    assert list(data.columns) == ["time", "stage", "rotator"]
    data = bench.scan(["stage"], "stage", 0, 0.1, 2)
    assert data["stage"].to_numpy() == pytest.approx([0.0, 0.1], abs=0.01)


def test_callbacks_that_raise_disturb_nobody(bench: Bench) -> None:
    stage = bench.motor("stage")
    told = threading.Event()

    def fail(*_: object, **__: object) -> None:
        told.set()
        raise RuntimeError("a callback's own fault")

    class Display:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        update = fail

    motion = stage.move(0.2, wait=False)
    motion.add_callback(fail)
    motion.watch(fail)
    assert motion.wait(20) == pytest.approx(0.2, abs=0.01)
    assert told.wait(20)
    told.clear()
    bench.display = lambda name: Display()
    assert len(bench.count("power_meter", 3)) == 3
    assert told.is_set()


def test_two_threads_scan_move_and_read_at_once(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as threads:
        scans = [threads.submit(bench.count, "camera", 3, 0.01, name=f"of {i}") for i in range(2)]
        moves = [threads.submit(bench.motor("stage").move, x) for x in (0.1,)]
        reads = [threads.submit(lambda: bench.detector("power_meter").value) for _ in range(5)]
        assert [len(scan.result(30)) for scan in scans] == [3, 3]
        assert moves[0].result(30) == pytest.approx(0.1, abs=0.01)
        assert all(read.result(30) >= 0 for read in reads)
    names = {run.name for run, _ in zip(bench.runs, range(2), strict=False)}
    assert names == {"of 0", "of 1"}


FORK = """
import os, sys
from daq.client import connect
from daq.core import StateError
bench = connect(sys.argv[1])
stage, meter = bench.motor("stage"), bench.detector("power_meter")
stage.parameters.velocity = 0.5
stream = meter.stream(20)
next(stream)
motion = stage.move(stage.position + 1.0, wait=False)
child = os.fork()
if child == 0:
    for begun in (motion.wait, lambda: [next(stream) for _ in range(1000)]):
        try:
            begun()
        except StateError as error:
            assert "is a fork" in error.message, error
        else:
            raise AssertionError
    motion.cancel()
    stream.close()
    assert meter.value >= 0
    assert next(meter.stream(20)).value >= 0
    bench.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
motion.wait(30)
assert next(stream).value >= 0
stage.parameters.velocity = 20.0
bench.close()
"""


def test_what_was_begun_before_a_fork_stays_with_the_parent(daemon: DaemonProcess) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, daemon.address],
        timeout=60, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

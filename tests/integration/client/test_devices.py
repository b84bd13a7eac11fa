"""Devices of a real daemon as objects."""

from __future__ import annotations

import logging
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from daq.client import Bench, Camera, Detector, Digitizer, Laser, Motor, Readings, Status, connect
from daq.core import (
    CapabilityError,
    CommunicationError,
    DeviceError,
    LimitError,
    ParameterError,
    UnknownDeviceError,
)
from daq.core import TimeoutError as NotDoneError
from tests.system.daemon_process import ROOT, DaemonProcess


@pytest.fixture
def slow_stage(bench: Bench) -> Iterator[Motor]:
    """A stage that takes a while, so that something can happen meanwhile."""
    stage = bench.motor("stage")
    stage.parameters.velocity = 0.5
    yield stage
    stage.stop()
    stage.wait_settled(timeout=10)
    stage.parameters.velocity = 20.0


@contextmanager
def interrupt_when(condition: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C as soon as the condition is true."""
    given_up = threading.Event()

    def watch() -> None:
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


def test_the_class_of_a_device_fits_what_it_can_do(bench: Bench) -> None:
    kinds = {"stage": Motor, "power_meter": Detector, "camera": Camera, "laser": Laser}
    for name, kind in kinds.items():
        assert isinstance(bench[name], kind)
    assert isinstance(bench["digitizer"], Digitizer)
    assert isinstance(bench["digitizer"], Detector)
    assert repr(bench["stage"]) == "<Motor stage 'Knife edge' (simulated.stage)>"
    assert set(kinds) <= set(bench)
    assert "stage" in bench


def test_a_position_is_read_back_and_set(bench: Bench) -> None:
    stage = bench.motor("stage")
    stage.position = 0.5
    assert stage.position == pytest.approx(0.5, abs=0.01)
    assert stage.move_relative(0.25) == pytest.approx(0.75, abs=0.01)
    assert (stage.units, str(stage.limits)) == ("mm", "[-10, 10]")
    assert stage.home() == pytest.approx(0.0, abs=0.01)
    assert bench.motor("rotator").move(1.0, timeout=30) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("target", [math.nan, math.inf, 1000.0])
def test_a_target_that_cannot_be_is_refused_and_nothing_moves(bench: Bench, target: float) -> None:
    stage = bench.motor("stage")
    before = stage.position
    with pytest.raises(LimitError, match="nothing was changed"):
        stage.position = target
    with pytest.raises(LimitError):
        stage.check_value(target)
    assert stage.position == pytest.approx(before, abs=0.01)


def test_a_motor_is_no_detector(bench: Bench) -> None:
    with pytest.raises(CapabilityError, match="stage does not have the Readable capability; it is"):
        bench.detector("stage")
    stage = bench["stage"]
    with pytest.raises(CapabilityError, match="movable, parameterized"):
        _ = stage.value
    assert not hasattr(stage, "value")
    with pytest.raises(CapabilityError, match="does not have the Movable capability"):
        bench["power_meter"].move(1.0)
    with pytest.raises(AttributeError, match="did you mean 'position'"):
        stage.positon = 1.0
    with pytest.raises(UnknownDeviceError, match="there is no device 'stag'"):
        bench["stag"]


def test_statuses_of_several_motions_go_on_at_once(bench: Bench, slow_stage: Motor) -> None:
    calls: queue.Queue[Status[float]] = queue.Queue()
    moves = [slow_stage.move(0.1, wait=False), bench.motor("rotator").move(2.0, wait=False)]
    assert repr(moves[0]) == "Status(stage: the move to 0.1 mm, pending)"
    for status in moves:
        status.add_callback(calls.put)
        status.wait(timeout=20)
    assert {calls.get(timeout=5), calls.get(timeout=5)} == set(moves)
    assert [repr(status) for status in moves] == [
        "Status(stage: the move to 0.1 mm, done)",
        "Status(rotator: the move to 2 deg, done)",
    ]
    assert moves[0].exception() is None
    now: list[Status[float]] = []
    moves[0].add_callback(now.append)
    assert now == [moves[0]]


def test_a_status_that_failed_says_why(bench: Bench) -> None:
    status = bench.motor("stage").move(1000.0, wait=False)
    assert isinstance(status.exception(timeout=5), LimitError)
    assert (status.done, status.success) == (True, False)
    assert repr(status).startswith(
        "Status(stage: the move to 1000 mm, failed: stage: position 1000 mm is outside the limits"
    )
    with pytest.raises(LimitError):
        status.wait()


def test_a_wait_that_ends_early_leaves_the_motion(slow_stage: Motor) -> None:
    status = slow_stage.move(5.0, wait=False)
    with pytest.raises(NotDoneError, match="has not ended after"):
        status.wait(timeout=0.05)
    assert not status.done


def test_a_cancelled_move_has_stopped(slow_stage: Motor) -> None:
    status = slow_stage.move(9.0, wait=False)
    seen: queue.Queue[dict[str, float]] = queue.Queue()
    status.watch(lambda **state: seen.put(state))
    state = seen.get(timeout=10)
    assert (state["name"], state["target"], state["unit"]) == ("stage", 9.0, "mm")
    assert 0.0 <= state["fraction"] <= 1.0
    status.cancel()
    with pytest.raises(DeviceError, match="the move to 9 mm was cancelled"):
        status.wait(timeout=10)
    assert slow_stage.wait_settled(timeout=10) < 8.0


def test_a_move_that_is_stopped_on_purpose_ends_well_where_it_stands(slow_stage: Motor) -> None:
    status = slow_stage.move(9.0, wait=False)
    while not slow_stage.is_moving:
        time.sleep(0.01)
    slow_stage.stop(success=True)
    assert status.wait(timeout=10) < 8.0
    failed = slow_stage.move(9.0, wait=False)
    while not slow_stage.is_moving:
        time.sleep(0.01)
    slow_stage.stop()
    with pytest.raises(DeviceError):
        failed.wait(timeout=10)


def test_ctrl_c_stops_the_motion_that_was_waited_for(slow_stage: Motor) -> None:
    with interrupt_when(lambda: slow_stage.is_moving), pytest.raises(KeyboardInterrupt):
        slow_stage.position = 9.0
    assert slow_stage.wait_settled(timeout=10) < 8.0
    assert slow_stage.move_relative(0.01)


def test_a_reading_is_a_number_for_people_and_a_dict_for_bluesky(bench: Bench) -> None:
    bench.motor("stage").position = 1.0
    reading = bench.detector("power_meter").read()
    assert isinstance(reading, Readings)
    assert float(reading) == reading.value == reading["power_meter"]["value"] > 0
    assert reading.units == "W"
    assert repr(reading).endswith("mW")
    assert bench.detector("digitizer").value.shape == (1000,)


def test_a_detector_calls_back_until_it_is_told_not_to(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    meter = bench.detector("power_meter")
    readings: queue.Queue[Readings] = queue.Queue()

    def fail_once(reading: Readings) -> None:
        readings.put(reading)
        if readings.qsize() == 1:
            raise ValueError("not today")

    with caplog.at_level(logging.CRITICAL, "daq.client.bench.detector"):
        subscription = meter.subscribe(fail_once, rate_hz=50)
        while subscription.calls < 3:
            readings.get(timeout=10)
    subscription.close()
    assert not subscription.is_open
    assert subscription.failures >= 1
    values = [reading.value for reading, _ in zip(meter, range(2), strict=False)]
    assert len(values) == 2
    waveform = next(iter(bench.detector("digitizer")))
    assert waveform.value.shape == (1000,)


def test_parameters_are_attributes_with_their_types(bench: Bench) -> None:
    laser = bench.laser("laser")
    laser.parameters.power = 0.004
    assert laser.parameters["power"] == 0.004
    assert "power=0.004" in repr(laser.parameters)
    assert isinstance(bench["power_meter"].parameters.averaging, int)
    with pytest.raises(ParameterError, match="laser has no parameter 'colour'; it has shutter"):
        _ = laser.parameters.colour
    assert laser.parameters.describe("power").units == "W"
    laser.parameters.power = 0.005


def test_light_is_switched_and_tuned(bench: Bench) -> None:
    laser = bench.laser("laser")
    laser.close()
    assert not laser.is_open
    laser.open()
    assert laser.is_open
    laser.emission = True
    assert laser.emission
    laser.wavelength = 801.0
    assert laser.wavelength == pytest.approx(801.0, abs=0.5)
    laser.wavelength = 800.0


def test_a_camera_gives_images(bench: Bench) -> None:
    camera = bench.camera("camera")
    camera.exposure = 0.01
    assert camera.exposure == pytest.approx(0.01)
    assert camera.frames(2).shape == (2, 480, 640)
    assert camera.read().value.dtype == np.uint16
    with camera.stream(max_fps=20) as frames:
        first, second = next(frames), next(frames)
    assert second.number > first.number


def test_a_digitizer_gives_blocks_of_samples(bench: Bench) -> None:
    with bench.digitizer("digitizer").acquire() as blocks:
        first, second = next(blocks), next(blocks)
    assert (first.units, first.channel) == ("V", "digitizer.samples")
    assert len(first.values) == len(first) > 1
    assert second.sequence >= first.sequence + len(first)


def test_a_run_is_opened_recorded_and_closed_on_the_daemon(bench: Bench) -> None:
    with bench.run("by hand", sample="blade") as run:
        point = run.record(bench["stage"], "power_meter", gain=2.0)
        assert run.recorded.summary.outcome is None
    assert point.values["gain"] == 2.0
    assert run.recorded.summary.outcome == "completed"
    assert run.recorded.metadata == {"sample": "blade"}
    with pytest.raises(ZeroDivisionError), bench.run("broken"):
        _ = 1 / 0
    assert (bench.runs[-1].name, bench.runs[-1].summary.outcome) == ("broken", "failed")


def test_many_threads_share_a_bench(bench: Bench) -> None:
    values: list[float] = []
    threads = [
        threading.Thread(target=lambda: values.append(bench.detector("power_meter").value))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == 20


def test_a_forked_process_has_a_connection_of_its_own(daemon: DaemonProcess) -> None:
    code = (
        "import os, sys\n"
        "from daq.client import connect\n"
        "bench = connect(sys.argv[1])\n"
        "child = os.fork()\n"
        "assert bench.detector('power_meter').value >= 0\n"
        "if child == 0:\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert bench.detector('power_meter').value >= 0\n"
        "bench.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, daemon.address],
        timeout=60, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_daemon_that_is_absent_is_a_clear_error(free_address: str) -> None:
    with pytest.raises(CommunicationError, match="no daemon answers on") as caught:
        connect(free_address)
    assert "python -m daq serve" in caught.value.advice


def test_a_closed_bench_says_so(daemon: DaemonProcess) -> None:
    bench = connect(daemon.address)
    bench.close()
    bench.close()
    with pytest.raises(CommunicationError, match="was closed"):
        bench.info()


def test_what_is_open_goes_on_after_a_restart_of_the_daemon(tmp_path) -> None:
    with (
        DaemonProcess(tmp_path / "data") as first,
        connect(first.address, resume_s=60) as bench,
    ):
        meter = bench.detector("power_meter")
        with meter.stream(rate_hz=50) as readings:
            next(readings)
            port = first.address.rpartition(":")[2]
            first.kill()
            with pytest.raises(CommunicationError):
                bench.motor("stage").position = 1.0
            killed_ns = time.time_ns()
            with DaemonProcess(tmp_path / "data", "--port", port):
                assert next(r for r in readings if r.timestamp_ns > killed_ns).value >= 0
                assert bench.motor("stage").move(1.0) == pytest.approx(1.0, abs=0.01)

"""What a device does when it is called, and what it refuses before anything moves."""

import math

import numpy as np
import pytest
import trio

from daq.bus import Overflow
from daq.core import (
    OPERATIONS,
    BusyError,
    Capability,
    CapabilityError,
    Channel,
    DeviceError,
    LimitError,
)
from daq.drivers import Timebase
from daq.supervision.device.operations import ACTIONS
from tests.unit.supervision.fakes import (
    FakeCamera,
    FakeDriver,
    FakeLaser,
    FakeMeter,
    FakeStage,
    supervised,
)


def drain(view):
    blocks = []
    while (block := view.receive_nowait()) is not None:
        blocks.append(block)
    return blocks


def test_every_operation_has_its_action():
    assert set(ACTIONS) == set(OPERATIONS)


async def test_a_move_returns_the_readback_and_publishes_it_ten_times_a_second(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        with bench.bus.view("stage") as view:
            assert await bench.supervisor.device("stage").call("move_abs", 2) == 2.0
            blocks = drain(view)
        positions = [float(block.last()) for block in blocks]
        assert 19 <= len(blocks) <= 21
        assert positions == sorted(positions)
        assert positions[-1] == 2.0
        assert [block.sequence for block in blocks] == list(range(len(blocks)))
        assert {(block.channel, block.units, block.values.dtype.str) for block in blocks} == {
            ("stage", "mm", "<f8")
        }
        assert bench.supervisor.device("stage").snapshot().fields["position"] == 2.0


async def test_instant_moves_are_not_followed(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.speed = math.inf
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        with bench.bus.view("stage") as view:
            for position in range(10):
                await device.call("move_abs", position)
            assert len(drain(view)) == 10


async def test_short_moves_one_after_the_other_are_followed_too(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        with bench.bus.view("stage") as view:
            for step in range(20):
                await bench.supervisor.device("stage").call("move_abs", 0.07 * (step % 2))
            assert 14 <= len(drain(view)) <= 35  # in 1.4 s


async def test_a_motion_is_followed_after_an_idle_time_too(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        for position in (1.0, 0.0):
            await trio.sleep(5)
            with bench.bus.view("stage") as view:
                await device.call("move_abs", position)
                assert 9 <= len(drain(view)) <= 11


async def test_the_activity_names_the_command_in_progress(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")
        nursery.start_soon(device.call, "move_abs", 3.0)
        await trio.sleep(1)
        assert device.snapshot().activity == "move_abs(3.0)"
        assert repr(device) == "<Device stage ready move_abs(3.0)>"
        await trio.sleep(3)
        assert device.snapshot().activity == ""


async def test_a_move_that_does_not_arrive_fails_with_setpoint_readback_and_tolerance(
    autojump_clock,
):
    stage = FakeStage("stage", Timebase())
    stage.slip = 0.05
    async with supervised(stage) as bench:
        with pytest.raises(
            DeviceError,
            match=r"stage: move_abs: it came to rest elsewhere: setpoint 2 mm, readback 2.05 mm: "
            "off by 0.05 mm",
        ):
            await bench.supervisor.device("stage").call("move_abs", 2.0)
        assert bench.supervisor.device("stage").snapshot().state == "ready"


async def test_a_readback_that_is_not_a_number_never_passes_as_a_position(autojump_clock):
    stage = FakeStage("stage", Timebase(), tolerance=None)
    async with supervised(stage) as bench:
        stage.position = lambda: _answer(stage.now(math.nan))
        with pytest.raises(DeviceError, match="readback is nan"):
            await bench.supervisor.device("stage").call("move_abs", 2.0)


async def _answer(value):
    return value


async def test_a_relative_move_starts_from_the_readback(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        await device.call("move_abs", 8)
        assert await device.call("move_rel", -1.5) == 6.5
        with pytest.raises(
            LimitError, match=r"position 11\.5 mm is outside the limits \[-10, 10\]"
        ):
            await device.call("move_rel", 5.0)
        assert stage.log[-1] == "move 6.5"


@pytest.mark.parametrize(
    ("position", "error", "message"),
    [
        (10.001, LimitError, r"position 10.001 mm is outside the limits \[-10, 10\] mm; nothing"),
        (math.nan, LimitError, "position nan is not a finite number in mm; nothing was changed"),
        (math.inf, LimitError, "position inf is not a finite number"),
        (10**400, LimitError, "position inf is not a finite number"),
        (True, DeviceError, r"position takes a number in mm, not True \(bool\)"),
        ("3", DeviceError, r"position takes a number in mm, not '3' \(str\)"),
        (None, DeviceError, r"not None \(NoneType\)"),
        ([1.0], DeviceError, r"not \[1.0\] \(list\)"),
    ],
)
async def test_a_position_that_is_none_is_refused_and_nothing_moves(
    autojump_clock, position, error, message
):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        with pytest.raises(error, match=f"stage: .*{message}"):
            await bench.supervisor.device("stage").call("move_abs", position)
        assert stage.log == ["connect"]


@pytest.mark.parametrize("position", [np.float32(1.5), np.float64(1.5), np.int16(1), 1])
async def test_numpy_numbers_are_numbers(autojump_clock, position):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        assert await bench.supervisor.device("stage").call("move_abs", position) == position


async def test_the_wrong_number_of_arguments_is_refused_with_the_signature(autojump_clock):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        device = bench.supervisor.device("stage")
        with pytest.raises(
            DeviceError, match=r"stage: move_abs\(position\): it takes one argument, not 2"
        ):
            await device.call("move_abs", 1, 2)
        with pytest.raises(DeviceError, match=r"home\(\): it takes no arguments, not 1"):
            await device.call("home", 1)


async def test_what_is_not_offered_is_refused_with_what_is(autojump_clock):
    async with supervised(FakeMeter("meter", Timebase())) as bench:
        device = bench.supervisor.device("meter")
        with pytest.raises(
            CapabilityError, match=r"meter: does not offer 'raed'; it offers read\(\), stop\(\)"
        ) as error:
            await device.call("raed")
        assert error.value.advice == "did you mean 'read'?"
        with pytest.raises(CapabilityError, match="does not offer 'move_abs'"):
            await device.call("move_abs", 1)


async def test_only_one_command_at_a_time_while_plain_reads_are_free(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def move():
            await device.call("move_abs", 4.0, by="alice")

        await trio.sleep(1)
        assert await device.call("position") == pytest.approx(1.0)
        with pytest.raises(
            BusyError, match=r"stage: move_abs\(0\.0\) was refused: move_abs\(4\.0\) for alice"
        ):
            await device.call("move_abs", 0, by="bob")
        assert await device.call("wait_settled") == 4.0
        await trio.testing.wait_all_tasks_blocked()
        assert await device.call("home") == 0.0


async def test_a_read_is_published_on_the_own_channel(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        assert await device.call("read") == 0.5
        assert await device.call("read") == 0.5
        block = bench.bus.latest("meter")
        assert (block.sequence, block.sample_shape, block.units) == (1, (), "W")


async def test_a_waveform_is_read_as_an_array(autojump_clock):
    scope = FakeMeter("scope", Timebase())
    scope.extra["channel"] = Channel("scope", "V", "f8", (2,))
    scope.fields = dict
    async with supervised(scope) as bench:
        device = bench.supervisor.device("scope")
        scope.value = np.array([1.0, 2.0])
        assert (await device.call("read")).tolist() == [1.0, 2.0]
        assert bench.bus.latest("scope").sample_shape == (2,)
        for wrong in (1.0, np.ones((2, 2))):
            scope.value = wrong
            with pytest.raises(DeviceError, match=r"read gave the shape .*; \(2,\) is described"):
                await device.call("read")


async def test_readings_of_a_device_that_moves_go_beside_its_positions(autojump_clock):
    class Both(FakeStage):
        capabilities = frozenset({Capability.MOVABLE, Capability.READABLE})

        async def read(self):
            await trio.lowlevel.checkpoint()
            return self.now(21.5)

    async with supervised(Both("stage", Timebase())) as bench:
        device = bench.supervisor.device("stage")
        assert await device.call("read") == 21.5
        assert bench.bus.channels() == ("stage.reading",)
        position, reading = await device.acquire()
        assert (position.channel, float(position.last())) == ("stage", 0.0)
        assert (reading.channel, float(reading.last())) == ("stage.reading", 21.5)


async def test_frames_come_as_one_array_and_are_published_one_by_one(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        with bench.bus.view("camera") as view:
            frames = await bench.supervisor.device("camera").call("frames", 3)
            blocks = drain(view)
        assert (frames.shape, frames.dtype.str) == ((3, 3, 4), "<u2")
        assert frames[:, 0, 0].tolist() == [0, 1, 2]
        assert [block.sequence for block in blocks] == [0, 1, 2]
        assert camera.closed == 1
        camera.delivers = 2
        with pytest.raises(DeviceError, match=r"frames\(3\): only 2 frames were delivered"):
            await bench.supervisor.device("camera").call("frames", 3)
        camera.delivers = 0
        with pytest.raises(DeviceError, match="delivered no frame"):
            await bench.supervisor.device("camera").acquire()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
async def test_a_number_of_frames_that_is_none_is_refused(autojump_clock, count):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        with pytest.raises(DeviceError, match="n takes a whole number from 1"):
            await bench.supervisor.device("camera").call("frames", count)


async def test_more_frames_than_memory_are_refused(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        with pytest.raises(LimitError, match="would hold 24000 MB") as error:
            await bench.supervisor.device("camera").call("frames", 10**9)
        assert "at most 44739242 at once" in error.value.advice


async def test_the_exposure_is_set_read_back_and_published(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        device = bench.supervisor.device("camera")
        assert await device.call("exposure") == 0.1
        assert await device.call("exposure", 0.01234) == 0.012
        assert await device.call("exposure", None) == 0.012
        assert bench.bus.latest("camera.exposure").units == "s"
        with pytest.raises(LimitError, match=r"camera: exposure 2 s is outside .*0.001, 1\] s"):
            await device.call("exposure", 2)


async def test_a_trigger_returns_its_time_and_the_state_tells_armed(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        device = bench.supervisor.device("camera")
        await device.call("arm")
        assert device.snapshot().fields["armed"] is True
        assert await device.call("trigger") == bench.timebase.now_ns()
        assert device.snapshot().fields["armed"] is False


async def test_a_laser_is_tuned_switched_and_shut(autojump_clock):
    async with supervised(FakeLaser("laser", Timebase())) as bench:
        device = bench.supervisor.device("laser")
        assert await device.call("wavelength", 850) == 850.0
        assert await device.call("wavelength") == 850.0
        assert await device.call("emission", True) is True
        assert await device.call("is_open") is False
        assert await device.call("open") is None
        assert await device.call("is_open") is True
        assert await device.call("close") is None
        assert bench.bus.latest("laser.wavelength").units == "nm"
        assert bench.bus.latest("laser.emission").values.tolist() == [1]
        assert bench.bus.latest("laser.emission").values.dtype.str == "|u1"
        assert bench.bus.latest("laser.shutter").values.tolist() == [0]
        fields = device.snapshot().fields
        assert fields == {"wavelength": 850.0, "emission": True, "shutter": False}


async def test_asking_for_the_wavelength_is_free_while_it_is_tuned(autojump_clock):
    async with supervised(FakeLaser("laser", Timebase())) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("laser")
        nursery.start_soon(device.call, "wavelength", 900)
        await trio.sleep(0.5)
        assert await device.call("wavelength") == 800.0
        with pytest.raises(BusyError, match=r"wavelength\(900.0\) is in progress"):
            await device.call("wavelength", 700)


async def test_a_switch_that_did_not_switch_is_an_error(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    laser.stuck = True
    async with supervised(laser) as bench:
        device = bench.supervisor.device("laser")
        with pytest.raises(DeviceError, match=r"emission\(True\): the emission is still off"):
            await device.call("emission", True)
        with pytest.raises(DeviceError, match="open: the shutter is still closed"):
            await device.call("open")
        with pytest.raises(DeviceError, match="close: the shutter is still open"):
            await device.call("close")
        with pytest.raises(DeviceError, match="emission takes True or False, not 1"):
            await device.call("emission", 1)


async def test_parameters_are_set_read_back_and_published_when_numeric(autojump_clock):
    async with supervised(FakeLaser("laser", Timebase())) as bench:
        device = bench.supervisor.device("laser")
        assert await device.call("set", "power", 12) == 12.0
        assert await device.call("get", "power") == 12.0
        assert await device.call("set", "mode", "pulsed") == "pulsed"
        assert await device.call("set", "averages", 8) == 8
        assert await device.call("set", "reset", True) is True
        assert await device.call("get", "serial") == "0042"
        assert bench.bus.latest("laser.power").units == "mW"
        assert bench.bus.channels() == ("laser.averages", "laser.power")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("powr", 1),
            DeviceError,
            "no parameter 'powr'; it has wavelength, .* serial, reset",
        ),
        (("power", 101), LimitError, r"power 101 mW is outside the limits \[0, 100\] mW"),
        (("power", math.nan), LimitError, "not a finite number in mW"),
        (("power", "12"), DeviceError, "power takes a number in mW"),
        (("averages", 2.5), DeviceError, "averages takes whole numbers, not 2.5"),
        (("averages", True), DeviceError, "averages takes a number in its units, not True"),
        (("averages", 0), LimitError, "averages 0"),
        (("mode", "chirped"), LimitError, "'chirped' is not one of cw, pulsed; nothing"),
        (("serial", "1"), DeviceError, "parameter 'serial' is read-only"),
        (("power",), DeviceError, r"set\(name, value\): 'value' is missing"),
    ],
)
async def test_a_parameter_value_that_is_none_is_refused(autojump_clock, arguments, error, message):
    laser = FakeLaser("laser", Timebase())
    async with supervised(laser) as bench:
        before = dict(laser.values)
        with pytest.raises(error, match=message):
            await bench.supervisor.device("laser").call("set", *arguments)
        assert laser.values == before


async def test_a_parameter_that_cannot_be_read_is_refused(autojump_clock):
    async with supervised(FakeLaser("laser", Timebase())) as bench:
        with pytest.raises(DeviceError, match="'reset' cannot be read"):
            await bench.supervisor.device("laser").call("get", "reset")


async def test_acquire_takes_what_is_recorded_and_publishes_nothing(autojump_clock):
    timebase = Timebase()
    drivers = [
        FakeStage("stage", timebase),
        FakeMeter("meter", timebase),
        FakeCamera("camera", timebase),
        FakeLaser("laser", timebase),
    ]
    async with supervised(*drivers) as bench:
        taken = {
            device.id: [block.channel for block in await device.acquire()]
            for device in bench.supervisor.devices()
        }
        assert taken == {
            "stage": ["stage"],
            "meter": ["meter"],
            "camera": ["camera"],
            "laser": [
                "laser.wavelength",
                "laser.emission",
                "laser.shutter",
                "laser.power",
            ],
        }
        assert bench.bus.channels() == ()


async def test_a_device_without_values_cannot_be_recorded(autojump_clock):
    async with supervised(FakeDriver("relay", Timebase())) as bench:
        with pytest.raises(CapabilityError, match="relay: has nothing to record"):
            await bench.supervisor.device("relay").acquire()


async def test_published_blocks_are_numbered_without_gaps_whatever_overtakes_them(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        with bench.bus.view("meter", overflow=Overflow.DROP_OLDEST) as view:
            (discarded,) = await device.acquire()
            (late,) = await device.acquire()
            await device.call("read")
            await device.publish(late.in_event(7))
            blocks = drain(view)
        assert discarded.sequence == 0
        assert [(block.sequence, block.event) for block in blocks] == [(0, None), (1, 7)]

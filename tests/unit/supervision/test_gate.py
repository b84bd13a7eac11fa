"""Claims and refusals: who may command a device, and who may not."""

import logging

import pytest
import trio

from daq.core import BusyError, InterlockError, StopOutcome
from daq.drivers import Timebase
from daq.supervision import Claim

from .fakes import FakeCamera, FakeLaser, FakeMeter, FakeStage, supervised

OWNER = Claim("execution 3f2a91bc of knife_edge (started by ada)")


async def test_a_claimed_device_refuses_everybody_else_by_name(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        device.gate.take(OWNER)
        with pytest.raises(BusyError) as refusal:
            await device.call("move_abs", 1.0, by="bob")
        assert "execution 3f2a91bc of knife_edge (started by ada)" in refusal.value.message
        assert "stop it" in refusal.value.advice
        assert "force" in refusal.value.advice
        assert stage.place == 0.0
        assert await device.call("move_abs", 1.0, claim=OWNER) == pytest.approx(1.0)


async def test_reading_a_claimed_device_stays_free_and_so_does_every_stop(autojump_clock):
    timebase = Timebase()
    async with supervised(
        FakeStage("stage", timebase), FakeMeter("meter", timebase), FakeLaser("laser", timebase)
    ) as bench:
        stage, meter, laser = (bench.supervisor.device(n) for n in ("stage", "meter", "laser"))
        for device in (stage, meter, laser):
            device.gate.take(OWNER)
        assert await meter.call("read") == 0.5
        assert await stage.call("position") == 0.0
        assert await laser.call("wavelength") == 800.0
        assert await laser.call("get", "power") == 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: stage.call("wait_settled", by="bob"))
            assert (await stage.stop(by="bob")).outcome is StopOutcome.IDLE
        with pytest.raises(BusyError):
            await laser.call("wavelength", 900.0)


async def test_force_passes_a_claim_and_is_logged(autojump_clock, caplog):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        device = bench.supervisor.device("stage")
        device.gate.take(OWNER)
        with caplog.at_level(logging.WARNING):
            await device.call("move_abs", 1.0, by="bob", force=True)
        assert "move_abs(1.0) by bob was forced, beside execution 3f2a91bc" in caplog.text


async def test_a_claim_ends_with_its_owner_and_with_nobody_else(autojump_clock):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        gate = bench.supervisor.device("stage").gate
        gate.take(OWNER)
        gate.take(OWNER)
        with pytest.raises(BusyError):
            gate.take(Claim("another"))
        gate.release(Claim(OWNER.holder))
        assert gate.claim is OWNER
        gate.release(OWNER)
        assert gate.claim is None


async def test_a_claimed_camera_may_be_watched_but_not_taken(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        device = bench.supervisor.device("camera")
        device.gate.take(OWNER)
        with pytest.raises(BusyError):
            await device.start_stream(10, by="bob")
        await device.start_stream(by="bob")
        await trio.sleep(1)
        assert await device.stop_stream() > 0


async def test_a_tripped_interlock_refuses_motion_and_light_even_with_force(autojump_clock):
    timebase = Timebase()
    async with supervised(FakeStage("stage", timebase), FakeLaser("laser", timebase)) as bench:
        stage, laser = bench.supervisor.device("stage"), bench.supervisor.device("laser")
        reason = "interlock hot: meter 0.6 W, above 0.5 W"
        for device in (stage, laser):
            device.gate.forbid("hot", reason)
        for device, call in (
            (stage, ("move_abs", 1.0)),
            (stage, ("home",)),
            (laser, ("open",)),
            (laser, ("emission", True)),
            (laser, ("wavelength", 900.0)),
        ):
            with pytest.raises(InterlockError, match=r"hot: meter 0\.6 W, above 0\.5 W"):
                await device.call(*call, force=True)
        await laser.call("close")
        assert await laser.call("emission", False) is False
        await laser.call("set", "power", 0.0)
        stage.gate.allow("hot")
        assert await stage.call("move_abs", 1.0) == pytest.approx(1.0)

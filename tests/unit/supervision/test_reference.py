"""A device that lost its reference is sent nowhere before it was homed, or a person has looked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from daq.core import DeviceError, DeviceState, Invalid, OfflineError, UnreferencedError
from daq.drivers import Timebase
from daq.supervision import ReferencePolicy, References
from tests.unit.supervision.described import Slow, described, until
from tests.unit.supervision.fakes import FakeLaser, FakeStage, failing, supervised


def is_ready(device):
    return device.snapshot().state is DeviceState.READY


async def power_cycled(stage, device, comes_back_at=0.0):
    """It was away, and counts from somewhere else."""
    stage.on_poll = failing(OfflineError("silent"))
    await until(device, lambda it: it.snapshot().state is DeviceState.OFFLINE)
    stage._from = stage._to = comes_back_at
    stage.on_poll = None
    await until(device, is_ready)


@asynccontextmanager
async def back_from_an_outage(comes_back_at=0.0):
    """A stage that was lost at rest at 5 mm, and its device."""
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        await device.call("move_abs", 5.0)
        await power_cycled(stage, device, comes_back_at)
        yield stage, device


async def test_a_position_that_jumped_while_it_was_away_is_not_believed(autojump_clock):
    async with back_from_an_outage() as (stage, device):
        why = "it was at 5 mm when it was lost, and came back at 0 mm"
        assert why in device.snapshot().unreferenced
        for call in (("move_abs", 1.0), ("move_rel", 1.0)):
            with pytest.raises(UnreferencedError, match=why) as refused:
                await device.call(*call)
            assert refused.value.advice == (
                "`home stage`, or look where it is and accept its position: `enable stage`"
            )
        # Everything else goes on.
        assert await device.call("position") == 0.0
        assert (await device.stop()).owed is False
        await power_cycled(stage, device)
        assert why in device.snapshot().unreferenced  # it did not find it by itself
        assert await device.call("home") == 0.0
        assert device.snapshot().unreferenced == ""
        assert await device.call("move_abs", 1.0) == 1.0


@pytest.mark.parametrize("unseen", ["garbled", "invalid", "lost again"])
async def test_a_jump_is_seen_however_late_it_tells_where_it_is(autojump_clock, unseen):
    """The first answers of what was switched on just now are often none."""
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        await device.call("move_abs", 5.0)
        stage.on_poll = failing(OfflineError("silent"))
        await until(device, lambda it: it.snapshot().state is DeviceState.OFFLINE)
        stage._from = stage._to = 0.0
        stage.on_poll = failing(DeviceError("stage: garbled"))
        if unseen == "invalid":
            stage.on_poll = None
            stage.fields = lambda: {"position": Invalid("no reading yet")}
        await until(device, lambda it: it.snapshot().state.is_online)
        assert device.snapshot().unreferenced == ""
        with pytest.raises(UnreferencedError, match="has not told yet where it is"):
            await device.call("move_abs", 1.0)
        if unseen == "lost again":
            stage.on_poll = failing(OfflineError("silent"))
            await until(device, lambda it: it.snapshot().state is DeviceState.OFFLINE)
            with pytest.raises(OfflineError, match="silent"):
                await device.call("move_abs", 1.0)
        stage.on_poll, stage.fields = None, partial(FakeStage.fields, stage)
        await until(device, lambda it: bool(it.snapshot().unreferenced))
        assert "it was at 5 mm when it was lost, and came back at 0 mm" in (
            device.snapshot().unreferenced
        )


async def test_a_person_who_has_looked_accepts_its_position(autojump_clock):
    async with back_from_an_outage() as (_, device):
        await device.enable(by="ada")
        assert device.snapshot().unreferenced == ""
        assert await device.call("move_abs", 1.0) == 1.0


async def test_who_knows_better_moves_it_by_force(autojump_clock):
    async with back_from_an_outage() as (_, device):
        assert await device.call("move_abs", 1.0, force=True) == 1.0


@pytest.mark.parametrize("back", [5.0, 5.015])
async def test_a_position_that_is_the_same_within_the_tolerances_is_believed(back, autojump_clock):
    async with back_from_an_outage(back) as (_, device):
        assert device.snapshot().unreferenced == ""


async def test_where_it_was_lost_on_its_way_nobody_can_tell(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        async with trio.open_nursery() as nursery:

            async def move():
                with pytest.raises(OfflineError):
                    await device.call("move_abs", 9.0)

            nursery.start_soon(move)
            await trio.sleep(2.0)
            await power_cycled(stage, device)
        assert device.snapshot().unreferenced == ""


@pytest.mark.parametrize("policy", [ReferencePolicy.WARN, ReferencePolicy.IGNORE])
async def test_the_configuration_says_what_becomes_of_it(policy, autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        bench.supervisor.references.policies = {"stage": policy}
        device = bench.supervisor.device("stage")
        await device.call("move_abs", 5.0)
        await power_cycled(stage, device)
        assert bool(device.snapshot().unreferenced) == (policy is ReferencePolicy.WARN)
        assert await device.call("move_abs", 1.0) == 1.0


async def test_what_is_no_stage_has_no_reference_to_lose(autojump_clock):
    """A temperature drifts while nobody sees it."""
    stage = FakeStage("oven", Timebase())
    stage.category = FakeLaser.category
    async with supervised(stage) as bench:
        device = bench.supervisor.device("oven")
        await device.call("move_abs", 5.0)
        await power_cycled(stage, device)
        assert await device.call("move_abs", 1.0) == 1.0


async def test_a_restart_of_the_daemon_mends_nothing(tmp_path, autojump_clock):
    file, timebase = tmp_path / "unreferenced.json", Timebase()
    stage = FakeStage("stage", timebase)
    async with supervised(stage, references=References(file, timebase.now_ns)) as bench:
        device = bench.supervisor.device("stage")
        await device.call("move_abs", 5.0)
        await power_cycled(stage, device)
    again = References(file, timebase.now_ns)
    async with supervised(FakeStage("stage", timebase), references=again) as bench:
        with pytest.raises(UnreferencedError, match="came back at 0 mm"):
            await bench.supervisor.device("stage").call("move_abs", 1.0)


FLAGGED = """
[instrument]
name = "a stage with a flag"
category = "stage"
[line]
acknowledge = "OK"
[values.position]
units = "mm"
limits = [-10, 10]
read = "POS?"
write = "MA {value}"
[values.status]
type = "int"
read = "STAT?"
[actions.search]
send = "HOME"
[actions.halt]
send = "ST"
[movable]
position = "position"
tolerance = 1
home = "search"
stop = "halt"
settled = "abs(position) < 9"
referenced = "bit(status, 3)"
"""


async def test_a_flag_says_that_it_has_no_reference(tmp_path, autojump_clock):
    status = {"STAT?": "0"}

    def answer(text):
        if text == "HOME":
            status["STAT?"] = "8"
        return {"POS?": "0.0", **status}.get(text, "OK")

    async with described(Slow(answer), {"stage": FLAGGED}, tmp_path) as bench:
        device = bench.supervisor.device("stage")
        await until(device, is_ready)
        assert device.snapshot().fields["referenced"] is False
        with pytest.raises(UnreferencedError, match="it says that it has no reference"):
            await device.call("move_abs", 0.5)
        await device.call("home")
        assert await device.call("move_abs", 0.5) == 0.0
        status["STAT?"] = "0"  # switched off and on faster than anybody saw
        await until(device, lambda it: bool(it.snapshot().unreferenced))
        # A person takes the risk: the flag is not asked for again before the next outage.
        await device.enable()
        await trio.sleep(5.0)
        assert await device.call("move_abs", 0.5) == 0.0


async def test_when_nobody_knows_who_was_unreferenced_every_stage_is(tmp_path, autojump_clock):
    file, timebase = tmp_path / "unreferenced.json", Timebase()
    file.write_text("{ damaged")
    stage, laser = FakeStage("stage", timebase), FakeLaser("laser", timebase)
    async with supervised(stage, laser, references=References(file, timebase.now_ns)) as bench:
        await until(bench.supervisor.device("laser"), is_ready)
        assert bench.supervisor.device("laser").snapshot().unreferenced == ""
        device = bench.supervisor.device("stage")
        with pytest.raises(UnreferencedError, match="nobody knows whether it is"):
            await device.call("move_abs", 1.0)
        await device.enable()
        assert await device.call("move_abs", 1.0) == 1.0


async def test_what_nobody_knows_of_a_stage_is_not_known_after_the_next_start_either(
    tmp_path, autojump_clock
):
    """Also when the stage was switched off during the start that found the damage."""
    file, timebase = tmp_path / "unreferenced.json", Timebase()
    file.write_text("{ damaged")
    stage = FakeStage("stage", timebase)
    stage.on_connect = failing(OfflineError("silent"))
    async with supervised(stage, references=References(file, timebase.now_ns)):
        await trio.sleep(5)
    again = References(file, timebase.now_ns)
    assert not again.damage
    async with supervised(FakeStage("stage", timebase), references=again) as bench:
        await until(bench.supervisor.device("stage"), is_ready)
        with pytest.raises(UnreferencedError, match="nobody knows whether it is"):
            await bench.supervisor.device("stage").call("move_abs", 1.0)

"""Unplug and replug an instrument in the middle of a move, under supervision."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

import pytest
import trio

from daq.bus import Bus
from daq.core import DeviceState, OfflineError
from daq.drivers import DriverContext, Timebase
from daq.drivers.newport.esp300 import Esp300Axis
from daq.drivers.thorlabs.ell14 import Ell14
from daq.simulators import Ell14Bus, Esp300Simulator
from daq.supervision import RestartPolicy, Supervisor
from daq.testing.instruments import plug_pty

QUICK = RestartPolicy(first_s=0.05, longest_s=0.2)


@asynccontextmanager
async def supervised(plugged, policy=QUICK, **devices):
    timebase = Timebase()
    drivers = {
        device_id: plugged.maker(driver)(DriverContext(device_id, "test", timebase, options))
        for device_id, (driver, options) in devices.items()
    }
    supervisor = Supervisor(drivers, Bus(), timebase, policy=policy, rng=random.Random(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        for device_id in devices:
            await reaches(supervisor, device_id, DeviceState.READY)
        yield supervisor
        nursery.cancel_scope.cancel()


async def reaches(supervisor, device_id, state):
    with trio.fail_after(30):
        while supervisor.device(device_id).snapshot().state is not state:
            await supervisor.wait_changed(supervisor.version)


async def is_moving(supervisor, device_id):
    with trio.fail_after(30):
        while not supervisor.device(device_id).snapshot().fields.get("moving"):
            await supervisor.wait_changed(supervisor.version)


async def test_a_stage_that_is_unplugged_mid_move_goes_offline_and_returns_by_itself(tmp_path):
    async with plug_pty(Esp300Simulator(trio.current_time), tmp_path / "esp") as plugged:
        axes = {"x": (Esp300Axis, {"axis": 1}), "y": (Esp300Axis, {"axis": 2})}
        async with supervised(plugged, **axes) as supervisor:
            stage = supervisor.device("x")
            async with trio.open_nursery() as nursery:

                async def pull():
                    await is_moving(supervisor, "x")
                    plugged.outlet.unplug()

                nursery.start_soon(pull)
                with pytest.raises(OfflineError, match="it hung up, as when it is unplugged"):
                    await stage.call("move_abs", 20.0)
            assert stage.snapshot().state is DeviceState.OFFLINE
            assert "unplugged" in stage.snapshot().reason
            with pytest.raises(OfflineError, match="offline since"):
                await stage.call("move_abs", 0.0)
            await reaches(supervisor, "y", DeviceState.OFFLINE)

            plugged.outlet.plug_in()
            for device_id in axes:
                await reaches(supervisor, device_id, DeviceState.READY)
            await stage.call("stop")
            assert await stage.call("move_abs", 1.0) == pytest.approx(1.0, abs=0.01)
            assert await supervisor.device("y").call("position") == 0.0


async def test_a_plug_that_is_put_back_in_is_noticed_however_long_the_back_off(tmp_path):
    patient = RestartPolicy(first_s=600.0, longest_s=600.0)
    async with (
        plug_pty(Esp300Simulator(trio.current_time), tmp_path / "esp") as plugged,
        supervised(plugged, patient, x=(Esp300Axis, {})) as supervisor,
    ):
        plugged.outlet.unplug()
        await reaches(supervisor, "x", DeviceState.OFFLINE)
        plugged.outlet.plug_in()
        await reaches(supervisor, "x", DeviceState.READY)


async def test_another_instrument_on_the_port_is_not_taken_for_the_old_one(tmp_path):
    async with (
        plug_pty(Esp300Simulator(trio.current_time), tmp_path / "port") as plugged,
        supervised(plugged, x=(Esp300Axis, {"timeout": 0.5})) as supervisor,
    ):
        plugged.outlet.unplug()
        await reaches(supervisor, "x", DeviceState.OFFLINE)
        plugged.line.instrument.command = lambda text: plugged.line.instrument.reply("ACME 1")  # type: ignore[attr-defined]
        plugged.outlet.plug_in()
        with trio.fail_after(30):
            while "another instrument" not in supervisor.device("x").snapshot().reason:
                await supervisor.wait_changed(supervisor.version)
        assert "ACME 1" in supervisor.device("x").snapshot().reason
        assert supervisor.device("x").snapshot().state is DeviceState.OFFLINE


async def test_a_unit_missing_on_a_bus_costs_the_others_nothing_but_its_timeout(tmp_path):
    units = {f"rot{a}": (Ell14, {"address": a}) for a in "23"}
    async with (
        plug_pty(Ell14Bus(trio.current_time), tmp_path / "bus") as plugged,
        supervised(plugged, **units) as supervisor,
    ):
        del plugged.line.instrument.units["2"]  # type: ignore[attr-defined]
        await reaches(supervisor, "rot2", DeviceState.OFFLINE)
        assert "no reply to '2g" in supervisor.device("rot2").snapshot().reason
        rot3 = supervisor.device("rot3")
        assert await rot3.call("move_abs", 45.0) == pytest.approx(45.0, abs=0.1)
        assert rot3.snapshot().state is DeviceState.READY

"""Presets: saved, compared, loaded in order, with a report."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from daq.bus import Bus
from daq.config import DeviceConfig
from daq.core import (
    BusyError,
    DeviceError,
    NotFoundError,
    ParameterError,
    SettingOutcome,
    StateError,
    StorageError,
)
from daq.drivers import Timebase, build_drivers
from daq.supervision import Claim, Presets, Supervisor

BENCH = {
    "stage": {"driver": "simulated.stage", "noise": 0.0},
    "laser": {"driver": "simulated.laser"},
    "camera": {"driver": "simulated.camera", "resolution": [32, 24]},
    "power_meter": {"driver": "simulated.power_meter"},
}


@asynccontextmanager
async def bench_with_presets(folder, **devices):
    timebase = Timebase()
    tables = {**BENCH, **devices}
    configs = {
        name: DeviceConfig(name, table["driver"], {k: v for k, v in table.items() if k != "driver"})
        for name, table in tables.items()
    }
    drivers, failures = build_drivers(configs, timebase)
    supervisor = Supervisor(drivers, Bus(), timebase, failures)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        yield supervisor, Presets(folder / "presets", supervisor, timebase)
        nursery.cancel_scope.cancel()


async def test_a_preset_brings_the_bench_back(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        stage, laser = supervisor.device("stage"), supervisor.device("laser")
        await stage.call("move_abs", 1.0)
        await supervisor.device("camera").call("exposure", 0.02)
        saved = await presets.save("aligned", note="before lunch", by="maria")
        assert saved.settings["laser"]["shutter"] is True
        assert saved.settings["laser"]["power"] == 0.005
        assert saved.settings["stage"]["position"] == pytest.approx(1.0)
        assert saved.settings["camera"]["exposure"] == 0.02

        await stage.call("move_abs", 3.0)
        await laser.call("close")
        await laser.call("set", "power", 0.001)
        differs = [c for c in await presets.compare("aligned") if c.outcome != "same"]
        assert {(c.device, c.setting) for c in differs} == {
            ("laser", "power"),
            ("laser", "shutter"),
            ("stage", "position"),
        }
        report = await presets.load("aligned", by="maria")
        changed = [c for c in report if c.outcome is SettingOutcome.CHANGED]
        # The stated order: parameters, positions, and what opens comes last.
        assert [c.setting for c in changed] == ["power", "position", "shutter"]
        assert changed[0].before == 0.001
        assert changed[0].after == 0.005
        assert changed[0].units == "W"
        assert all(c.outcome is SettingOutcome.SAME for c in await presets.compare("aligned"))


async def test_dark_comes_first(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        laser = supervisor.device("laser")
        await laser.call("close")
        await presets.save("dark")
        await laser.call("open")
        await laser.call("set", "power", 0.5)
        report = await presets.load("dark")
        changed = [c.setting for c in report if c.outcome is SettingOutcome.CHANGED]
        assert changed == ["shutter", "power"]


async def test_what_fails_ends_it_before_anything_opens(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        stage, laser = supervisor.device("stage"), supervisor.device("laser")
        await stage.call("move_abs", 1.0)
        await presets.save("aligned")
        await stage.call("move_abs", 2.0)
        await laser.call("close")

        async def refuse(position):
            await trio.lowlevel.checkpoint()
            raise DeviceError("stage: it is stuck")

        stage._instrument.driver.move_abs = refuse
        report = {(c.device, c.setting): c for c in await presets.load("aligned")}
        failed = report["stage", "position"]
        assert failed.outcome is SettingOutcome.FAILED
        assert failed.message == "stage: it is stuck"
        assert report["laser", "shutter"].outcome is SettingOutcome.NOT_TRIED
        assert await laser.call("is_open") is False


async def test_nothing_is_changed_when_a_device_is_missing(tmp_path):
    other = {"driver": "simulated.stage", "axis": "free"}
    async with bench_with_presets(tmp_path, other=other) as (supervisor, presets):
        await presets.save("all")
        await supervisor.device("stage").call("move_abs", 2.0)
        await supervisor.device("other").disable("out for repair", by="maria")
        with pytest.raises(DeviceError, match=r"disabled since .* out for repair"):
            await presets.load("all")
        await supervisor.remove("other", "it was sold")
        with pytest.raises(DeviceError, match=r"other\.position: there is no such device"):
            await presets.load("all")
        assert await supervisor.device("stage").call("position") == pytest.approx(2.0)


async def test_devices_in_use_are_left_alone(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await presets.save("all")
        supervisor.device("stage").gate.take(Claim("execution 3f2a"))
        with pytest.raises(BusyError, match="stage by execution 3f2a"):
            await presets.load("all")
        await presets.load("all", force=True)


async def test_some_devices_only(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets):
        assert set((await presets.save("light", ["laser"])).settings) == {"laser"}


async def test_devices_that_cannot_be_asked_are_left_out_and_named(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await supervisor.device("camera").disable()
        saved = await presets.save("rest")
        assert "camera" not in saved.settings
        assert saved.note == "(without camera)"
        with pytest.raises(DeviceError, match="nothing was saved: camera: disabled"):
            await presets.save("camera", ["camera"])


async def test_presets_are_listed_replaced_and_deleted(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets):
        assert await presets.list() == []
        await presets.save("b", ["stage"])
        await presets.save("a", ["stage"])
        assert [preset.name for preset in await presets.list()] == ["a", "b"]
        with pytest.raises(StateError, match="there is a preset 'a' already"):
            await presets.save("a")
        await presets.save("a", ["laser"], replace=True)
        assert set((await presets.get("a")).settings) == {"laser"}
        await presets.delete("a")
        with pytest.raises(NotFoundError, match="there is no preset 'a'; there are b"):
            await presets.get("a")


@pytest.mark.parametrize("name", ["", "../escape", "a/b", ".hidden", "x" * 65])
async def test_a_name_cannot_leave_the_folder(tmp_path, name):
    async with bench_with_presets(tmp_path) as (_, presets):
        with pytest.raises(ParameterError, match="is no name for a preset"):
            await presets.save(name)


async def test_a_broken_file_says_so(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets):
        await presets.save("good")
        (tmp_path / "presets" / "bad.json").write_text("{")
        with pytest.raises(StorageError, match=r"bad\.json cannot be read"):
            await presets.get("bad")


async def test_many_may_save_list_and_delete_at_once(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets), trio.open_nursery() as nursery:

        async def save_and_delete(name):
            for _ in range(5):
                await presets.save(name, ["stage"], replace=True)
                await presets.list()
                with suppress(NotFoundError):
                    await presets.delete(name)

        for name in ("a", "a", "b"):
            nursery.start_soon(save_and_delete, name)
    assert list((tmp_path / "presets").iterdir()) == []


async def changed_file(folder, name, change):
    path = folder / "presets" / f"{name}.json"
    document = json.loads(path.read_text())
    change(document["settings"])
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("device", "setting", "value", "why"),
    [
        ("laser", "power", 99.0, "outside"),
        ("laser", "power", "much", "power takes"),
        ("laser", "wavelength", None, "it has no value"),
        ("stage", "position", [1], "is no value"),
        ("stage", "position", 1e9, "outside"),
    ],
)
async def test_a_preset_is_checked_as_a_whole_before_anything_changes(
    tmp_path, device, setting, value, why
):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await presets.save("aligned")
        await supervisor.device("camera").call("exposure", 0.5)
        await changed_file(tmp_path, "aligned", lambda all_: all_[device].update({setting: value}))
        with pytest.raises(DeviceError, match=why):
            await presets.load("aligned")
        assert await supervisor.device("camera").call("exposure") == 0.5


async def test_what_an_interlock_refuses_is_found_before_anything_changes(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await presets.save("aligned")
        await supervisor.device("camera").call("exposure", 0.5)
        await supervisor.device("laser").call("close")
        supervisor.gate("laser").forbid("hot", "interlock hot: meter 2 W, above 1 W", "open")
        with pytest.raises(DeviceError, match="above 1 W"):
            await presets.load("aligned")
        assert await supervisor.device("camera").call("exposure") == 0.5


async def test_light_that_is_on_before_and_after_is_off_while_things_move(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        stage, laser = supervisor.device("stage"), supervisor.device("laser")
        await presets.save("aligned")
        await stage.call("move_abs", 2.0)
        report = [c for c in await presets.load("aligned") if c.outcome is SettingOutcome.CHANGED]
        assert [(c.setting, c.after) for c in report if c.setting != "position"] == [
            ("shutter", False),
            ("shutter", True),
        ]
        assert [c.setting for c in report] == ["shutter", "position", "shutter"]
        assert await laser.call("is_open") is True


async def test_a_preset_that_fails_half_way_leaves_the_light_off_and_says_where(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await presets.save("aligned")
        stage = supervisor.device("stage")
        await stage.call("move_abs", 2.0)
        fault = DeviceError("stage: jammed")

        async def jam(position):
            raise fault

        stage._instrument.driver.move_abs = jam
        report = await presets.load("aligned")
        outcomes = {(c.device, c.setting, c.wanted): c.outcome for c in report}
        assert outcomes["laser", "shutter", True] is SettingOutcome.NOT_TRIED
        assert await supervisor.device("laser").call("is_open") is False


async def test_what_a_preset_changes_is_its_own_until_it_has_ended(tmp_path):
    async with bench_with_presets(tmp_path) as (supervisor, presets):
        await presets.save("aligned")
        stage = supervisor.device("stage")
        await stage.call("move_abs", 2.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: presets.load("aligned", by="ada"))
            while stage.gate.claim is None:  # the preset is read from its file in a thread
                await trio.sleep(0.001)
            with pytest.raises(BusyError, match=r"the preset 'aligned' \(loaded by ada\)"):
                await supervisor.device("laser").call("open", by="bob")
        assert stage.gate.claim is None


async def test_a_broken_file_hides_no_other(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets):
        await presets.save("good")
        (tmp_path / "presets" / "bad.json").write_text('{"name": "bad", "settings": null}')
        bad, good = await presets.list()
        assert (bad.name, good.name) == ("bad", "good")
        assert "is no preset" in bad.note


async def test_unknown_fields_are_left_out_and_a_newer_preset_is_refused_by_its_version(tmp_path):
    async with bench_with_presets(tmp_path) as (_, presets):
        await presets.save("good")
        (good_file,) = tmp_path.rglob("good.json")
        folder, good = good_file.parent, good_file.read_text()
        (folder / "newer.json").write_text(good.replace('"version": 1', '"version": 2'))
        (folder / "odd.json").write_text("[]")
        (folder / "torn.json").write_text(good[:20])
        (folder / "more.json").write_text(good.replace("{", '{"colour": "blue",', 1))
        listed = {preset.name: preset for preset in await presets.list()}
        assert listed["good"].settings == (await presets.get("more")).settings
        with pytest.raises(StorageError, match="version 2, which a newer daq wrote"):
            await presets.get("newer")

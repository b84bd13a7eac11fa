"""The registry: drivers by entry point, and a clear reason for each that cannot be built."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from daq.config import DeviceConfig, load_config
from daq.drivers import Driver, Timebase, build_drivers, known_drivers, registry
from daq.drivers.simulated import SimulatedStage

SIMULATED = {
    "simulated.stage": "daq.drivers.simulated.stage:SimulatedStage",
    "simulated.rotator": "daq.drivers.simulated.stage:SimulatedRotator",
    "simulated.power_meter": "daq.drivers.simulated.power_meter:SimulatedPowerMeter",
    "simulated.camera": "daq.drivers.simulated.camera:SimulatedCamera",
    "simulated.laser": "daq.drivers.simulated.laser:SimulatedLaser",
    "simulated.digitizer": "daq.drivers.simulated.digitizer:SimulatedDigitizer",
    "broken.missing": "daq.drivers.no_such_module:Driver",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    points = EntryPoints(
        EntryPoint(name, target, registry.ENTRY_POINT_GROUP) for name, target in SIMULATED.items()
    )
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))


def config(driver, line=12, **options):
    return DeviceConfig("stage", driver, options, Path("bench.toml"), line)


async def test_the_default_bench_is_built_whole():
    drivers, failures = build_drivers(load_config().devices, Timebase())
    assert failures == {}
    assert set(drivers) == {"stage", "rotator", "laser", "power_meter", "camera", "digitizer"}
    assert all(isinstance(driver, Driver) for driver in drivers.values())
    assert all(driver.description.label for driver in drivers.values())


async def test_the_drivers_of_one_daemon_share_one_bench(autojump_clock):
    drivers: dict[str, Any] = dict(build_drivers(load_config().devices, Timebase())[0])
    for driver in drivers.values():
        await driver.connect()
    before = float((await drivers["power_meter"].read()).value)
    await drivers["stage"].move_abs(10.0)
    assert (await drivers["power_meter"].read()).value == pytest.approx(2 * before, rel=0.02)


async def test_an_unknown_driver_is_refused_with_the_nearest_and_all_that_there_are():
    drivers, failures = build_drivers({"stage": config("simulated.stag")}, Timebase())
    assert drivers == {}
    assert failures["stage"].startswith(
        "bench.toml:12: there is no driver 'simulated.stag'; did you mean 'simulated.stage'?\n"
        "installed drivers are: "
    )
    assert "simulated.camera" in failures["stage"]


async def test_a_wrong_option_costs_only_its_own_device():
    configs = {
        "stage": config("simulated.stage", velocity="fast"),
        "camera": config("simulated.camera", line=20),
    }
    drivers, failures = build_drivers(configs, Timebase())
    assert set(drivers) == {"camera"}
    assert failures["stage"] == (
        "bench.toml:12: stage: velocity: 'fast' is not a number in mm/s within [1e-12, 1e+12]"
    )


async def test_a_driver_that_cannot_be_imported_is_a_failure_with_its_reason():
    _, failures = build_drivers({"x": config("broken.missing")}, Timebase())
    assert failures["x"].startswith(
        "bench.toml:12: the driver 'broken.missing' failed to start: ModuleNotFoundError"
    )


async def test_without_a_file_there_is_no_place_to_name():
    _, failures = build_drivers({"x": DeviceConfig("x", "simulated.x")}, Timebase())
    assert failures["x"].startswith("there is no driver 'simulated.x'")


def test_known_drivers_are_sorted():
    assert known_drivers() == tuple(sorted(SIMULATED))


def test_nothing_installed_is_said_so(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda *, group: EntryPoints())
    assert known_drivers() == ()


def test_the_project_declares_the_simulated_drivers():
    project = tomllib.loads(
        (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    declared = project["entry-points"][registry.ENTRY_POINT_GROUP]
    for name, target in SIMULATED.items():
        if name.startswith("simulated."):
            assert declared[name] == target
            assert EntryPoint(name, target, "daq.drivers").load() is not None
    assert EntryPoint("s", SIMULATED["simulated.stage"], "").load() is SimulatedStage

"""Every standard parameter, through every door: the table is walked, nothing is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.plans import scan as bluesky_scan
from click.testing import CliRunner

from daq.cli.main import cli
from daq.client import AsyncClient, Bench, ParameterChange
from daq.core import STANDARD, DeviceParameter, Scalar
from daq.wire.convert import scalar_to_text

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SCAN = """
def main():
    return scan(["power_meter"], device("{device}").{name}, {low}, {high}, 2)
"""
Door = Callable[[Bench, str, str, Scalar], Any]


def home_of(bench: Bench, name: str) -> tuple[str, DeviceParameter]:
    """A device of the bench that has it, and its row there."""
    for device in bench.devices.values():
        for row in device.description.parameters:
            if row.name == name and row.writable:
                return device.name, row
    pytest.fail(f"no device of the simulated bench has a {name}")


def values_for(row: DeviceParameter, now: Scalar) -> list[Scalar]:
    """Two that it takes, near to where it is."""
    if row.dtype == "bool":
        return [False, True]
    assert isinstance(now, float)
    return [now, now * 1.001]


def from_python(bench: Bench, device: str, name: str, value: Scalar) -> Scalar:
    async def set_and_get() -> Scalar:
        async with AsyncClient(bench.address, user="ada") as client:
            kept = await getattr(client.devices, name)(device, value)
            assert await getattr(client.devices, name)(device) == near(kept)
            return kept

    return asyncio.run(set_and_get())


def from_the_bench(bench: Bench, device: str, name: str, value: Scalar) -> Scalar:
    setattr(bench[device], name, value)
    assert bench[device].parameters[name] == near(getattr(bench[device], name))
    return getattr(bench[device], name)


def from_the_command_line(bench: Bench, device: str, name: str, value: Scalar) -> Scalar:
    address = ["client", "--address", bench.address, "--json"]
    runner = CliRunner()
    told = runner.invoke(cli, [*address, "set", device, name, scalar_to_text(value)])
    assert told.exit_code == 0, told.output
    asked = runner.invoke(cli, [*address, "get", device, name])
    assert asked.exit_code == 0, asked.output
    return json.loads(json.loads(asked.stdout)["value"])


def from_a_script(bench: Bench, device: str, name: str, value: Scalar) -> Scalar:
    source = f"""
def main():
    parameter = device({device!r}).{name}
    kept = parameter({value!r})
    if kept != device({device!r}).get({name!r}):
        log("it is on its way, or noisy")
    record(parameter)
    return parameter()
"""
    execution = bench.start(source, name="one parameter")
    return execution.result()


def from_a_preset(bench: Bench, device: str, name: str, value: Scalar) -> Scalar:
    parameters = bench[device].parameters
    before = parameters[name]
    parameters[name] = value
    bench.call(lambda client: client.presets.save("walk", devices=[device], replace=True))
    parameters[name] = before
    bench.call(lambda client: client.presets.load("walk"))
    return parameters[name]


def near(value: Scalar) -> Any:
    return value if isinstance(value, bool | str) else pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    "door",
    [from_python, from_the_bench, from_the_command_line, from_a_script, from_a_preset],
    ids=lambda door: door.__name__.removeprefix("from_"),
)
def test_every_standard_parameter_is_set_and_read_back_from(bench: Bench, door: Door) -> None:
    for name in STANDARD:
        device, row = home_of(bench, name)
        for value in values_for(row, bench[device].parameters[name]):
            assert door(bench, device, name, value) == near(value), (name, value)


def test_every_setpoint_is_read_beside_its_readback(bench: Bench) -> None:
    for row in STANDARD.values():
        if row.setpoint:
            device, _ = home_of(bench, row.name)
            bench[device].parameters[row.name] = bench[device].parameters[row.name]
            assert getattr(bench[device], row.setpoint) == near(getattr(bench[device], row.name))


@pytest.fixture
def engine() -> Any:
    engine = RunEngine({}, context_managers=[])
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join(5)
    engine.loop.close()


def store(events: list[Any], _: str, document: dict[str, Any]) -> None:
    events.append(document["data"])


def test_every_axis_is_scanned_by_the_client_by_a_script_and_by_bluesky(
    bench: Bench, engine: RunEngine
) -> None:
    for name, standard in STANDARD.items():
        if not standard.is_axis:
            continue
        device, _ = home_of(bench, name)
        axis = getattr(bench[device], name)
        low, high = sorted(values_for(standard, float(axis)))
        columns = bench.scan(["power_meter"], axis, low, high, 2, to="dict")
        assert list(columns[axis.axis]) == near([low, high])

        scanned = bench.start(SCAN.format(device=device, name=name, low=low, high=high)).result()
        assert scanned[axis.axis] == near([low, high])

        events: list[Any] = []
        plan = bluesky_scan([bench["power_meter"]], axis, low, high, 2)
        engine(plan, {"event": [partial(store, events)]})
        assert [event[f"{device}_{name}"] for event in events] == near([low, high])


def test_a_change_by_anybody_is_told_to_who_watches_the_parameter(bench: Bench) -> None:
    for name in STANDARD:
        device, row = home_of(bench, name)
        values = values_for(row, bench[device].parameters[name])

        async def change_until_told(
            client: AsyncClient, device: str = device, name: str = name, values: Any = values
        ) -> ParameterChange:
            told = client.streams.parameter_changes(device, [name])
            change = asyncio.ensure_future(anext(told))
            while not change.done():  # the first may come before the stream has begun
                for value in values:
                    await client.devices.set(device, name, value)
            await told.aclose()
            return await change

        told = bench.call(change_until_told)
        assert (told.device, told.name, told.units) == (device, name, row.units)

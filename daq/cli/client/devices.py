"""Devices by hand: list, read, move, parameters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import click

from daq.cli.client import completing
from daq.cli.client.session import client, client_command, device_argument, force_option
from daq.cli.quantities import setting_text, to_units
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import render_devices
from daq.client import AsyncClient, DeviceInfo, DevicesClient, ParameterReading, Sample
from daq.core import (
    Capability,
    CapabilityError,
    DaqError,
    DeviceParameter,
    UnknownDeviceError,
    format_quantity,
    parse_scalar,
    row_of,
)

__all__ = [
    "device_info",
    "operated",
    "sample_document",
    "sample_text",
    "show_position",
    "show_reading",
    "stopped_by_interrupt",
]

STOP_TIMEOUT = 2.0


@client_command(client)
@click.option("--capability", help="Only those that offer it, such as `movable`.")
async def devices(daemon: AsyncClient, output: Output, capability: str | None) -> None:
    """List the devices, their states and what they offer."""
    listing = await daemon.devices.list(capability)
    output.show(listing, lambda out: render_devices(out, listing))


@client_command(client)
@device_argument()
async def read(daemon: AsyncClient, output: Output, device: str) -> None:
    """Take one reading of DEVICE."""
    show_reading(output, device, await daemon.devices.read(device))


def show_reading(output: Output, device: str, sample: Sample) -> None:
    """What a device reads."""
    output.show(
        sample_document(sample),
        lambda out: out.line(device, " ", Cell(sample_text(sample), "bold")),
    )


def sample_document(sample: Sample) -> dict[str, Any]:
    """A sample as JSON shows it: arrays by their shape and mean."""
    document: dict[str, Any] = {
        "channel": sample.channel,
        "timestamp_ns": sample.timestamp_ns,
        "value": sample.value,
        "units": sample.units,
    }
    if sample.array is not None:
        document |= {"shape": sample.array.shape, "dtype": sample.array.dtype.str}
    if sample.averaged > 1:
        document["averaged"] = sample.averaged
    if sample.dropped:
        document["dropped"] = sample.dropped
    return document


def sample_text(sample: Sample) -> str:
    """A sample with its units; an array by its shape and mean."""
    text = format_quantity(sample.value, sample.units, 6)
    if sample.array is None:
        return text
    shape = " x ".join(str(length) for length in sample.array.shape)
    return f"{text} mean of {shape} {sample.array.dtype.name}"


@client_command(client)
@device_argument(Capability.MOVABLE)
@click.argument("position", nargs=-1, required=True)
@click.option("--relative", is_flag=True, help="POSITION is a distance from here.")
@force_option
async def move(
    daemon: AsyncClient,
    output: Output,
    device: str,
    position: tuple[str, ...],
    relative: bool,
    force: bool,
) -> None:
    """Move DEVICE to POSITION and wait until it has settled.

    POSITION is a number in the device's units, or one with units: 1.5mm, 500um. Ctrl-C stops the
    motion.
    """
    devices = operated(daemon, force=force)
    description = (await device_info(daemon, device)).description
    if Capability.MOVABLE not in description.capabilities:
        offers = ", ".join(operation.name for operation in description.operations)
        raise CapabilityError(f"{device} cannot be moved", advice=f"it offers {offers}, stop")
    units = description.units
    what = f"{device}: the {'distance' if relative else 'position'}"
    target = to_units(" ".join(position), units, what, is_distance=relative)
    async with stopped_by_interrupt(daemon, output, device):
        operation = devices.move_rel if relative else devices.move_abs
        show_position(output, device, await operation(device, target), units)


def operated(daemon: AsyncClient, *, force: bool) -> DevicesClient:
    """The calls of devices, with `force` also of those that an execution uses."""
    return daemon.devices.forced if force else daemon.devices


def show_position(output: Output, device: str, position: float, units: str) -> None:
    """Where a device is."""
    output.show(
        {"device": device, "position": position, "units": units},
        lambda out: out.line(device, " is at ", Cell(format_quantity(position, units, 6), "bold")),
    )


async def device_info(daemon: AsyncClient, device: str) -> DeviceInfo:
    """What a device is and how it is now; raises UnknownDeviceError."""
    listing = await daemon.devices.list()
    for known in listing.devices:
        if known.id == device:
            return known
    await daemon.devices.state(device)  # its error says which there are, and which was meant
    raise UnknownDeviceError(f"there is no device {device!r}")


@contextlib.asynccontextmanager
async def stopped_by_interrupt(
    daemon: AsyncClient, output: Output, device: str
) -> AsyncIterator[None]:
    """Ctrl-C within stops the device, and says whether it stands."""
    try:
        yield
    except asyncio.CancelledError:
        await _stop(daemon, output, device)
        raise


async def _stop(daemon: AsyncClient, output: Output, device: str) -> None:
    """The daemon stops what nobody waits for; asked once more, it says when it stands."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            stopped = await daemon.devices.stop(device)
    except (DaqError, TimeoutError) as error:
        reason = str(error) or f"no answer within {STOP_TIMEOUT:g} s"
        output.note(Cell(f"{device} may still move: {reason}", "bold red"))
    else:
        output.note(Cell(f"{device}: {stopped.outcome.value}", "yellow"))


@client_command(client, "get")
@device_argument()
@click.argument("name", required=False, shell_complete=completing.parameters)
async def get_parameter(daemon: AsyncClient, output: Output, device: str, name: str | None) -> None:
    """Read the parameter NAME of DEVICE, or all of them."""
    rows = await daemon.devices.parameters(device)
    if name is not None:
        reading = await daemon.devices.get(device, name)
        row = row_of(rows, device, name)
        output.show(reading, lambda out: out.line(_in_words(row, reading.value)))
        return
    readings = {p.name: await daemon.devices.get(device, p.name) for p in rows if p.readable}
    output.show(
        [{"parameter": p, "value": _value(readings.get(p.name))} for p in rows],
        lambda out: _render_parameters(out, device, rows, readings),
    )


def _value(reading: ParameterReading | None) -> str | None:
    return None if reading is None else reading.value


def _render_parameters(
    output: Output,
    device: str,
    described: tuple[DeviceParameter, ...],
    readings: dict[str, ParameterReading],
) -> None:
    if not described:
        output.line(f"{device} has no parameters")
        return
    rows = [
        (
            p.name,
            _in_words(replace(p, units=""), _value(readings.get(p.name)) or ""),
            p.units,
            _accepts(p),
            p.description,
        )
        for p in described
    ]
    output.table(["parameter", "value>", "units", "accepts", "description"], rows)


def _accepts(parameter: DeviceParameter) -> str:
    if not parameter.writable:
        return "read only"
    if parameter.choices:
        return ", ".join(parameter.choices)
    if parameter.dtype == "bool":
        return ", ".join(parameter.words)
    return f"{parameter.dtype} {parameter.limits or ''}".rstrip()


@client_command(client, "set")
@device_argument()
@click.argument("name", shell_complete=completing.parameters)
@click.argument("value", nargs=-1, required=True, shell_complete=completing.values)
@force_option
async def set_parameter(
    daemon: AsyncClient,
    output: Output,
    device: str,
    name: str,
    value: tuple[str, ...],
    force: bool,
) -> None:
    """Set the parameter NAME of DEVICE to VALUE and read it back.

    VALUE is a number in the parameter's units, or one with units: 750, 0.75um, 5mW; a word; on or
    off.
    """
    devices = operated(daemon, force=force)
    row = row_of(await daemon.devices.parameters(device), device, name)
    actual = await devices.set(device, name, setting_text(row, " ".join(value), device))
    output.show(
        {"device": device, "name": name, "value": actual},
        lambda out: out.line(f"{device}.{name} is ", Cell(_in_words(row, actual), "bold")),
    )


def _in_words(row: DeviceParameter, text: str) -> str:
    """A value as people read it: `790.002 nm`, `open`."""
    with contextlib.suppress(ValueError):
        return row.in_words(parse_scalar(text, row.dtype))
    return text

"""Devices by hand: list, read, move, parameters."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from daq.cli.client.session import client, client_command, force_option
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import render_devices
from daq.client import AsyncClient, ParameterReading, Sample
from daq.core import DaqError, DeviceParameter, format_quantity

__all__ = ["sample_document", "sample_text"]

STOP_TIMEOUT = 2.0

_device = click.argument("device")


@client_command(client)
@click.option("--capability", help="Only those that offer it, such as `movable`.")
async def devices(daemon: AsyncClient, output: Output, capability: str | None) -> None:
    """List the devices, their states and what they offer."""
    listing = await daemon.devices.list(capability)
    output.show(listing, lambda out: render_devices(out, listing))


@client_command(client)
@_device
async def read(daemon: AsyncClient, output: Output, device: str) -> None:
    """Take one reading of DEVICE."""
    sample = await daemon.devices.read(device)
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


@client_command(client, negative_numbers=True)
@_device
@click.argument("position", type=float)
@click.option("--relative", is_flag=True, help="POSITION is a distance from here.")
@force_option
async def move(
    daemon: AsyncClient, output: Output, device: str, position: float, relative: bool, force: bool
) -> None:
    """Move DEVICE to POSITION and wait until it has settled.

    Ctrl-C stops the motion.
    """
    devices = daemon.devices.forced if force else daemon.devices
    operation = devices.move_rel if relative else devices.move_abs
    try:
        reached = await operation(device, position)
    except asyncio.CancelledError:
        await _stop(daemon, output, device)
        raise
    units = await _units(daemon, device)
    output.show(
        {"device": device, "position": reached, "units": units},
        lambda out: out.line(device, " is at ", Cell(format_quantity(reached, units, 6), "bold")),
    )


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


async def _units(daemon: AsyncClient, device: str) -> str:
    listing = await daemon.devices.list()
    return next((d.description.units for d in listing.devices if d.id == device), "")


@client_command(client, "get")
@_device
@click.argument("name", required=False)
async def get_parameter(daemon: AsyncClient, output: Output, device: str, name: str | None) -> None:
    """Read the parameter NAME of DEVICE, or all of them."""
    if name is not None:
        reading = await daemon.devices.get(device, name)
        output.show(reading, lambda out: out.line(f"{reading.value} {reading.units}".rstrip()))
        return
    described = await daemon.devices.parameters(device)
    readings = {p.name: await daemon.devices.get(device, p.name) for p in described if p.readable}
    output.show(
        [{"parameter": p, "value": _value(readings.get(p.name))} for p in described],
        lambda out: _render_parameters(out, device, described, readings),
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
        (p.name, _value(readings.get(p.name)) or "", p.units, _accepts(p), p.description)
        for p in described
    ]
    output.table(["parameter", "value>", "units", "accepts", "description"], rows)


def _accepts(parameter: DeviceParameter) -> str:
    if not parameter.writable:
        return "read only"
    if parameter.choices:
        return ", ".join(parameter.choices)
    return f"{parameter.dtype} {parameter.limits or ''}".rstrip()


@client_command(client, "set", negative_numbers=True)
@_device
@click.argument("name")
@click.argument("value")
@force_option
async def set_parameter(
    daemon: AsyncClient, output: Output, device: str, name: str, value: str, force: bool
) -> None:
    """Set the parameter NAME of DEVICE to VALUE and read it back."""
    devices = daemon.devices.forced if force else daemon.devices
    actual = await devices.set(device, name, value)
    output.show(
        {"device": device, "name": name, "value": actual},
        lambda out: out.line(f"{device}.{name} is ", Cell(actual, "bold")),
    )

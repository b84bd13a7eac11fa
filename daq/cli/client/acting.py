"""Telling a device what to do: open, close, home, trigger, or any operation that it offers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from daq.cli.client import completing
from daq.cli.client.devices import (
    device_info,
    operated,
    show_position,
    show_reading,
    stopped_by_interrupt,
)
from daq.cli.client.session import client, client_command, device_argument, force_option
from daq.cli.quantities import setting_text
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient
from daq.core import (
    Capability,
    DeviceAction,
    ParameterError,
    Scalar,
    format_quantity,
    parse_scalar,
)

__all__: list[str] = []

_shutter = device_argument(Capability.SHUTTER_CONTROLLABLE)


@client_command(client, "open")
@_shutter
@force_option
async def open_shutter(daemon: AsyncClient, output: Output, device: str, force: bool) -> None:
    """Open the shutter of DEVICE, and say whether it is open."""
    _show_shutter(output, device, is_open=bool(await operated(daemon, force=force).open(device)))


@client_command(client, "close")
@_shutter
@force_option
async def close_shutter(daemon: AsyncClient, output: Output, device: str, force: bool) -> None:
    """Close the shutter of DEVICE, and say whether it is closed."""
    _show_shutter(output, device, is_open=bool(await operated(daemon, force=force).close(device)))


def _show_shutter(output: Output, device: str, *, is_open: bool) -> None:
    word = "open" if is_open else "closed"
    output.show(
        {"device": device, "is_open": is_open},
        lambda out: out.line(f"{device} is ", Cell(word, "bold")),
    )


@client_command(client)
@device_argument(Capability.MOVABLE)
@force_option
async def home(daemon: AsyncClient, output: Output, device: str, force: bool) -> None:
    """Let DEVICE search its home position, and wait until it has settled.

    Ctrl-C stops the motion.
    """
    async with stopped_by_interrupt(daemon, output, device):
        await operated(daemon, force=force).call(device, "home")
    position = await daemon.devices.call(device, "position")
    show_position(output, device, position, (await device_info(daemon, device)).description.units)


@client_command(client)
@device_argument(Capability.TRIGGERABLE)
@force_option
async def trigger(daemon: AsyncClient, output: Output, device: str, force: bool) -> None:
    """Make DEVICE ready, trigger one acquisition, and show what it took.

    It is not armed any more afterwards.
    """
    devices = operated(daemon, force=force)
    async with stopped_by_interrupt(daemon, output, device):
        await devices.arm(device)
        try:
            await devices.trigger(device)
            sample = await devices.read(device)
        finally:
            await devices.unstage(device)
    show_reading(output, device, sample)


@client_command(client)
@device_argument()
@click.argument("operation", shell_complete=completing.operations)
@click.argument("arguments", nargs=-1)
@force_option
async def call(
    daemon: AsyncClient,
    output: Output,
    device: str,
    operation: str,
    arguments: tuple[str, ...],
    force: bool,
) -> None:
    """Call any OPERATION of DEVICE, as a script would: `call stage move_rel 0.5`.

    ARGUMENTS are numbers, true, false or texts; those of an instrument's own actions also have
    units and names: `call cryostat ramp target=77K`. `client devices` lists what each device
    offers. Ctrl-C stops the device.
    """
    actions = (await device_info(daemon, device)).description.actions
    own = next((action for action in actions if action.name == operation), None)
    given = [_argument(text) for text in arguments] if own is None else _bound(own, arguments)
    async with stopped_by_interrupt(daemon, output, device):
        result = await operated(daemon, force=force).call(device, operation, *given)
    output.show(
        {"device": device, "operation": operation, "result": result},
        lambda out: out.line(f"{device}.{operation}: ", Cell(_result(result), "bold")),
    )


def _bound(action: DeviceAction, texts: Sequence[str]) -> list[Scalar]:
    """The arguments of an action in their order, as its rows want them."""
    names = {row.name for row in action.arguments}
    pairs = [text.partition("=") for text in texts]
    named = {name: value for name, is_named, value in pairs if is_named and name in names}
    positional = [text for text in texts if text.partition("=")[0] not in named]
    try:
        bound = action.bind(*positional, **named)
    except TypeError as error:
        raise ParameterError(f"{action.name}{action.signature}: {error}") from None
    return [
        parse_scalar(setting_text(row, text, action.name), row.dtype)
        for row, text in zip(action.arguments, bound, strict=False)
    ]


def _argument(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _result(result: Any) -> str:
    match result:
        case None:
            return "done"
        case bool():
            return "yes" if result else "no"
        case float():
            return f"{result:.6g}"
        case {"value": int() | float() as value, "units": str() as units}:
            return format_quantity(value, units, 6)
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

"""Interlocks: list, reset."""

from __future__ import annotations

import click

from daq.cli.client.session import client, client_command
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient
from daq.core import InterlockStatus, format_quantity


@client_command(client)
@click.option("--reset", metavar="NAME", help="Release the interlock NAME, which is latched.")
async def interlocks(daemon: AsyncClient, output: Output, reset: str | None) -> None:
    """List the interlocks: what each watches, and whether it has tripped."""
    if reset is not None:
        released = await daemon.interlocks.reset(reset)
        output.show(released, lambda out: out.line(f"{released.name}: ", _state(released)))
        return
    listed = await daemon.interlocks.list()
    output.show(listed, lambda out: _render(out, listed))


def _render(output: Output, listed: list[InterlockStatus]) -> None:
    if not listed:
        output.line("no interlocks are configured")
        return
    rows = [
        (
            lock.name,
            _state(lock),
            lock.channel,
            "" if lock.value is None else format_quantity(lock.value, lock.units),
            lock.condition,
            lock.action,
            str(lock.trips),
        )
        for lock in listed
    ]
    output.table(
        ["interlock", "state", "channel", "value>", "trips when", "action", "trips>"], rows
    )
    for lock in listed:
        if lock.reason:
            output.line(Cell(lock.reason, "red"))


def _state(lock: InterlockStatus) -> Cell:
    if not lock.tripped:
        return Cell("ok", "green")
    return Cell("latched", "bold yellow") if lock.latched else Cell("TRIPPED", "bold red")

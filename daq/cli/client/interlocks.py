"""Interlocks: list, reset."""

from __future__ import annotations

import click

from daq.cli.client.session import client, client_command
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient
from daq.core import InterlockState, InterlockStatus, format_quantity, format_time


@client_command(client)
@click.option("--reset", metavar="NAME", help="Release the interlock NAME, which is latched.")
@click.option("--note", default="", help="Why it may be released; kept with your name.")
async def interlocks(daemon: AsyncClient, output: Output, reset: str | None, note: str) -> None:
    """List the interlocks: what each watches, and whether it has tripped."""
    if reset is not None:
        released = await daemon.interlocks.reset(reset, note=note)
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
        if lock.acknowledged_ns:
            who = lock.acknowledged_by or "somebody"
            when = format_time(lock.acknowledged_ns)
            output.line(f"{lock.name}: reset by {who} at {when}{lock.note and f': {lock.note}'}")


_STYLES = {
    InterlockState.UNKNOWN: ("UNKNOWN", "bold yellow"),
    InterlockState.OK: ("ok", "green"),
    InterlockState.PENDING: ("pending", "yellow"),
    InterlockState.TRIPPED: ("TRIPPED", "bold red"),
    InterlockState.LATCHED: ("latched", "bold yellow"),
}


def _state(lock: InterlockStatus) -> Cell:
    return Cell(*_STYLES[lock.state])

"""Who changed what; and the queue of executions cleared."""

from __future__ import annotations

import re
import time

import click

from daq.cli.client.session import client, client_command
from daq.cli.showing.errors import ReportingGroup
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient
from daq.core import AuditEntry, format_time

__all__: list[str] = []

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw])")


class _Span(click.ParamType):  # type: ignore[type-arg]  # only newer click has one
    """How long ago: `90s`, `15m`, `1h`, `7d`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = _SPAN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time such as 90s, 15m, 1h or 7d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@client_command(client)
@click.option("--since", type=_Span(), help="Only the last 90s, 15m, 1h, 7d, ...")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
async def audit(daemon: AsyncClient, output: Output, since: float | None, limit: int) -> None:
    """List who changed what: starts, stops, moves, settings, presets, configuration."""
    since_ns = 0 if since is None else int((time.time() - since) * 1e9)
    entries = await daemon.bench.audit(since_ns=since_ns, limit=limit)
    output.show(entries, lambda out: _render(out, entries))


def _render(output: Output, entries: list[AuditEntry]) -> None:
    if not entries:
        output.line("nothing was changed")
        return
    rows = [
        (
            format_time(entry.timestamp_ns),
            entry.user or entry.peer,
            entry.method,
            entry.target,
            Cell(entry.outcome, "green" if entry.outcome == "ok" else "red"),
            entry.message or entry.details,
        )
        for entry in reversed(entries)
    ]
    output.table(["when", "who", "what", "on", "outcome", "details"], rows)


@client.group(cls=ReportingGroup)
def queue() -> None:
    """The executions that wait."""


@client_command(queue)
@click.option("--user", default="", help="Only those of this user.")
@click.option("--reason", default="", help="Kept on their record.")
async def clear(daemon: AsyncClient, output: Output, user: str, reason: str) -> None:
    """Take what waits out of the queue; what runs goes on."""
    ids = await daemon.bench.clear_queue(user, reason=reason)
    output.show({"execution_ids": ids}, lambda out: out.line(f"{len(ids)} taken out of the queue"))

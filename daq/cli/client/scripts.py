"""Scripts and executions: upload, start, watch, pause, stop."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import click

from daq.cli.client import completing
from daq.cli.client.session import (
    client,
    client_command,
    identifier_argument,
    key_numbers,
    key_values,
    parameters_option,
)
from daq.cli.following import follow, follow_or_stop, show_end
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import (
    render_device_stops,
    render_execution,
    render_executions,
    render_info,
    render_scripts,
    render_stop,
    state_cell,
)
from daq.cli.sources import read_source
from daq.client import AsyncClient, StateChange
from daq.core import DaqError, ExecutionState, signature

__all__: list[str] = []

ACTIVE = 20
"""As many of the newest executions are looked through for one that has not ended."""

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_limits = click.option(
    "--limit",
    "limits",
    metavar="KEY=NUMBER",
    multiple=True,
    callback=key_numbers,
    help="A lower limit than the daemon's: memory_mb, max_duration_s, max_output_mb, "
    "max_output_lines, max_records or max_runs.",
)
_name = click.option("--name", default="", help="[default: the file's name]")


@client_command(client)
@_file
@_name
@click.option(
    "--metadata", metavar="KEY=VALUE", multiple=True, callback=key_values, help="For the record."
)
async def upload(
    daemon: AsyncClient, output: Output, file: Path, name: str, metadata: dict[str, str]
) -> None:
    """Upload the script FILE: it is checked and kept."""
    script = await daemon.scripts.upload(
        read_source(file), name=name or file.stem, metadata=metadata, filename=str(file)
    )

    def render(out: Output) -> None:
        out.line(f"uploaded {script.name} as ", Cell(script.id, "bold"))
        if script.parameters:
            out.line(Cell(signature(script.parameters), "cyan"))

    output.show(script, render)


@client_command(client)
@click.argument("script", shell_complete=completing.scripts)
@parameters_option
@_limits
@click.option("--watch", is_flag=True, help="Watch it until it ends.")
async def start(
    daemon: AsyncClient,
    output: Output,
    script: str,
    parameters: dict[str, str],
    limits: dict[str, float],
    watch: bool,
) -> int | None:
    """Start SCRIPT, by id, prefix or name."""
    execution_id = await daemon.scripts.start(script, parameters, limits=limits)
    if watch:
        return await _watch(daemon, output, execution_id)
    position = 0
    with contextlib.suppress(DaqError):  # it was started, whatever becomes of this question
        position = (await daemon.scripts.status(execution_id)).queue_position
    said = f"queued, {_ordinal(position)}: " if position else "started "
    output.show(
        {"execution_id": execution_id, "queue_position": position},
        lambda out: out.line(said, Cell(execution_id, "bold")),
    )
    return None


def _ordinal(number: int) -> str:
    """`1st`, `2nd`, `13th`."""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@client_command(client)
@_file
@_name
@parameters_option
@_limits
async def run(
    daemon: AsyncClient,
    output: Output,
    file: Path,
    name: str,
    parameters: dict[str, str],
    limits: dict[str, float],
) -> int:
    """Upload FILE, start it and watch it.

    Ctrl-C stops it gracefully, a second Ctrl-C by force.
    """
    script = await daemon.scripts.upload(
        read_source(file), name=name or file.stem, filename=str(file)
    )
    execution_id = await daemon.scripts.start(script.id, parameters, limits=limits)
    view = await follow_or_stop(daemon, execution_id, output)
    return await show_end(daemon, view, output)


@client_command(client)
@identifier_argument(completing.executions)
async def status(daemon: AsyncClient, output: Output, identifier: str) -> None:
    """Show an execution: the one that runs, or ran last, without ID."""
    view = await daemon.scripts.status(identifier)
    output.show(view, lambda out: render_execution(out, view))


@client_command(client)
@identifier_argument(completing.executions)
async def watch(daemon: AsyncClient, output: Output, identifier: str) -> int:
    """Watch an execution until it ends.

    Ctrl-C leaves it running.
    """
    view = await daemon.scripts.status(identifier)
    return await _watch(daemon, output, view.record.id)


async def _watch(daemon: AsyncClient, output: Output, execution_id: str) -> int:
    try:
        view = await follow(daemon, execution_id, output)
    except asyncio.CancelledError:
        output.note(
            f"left; {execution_id} goes on. Watch it with `daq client watch {execution_id}`, "
            f"stop it with `daq client stop {execution_id}`"
        )
        raise
    return await show_end(daemon, view, output)


@client_command(client)
@identifier_argument(completing.executions)
async def pause(daemon: AsyncClient, output: Output, identifier: str) -> None:
    """Pause an execution at its next checkpoint."""
    _show_change(output, await daemon.scripts.pause(identifier))


@client_command(client)
@identifier_argument(completing.executions)
async def resume(daemon: AsyncClient, output: Output, identifier: str) -> None:
    """Resume a paused execution."""
    _show_change(output, await daemon.scripts.resume(identifier))


def _show_change(output: Output, change: StateChange) -> None:
    output.show(
        change,
        lambda out: out.line(
            f"{change.execution_id} is ",
            state_cell(change.state),
            f": {change.message}" if change.message else "",
        ),
    )


@client_command(client)
@identifier_argument(completing.stoppable)
@click.option("--force", is_flag=True, help="Kill it now instead of letting it clean up.")
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Until a graceful stop becomes a force stop. [default: the daemon's]",
)
@click.option("--reason", default="", help="For the record.")
async def stop(
    daemon: AsyncClient,
    output: Output,
    identifier: str,
    force: bool,
    grace: float | None,
    reason: str,
) -> None:
    """Stop an execution, or the one that runs; or a device, by its id.

    Returns when the stop is verified, and shows what each device answered.
    """
    if identifier and await _stop_device(daemon, output, identifier):
        return
    report = await daemon.scripts.stop(identifier, force=force, grace_s=grace, reason=reason)
    output.show(report, lambda out: render_stop(out, report))


async def _stop_device(daemon: AsyncClient, output: Output, identifier: str) -> bool:
    """Stop the device of that id; whether there is one, and no execution that goes by its name."""
    units = {d.id: d.description.units for d in (await daemon.devices.list()).devices}
    if identifier not in units:
        return False
    report = replace(await daemon.devices.stop(identifier), units=units[identifier])
    active = await daemon.scripts.executions(limit=ACTIVE)
    if any(v.record.script_name == identifier and not v.record.state.is_final for v in active):
        return False
    output.show(report, lambda out: render_device_stops(out, [report]))
    return True


@client_command(client)
async def scripts(daemon: AsyncClient, output: Output) -> None:
    """List the uploaded scripts."""
    uploaded = await daemon.scripts.list()
    output.show(uploaded, lambda out: render_scripts(out, uploaded))


@client_command(client)
@click.option(
    "--state",
    type=click.Choice([state.value for state in ExecutionState], case_sensitive=False),
    help="Only those in this state.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
async def executions(daemon: AsyncClient, output: Output, state: str | None, limit: int) -> None:
    """List executions, newest first."""
    wanted = ExecutionState(state) if state else None
    views = await daemon.scripts.executions(state=wanted, limit=limit)
    output.show(views, lambda out: render_executions(out, views))


@client_command(client)
async def info(daemon: AsyncClient, output: Output) -> None:
    """Show the daemon: version, sandbox, counters."""
    daemon_info = await daemon.info()
    output.show(daemon_info, lambda out: render_info(out, daemon_info))

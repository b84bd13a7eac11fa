"""Runs on record: list, show, plot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from datetime import datetime
from pathlib import Path

import click

from daq.cli.client import completing
from daq.cli.client.session import client, client_command, identifier_argument
from daq.cli.showing.errors import ReportingGroup
from daq.cli.showing.output import SHORT_ID, Cell, Output
from daq.cli.showing.progress import progress_bar
from daq.cli.showing.render import render_run, render_runs
from daq.client import AsyncClient
from daq.core import RunOutcome
from daq.wire.convert import RecordedRun

__all__ = ["default_path", "runs", "show_file", "stream_option"]

stream_option = click.option(
    "--stream", default="primary", show_default=True, help="Which of its tables."
)
_path = click.Path(path_type=Path, dir_okay=False)


@client.group(cls=ReportingGroup)
def runs() -> None:
    """Find runs and get their data.

    ID is a run's id, a unique prefix of it, or its name; without it, the newest run is meant.
    """


@client_command(runs, "list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Skip the newest.")
@click.option("--name", default="", metavar="PATTERN", help="Such as `knife*`.")
@click.option("--outcome", type=click.Choice([*(o.value for o in RunOutcome), "open"]))
@click.option("--since", type=click.DateTime(), help="Only runs that began then or later.")
async def list_runs(
    daemon: AsyncClient,
    output: Output,
    limit: int,
    offset: int,
    name: str,
    outcome: str | None,
    since: datetime | None,
) -> None:
    """List runs, newest first."""
    since_ns = round(since.astimezone().timestamp() * 1e9) if since else 0
    page = await daemon.runs.list(
        limit=limit, offset=offset, name=name, outcome=outcome or "", since_ns=since_ns
    )
    output.show(page, lambda out: render_runs(out, page))


@client_command(runs)
@identifier_argument(completing.runs)
async def show(daemon: AsyncClient, output: Output, identifier: str) -> None:
    """Show everything on record about a run."""
    run = await daemon.runs.get(identifier)
    output.show(run, lambda out: render_run(out, run))


@client_command(runs)
async def rebuild(daemon: AsyncClient, output: Output) -> None:
    """List every run from its file again.

    For a catalogue that is wrong, and for files that were copied in or found no room on the disk
    when their run ended. What is damaged is told; runs go on meanwhile.
    """
    files = added = 0
    problems: list[str] = []
    with ExitStack() as shown:
        advance: Callable[[int], None] | None = None
        async with aclosing(daemon.runs.rebuild()) as steps:
            async for step in steps:
                if advance is None:
                    advance = shown.enter_context(progress_bar(output, "files", step.files))
                advance(step.done - files)
                files, added = step.done, step.added
                problems += step.problems
    for problem in () if output.as_json else problems:
        output.note(Cell(problem, "yellow"))
    document = {"files": files, "added": added, "problems": problems}
    output.show(document, lambda out: out.line(f"{files} files, {added} runs were not listed"))


def default_path(run: RecordedRun, suffix: str) -> Path:
    """In the working directory, named after the run."""
    return Path(f"{run.summary.name or 'run'}-{run.summary.run_id[:SHORT_ID]}{suffix}")


@client_command(runs)
@identifier_argument(completing.runs)
@click.option("--output", "path", type=_path, help="PNG, PDF or SVG. [default: NAME-ID.png]")
@click.option("--column", "columns", multiple=True, help="What to draw; may be repeated.")
@click.option("--log", type=click.Choice(["x", "y", "xy"]), help="Logarithmic axes.")
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="RUN",
    shell_complete=completing.runs,
    help="Draw this run into it too.",
)
@stream_option
async def plot(
    daemon: AsyncClient,
    output: Output,
    identifier: str,
    path: Path | None,
    columns: tuple[str, ...],
    log: str | None,
    others: tuple[str, ...],
    stream: str,
) -> None:
    """Plot a run's data against what was moved."""
    from daq.client.figures.plot import draw_run, save_figure  # matplotlib loads slowly

    drawn = []
    for reference in (identifier, *others):
        run = await daemon.runs.get(reference)
        drawn.append((run, await daemon.runs.columns(run.summary.run_id, stream=stream)))
    (run, table), *overlay = drawn
    target = path or default_path(run, ".png")

    def draw() -> None:
        save_figure(draw_run(run, table, columns=columns, log=log or "", overlay=overlay), target)

    await asyncio.to_thread(draw)
    show_file(output, target)


def show_file(output: Output, path: Path) -> None:
    """Say which file was written."""
    output.show({"path": path}, lambda out: out.line("wrote ", Cell(str(path), "bold")))

"""Runs on record: list, show, export, plot."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daq.cli.client.session import client, client_command
from daq.cli.output import SHORT_ID, Cell, Output
from daq.cli.render import render_run, render_runs
from daq.client import AsyncClient
from daq.core import RunOutcome, StorageError
from daq.wire.convert import RecordedRun

if TYPE_CHECKING:
    import pyarrow as pa

__all__: list[str] = []

_SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "arrow": ".arrow", "nexus": ".h5"}
_identifier = click.argument("identifier", metavar="[ID]", default="", required=False)
_stream = click.option(
    "--stream", default="primary", show_default=True, help="Which of its tables."
)
_path = click.Path(path_type=Path, dir_okay=False)


@client.group()
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
@_identifier
async def show(daemon: AsyncClient, output: Output, identifier: str) -> None:
    """Show everything on record about a run."""
    run = await daemon.runs.get(identifier)
    output.show(run, lambda out: render_run(out, run))


@client_command(runs)
@_identifier
@click.option("--format", "file_format", type=click.Choice(list(_SUFFIXES)), default="csv")
@click.option("--output", "path", type=_path, help="[default: NAME-ID in this directory]")
@_stream
async def export(
    daemon: AsyncClient,
    output: Output,
    identifier: str,
    file_format: str,
    path: Path | None,
    stream: str,
) -> None:
    """Write a run's data to a file.

    `nexus` copies the HDF5 file as it was recorded; that needs the daemon on this machine.
    """
    run = await daemon.runs.get(identifier)
    target = path or _default_path(run, _SUFFIXES[file_format])
    if file_format == "nexus":
        await asyncio.to_thread(_copy_recorded, run, target)
    else:
        for note in await _export(daemon, run, stream, file_format, target):
            output.note(Cell(note, "yellow"))
    _show_file(output, target)


async def _export(
    daemon: AsyncClient, run: RecordedRun, stream: str, file_format: str, target: Path
) -> tuple[str, ...]:
    """Write what the daemon reads back; returns what the format could not hold."""
    from daq.client.export import write_batches  # pyarrow loads slowly

    loop = asyncio.get_running_loop()
    stored = daemon.runs.read(run.summary.run_id, stream=stream)

    async def following() -> pa.RecordBatch | None:
        return await anext(stored, None)

    def pulled() -> Iterator[pa.RecordBatch]:
        # The writer's thread fetches a batch when it needs one: however long the run, only one is
        # in memory, and when fetching fails the writer leaves no file that looks complete.
        while True:
            batch = asyncio.run_coroutine_threadsafe(following(), loop).result()
            if batch is None:
                return
            yield batch

    return await asyncio.to_thread(write_batches, pulled(), file_format, target)


def _default_path(run: RecordedRun, suffix: str) -> Path:
    return Path(f"{run.summary.name or 'run'}-{run.summary.run_id[:SHORT_ID]}{suffix}")


def _copy_recorded(run: RecordedRun, target: Path) -> None:
    """Copy the file that the daemon names, when it is on this machine."""
    source = Path(run.summary.path)
    if run.summary.outcome is None:
        raise StorageError(
            f"run {run.summary.run_id} is still open: its file is not complete",
            advice="use another format, or wait for its end",
        )
    if not run.summary.path or not source.is_file():
        where = f"{run.start.host}:{source}" if run.start.host else str(source)
        raise StorageError(
            f"{where} is not on this machine",
            advice="copy it from there, or use csv, parquet or arrow, which go through the daemon",
        )
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}") from error


@client_command(runs)
@_identifier
@click.option("--output", "path", type=_path, help="PNG file. [default: NAME-ID.png]")
@_stream
async def plot(
    daemon: AsyncClient, output: Output, identifier: str, path: Path | None, stream: str
) -> None:
    """Plot a run's data against what the scan moved."""
    from daq.client.plot import plot_run  # matplotlib loads slowly

    run = await daemon.runs.get(identifier)
    table = await daemon.runs.columns(run.summary.run_id, stream=stream)
    target = path or _default_path(run, ".png")
    await asyncio.to_thread(plot_run, run, table, target)
    _show_file(output, target)


def _show_file(output: Output, path: Path) -> None:
    output.show({"path": path}, lambda out: out.line("wrote ", Cell(str(path), "bold")))

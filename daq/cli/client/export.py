"""`runs export`: a run's data as a file or on stdout, however large it is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from daq.cli.client import completing
from daq.cli.client.runs import (
    default_path,
    runs,
    show_file,
    stream_option,
)
from daq.cli.client.session import client_command, identifier_argument
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.progress import progress_bar
from daq.client import AsyncClient
from daq.core import StateError, StorageError
from daq.wire.convert import RecordedRun

if TYPE_CHECKING:
    import pyarrow as pa

__all__: list[str] = []

_SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "arrow": ".arrow", "nexus": ".h5"}
_STDOUT = Path("-")


@client_command(runs)
@identifier_argument(completing.runs)
@click.option("--format", "file_format", type=click.Choice(list(_SUFFIXES)), default="csv")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file, or - for stdout. [default: NAME-ID in this directory]",
)
@stream_option
@click.option("--times", is_flag=True, help="Also when each value was read, as `time of NAME`.")
@click.option("--plain-names", is_flag=True, help="CSV: a header without units.")
async def export(
    daemon: AsyncClient,
    output: Output,
    identifier: str,
    file_format: str,
    path: Path | None,
    stream: str,
    times: bool,
    plain_names: bool,
) -> None:
    """Write a run's data to a file or to stdout.

    `nexus` is the HDF5 file as it was recorded.
    """
    from daq.client.recorded.export import write_batches  # pyarrow loads slowly

    run = await daemon.runs.get(identifier)
    target = path or default_path(run, _SUFFIXES[file_format])
    sink = sys.stdout.buffer if target == _STDOUT else target
    if file_format == "nexus":
        await _fetch_file(daemon, output, run, sink)
    else:
        stored = daemon.runs.read(run.summary.run_id, stream=stream, times=times)
        write = partial(write_batches, units=not plain_names)
        for note in await _export(
            output, run, stream, stored, lambda b: write(b, file_format, sink)
        ):
            output.note(Cell(note, "yellow"))
    if isinstance(sink, Path):
        show_file(output, sink)


async def _export(
    output: Output,
    run: RecordedRun,
    stream: str,
    stored: AsyncGenerator[pa.RecordBatch, None],
    write: Callable[[Iterator[pa.RecordBatch]], tuple[str, ...]],
) -> tuple[str, ...]:
    """Write what the daemon reads back; returns what the format could not hold."""
    loop = asyncio.get_running_loop()
    points = sum(s.points for s in run.streams if s.name == stream)

    async def following() -> pa.RecordBatch | None:
        return await anext(stored, None)

    def pulled(advance: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        # The writer's thread fetches a batch when it needs one: however long the run, only one is
        # in memory, and when fetching fails the writer leaves no file that looks complete.
        while True:
            batch = asyncio.run_coroutine_threadsafe(following(), loop).result()
            if batch is None:
                return
            yield batch
            advance(batch.num_rows)

    with progress_bar(output, run.summary.name or "run", points) as advance:
        return await asyncio.to_thread(write, pulled(advance))


async def _fetch_file(
    daemon: AsyncClient, output: Output, run: RecordedRun, sink: Path | BinaryIO
) -> None:
    """Copy the run's file from the daemon, piece by piece; it appears when it is complete."""
    if run.summary.outcome is None:
        raise StateError(
            f"run {run.summary.run_id} is still open: its file is not complete",
            advice="use another format, or wait for its end",
        )
    if not isinstance(sink, Path):
        await _copy(daemon, output, run, sink)
        return
    partial = sink.with_name(sink.name + ".partial")
    try:
        with await asyncio.to_thread(partial.open, "wb") as file:
            await _copy(daemon, output, run, file)
        await asyncio.to_thread(partial.replace, sink)
    except OSError as error:
        raise StorageError(f"{sink}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


async def _copy(daemon: AsyncClient, output: Output, run: RecordedRun, file: BinaryIO) -> None:
    chunks = daemon.runs.file(run.summary.run_id)
    with contextlib.ExitStack() as shown:
        advance: Callable[[int], None] | None = None
        async with aclosing(chunks):
            async for chunk, size in chunks:
                if advance is None:
                    advance = shown.enter_context(progress_bar(output, run.summary.name, size))
                await asyncio.to_thread(file.write, chunk)
                advance(len(chunk))

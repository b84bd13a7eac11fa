"""`frames` and `acquire`: images and samples, to be looked at or kept as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
import numpy as np

from daq.cli.client.array_files import Taken, save_arrays
from daq.cli.client.devices import stopped_by_interrupt
from daq.cli.client.session import client, client_command, device_argument
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient, Block, Frame
from daq.core import Capability, CommunicationError, format_quantity

__all__: list[str] = []

HINT_S = 3.0


def _file_option(*suffixes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--output FILE`, whose ending says what is written."""

    def require_known(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() not in suffixes:
            raise click.BadParameter(f"{path}: ends in none of {', '.join(suffixes)}")
        return path

    return click.option(
        "--output",
        "-o",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=require_known,
        help=f"Keep them as a file: {', '.join(f'*{suffix}' for suffix in suffixes)}.",
    )


@client_command(client)
@device_argument(Capability.FRAME_PRODUCER)
@click.option("--count", "-n", type=click.IntRange(1, 1000), default=1, show_default=True)
@_file_option(".png", ".npy", ".h5")
async def frames(
    daemon: AsyncClient, output: Output, device: str, count: int, path: Path | None
) -> None:
    """Take images of the camera DEVICE, and show where they are bright.

    A PNG holds one image, from its darkest to its brightest pixel. NPY and HDF5 hold the counts
    themselves: (height, width) of one image, (count, height, width) of several.
    """
    if path is not None and path.suffix.lower() == ".png" and count > 1:
        raise click.UsageError("a PNG holds one image; several go into *.npy or *.h5")
    taken: list[Frame] = []
    idle = f"no image yet: {device} may be armed or in use; `daq client stop {device}` frees it"
    hint = asyncio.get_running_loop().call_later(HINT_S, output.note, Cell(idle, "yellow"))
    async with aclosing(daemon.streams.frames(device)) as stream:
        async for frame in stream:
            hint.cancel()
            taken.append(frame)
            if not output.as_json:
                output.line(*_frame_words(frame))
            if len(taken) == count:
                break
        else:
            raise CommunicationError(f"{device}: the stream ended after {len(taken)} images")
    last = taken[-1]
    if last.dropped:
        output.note(Cell(f"{last.dropped} frames in between were not sent", "yellow"))
    if path is not None:
        images = np.stack([frame.image for frame in taken])
        times = np.array([frame.timestamp_ns for frame in taken])
        await asyncio.to_thread(save_arrays, path, Taken(device, last.units, images, times))
    _show_saved(output, path, {"frames": [_frame_document(frame) for frame in taken]})


def _frame_words(frame: Frame) -> tuple[str | Cell, ...]:
    row, column = np.unravel_index(int(frame.image.argmax()), frame.image.shape)
    brightest = format_quantity(float(frame.image.max()), frame.units, 6)
    height, width = frame.image.shape
    mean = format_quantity(float(frame.image.mean()), frame.units)
    return (
        f"{frame.device} #{frame.number}: {width} x {height} pixels, ",
        Cell(f"{brightest} at x={column} y={row}", "bold"),
        f", mean {mean}",
    )


def _frame_document(frame: Frame) -> dict[str, Any]:
    return {
        "device": frame.device,
        "number": frame.number,
        "timestamp_ns": frame.timestamp_ns,
        "shape": frame.image.shape,
        "dtype": frame.image.dtype.name,
        "units": frame.units,
        "mean": float(frame.image.mean()),
        "max": float(frame.image.max()),
        "dropped": frame.dropped,
    }


@client_command(client)
@device_argument(Capability.SAMPLE_PRODUCER)
@click.option("--count", "-n", type=click.IntRange(1, 10_000_000), default=1000, show_default=True)
@_file_option(".npy", ".h5", ".csv")
async def acquire(
    daemon: AsyncClient, output: Output, device: str, count: int, path: Path | None
) -> None:
    """Acquire COUNT samples of the digitizer DEVICE in a row, and show what they hold.

    Ctrl-C ends the acquisition.
    """
    blocks = await _acquired(daemon, output, device, count)
    values = np.concatenate([block.values for block in blocks])[:count]
    times = np.concatenate([block.timestamps for block in blocks])[:count].astype("int64")
    units = blocks[-1].units
    if path is not None:
        await asyncio.to_thread(save_arrays, path, Taken(device, units, values, times))
    document = {
        "device": device,
        "samples": len(values),
        "seconds": (int(times[-1]) - int(times[0])) / 1e9,
        "units": units,
        "mean": float(values.mean()),
        "rms": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
        "dropped": blocks[-1].dropped,
    }
    if not output.as_json:
        _render_samples(output, document)
    _show_saved(output, path, document)


async def _acquired(daemon: AsyncClient, output: Output, device: str, count: int) -> list[Block]:
    blocks: list[Block] = []
    missing = count
    received = daemon.streams.blocks([f"{device}.*"])
    async with stopped_by_interrupt(daemon, output, device):
        await daemon.streams.start(device)
        try:
            async with aclosing(received):
                async for block in received:
                    blocks.append(block)
                    missing -= len(block)
                    if missing <= 0:
                        break
        finally:
            await daemon.streams.stop(device)
    return blocks


def _render_samples(output: Output, document: dict[str, Any]) -> None:
    mean, rms, low, high = (
        format_quantity(document[name], document["units"]) for name in ("mean", "rms", "min", "max")
    )
    seconds = format_quantity(document["seconds"], "s")
    output.line(f"{document['device']}: {document['samples']} samples in {seconds}")
    output.line("mean ", Cell(mean, "bold"), f", rms {rms}, from {low} to {high}")
    if document["dropped"]:
        output.note(Cell(f"{document['dropped']} samples in between were not sent", "yellow"))


def _show_saved(output: Output, path: Path | None, document: dict[str, Any]) -> None:
    if path is not None:
        document = {**document, "path": path}
    if output.as_json:
        output.document(document)
    elif path is not None:
        output.line("wrote ", Cell(str(path), "bold"))

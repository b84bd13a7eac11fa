"""Measurements as they are published."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

import click

from daq.cli.client.devices import sample_document, sample_text
from daq.cli.client.session import client, client_command
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient, Sample

__all__: list[str] = []


@client_command(client)
@click.option(
    "--channels",
    "-c",
    multiple=True,
    metavar="PATTERN",
    help="Such as `stage` or `laser.*`; may be given several times. [default: all]",
)
@click.option(
    "--rate",
    metavar="HZ",
    type=click.IntRange(min=0),
    default=0,
    help="At most that many values a second of each channel. [default: all values]",
)
@click.option("--average", is_flag=True, help="With --rate: means of the values in between.")
@click.option("--count", "-n", type=click.IntRange(min=1), help="End after that many values.")
async def stream(
    daemon: AsyncClient,
    output: Output,
    channels: tuple[str, ...],
    rate: int,
    average: bool,
    count: int | None,
) -> None:
    """Print measurements, a line each, until Ctrl-C."""
    if average and not rate:
        raise click.UsageError("--average needs --rate: it is the mean of what comes in between")
    samples = daemon.streams.measurements(channels, max_rate_hz=rate, average=average)
    if output.is_live:
        output.note(Cell("waiting for what devices publish; Ctrl-C ends", "dim"))
    dropped = 0
    printed = 0
    async with aclosing(samples):
        async for sample in samples:
            if sample.dropped > dropped and not output.as_json:
                output.note(Cell(f"{sample.dropped - dropped} values were dropped", "yellow"))
            dropped = sample.dropped
            _show(output, sample)
            printed += 1
            if printed == count:
                return


def _show(output: Output, sample: Sample) -> None:
    if output.as_json:
        output.record(sample_document(sample))
        return
    moment = datetime.fromtimestamp(sample.timestamp_ns / 1e9, UTC).astimezone()
    clock = moment.strftime("%H:%M:%S.%f")[:-3]
    count = f"  mean of {sample.averaged} samples" if sample.averaged > 1 else ""
    value = Cell(sample_text(sample), "bold")
    output.line(Cell(clock, "dim"), f"  {sample.channel:<16}  ", value, Cell(count, "dim"))

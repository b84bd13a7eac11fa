"""Measurements as they are published."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from daq.cli.client import completing
from daq.cli.client.devices import sample_document, sample_text
from daq.cli.client.session import client, client_command
from daq.cli.polling import Source, merged, polled
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient, Sample

__all__ = ["show_sample"]

POLL_HZ = 2


@client_command(client)
@click.option(
    "--channels",
    "-c",
    multiple=True,
    metavar="PATTERN",
    shell_complete=completing.channels,
    help="Such as `stage` or `laser.*`; may be given several times. [default: all]",
)
@click.option(
    "--rate",
    metavar="HZ",
    type=click.IntRange(min=0),
    default=0,
    help="At most that many values a second of each channel. [default: all values]",
)
@click.option(
    "--poll/--no-poll",
    default=None,
    help="Ask devices too, --rate times a second or twice. [default: on a terminal]",
)
@click.option("--average", is_flag=True, help="With --rate: means of the values in between.")
@click.option("--count", "-n", type=click.IntRange(min=1), help="End after that many values.")
async def stream(
    daemon: AsyncClient,
    output: Output,
    channels: tuple[str, ...],
    rate: int,
    poll: bool | None,
    average: bool,
    count: int | None,
) -> None:
    """Print measurements, a line each, until Ctrl-C.

    What nobody takes is not published: with --poll the devices of an idle bench are asked as well.
    """
    if average and not rate:
        raise click.UsageError("--average needs --rate: it is the mean of what comes in between")
    is_polling = output.is_live if poll is None else poll
    if output.is_live:
        asked = "what devices are asked and publish" if is_polling else "what devices publish"
        output.note(Cell(f"{asked}; Ctrl-C ends", "dim"))
    published = daemon.streams.measurements(channels, max_rate_hz=rate, average=average)
    sources = [Source(published)]
    if is_polling:
        sources += await polled(daemon, channels, rate or POLL_HZ)
    dropped = 0
    printed = 0
    async with merged(sources, output.note) as samples:
        async for sample in samples:
            if sample.dropped > dropped and not output.as_json:
                output.note(Cell(f"{sample.dropped - dropped} values were dropped", "yellow"))
            dropped = sample.dropped
            show_sample(output, sample)
            printed += 1
            if printed == count:
                return


def show_sample(output: Output, sample: Sample) -> None:
    if output.as_json:
        output.record(sample_document(sample))
        return
    moment = datetime.fromtimestamp(sample.timestamp_ns / 1e9, UTC).astimezone()
    clock = moment.strftime("%H:%M:%S.%f")[:-3]
    count = f"  mean of {sample.averaged} samples" if sample.averaged > 1 else ""
    value = Cell(sample_text(sample), "bold")
    output.line(Cell(clock, "dim"), f"  {sample.channel:<16}  ", value, Cell(count, "dim"))

"""`live`: one value, large enough to be read while both hands are on a mirror."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing

import click
from rich.live import Live
from rich.text import Text

from daq.cli.client import completing
from daq.cli.client.devices import device_info
from daq.cli.client.session import client, client_command
from daq.cli.client.stream import show_sample
from daq.cli.polling import values_of
from daq.cli.showing.big_number import big_number
from daq.cli.showing.output import Output
from daq.client import AsyncClient
from daq.core import row_of, split_target

__all__: list[str] = []

REMEMBERED = 300


@client_command(client)
@click.argument("channel", shell_complete=completing.channels)
@click.option("--rate", metavar="HZ", type=click.IntRange(1, 50), default=10, show_default=True)
@click.option("--count", "-n", type=click.IntRange(min=1), help="End after that many values.")
async def live(
    daemon: AsyncClient, output: Output, channel: str, rate: int, count: int | None
) -> None:
    """Show the value of CHANNEL, large and live, for alignment; Ctrl-C ends.

    CHANNEL is a device, such as `power_meter`, or a parameter of one, such as `laser.power`. In a
    pipe it is a line for each value.
    """
    device, name = split_target(channel)
    info = await device_info(daemon, device)
    if name:
        row_of(info.description.parameters, device, name)
    seen: deque[float] = deque(maxlen=REMEMBERED)
    shown = 0
    samples = values_of(daemon, info, name, rate)
    display = Live(console=output.console, auto_refresh=False, transient=False)
    async with aclosing(samples):
        if output.is_live:
            display.start()
        try:
            async for sample in samples:
                shown += 1
                seen.append(sample.value)
                if output.is_live:
                    width = output.console.width
                    text: Text = big_number(channel, list(seen), sample.units, width)
                    display.update(text, refresh=True)
                else:
                    show_sample(output, sample)
                if shown == count:
                    return
        finally:
            display.stop()

"""The bench: restart, disable, enable, reload."""

from __future__ import annotations

import click

from daq.cli.client.session import client, client_command, device_argument, force_option
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import device_state_cell
from daq.client import AsyncClient
from daq.client.calls.bench_control import DeviceUse, Reload

__all__: list[str] = []


@client_command(client)
@device_argument()
@force_option
async def restart(daemon: AsyncClient, output: Output, device: str, force: bool) -> None:
    """Stop DEVICE, let it go and connect it anew, without waiting for the next attempt."""
    use = await daemon.bench.restart(device, force=force)
    output.show(use, lambda out: _render_use(out, use))


@client_command(client)
@device_argument()
@click.option("--reason", default="", help="For those who find it disabled.")
@force_option
async def disable(
    daemon: AsyncClient, output: Output, device: str, reason: str, force: bool
) -> None:
    """Make DEVICE safe, let it go, and leave it alone until `enable`."""
    use = await daemon.bench.disable(device, reason, force=force)
    output.show(use, lambda out: _render_use(out, use))


@client_command(client)
@device_argument()
async def enable(daemon: AsyncClient, output: Output, device: str) -> None:
    """Take DEVICE, which was disabled, into use again, and its position for right.

    One that is `unreferenced` is moved again from then on: look first where it is.
    """
    use = await daemon.bench.enable(device)
    output.show(use, lambda out: _render_use(out, use))


def _render_use(output: Output, use: DeviceUse) -> None:
    output.line(f"{use.device} is ", device_state_cell(use.state))
    if use.stop_message:
        output.line(Cell(f"it was not stopped: {use.stop_message}", "red"))


@client_command(client)
@force_option
async def reload(daemon: AsyncClient, output: Output, force: bool) -> None:
    """Let the daemon read its configuration file again.

    Devices come, go and change, and the others notice nothing. Interlocks, tokens and the limits of
    scripts count from then on; what needs a restart is told. A file with a mistake changes nothing.
    """
    report = await daemon.bench.reload(force=force)
    output.show(report, lambda out: _render_reload(out, report))


def _render_reload(output: Output, report: Reload) -> None:
    output.fields(
        [
            ("added", Cell(", ".join(report.added), "green")),
            ("removed", Cell(", ".join(report.removed), "yellow")),
            ("changed", Cell(", ".join(report.changed), "blue")),
            ("unchanged", ", ".join(report.unchanged)),
            ("applied", Cell(", ".join(report.applied), "green")),
        ]
    )
    for option in report.needs_restart:
        output.line(Cell(f"a restart is needed for {option}", "bold yellow"))
    for device, reason in report.not_safe.items():
        output.line(Cell(f"{device} was not made safe: {reason}", "bold red"))

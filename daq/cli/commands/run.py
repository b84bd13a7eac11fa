"""`daq run`: a script without a daemon of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from daq.cli.client.session import parameters_option
from daq.cli.following import follow_or_stop, show_end
from daq.cli.local_daemon import ended_by_signals, local_daemon
from daq.cli.showing.errors import INTERRUPTED
from daq.cli.showing.output import Output
from daq.cli.sources import read_source
from daq.client import AsyncClient, Credentials

__all__ = ["run"]


@click.command()
@click.argument("script", type=click.Path(path_type=Path, dir_okay=False))
@parameters_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="DAQ_DATA_DIR",
    default=Path("daq-data"),
    help="Where the run is kept. [default: DAQ_DATA_DIR or ./daq-data]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with the devices; the simulated bench without it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for each update.")
@click.pass_context
def run(
    ctx: click.Context,
    script: Path,
    parameters: dict[str, str],
    data_dir: Path,
    config: Path | None,
    as_json: bool,
) -> None:
    """Run SCRIPT without a daemon: start one, run, leave.

    Ctrl-C stops the script gracefully, a second Ctrl-C by force. Exit status: 0 completed, 1 error,
    2 usage, 3 stopped or killed.
    """
    source = read_source(script)
    work = _run(source, script, parameters, data_dir, config, Output(as_json=as_json))
    try:
        status = asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted; the daemon has made the devices safe and ended", err=True)
        status = INTERRUPTED
    ctx.exit(status)


async def _run(
    source: str,
    path: Path,
    parameters: dict[str, str],
    data_dir: Path,
    config: Path | None,
    output: Output,
) -> int:
    with ended_by_signals():
        async with (
            local_daemon(data_dir, config) as address,
            AsyncClient(address, credentials=Credentials()) as client,
        ):
            script = await client.scripts.upload(source, name=path.stem, filename=str(path))
            execution_id = await client.scripts.start(script.id, parameters)
            view = await follow_or_stop(client, execution_id, output)
            return await show_end(client, view, output)

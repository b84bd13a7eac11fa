"""`daq serve`: the daemon in the foreground."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click

from daq.cli.showing.visible import visible

__all__ = ["serve"]

_STYLES = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_RESET = "\x1b[0m"


class _Formatter(logging.Formatter):
    """A line begins with its time, whatever the texts of clients and scripts hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = visible(record.message, line_end="\n    ")
        return super().formatMessage(record)


class _TerminalFormatter(_Formatter):
    """Time, level and name as in a file, with the level in colour."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        style = _STYLES.get(record.levelno, "")
        level = f"{record.levelname:<7}"
        return line.replace(level, f"{style}{level}{_RESET}", 1) if style else line


def configure_logging(level: str, stream: TextIO) -> None:
    """Log for people on `stream`, with colours when it is a terminal."""
    formatter = _TerminalFormatter if stream.isatty() else _Formatter
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter("{asctime} {levelname:<7} {name}: {message}", style="{"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        logging.getLogger("grpclib").setLevel(logging.WARNING)  # a client that leaves is no news


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file with the devices; the simulated bench without it.",
)
@click.option("--host", help="Interface to listen on. [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 for a free one. [default: 50051]"
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where runs and scripts are kept. [default: DAQ_DATA_DIR or ./daq-data]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.option(
    "--trace",
    multiple=True,
    metavar="DEVICE",
    help="Log every byte to and from this device, with times. May be repeated.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Serve everybody who reaches the daemon, also without tokens.",
)
@click.option("--private", is_flag=True, hidden=True, help="For the program that starts it.")
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    log_level: str,
    trace: tuple[str, ...],
    insecure: bool,
    private: bool,
) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    Once clients can connect, one line on stdout says where: `daq is serving on HOST:PORT`.
    The log goes to stderr.
    """
    # The daemon's libraries load only here: other commands start without them.
    from daq.config import ServerConfig, load_config
    from daq.daemon import serve as run_daemon
    from daq.transport import trace_device

    configure_logging(log_level, sys.stderr)
    settings = load_config(config)
    if private:  # whatever [server] offers to others: ports, certificates, tokens
        settings = replace(settings, server=ServerConfig(port=0))
    settings = settings.with_overrides(host, port, data_dir, insecure=insecure)
    for device_id in trace:
        if device_id not in settings.devices:
            raise click.BadParameter(
                f"there is no device {device_id!r}; there are {', '.join(settings.devices)}",
                param_hint="--trace",
            )
        trace_device(device_id)
    run_daemon(settings, lambda address: click.echo(f"daq is serving on {address}"))

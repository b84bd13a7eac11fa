"""`daq shell`: IPython with the bench's devices as names."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping
from typing import Any

import click

from daq.cli.client.session import Session, credential_options
from daq.client import Bench, connect
from daq.core import ParameterError

__all__ = ["names_of", "shell"]


@click.command()
@click.option("--address", metavar="HOST:PORT", help="Where the daemon is; default DAQ_ADDRESS.")
@credential_options
@click.option("-c", "code", metavar="CODE", help="Run this and leave, instead of asking.")
def shell(address: str | None, code: str | None) -> None:
    """An interactive prompt with the bench's devices as names.

    `bench` is the connection, `runs` what is on record; `stage.position = 1.5` moves, and so does
    `%mov stage 1.5`. What was begun here and is still under way ends with the prompt.
    """
    try:
        import IPython
        from traitlets.config import Config
    except ImportError as error:
        raise ParameterError(
            "IPython is not installed", advice="pip install 'daq[jupyter]'"
        ) from error
    credentials = click.get_current_context().ensure_object(Session).shown()
    with connect(address, credentials=credentials) as bench:
        names = names_of(bench)
        config = Config()
        config.InteractiveShellApp.extensions = ["daq.client.jupyter"]
        config.TerminalInteractiveShell.banner1 = _banner(bench, names)
        config.TerminalInteractiveShell.confirm_exit = False
        arguments = ["-c", code] if code is not None else []
        IPython.start_ipython(argv=arguments, user_ns=dict(names), config=config)


def names_of(bench: Bench) -> Mapping[str, Any]:
    """What the prompt knows: `bench`, `runs`, and every device by its id.

    An id that is no name in Python gets `_` for what does not fit; one that is taken, a `_` behind.
    """
    names: dict[str, Any] = {"bench": bench, "runs": bench.runs}
    for device_id, device in bench.devices.items():
        name = re.sub(r"\W", "_", device_id)
        name = f"_{name}" if name[:1].isdigit() else name
        while name in names or keyword.iskeyword(name) or hasattr(builtins, name):
            name += "_"
        names[name] = device
    return names


def _banner(bench: Bench, names: Mapping[str, Any]) -> str:
    lines = [f"daq at {bench.address}", ""]
    lines += [f"  {name:<14} {value!r}" for name, value in names.items() if value is not bench]
    lines += [
        "",
        "  bench.scan([...], motor, start, stop, points)    bench?  for more",
        "  %mov  %movr  %ct  %wa  %stop    %%daq runs a script",
        "",
    ]
    return "\n".join(lines)

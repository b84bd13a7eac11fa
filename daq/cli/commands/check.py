"""`daq check`: a script or a configuration, without running it."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from daq.api import read_access
from daq.cli.showing.description import show_description
from daq.cli.showing.output import Cell, Output
from daq.cli.sources import read_source
from daq.config import Config, load_config
from daq.core import ScriptCheck, ScriptSyntaxError, signature
from daq.drivers import Timebase, build_drivers
from daq.drivers.declarative import is_description
from daq.scripting import Sandbox, SandboxLimits
from daq.supervision import SafetySettings, read_safety

__all__ = ["check"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Check FILE without running it: a script (.py), a configuration or a description (.toml).

    Prints what was found, or every problem with its place; exit status 1 when there is one.
    """
    output = Output(as_json=as_json)
    if file.suffix == ".toml":
        show = show_description if is_description(read_source(file)) else _show_configuration
        ctx.exit(show(output, file))
    if file.suffix != ".py":
        raise click.BadParameter(f"{file} is neither a script (.py) nor a configuration (.toml)")
    result = trio.run(_checked, read_source(file), file.name)
    if as_json:
        output.document({"file": file, "accepted": result.accepted, "check": result})
        ctx.exit(0 if result.accepted else 1)
    if not result.accepted:
        raise ScriptSyntaxError("\n".join(d.render(str(file)) for d in result.diagnostics))
    _show_script(output, file, result)


async def _checked(source: str, filename: str) -> ScriptCheck:
    """Check in a sandbox of its own, as a daemon would."""
    sandbox = Sandbox(SandboxLimits(allow_unconfined=True))  # nothing of the script is run
    async with trio.open_nursery() as nursery:
        await nursery.start(sandbox.run)
        result = await sandbox.check(source, filename)
        nursery.cancel_scope.cancel()
    return result


def _show_script(output: Output, file: Path, result: ScriptCheck) -> None:
    output.line(f"{file}: ", Cell("ok", "green"))
    if result.description:
        output.line(result.description.strip().partition("\n")[0])
    if result.parameters:
        output.line(Cell(signature(result.parameters), "cyan"))


def _show_configuration(output: Output, file: Path) -> int:
    config = load_config(file)
    failures, safety = trio.run(_build, config)
    document = {
        "file": file,
        "accepted": not failures,
        "devices": {device.id: device.driver for device in config.devices.values()},
        "failures": failures,
        "unguarded": safety.unguarded,
        "doubts": safety.doubts,
    }
    output.show(document, lambda out: _render_configuration(out, file, config, failures))
    for why in (*safety.unguarded.values(), *safety.doubts):
        output.note(Cell("warning: ", "yellow"), why)
    return 1 if failures else 0


async def _build(config: Config) -> tuple[dict[str, str], SafetySettings]:
    """Build the drivers, which checks their options and talks to no instrument.

    Certificates, tokens and safety too.
    """
    read_access(config.server)
    drivers, failures = build_drivers(config.devices, Timebase())
    return failures, read_safety(config, drivers)


def _render_configuration(
    output: Output, file: Path, config: Config, failures: dict[str, str]
) -> None:
    verdict = Cell("not usable", "bold red") if failures else Cell("ok", "green")
    output.line(f"{file}: ", verdict)
    output.fields(
        [
            ("listens on", f"{config.server.host}:{config.server.port}"),
            ("data", str(config.storage.directory)),
        ]
    )
    output.table(
        ["device", "driver", "problem"],
        [
            (device.id, device.driver, Cell(failures.get(device.id, ""), "red"))
            for device in config.devices.values()
        ],
    )

"""The demonstration: a daemon, a scan, a file, a figure, and a check of the physics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from daq.cli.following import follow, show_end
from daq.cli.local_daemon import ended_by_signals, local_daemon
from daq.cli.showing.errors import INTERRUPTED, ExitStatus
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import render_devices
from daq.client import AsyncClient, Credentials
from daq.core import DaqError, ExecutionState

if TYPE_CHECKING:
    from daq.cli.demo.beam_fit import BeamFit

__all__ = ["demo"]

TOLERANCE_PERCENT = 2.0
SCRIPT = "knife_edge"
DWELL_S = 0.05
"""At each point, so that there is something to watch."""


@click.command()
@click.option(
    "--output",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("daq-demo"),
    show_default=True,
    help="Where the data and the plot are left.",
)
@click.pass_context
def demo(ctx: click.Context, directory: Path) -> None:
    """A whole session on the simulated bench, in one command.

    Starts a daemon, uploads a knife-edge scan, watches it, fits the beam's waist to what was
    recorded, and leaves the HDF5 file and a plot. Exit status 1 when the waist that was measured
    is more than 2 % off the one that the bench simulates.
    """
    try:
        status = asyncio.run(_demo(directory, Output()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted; the daemon has made the bench safe and ended", err=True)
        status = INTERRUPTED
    ctx.exit(status)


async def _demo(directory: Path, output: Output) -> int:
    output.note(Cell("starting a daemon on the simulated bench", "dim"))
    with ended_by_signals():
        async with (
            local_daemon(directory) as address,
            AsyncClient(address, credentials=Credentials()) as client,
        ):
            return await _session(client, directory / f"{SCRIPT}.png", output)


async def _session(client: AsyncClient, figure: Path, output: Output) -> int:
    """What a user would do: look around, upload, start, watch, read back, evaluate."""
    render_devices(output, await client.devices.list())
    script = await client.scripts.upload(_script_source(), name=SCRIPT)
    execution = await client.scripts.start(script.id, {"dwell": DWELL_S})
    view = await follow(client, execution, output)
    status = await show_end(client, view, output)
    if view.record.state is not ExecutionState.COMPLETED:
        return status
    scan = await _read_scan(client, view.record.run_ids[0])
    fit = await asyncio.to_thread(_evaluate, scan, figure)
    output.line(Cell("plot ", "dim"), Cell(str(figure), "bold"))
    return _show_verdict(output, fit, scan)


def _script_source() -> str:
    return resources.files("daq.cli.demo").joinpath(f"{SCRIPT}.script").read_text("utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What was recorded, and the truth that the bench was configured with."""

    position: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]
    units: tuple[str, str]
    """Of position and power."""
    waist: float
    """In the units of the position."""


async def _read_scan(client: AsyncClient, run_id: str) -> _Scan:
    table = await client.runs.columns(run_id)
    run = await client.runs.get(run_id)
    units = {column.name: column.units for s in run.streams for column in s.columns}
    waist = await client.devices.get("laser", "beam_waist")
    if waist.units != units["stage"]:
        raise DaqError(f"the waist is given in {waist.units}, the position in {units['stage']}")
    return _Scan(
        table["stage"],
        table["power_meter"],
        (units["stage"], units["power_meter"]),
        float(waist.value),
    )


def _evaluate(scan: _Scan, figure: Path) -> BeamFit:
    # scipy and matplotlib load slowly, and only here are they needed.
    from daq.cli.demo.beam_fit import fit_knife_edge
    from daq.cli.demo.figure import draw

    fit = fit_knife_edge(scan.position, scan.power)
    draw(figure, scan.position, scan.power, fit, scan.waist, scan.units)
    return fit


def _show_verdict(output: Output, fit: BeamFit, scan: _Scan) -> int:
    deviation = 100 * (fit.waist / scan.waist - 1)
    good = abs(deviation) <= TOLERANCE_PERCENT
    units = scan.units[0]
    output.line(
        f"beam waist {fit.waist:.4f} ± {fit.waist_error:.4f} {units} measured, "
        f"{scan.waist:.4f} {units} on the bench: ",
        Cell(f"{deviation:+.2f} %", "green" if good else "bold red"),
    )
    if not good:
        output.note(Cell(f"that is more than {TOLERANCE_PERCENT:g} % off", "bold red"))
    return ExitStatus.COMPLETED if good else ExitStatus.ERROR

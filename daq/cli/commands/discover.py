"""`daq discover`: the serial ports, and the known instruments that answer on them."""

from __future__ import annotations

from typing import Any

import click
import trio

from daq.cli.showing.output import Cell, Output
from daq.drivers.discovery import (
    Finding,
    PortInfo,
    known_probes,
    serial_ports,
)
from daq.drivers.discovery import (
    discover as ask_ports,
)
from daq.transport import open_serial_loop

__all__ = ["discover"]


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="List the ports; ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def discover(ports: tuple[str, ...], only_list: bool, as_json: bool) -> None:
    """List the serial ports, and ask on each which of the known instruments is there.

    PORTS, such as /dev/ttyUSB0 or 192.168.1.7:5025, are asked instead of all. Only identities are
    asked for. A port that a daemon has open is not disturbed.
    """
    output = Output(as_json=as_json)
    chosen = tuple(PortInfo(address) for address in ports) or serial_ports()
    findings = [Finding(port) for port in chosen] if only_list else trio.run(_ask, chosen)
    findings.sort(key=lambda finding: (finding.port.address, finding.options))
    output.show([_as_document(f) for f in findings], lambda out: _render(out, findings))


async def _ask(ports: tuple[PortInfo, ...]) -> list[Finding]:
    findings: list[Finding] = []
    async with open_serial_loop():
        await ask_ports(ports, known_probes(), findings.append)
    return findings


def _as_document(finding: Finding) -> dict[str, Any]:
    return {
        "port": finding.port.address,
        "summary": finding.port.summary,
        "identity": finding.identity,
        "options": [dict(options) for options in finding.options],
        "problem": finding.problem,
    }


def _render(output: Output, findings: list[Finding]) -> None:
    if not findings:
        output.line("there are no serial ports")
        return
    output.table(
        ["port", "adapter", "instrument", "configure it with"],
        [
            (
                finding.port.address,
                finding.port.summary,
                Cell(finding.identity, "green")
                if finding.identity
                else Cell(finding.problem, "red"),
                " or ".join(_in_toml(options) for options in finding.options),
            )
            for finding in findings
        ],
    )


def _in_toml(options: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(
        f"{name} = {value}" if name == "axis" else f'{name} = "{value}"' for name, value in options
    )

"""What the shell offers after Tab where only the daemon knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from daq.cli.main import cli
from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    Preset,
    RunOutcome,
    RunSummary,
    Script,
    ScriptParameter,
    Transition,
    standard,
)
from daq.wire.convert import (
    device_to_wire,
    parameter_to_wire,
    preset_to_wire,
    run_to_wire,
    script_to_wire,
    status_to_wire,
)
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon

ROOT = Path(__file__).parents[3]
STAGE = DeviceDescription(
    "stage", "simulated", Category.STAGE, frozenset({Capability.MOVABLE}), Channel("stage", "mm"),
    label="Knife edge",
)  # fmt: skip
LASER = DeviceDescription(
    "laser", "simulated", Category.LASER, frozenset(), Channel("laser", "W"),
    parameters=(standard("shutter"), standard("wavelength")),
)  # fmt: skip
SCRIPT = Script("s1", "knife_edge", "", "", 5, parameters=(ScriptParameter("points", "int"),))


def view(id_: str, state: ExecutionState) -> ExecutionView:
    record = ExecutionRecord(id_, "s1", "knife_edge", {}, "ada", (Transition(state, 1),))
    return ExecutionView(record, 1)


def devices(_: object) -> pb.ListDevicesResponse:
    wire = [
        device_to_wire(d, DeviceSnapshot(d.id, DeviceState.READY, 1, 1)) for d in (STAGE, LASER)
    ]
    return pb.ListDevicesResponse(wire)


ANSWERS: dict[str, Any] = {
    "ListDevices": devices,
    "ListParameters": lambda r: pb.ListParametersResponse(
        [parameter_to_wire(r.device_id, row) for row in LASER.parameters]
    ),
    "ListScripts": lambda r: pb.ListScriptsResponse([script_to_wire(SCRIPT)], 1),
    "GetScript": lambda r: pb.GetScriptResponse(script_to_wire(SCRIPT)),
    "ListExecutions": lambda r: pb.ListExecutionsResponse(
        [
            status_to_wire(view("e2", ExecutionState.RUNNING)),
            status_to_wire(view("e1", ExecutionState.COMPLETED)),
        ],
        2,
    ),
    "ListRuns": lambda r: pb.ListRunsResponse(
        [run_to_wire(RunSummary("r1", "scan", 5, 9, RunOutcome.COMPLETED))], 1
    ),
    "ListPresets": lambda r: pb.ListPresetsResponse([preset_to_wire(Preset("aligned", 5))]),
}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("read ", "stage laser"),
        ("read s", "stage"),
        ("move ", "stage"),
        ("open ", "laser"),
        ("get laser ", "shutter wavelength"),
        ("set laser w", "wavelength"),
        ("set laser shutter ", "closed open"),
        ("set laser wavelength ", ""),
        ("call stage h", "home"),
        ("live laser.", "laser.shutter laser.wavelength"),
        ("stream --channels st", "stage"),
        ("start ", "knife_edge"),
        ("start knife_edge --param ", "points="),
        ("status ", "e2 e1"),
        ("stop ", "e2 stage laser"),
        ("runs show ", "r1"),
        ("runs plot --with ", "r1"),
        ("presets load ", "aligned"),
        ("presets save new ", "stage laser"),
    ],
)
def test_what_the_daemon_knows_is_offered(typed: str, offered: str) -> None:
    *arguments, incomplete = typed.split(" ")
    with FakeDaemon(ANSWERS) as daemon:
        arguments = ["client", "--address", daemon.address, *arguments]
        found = ShellComplete(cli, {}, "daq", "").get_completions(arguments, incomplete)
    assert " ".join(item.value for item in found) == offered


def test_without_a_daemon_nothing_is_offered_and_nothing_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["client", "--address", "127.0.0.1:1", "read"]
    assert ShellComplete(cli, {}, "daq", "").get_completions(arguments, "") == []
    assert capsys.readouterr() == ("", "")


_ASK = {
    "bash": """
        compopt() { :; }
        COMP_LINE="$LINE"; COMP_POINT=${#LINE}; _daq_completion; echo "${COMPREPLY[*]}"
    """,
    "zsh": """
        _describe() { print ${described[@]} }; compadd() { print ${plain[@]} }
        words=(${(z)LINE}); [[ $LINE == *" " ]] && words+=(""); CURRENT=$#words; _daq_completion
    """,
    "fish": """complete -C "$LINE" """,
}
_SOURCE = {
    "bash": 'source "$SCRIPT"',
    "zsh": 'compdef() { : }; source "$SCRIPT"',
    "fish": 'source "$SCRIPT"',
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_also_after_python_m(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    script = tmp_path / "completion"
    arguments = [sys.executable, "-m", "daq", "completion", shell]
    script.write_bytes(subprocess.run(arguments, check=True, capture_output=True).stdout)
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    with FakeDaemon(ANSWERS) as daemon:
        environment = os.environ | {
            "LINE": f"python3 -m daq client --address {daemon.address} move st",
            "SCRIPT": str(script),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        flags = ["-f"] if shell == "zsh" else []
        done = subprocess.run(
            [program, *flags, "-c", f"{_SOURCE[shell]}\n{_ASK[shell]}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.stdout.replace("\t", ":").split()[:1] in (["stage"], ["stage:Knife"]), done

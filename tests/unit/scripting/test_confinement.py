"""The system call filter, run on a model of the kernel's filter machine, and the zygote's diet."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from daq.scripting.child.confinement import REQUIRED
from daq.scripting.child.script_process import _is_confined
from daq.scripting.child.system_calls import MACHINES, filter_program

ALLOW, KILL, EPERM = 0x7FFF0000, 0x80000000, 0x00050001
OWN_PID = 4242
GUARDED = {"mmap", "mprotect", "tgkill"}


def decide(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the kernel would do: an interpreter of the few instructions that the filter uses."""
    audit = MACHINES[machine].audit if audit is None else audit
    data = struct.pack("<IIQ6Q", number, audit, 0, *[*arguments, *[0] * (6 - len(arguments))])
    program = list(struct.iter_unpack("HBBI", filter_program(machine, OWN_PID)))
    position = accumulator = 0
    while True:
        code, if_true, if_false, operand = program[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                position += if_true if accumulator == operand else if_false
            case 0x35:
                position += if_true if accumulator >= operand else if_false
            case 0x45:
                position += if_true if accumulator & operand else if_false
            case 0x06:
                return operand


@pytest.fixture(params=sorted(MACHINES))
def machine(request) -> str:
    return request.param


def test_what_is_allowed_passes(machine) -> None:
    for name, number in MACHINES[machine].allowed.items():
        if name not in GUARDED:
            assert decide(machine, number) == ALLOW, name


def test_what_only_an_attacker_tries_kills(machine) -> None:
    for name, number in MACHINES[machine].deadly.items():
        assert decide(machine, number) == KILL, name


def test_everything_else_fails(machine) -> None:
    table = MACHINES[machine]
    known = {*table.allowed.values(), *table.deadly.values()}
    assert {decide(machine, number) for number in range(600) if number not in known} == {EPERM}


def test_memory_is_never_executable(machine) -> None:
    for name in ("mmap", "mprotect"):
        number = MACHINES[machine].allowed[name]
        assert decide(machine, number, 0, 4096, 3) == ALLOW
        assert {decide(machine, number, 0, 4096, prot) for prot in (4, 5, 7)} == {KILL}


def test_signals_go_to_the_process_itself_only(machine) -> None:
    number = MACHINES[machine].allowed["tgkill"]
    assert decide(machine, number, OWN_PID, OWN_PID, 6) == ALLOW
    assert decide(machine, number, 1, 1, 9) == KILL


def test_another_architecture_is_not_spoken(machine) -> None:
    (other,) = set(MACHINES) - {machine}
    assert decide(machine, 0, audit=MACHINES[other].audit) == KILL
    if machine == "x86_64":
        assert decide(machine, 0x40000001) == KILL  # the x32 way of asking


def test_a_process_without_the_filter_counts_as_unconfined() -> None:
    layers = dict.fromkeys([*REQUIRED, "landlock"], "active")
    assert _is_confined(layers | {"landlock": "the kernel has none"})
    assert not _is_confined(layers | {"seccomp": "no table"})


@pytest.mark.parametrize("module", ["trio", "scipy"])
def test_what_runs_scripts_does_not_import(module: str) -> None:
    code = f"import daq.scripting.child.__main__, sys; sys.exit({module!r} in sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert done.returncode == 0

"""The kernel's layers around a script, put on in the freshly forked, single-threaded process."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from daq.scripting.child.system_calls import MACHINES, filter_program

__all__ = ["ACTIVE", "REQUIRED", "confine", "die_with_parent"]

ACTIVE = "active"
REQUIRED = ("no_new_privileges", "seccomp")
"""Without these layers a process counts as unconfined."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_VERSION = 1
_NOBODY = 65534

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def confine(memory_bytes: int, parent: int) -> dict[str, str]:
    """Put on every layer; returns for each `active` or why it does not hold.

    The order matters: credentials go before the death signal, which a change of credentials
    clears, and the system call filter comes last because it forbids the others.
    """
    layers: dict[str, Callable[[], None]] = {
        "memory_limit": lambda: _limit_memory(memory_bytes),
        "resource_limits": _limit_resources,
        "unprivileged_user": _drop_privileges,
        "death_with_parent": lambda: die_with_parent(parent),
        "not_dumpable": lambda: _prctl(_PR_SET_DUMPABLE, 0),
        "no_new_privileges": lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
        "landlock": _landlock,
        "seccomp": _filter_system_calls,
    }
    return {name: _outcome(layer) for name, layer in layers.items()}


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies; exit at once if it has already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _outcome(layer: Callable[[], None]) -> str:
    try:
        layer()
    except (OSError, ValueError) as error:
        return str(error)
    return ACTIVE


def _prctl(option: int, value: int, pointer: object = None) -> None:
    arguments = [ctypes.c_ulong(value), pointer or ctypes.c_ulong(0)]
    if _libc.prctl(option, *arguments, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _limit_memory(extra: int) -> None:
    # The limit is on address space, of which the warm interpreter already holds some.
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_resources() -> None:
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(what, (0, 0))
    os.nice(5)


def _drop_privileges() -> None:
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _landlock() -> None:
    """Deny files, TCP ports, abstract sockets and signals to others, as far as the kernel can."""
    version = _libc.syscall(
        _LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION)
    )
    if version <= 0:
        raise OSError("the kernel has no Landlock")
    files = (1 << 13) - 1
    files |= (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    network = 3 if version >= 4 else 0
    scope = 3 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = ctypes.create_string_buffer(struct.pack("QQQ", files, network, scope)[:size], size)
    ruleset = _libc.syscall(_LANDLOCK_CREATE, rules, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset failed")
    if _libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self failed")
    os.close(ruleset)


def _filter_system_calls() -> None:
    machine = platform.machine()
    if machine not in MACHINES:
        raise OSError(f"no table of system calls for {machine}")
    program = filter_program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    _prctl(
        _PR_SET_SECCOMP,
        _SECCOMP_MODE_FILTER,
        ctypes.byref(_Filter(len(program) // 8, ctypes.addressof(buffer))),
    )

"""The system calls that a script's process may make, as a seccomp filter in raw BPF.

An allow-list: everything else fails with EPERM, and what only an escape would try kills the
process. Numbers are those of the kernel's tables for x86_64 and aarch64.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["MACHINES", "filter_program"]


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int
    """How the kernel names the architecture in a filter's data."""
    allowed: dict[str, int]
    deadly: dict[str, int]


_X86_64 = _Machine(
    audit=0xC000003E,
    allowed={
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "select": 23,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39,
        "sendto": 44, "recvfrom": 45, "exit": 60,
        "gettimeofday": 96, "getrusage": 98, "times": 100, "sigaltstack": 131, "gettid": 186,
        "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "pselect6": 270, "ppoll": 271,
        "getrandom": 318, "membarrier": 324, "rseq": 334,
        "mmap": 9, "mprotect": 10, "tgkill": 234,
    },
    deadly={
        "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "mount": 165,
        "init_module": 175, "kexec_load": 246, "unshare": 272, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "execveat": 322,
        "userfaultfd": 323, "io_uring_setup": 425,
    },
)  # fmt: skip
_AARCH64 = _Machine(
    audit=0xC00000B7,
    allowed={
        "close": 57, "lseek": 62, "read": 63, "write": 64, "pselect6": 72, "ppoll": 73,
        "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "nanosleep": 101,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_yield": 124,
        "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "times": 153, "getrusage": 165, "gettimeofday": 169, "getpid": 172,
        "gettid": 178, "sendto": 206, "recvfrom": 207,
        "brk": 214, "munmap": 215, "mremap": 216, "madvise": 233, "getrandom": 278,
        "membarrier": 283, "rseq": 293,
        "mmap": 222, "mprotect": 226, "tgkill": 131,
    },
    deadly={
        "mount": 40, "unshare": 97, "init_module": 105, "kexec_load": 104, "ptrace": 117,
        "kill": 129, "execve": 221, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282,
        "io_uring_setup": 425,
    },
)  # fmt: skip
MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""By `platform.machine()`."""

_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000
_PROT_EXEC = 4


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


def _deny_executable_memory(number: int) -> list[bytes]:
    """Memory may be mapped, but never executable: no new machine code."""
    return [
        _instruction(_IF_EQUAL, number, 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT + 8 * 2),
        _instruction(_IF_BITS, _PROT_EXEC, 0, 1),
        _instruction(_RETURN, _KILL),
        _instruction(_RETURN, _ALLOW),
    ]


def _allow_own_threads(number: int, pid: int) -> list[bytes]:
    """Signals go to the process itself only: how a crash ends it."""
    return [
        _instruction(_IF_EQUAL, number, 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_IF_EQUAL, pid, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_RETURN, _ALLOW),
    ]


def filter_program(machine: str, pid: int) -> bytes:
    """The filter for the process `pid`; raises KeyError for a machine without a table."""
    table = MACHINES[machine]
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, table.audit, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_instruction(_IF_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)]
    for name, number in table.allowed.items():
        if name in ("mmap", "mprotect"):
            program += _deny_executable_memory(number)
        elif name == "tgkill":
            program += _allow_own_threads(number, pid)
        else:
            program += [_instruction(_IF_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]
    for number in table.deadly.values():
        program += [_instruction(_IF_EQUAL, number, 0, 1), _instruction(_RETURN, _KILL)]
    return b"".join([*program, _instruction(_RETURN, _EPERM)])

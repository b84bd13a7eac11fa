"""The daemon's end of the zygote: start it, ask it for processes, notice when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import trio

import daq
from daq.core import StateError
from daq.scripting.limits import SandboxLimits

__all__ = ["Spawned", "Zygote", "ZygoteLostError"]

_MAX_MESSAGE = 65536
_REAP_TIMEOUT_S = 5.0
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")


class ZygoteLostError(Exception):
    """The zygote is gone, and with it every process that it forked."""


@dataclass(eq=False, slots=True)
class Spawned:
    """A process that the zygote forked; whoever asked for it owns the pidfd."""

    pidfd: int = -1
    pid: int = 0
    ready: trio.Event = field(default_factory=trio.Event)
    exited: trio.Event = field(default_factory=trio.Event)
    status: int | None = None
    """As `os.waitpid` gives it; None while it lives, and for ever if the zygote was lost."""
    failure: str = ""
    """Why there is no process."""


class Zygote:
    """One zygote process, from `serve` until it is gone."""

    def __init__(self, limits: SandboxLimits) -> None:
        self.limits = limits
        """Of the processes that are started from now on."""
        self._socket: socket.socket | None = None
        self._spawned: dict[int, Spawned] = {}
        self._count = 0
        self.pid = 0
        self.ready = trio.Event()
        self.gone = trio.Event()

    async def serve(self) -> None:
        """Start the process and relay its messages; returns when it is gone."""
        process, self._socket = _launch()
        self.pid = process.pid
        try:
            await self._relay(self._socket)
        finally:
            self._socket.close()
            self._socket = None
            self._lose_all()
            with trio.CancelScope(shield=True):
                await _end(process)
            self.gone.set()
            self.ready.set()

    async def spawn(
        self,
        kind: str,
        descriptors: Sequence[int],
        memory_mb: int | None = None,
        *,
        scipy: bool = False,
    ) -> Spawned:
        """Fork a process for `kind` with a connection, a page and a trace pipe.

        `memory_mb` may be less than what its limits allow. With `scipy`, the first one waits until
        that is loaded.

        Raises ZygoteLostError, and StateError when there is no room for one. A cancellation waits
        for the answer, so that no pidfd is lost.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._count += 1
        identity, spawned = self._count, Spawned()
        self._spawned[identity] = spawned
        limits = self.limits
        memory = limits.memory_mb if memory_mb is None else memory_mb
        order = ["spawn", identity, kind, memory, limits.numpy, limits.allow_unconfined, scipy]
        with trio.CancelScope(shield=True):
            await self._send(msgpack.packb(order), descriptors)
            await spawned.ready.wait()
        if spawned.failure:
            raise StateError(spawned.failure)
        if spawned.pidfd < 0:
            raise ZygoteLostError
        return spawned

    @property
    def spawned(self) -> int:
        """How many processes it has forked."""
        return self._count

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        while self._socket is not None:
            try:
                socket.send_fds(self._socket, [data], list(descriptors))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError:
                break
            else:
                return
        raise ZygoteLostError

    async def _relay(self, control: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(control)
            try:
                data, descriptors, _, _ = socket.recv_fds(control, _MAX_MESSAGE, 1)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            self._take(msgpack.unpackb(data), descriptors)

    def _take(self, message: list[Any], descriptors: Sequence[int]) -> None:
        match message:
            case ["ready"]:
                self.ready.set()
            case ["spawned", identity, pid]:
                spawned = self._spawned[identity]
                spawned.pid, spawned.pidfd = pid, descriptors[0]
                spawned.ready.set()
            case ["failed", identity, failure]:
                spawned = self._spawned.pop(identity)
                spawned.failure = failure
                spawned.ready.set()
            case ["exited", identity, status]:
                spawned = self._spawned.pop(identity)
                spawned.status = status
                spawned.exited.set()

    def _lose_all(self) -> None:
        for spawned in self._spawned.values():
            spawned.ready.set()
            spawned.exited.set()
        self._spawned.clear()


def _launch() -> tuple[subprocess.Popen[bytes], socket.socket]:
    # Not through trio: it forks in a worker thread, and the kernel's death signal, which the zygote
    # asks for, follows the thread that forked. When that thread idled out, the zygote was killed.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [
                sys.executable,
                "-s",
                "-B",
                "-P",
                "-m",
                "daq.scripting.child",
                str(number),
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[number],
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
    ours.setblocking(False)
    return process, ours


def _environment() -> dict[str, str]:
    home = str(Path(daq.__file__).parent.parent)
    paths = [str(Path(entry).absolute()) for entry in sys.path]
    if home not in paths:
        paths.append(home)
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(paths),
        # A second thread would make forking unsafe.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it, and its children with it, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    if process.poll() is not None:
        return
    pidfd = os.pidfd_open(process.pid)
    try:
        with trio.move_on_after(_REAP_TIMEOUT_S):
            await trio.lowlevel.wait_readable(pidfd)
            process.wait()
    finally:
        os.close(pidfd)

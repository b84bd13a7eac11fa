"""The zygote: a warm, single-threaded interpreter that forks one process per script.

It talks to the daemon over a SOCK_SEQPACKET socket: `["spawn", id, job...]` with the descriptors of
a connection, a shared page and a trace pipe comes in; `["spawned", id]` with a pidfd goes out, and
`["exited", id, status]` when the process is gone; `["failed", id, why]` when there is none. It ends
when the daemon does.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress

import msgpack

from daq.scripting.child.confinement import die_with_parent
from daq.scripting.child.script_process import Descriptors, Job, live
from daq.scripting.child.warmth import warm_up, warm_up_scipy
from daq.scripting.signals import IGNORED_AT_BIRTH

_MAX_MESSAGE = 65536
_DESCRIPTORS = 3


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, tuple[int, int]] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the daemon is gone."""
        self._say("ready")
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                elif not self._take_order():
                    return

    def _say(self, *message: object, descriptors: tuple[int, ...] = ()) -> None:
        socket.send_fds(self._control, [msgpack.packb(message)], descriptors)

    def _reap(self, pidfd: int) -> None:
        pid, identity = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._say("exited", identity, status)

    def _take_order(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE, _DESCRIPTORS)
        if not data:
            return False
        _, identity, *fields = msgpack.unpackb(data)
        job = Job(*fields)
        if job.scipy and job.numpy:
            warm_up_scipy()
            gc.freeze()
        try:
            pid = _fork(job, descriptors)
        except OSError as error:
            self._say("failed", identity, f"no process could be made: {error.strerror}")
            return True
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (pid, identity)
        self._poll.register(pidfd, select.POLLIN)
        self._say("spawned", identity, pid, descriptors=(pidfd,))
        return True


def _fork(job: Job, descriptors: list[int]) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        connection, page, trace = descriptors
        live(job, Descriptors(socket.socket(fileno=connection), page, trace), zygote)
    return pid


def main() -> None:
    """Warm up, then serve on the socket whose descriptor is the first argument."""
    control, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(parent)
    # Signals to the whole group or service are for the daemon, which ends scripts in good order.
    for group_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(group_signal, signal.SIG_IGN)
    # A stop may reach a script's process before its own handler stands; it must not kill it.
    for control_signal in IGNORED_AT_BIRTH:
        signal.signal(control_signal, signal.SIG_IGN)
    warm_up()
    gc.disable()  # else a collection could write to every page that is shared with a fork
    gc.collect()
    gc.freeze()
    with suppress(ConnectionError):  # the daemon died in the middle of something
        _Zygote(control).serve()


if __name__ == "__main__":
    main()

"""What happens when processes cannot be had, or the daemon itself dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgpack

ROOT = Path(__file__).parents[3]
DAEMON = """
import trio
from daq.scripting import Sandbox, SandboxLimits

class Bench:
    async def perform(self, request, *, stopping=False):
        print(pids(), flush=True)

def pids():
    zygote = box.statistics().zygote_pid
    children = open(f"/proc/{zygote}/task/{zygote}/children").read()
    return zygote, *map(int, children.split())

box = Sandbox(SandboxLimits())

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda *, task_status: box.run(task_status=task_status))
        await box.program("print(1)\\nsum(range(10**12))", "s.py", {}, "e").run(Bench())

trio.run(main)
"""


def test_a_daemon_that_is_killed_takes_zygote_and_scripts_with_it() -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with daemon:
        assert daemon.stdout is not None
        pids = eval(daemon.stdout.readline())
        assert len(pids) == 2
        daemon.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(map(lives, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_zygote_that_cannot_fork_says_why_and_lives_on() -> None:
    code = (
        "import os, sys\n"
        "from daq.scripting.child import __main__ as zygote\n"
        "def fork():\n    raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "os.fork = fork\n"
        "zygote.main()"
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        assert msgpack.unpackb(ours.recv(1000)) == ["ready"]
        for identity in (1, 2):
            order = msgpack.packb(["spawn", identity, "probe", 64, True, False])
            socket.send_fds(ours, [order], [0, 0, 0])
            assert msgpack.unpackb(ours.recv(1000)) == [
                "failed",
                identity,
                "no process could be made: Resource temporarily unavailable",
            ]
    assert process.wait(5) == 0

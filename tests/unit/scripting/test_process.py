"""The parent's side of a script's process: what it does not do once that is over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import trio
import trio.testing

from daq.scripting.parent.process import ConfinedProcess
from daq.scripting.parent.zygote import Spawned
from daq.scripting.shared_page import SharedPage

IGNORES = "import signal, time\nfor n in (10, 12): signal.signal(n, signal.SIG_IGN)\nprint()\n"


async def test_who_asks_where_it_stands_when_it_ends_signals_and_reads_nobody_else():
    def child():
        process = subprocess.Popen(
            [sys.executable, "-c", f"{IGNORES}time.sleep(60)"], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        process.stdout.close()
        return process

    first, second = await trio.to_thread.run_sync(child), await trio.to_thread.run_sync(child)
    pidfd = os.pidfd_open(first.pid)
    page, descriptor = SharedPage.create()
    os.close(descriptor)
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ours, theirs = socket.socketpair()
    lines = []

    async def ask() -> None:
        lines.append(await process.locate())

    async with trio.open_nursery() as nursery:
        async with ConfinedProcess(Spawned(pidfd), ours, page, read_end) as process:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
        # At once the descriptors mean something else, as the next script's would.
        other = os.pidfd_open(second.pid)
        os.dup2(other, pidfd)
        os.close(other)
        os.write(write_end, b"not for us")
    process.signal(signal.SIGKILL)
    assert lines == [0]
    assert os.read(read_end, 100) == b"not for us"
    assert second.poll() is None
    for each in (first, second):
        each.kill()
        await trio.to_thread.run_sync(each.wait)
    for number in (pidfd, read_end, write_end):
        os.close(number)
    theirs.close()
    page.close()

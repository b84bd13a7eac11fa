"""The daemon as its guard finds it: dead, hung, or only busy, and with which lines open."""

from __future__ import annotations

import ipaddress
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .line import Json, host_and_port, real_port
from .silence import Look

GONE_S = 0.3
"""What the kernel gets to take a killed daemon away, and to close its lines."""
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """The daemon as its guard finds it: dead, or alive and standing still with its lines open."""

    def __init__(self, orders: Json, has_spoken: Callable[[], bool]) -> None:
        self._pid: int = orders["pid"]
        self._may_kill: bool = orders["kill_frozen"]
        self._has_spoken = has_spoken
        self._killing = threading.Lock()
        self.killed = False

    def look(self) -> Look:
        """How it is now; raises OSError when it is gone."""
        if not self.lives():  # its number may be somebody else's by now
            raise ProcessLookupError(f"{self._pid} is gone")
        threads = Path(f"/proc/{self._pid}/task")
        loop = _status(threads / str(self._pid))  # the loop is in the first thread
        others = []
        for thread in threads.iterdir():
            with suppress(OSError):  # ended meanwhile
                others.append(_status(thread)["State"][0])
        times = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return Look(
            state=loop["State"][0],
            turns=sum(int(loop[f"{how}voluntary_ctxt_switches"]) for how in ("", "non")),
            threads="".join(others),
            ran_s=sum(map(int, times.split()[11:13])) / _CLOCK_TICKS,
        )

    def holds(self, port: str) -> bool:
        """Whether it lives and has this port open; yes when that cannot be told."""
        if not self.lives():
            return False
        scheme, separator, rest = port.partition("://")
        try:
            if not separator:
                return real_port(port) in map(real_port, _open_files(self._pid))
            return scheme in ("tcp", "socket") and is_connected(self._pid, *host_and_port(rest))
        except OSError:
            return True

    def give_way(self) -> bool:
        """Kill it, unless it has come back to life or may not be killed; True when it is gone."""
        with self._killing:
            if self.killed or not self.lives():
                return True
            if not self._may_kill or self._has_spoken():
                return False
            pidfd = os.pidfd_open(self._pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], GONE_S)
            finally:
                os.close(pidfd)
            self.killed = True
            return True

    def lives(self) -> bool:
        return os.getppid() == self._pid  # a dead one's child is somebody else's, whatever its pid


def _status(thread: Path) -> dict[str, str]:
    lines = (thread / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _open_files(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(link.readlink()))
    return found


def is_connected(pid: int, host: str, number: int) -> bool:
    """Whether the process has a TCP connection to there."""
    ours = _open_files(pid)
    wanted = {info[4][0] for info in socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, _, remote, state, *_, inode = line.split()[:10]
            address, _, port = remote.partition(":")
            is_ours = state == "01" and f"socket:[{inode}]" in ours  # established
            if is_ours and int(port, 16) == number and _address(address) in wanted:
                return True
    return False


def _address(text: str) -> str:
    """An address from the kernel's table: words of 32 bits, in the machine's byte order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)

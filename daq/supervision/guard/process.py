"""The guard: carries out the instruments' last wills when the daemon dies or hangs.

A program of its own, run by path and not imported by the daemon: it uses the standard library only,
so that it starts in a moment and needs little memory, and it shares nothing with the daemon but one
socket, which is its standard input. On it come lines of JSON:

    {"arm": {...}}      what to do, where to write it down, after how long a silence
    {"beat": n}         the daemon lives
    {"bye": true}       the daemon ends, with everything safe

The end of the socket without a goodbye, or a silence, lets it act. It answers with `{"armed": ...}`
and, when it has acted and somebody still listens, `{"acted": PATH}`.
"""

from __future__ import annotations

import copy
import fcntl
import ipaddress
import json
import os
import re
import select
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

ACT_S = 1.8
"""What carrying out all last wills may take: together with noticing a dead daemon, under 2 s."""
REPLIES_S = 1.5
"""What the instruments get to answer, of that."""
TICK_S = 0.25
CONNECT_S = 0.8
HELD_S = 0.5
"""What an instrument gets that may have no ear for us while the daemon stands on its line."""
GONE_S = 0.3
"""What the kernel gets to take a killed daemon away, and to close its lines."""

Json = dict[str, Any]


class Line:
    """An open serial port, pseudo-terminal, connection or file, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, data: bytes) -> None:
        while data:
            select.select([], [self._descriptor], [], ACT_S)
            data = data[os.write(self._descriptor, data) :]

    def receive(self, timeout: float) -> bytes:
        """What came within `timeout` seconds, empty when nothing did."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return b""
        if not (data := os.read(self._descriptor, 4096)):
            raise ConnectionResetError("the instrument closed the line")
        return data

    def close(self) -> None:
        os.close(self._descriptor)


def open_line(port: str, serial: Json) -> Line:
    """Open a port by its URL; a plain path is a serial port."""
    scheme, separator, rest = port.partition("://")
    if not separator:
        return _open_serial(port, serial)
    if scheme == "file":
        return Line(os.open(rest, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644))
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_S)
            connection.connect(rest)
            return Line(connection.detach())
    if scheme in ("tcp", "socket"):
        return Line(socket.create_connection(_host_and_port(rest), CONNECT_S).detach())
    raise OSError(f"a last will cannot be sent to {port!r}: use a path, tcp://, unix:// or file://")


def _host_and_port(rest: str) -> tuple[str, int]:
    host, _, number = rest.rpartition(":")
    return host.strip("[]"), int(number)


def _open_serial(path: str, serial: Json) -> Line:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _set_up(descriptor, serial)
    except BaseException:
        os.close(descriptor)
        raise
    return Line(descriptor)


def _set_up(descriptor: int, serial: Json) -> None:
    """Raw bytes at the given rate; what the instrument said to the daemon is thrown away."""
    speed = getattr(termios, f"B{serial['baud']}", None)
    if speed is None:
        raise OSError(f"{serial['baud']} baud is no standard rate")
    control = termios.CREAD | termios.CLOCAL | getattr(termios, f"CS{serial['data_bits']}")
    control |= termios.CSTOPB if serial["stop_bits"] == 2 else 0
    control |= {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}[serial["parity"]]
    control |= termios.CRTSCTS if serial["rts_cts"] else 0
    input_flags = termios.IXON | termios.IXOFF if serial["xon_xoff"] else 0
    special = termios.tcgetattr(descriptor)[6]
    special[termios.VMIN], special[termios.VTIME] = 0, 0
    attributes = [input_flags, 0, control, 0, speed, speed, special]
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    termios.tcflush(descriptor, termios.TCIOFLUSH)


class Daemon:
    """The daemon as its guard finds it: dead, or alive and standing still with its lines open."""

    def __init__(self, orders: Json, has_spoken: Callable[[], bool]) -> None:
        self._pid: int = orders["pid"]
        self._may_kill: bool = orders["kill_frozen"]
        self._has_spoken = has_spoken
        self._killing = threading.Lock()
        self.killed = False

    def holds(self, port: str) -> bool:
        """Whether it lives and has this port open; yes when that cannot be told."""
        if not self._lives():
            return False
        scheme, separator, rest = port.partition("://")
        try:
            if not separator:
                return os.path.realpath(port) in _open_files(self._pid)
            return scheme in ("tcp", "socket") and _is_connected(self._pid, *_host_and_port(rest))
        except OSError:
            return True

    def give_way(self) -> bool:
        """Kill it, unless it has come back to life or may not be killed; True when it is gone."""
        with self._killing:
            if self.killed or not self._lives():
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

    def _lives(self) -> bool:
        return os.getppid() == self._pid  # a dead one's child is somebody else's, whatever its pid


def _open_files(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(link.readlink()))
    return found


def _is_connected(pid: int, host: str, number: int) -> bool:
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


def blank_report(port: str, wills: list[Json]) -> Json:
    return {
        "port": port,
        "devices": [will["device"] for will in wills],
        "summary": "; ".join(will["summary"] for will in wills if will["summary"]),
        "frames": [],
        "ok": False,
        "error": "did not end in time",
        "daemon_killed": False,
    }


def fill_in(report: Json, wills: list[Json], deadline: float, daemon: Daemon) -> None:
    """Do it, and write down what happens as it happens: who waits may not wait for the end.

    A daemon that stands still and holds the port is killed when nothing else helps: an instrument
    that serves one connection leaves ours waiting behind the daemon's.
    """
    began = time.monotonic()
    held, is_serial = daemon.holds(report["port"]), "://" not in report["port"]
    patience = HELD_S if held and not is_serial else deadline - began
    error = _try(report, wills, began + patience)
    # A serial port that can be opened is ours. A connection that nobody answers may be in a queue.
    was_heard = any(is_serial or frame["reply"] for frame in report["frames"])
    if held and not was_heard:
        report["ok"] = False
        if daemon.give_way():
            report |= {"frames": [], "daemon_killed": True}
            error = _try(report, wills, deadline)
        else:
            error = error or "nothing was heard; the daemon that stands still holds the line"
    report["duration_s"] = round(time.monotonic() - began, 4)
    report["error"] = error


def _try(report: Json, wills: list[Json], deadline: float) -> str:
    """Send every frame, also after one that failed; says why the port could not be used."""
    frames = [frame for will in wills for frame in will["frames"]]
    try:
        with closing(open_line(report["port"], wills[0]["serial"])) as line:
            for number, frame in enumerate(frames):
                fair = max(0.0, deadline - time.monotonic()) / (len(frames) - number)
                report["frames"].append(_exchange(line, frame, fair))
        report["ok"] = all(frame["ok"] for frame in report["frames"])
    except (OSError, termios.error) as failure:
        return str(failure)
    return ""


def _exchange(line: Line, frame: Json, bound_s: float) -> Json:
    """Send one frame and wait for what it has to be answered with."""
    done: Json = {"send": frame["send"], "expected": frame["reply"], "reply": "", "ok": True}
    try:
        line.send(frame["send"].encode("latin-1"))
        if frame["reply"] is not None:
            reply = _await_reply(line, frame["reply"], min(frame["timeout_s"], bound_s))
            done["reply"] = reply.decode("latin-1")
            done["ok"] = re.search(frame["reply"].encode("latin-1"), reply) is not None
    except OSError as error:
        done |= {"ok": False, "error": str(error)}
    return done


def _await_reply(line: Line, pattern: str, timeout: float) -> bytes:
    wanted = re.compile(pattern.encode("latin-1"))
    reply = b""
    end = time.monotonic() + timeout
    while not wanted.search(reply) and (left := end - time.monotonic()) > 0:
        reply += line.receive(left)
    return reply


def act(orders: Json, reason: str, daemon: Daemon) -> Path:
    """Carry out everything, all ports at the same time; returns where the report is."""
    began, started = time.monotonic(), time.time()
    ports: dict[str, list[Json]] = {}
    for will in orders["wills"]:
        ports.setdefault(will["port"], []).append(will)
    reports = [blank_report(port, wills) for port, wills in ports.items()]
    threads = [
        threading.Thread(
            target=fill_in, args=(each, ports[each["port"]], began + REPLIES_S, daemon), daemon=True
        )
        for each in reports
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + ACT_S - time.monotonic()))
    report = {
        "reason": reason,
        "daemon_pid": orders["pid"],
        "daemon_killed": daemon.killed,
        "timestamp_ns": int(started * 1e9),
        "duration_s": round(time.monotonic() - began, 4),
        "ports": copy.deepcopy(reports),
    }
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
    return _write(Path(orders["directory"]), f"report-{stamp}-{orders['pid']}.json", report)


def _write(directory: Path, name: str, report: Json) -> Path:
    """On disk before it is there under its name: nobody ever reads half of it."""
    unfinished = directory / f".{name}"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return unfinished.rename(directory / name)


class Watch:
    """Listens to the daemon, and acts when it falls silent or ends without a word."""

    def __init__(
        self, link: socket.socket, perform: Callable[[Json, str, Daemon], Path] = act
    ) -> None:
        self._link = link
        self._perform = perform
        self._buffer = b""
        self._orders: Json | None = None
        self._silent_s = 0.0
        self._acted = False

    def run(self) -> None:
        """Until the daemon has said goodbye, or is gone."""
        while True:
            began = time.monotonic()
            ready, _, _ = select.select([self._link], [], [], TICK_S)
            if ready:
                if not self._listen():
                    return
            else:
                # A tick that took longer was the whole machine's pause, not the daemon's silence.
                self._silent_s += min(time.monotonic() - began, 2 * TICK_S)
            self._judge()

    def _listen(self) -> bool:
        """Take in what the daemon says; False when there is nothing more to do."""
        try:
            data = self._link.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._intervene("the daemon died")
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return all(self._take(json.loads(line)) for line in lines)

    def _take(self, message: Json) -> bool:
        self._silent_s = 0.0
        if "arm" in message:
            self._orders, self._acted = message["arm"], False
            self._say({"armed": len(message["arm"]["wills"])})
        return "bye" not in message

    def _judge(self) -> None:
        if self._orders is not None and self._silent_s >= self._orders["timeout_s"]:
            self._intervene(f"the daemon gave no sign of life for {self._silent_s:.1f} s")

    def _intervene(self, reason: str) -> None:
        if self._orders is None or self._acted:
            return
        self._acted = True
        path = self._perform(self._orders, reason, Daemon(self._orders, self._has_spoken))
        self._say({"acted": str(path)})

    def _has_spoken(self) -> bool:
        """Whether something came from the daemon that nobody has read yet."""
        return bool(select.select([self._link], [], [], 0)[0])

    def _say(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # nobody listens any more: it is written down
            self._link.send(json.dumps(message).encode() + b"\n", socket.MSG_DONTWAIT)


def main(lock: str) -> None:
    """Watch the daemon at the other end of standard input."""
    # What ends the daemon often goes to all of its children too: the guard outlives it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with Path(lock).open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the next daemon waits until this guard has finished
        held.write(str(os.getpid()))
        held.flush()
        Watch(socket.socket(fileno=0)).run()


if __name__ == "__main__":
    main(sys.argv[1])

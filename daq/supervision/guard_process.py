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
from typing import Any, Protocol

ACT_S = 1.8
"""What carrying out all last wills may take: together with noticing a dead daemon, under 2 s."""
REPLIES_S = 1.5
"""What the instruments get to answer, of that."""
TICK_S = 0.25
CONNECT_S = 0.8

Json = dict[str, Any]


class Line(Protocol):
    """An open port."""

    def send(self, data: bytes) -> None: ...
    def receive(self, timeout: float) -> bytes:
        """What came within `timeout` seconds, empty when nothing did."""

    def close(self) -> None: ...


class DescriptorLine:
    """A serial port, a pseudo-terminal or a file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, data: bytes) -> None:
        while data:
            select.select([], [self._descriptor], [], ACT_S)
            data = data[os.write(self._descriptor, data) :]

    def receive(self, timeout: float) -> bytes:
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        return _something(os.read(self._descriptor, 4096)) if ready else b""

    def close(self) -> None:
        os.close(self._descriptor)


class SocketLine:
    """A TCP or Unix connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def receive(self, timeout: float) -> bytes:
        self._connection.settimeout(timeout)
        try:
            return _something(self._connection.recv(4096))
        except TimeoutError:
            return b""

    def close(self) -> None:
        self._connection.close()


def _something(data: bytes) -> bytes:
    if not data:
        raise ConnectionResetError("the instrument closed the line")
    return data


def open_line(port: str, serial: Json) -> Line:
    """Open a port by its URL; a plain path is a serial port."""
    scheme, separator, rest = port.partition("://")
    if not separator:
        return _open_serial(port, serial)
    if scheme == "file":
        return DescriptorLine(os.open(rest, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644))
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(CONNECT_S)
        connection.connect(rest)
        return SocketLine(connection)
    if scheme in ("tcp", "socket"):
        host, _, number = rest.rpartition(":")
        return SocketLine(socket.create_connection((host.strip("[]"), int(number)), CONNECT_S))
    raise OSError(f"a last will cannot be sent to {port!r}: use a path, tcp://, unix:// or file://")


def _open_serial(path: str, serial: Json) -> DescriptorLine:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _set_up(descriptor, serial)
    except BaseException:
        os.close(descriptor)
        raise
    return DescriptorLine(descriptor)


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


def carry_out(port: str, wills: list[Json], deadline: float) -> Json:
    """Send all frames of one port, in order; returns the report on it."""
    report = _blank_report(port, wills)
    fill_in(report, wills, deadline)
    return report


def _blank_report(port: str, wills: list[Json]) -> Json:
    return {
        "port": port,
        "devices": [will["device"] for will in wills],
        "summary": "; ".join(will["summary"] for will in wills if will["summary"]),
        "frames": [],
        "ok": False,
        "error": "did not end in time",
    }


def fill_in(report: Json, wills: list[Json], deadline: float) -> None:
    """Do it, and write down what happens as it happens: who waits may not wait for the end.

    A frame that fails does not hold up the next.
    """
    began = time.monotonic()
    error = ""
    try:
        with closing(open_line(report["port"], wills[0]["serial"])) as line:
            frames = [frame for will in wills for frame in will["frames"]]
            for number, frame in enumerate(frames):
                fair = max(0.0, deadline - time.monotonic()) / (len(frames) - number)
                report["frames"].append(_exchange(line, frame, fair))
        report["ok"] = all(frame["ok"] for frame in report["frames"])
    except (OSError, termios.error) as failure:
        error = str(failure)
    report["duration_s"] = round(time.monotonic() - began, 4)
    report["error"] = error


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


def act(orders: Json, reason: str) -> Path:
    """Carry out everything, all ports at the same time; returns where the report is."""
    began, started = time.monotonic(), time.time()
    ports: dict[str, list[Json]] = {}
    for will in orders["wills"]:
        ports.setdefault(will["port"], []).append(will)
    reports = [_blank_report(port, wills) for port, wills in ports.items()]
    threads = [
        threading.Thread(
            target=fill_in, args=(each, ports[each["port"]], began + REPLIES_S), daemon=True
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

    def __init__(self, link: socket.socket, perform: Callable[[Json, str], Path] = act) -> None:
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
        path = self._perform(self._orders, reason)
        self._say({"acted": str(path)})

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

"""Carrying out last wills: what is sent, what is answered, what is written down."""

from __future__ import annotations

import copy
import json
import os
import re
import termios
import threading
import time
from contextlib import closing
from pathlib import Path

from .daemon import Daemon
from .line import Json, Line, open_line

ACT_S = 1.8
"""What carrying out all last wills may take: together with noticing a dead daemon, under 2 s."""
REPLIES_S = 1.5
"""What the instruments get to answer, of that."""
HELD_S = 0.5
"""What an instrument gets that may have no ear for us while the daemon stands on its line."""


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

"""Carrying out last wills: what is sent, what is answered, what is made of it."""

from __future__ import annotations

import copy
import re
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from .daemon import Daemon
from .line import Json, Line, open_line, real_port

VERSION = 2
"""Of the report; 1 had no version, and ports in the place of wills."""
ACT_S = 1.8
"""What carrying out all last wills may take: together with noticing a dead daemon, under 2 s."""
REPLIES_S = 1.5
"""What the instruments get to answer, of that."""
HELD_S = 0.5
"""What an instrument gets that may have no ear for us while the daemon stands on its line."""
QUIET_S = 0.05
"""After a half command was ended: its answer is nobody's."""
AGAIN_S = 0.1
"""Between two questions whether it is so by now."""

SAFE, SENT, FAILED = "made safe", "sent", "failed"
"""What became of a will: the instrument has confirmed it, nobody knows, it was not to be done."""


def act(orders: Json, reason: str, daemon: Daemon) -> Json:
    """Carry out everything, all ports at the same time; returns the report."""
    began, started = time.monotonic(), time.time()
    wills = orders["wills"]
    reports = [_blank(will) for will in wills]
    turns = _Turns(wills, began + REPLIES_S / 2)
    ports: dict[str, list[int]] = {}
    for number, will in enumerate(wills):
        ports.setdefault(real_port(will["port"]), []).append(number)
    threads = [
        threading.Thread(
            target=_Port([(wills[n], reports[n]) for n in numbers], turns, daemon).carry_out,
            args=(began + REPLIES_S,),
            daemon=True,
        )
        for numbers in ports.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + ACT_S - time.monotonic()))
    return {
        "version": VERSION,
        "reason": reason,
        "daemon_pid": orders["pid"],
        "daemon_killed": daemon.killed,
        "timestamp_ns": int(started * 1e9),
        "duration_s": round(time.monotonic() - began, 4),
        "wills": copy.deepcopy(reports),
    }


def _blank(will: Json) -> Json:
    return {
        "device": will["device"],
        "port": will["port"],
        "summary": will["summary"],
        "outcome": FAILED,
        "error": "did not end in time",
        "frames": [],
        "daemon_killed": False,
    }


class _Turns:
    """Who waits for whom: light before motion. Nobody waits longer than until `until`."""

    def __init__(self, wills: Sequence[Json], until: float) -> None:
        self._open = {id(will): will["device"] for will in wills}
        self._until = until
        self._changed = threading.Condition()

    def wait(self, will: Json) -> None:
        """Until every device has had its turn that comes before this one's."""
        with self._changed:
            self._changed.wait_for(
                lambda: not set(will["after"]) & set(self._open.values()),
                max(0.0, self._until - time.monotonic()),
            )

    def finish(self, will: Json) -> None:
        with self._changed:
            self._open.pop(id(will), None)
            self._changed.notify_all()


class _Port:
    """All wills of one port, one after the other, under whatever names they know it.

    What happens is written down as it happens: who waits may not wait for the end.
    """

    def __init__(self, wills: Sequence[tuple[Json, Json]], turns: _Turns, daemon: Daemon) -> None:
        self._wills = wills
        self._turns = turns
        self._daemon = daemon
        self._name: str = wills[0][0]["port"]

    def carry_out(self, deadline: float) -> None:
        """A daemon that hangs and holds the port is killed when nothing else helps.

        An instrument that serves one connection leaves ours waiting behind the daemon's.
        """
        self._turns.wait(self._wills[0][0])
        is_serial = "://" not in self._name
        held = self._daemon.holds(self._name)
        began = time.monotonic()
        patience = HELD_S if held and not is_serial else deadline - began
        self._try(began + patience)
        frames = [frame for _, report in self._wills for frame in report["frames"]]
        # A serial port that can be opened is ours. A connection that nobody answers may be queued.
        was_heard = any(is_serial or frame["reply"] for frame in frames)
        if held and not was_heard:
            if self._daemon.give_way():
                for _, report in self._wills:
                    report |= {"daemon_killed": True, "frames": [], "outcome": FAILED}
                self._try(deadline)
            else:
                why = "nothing was heard; the daemon that hangs holds the line"
                for _, report in self._wills:
                    report |= {"outcome": FAILED, "error": report["error"] or why}
        for will, _ in self._wills:
            self._turns.finish(will)

    def _try(self, deadline: float) -> None:
        try:
            line = open_line(self._name)
        except OSError as error:
            for _, report in self._wills:
                report["error"] = str(error)
        else:
            with closing(line):
                self._talk(line, deadline)

    def _talk(self, line: Line, deadline: float) -> None:
        frames_left = sum(len(will["frames"]) for will, _ in self._wills)
        unanswered: list[str] = []
        for will, report in self._wills:
            self._turns.wait(will)
            fair = max(0.0, deadline - time.monotonic()) * len(will["frames"]) / frames_left
            frames_left -= len(will["frames"])
            carry_out(line, will, report, time.monotonic() + fair, unanswered)
            if report["outcome"] != FAILED:
                self._turns.finish(will)


def carry_out(line: Line, will: Json, report: Json, deadline: float, unanswered: list[str]) -> None:
    """Send every frame of one will, also after one that failed.

    Args:
        line: Open; it may have served another instrument before.
        will: What to do.
        report: Where to write down what happens.
        deadline: Of `time.monotonic`.
        unanswered: The patterns of the answers that are still due on this line.
    """
    try:
        line.set_up(will["serial"])
        if will["clear"]:
            line.send(will["clear"].encode("latin-1"), deadline)
            line.forget(QUIET_S if any(f["reply"] for f in will["frames"]) else 0.0)
    except OSError as error:
        report["error"] = str(error)
        return
    for number, frame in enumerate(will["frames"]):
        left = max(0.0, deadline - time.monotonic()) / (len(will["frames"]) - number)
        done = _exchange(line, frame, time.monotonic() + left, unanswered)
        report["frames"].append(done)
    report["error"] = ""
    if all(frame["ok"] for frame in report["frames"]):
        # What follows the last answer is nothing that the instrument has confirmed.
        report["outcome"] = SENT if will["frames"][-1]["reply"] is None else SAFE


def _exchange(line: Line, frame: Json, deadline: float, unanswered: list[str]) -> Json:
    """Send one frame and wait for what it has to be answered with."""
    done: Json = {"send": frame["send"], "expected": frame["reply"], "reply": "", "ok": True}
    try:
        if frame["reply"] is None:
            line.send(frame["send"].encode("latin-1"), deadline)
        else:
            line.forget(0.0)
            _ask(line, frame, min(deadline, time.monotonic() + frame["timeout_s"]), done)
            if done["ok"] and frame["reply"] in unanswered:
                done |= {"ok": False, "error": "the answer may be that to a command before"}
            if not done["reply"]:
                unanswered.append(frame["reply"])
    except OSError as error:
        done |= {"ok": False, "error": str(error)}
    return done


def _ask(line: Line, frame: Json, deadline: float, done: Json) -> None:
    """A question about the state is asked again until the answer is the right one."""
    wanted = re.compile(frame["reply"].encode("latin-1"))
    while True:
        line.send(frame["send"].encode("latin-1"), deadline)
        end = deadline
        if frame["repeat"]:
            end = min(deadline, time.monotonic() + max(AGAIN_S, frame["timeout_s"] / 4))
        reply = b""
        while not (found := wanted.search(reply)) and (left := end - time.monotonic()) > 0:
            reply += line.receive(left)
        done |= {"reply": reply.decode("latin-1") or done["reply"], "ok": found is not None}
        if found or not frame["repeat"] or time.monotonic() >= deadline:
            return

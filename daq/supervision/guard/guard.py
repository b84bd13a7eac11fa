"""The daemon's side of the guard: arms it, keeps telling it that all is well, hears what it did."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from daq.config import GuardConfig
from daq.drivers import LastWill
from daq.supervision.guard.report import GuardReport, file_away, read_report, unseen_reports
from daq.supervision.supervisor import Supervisor

__all__ = ["Guard", "GuardStatistics", "Killer"]

logger = logging.getLogger(__name__)

ARM_S = 5.0
"""What starting the guard may take; the daemon starts without one after that, and says so."""
PREDECESSOR_S = 5.0
"""How long an earlier daemon's guard may still be at work."""
RESTART_S = 1.0
GOODBYE_S = 2.0
LEAVE_S = 3.0
"""What the guard may take to end; it acts within 2 s."""

_PROGRAM = Path(__file__).with_name("process")


class Killer(Protocol):
    """Who ends whatever program runs."""

    async def kill(self, reason: str) -> None:
        """By force, now; nothing when none runs."""


@dataclass(frozen=True, slots=True)
class GuardStatistics:
    """Counted since the daemon started."""

    wills: int
    """Last wills that the guard holds; 0 when there is no guard."""
    armed: bool
    acted: int
    """How often it acted because this daemon fell silent."""
    lost: int
    """How often the guard itself had to be restarted."""


class Guard:
    """A process of its own that carries the last wills out when the daemon dies or hangs.

    Without a device that has a last will, or when it is not enabled, there is none.

    Args:
        wills: By device id.
        directory: Where it writes down what it did.
        supervisor: Its devices are let go when the guard has acted in their place.
        settings: Whether there is to be one, and its times.
    """

    def __init__(
        self,
        wills: Mapping[str, Sequence[LastWill]],
        directory: Path,
        supervisor: Supervisor,
        *,
        settings: GuardConfig,
    ) -> None:
        self._wills = wills if settings.enabled else {}
        self._directory = directory.absolute()
        self._supervisor = supervisor
        self._settings = settings
        self._link: trio.SocketStream | None = None
        self._needed = trio.Event()
        self._has_news = False
        """The guard has not been told of the last wills as they are now."""
        self._speaking = trio.Lock()
        self._armed = trio.Event()
        self._dismissed = False
        self._acted = 0
        self._lost = 0
        self._reports: list[GuardReport] = []

    def __repr__(self) -> str:
        return f"<Guard of {', '.join(self._wills) or 'nothing'}: {self.statistics()}>"

    @property
    def reports(self) -> tuple[GuardReport, ...]:
        """What guards did since the last daemon started well: found at the start, or done since."""
        return tuple(self._reports)

    def statistics(self) -> GuardStatistics:
        wills = sum(len(each) for each in self._wills.values())
        return GuardStatistics(wills, self._armed.is_set(), self._acted, self._lost)

    async def run(
        self, killer: Killer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Report what an earlier guard did, then keep one as long as the daemon runs.

        Started when it is armed. Cancelled before `stand_down`, it leaves the guard to act.
        """
        await trio.to_thread.run_sync(self._prepare, abandon_on_cancel=True)
        if not self._wills:
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await self._needed.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, killer)
            with trio.move_on_after(ARM_S):
                await self._armed.wait()
            if not self._armed.is_set():
                logger.error("the guard did not come up: the last wills are nobody's")
            task_status.started()

    def reconfigure(self, wills: Mapping[str, Sequence[LastWill]]) -> None:
        """From its next heartbeat on it holds these last wills, and no others."""
        if not self._settings.enabled or wills == self._wills:
            return
        self._wills = wills
        self._has_news = True
        if wills:
            self._needed.set()

    async def stand_down(self, not_safe: Collection[str] = ()) -> None:
        """All is safe: the guard may go. Without it, the end of the daemon lets it act.

        Args:
            not_safe: Devices that could not be made safe. If the guard holds the last will of one
                of them, it is not dismissed: it shall try.
        """
        left = [device_id for device_id in self._wills if device_id in not_safe]
        if left:
            logger.error("%s: left to the guard, with all other last wills", ", ".join(left))
            return
        self._dismissed = True
        if self._link is not None:
            with trio.move_on_after(GOODBYE_S), suppress(trio.BrokenResourceError):
                await self._tell(self._link, {"bye": True})

    # ------------------------------------------------------------------------------- the process

    async def _keep(self, killer: Killer) -> None:
        """Restart a guard that was lost."""
        while True:
            await self._employ(killer)
            self._armed = trio.Event()
            if self._dismissed:
                return
            self._lost += 1
            logger.error("the guard was lost; it is started again")
            await trio.sleep(RESTART_S)

    async def _employ(self, killer: Killer) -> None:
        """One guard, from its start to its end."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", str(_PROGRAM), str(self._directory / "lock")],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
                self._link = stream
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._beat, stream)
                    await self._listen(stream, killer)
                    nursery.cancel_scope.cancel()
        finally:
            self._link = None
            # Without a goodbye it acts now; what it does is bounded.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_S):
                await process.wait()

    async def _beat(self, stream: trio.SocketStream) -> None:
        """From this loop: when it hangs, the guard has to know."""
        try:
            await self._tell(stream, {"arm": self._orders()})
            beat = 0
            while True:
                await trio.sleep(self._settings.heartbeat_s)
                beat += 1
                if self._has_news:
                    self._has_news = False
                    await self._tell(stream, {"arm": self._orders()})
                await self._tell(stream, {"beat": beat})
        except trio.BrokenResourceError:
            await trio.sleep_forever()  # who listens sees the end too

    async def _listen(self, stream: trio.SocketStream, killer: Killer) -> None:
        buffer = b""
        while True:
            try:
                data = await stream.receive_some(4096)
            except trio.BrokenResourceError:
                return
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                await self._take(json.loads(line), stream, killer)

    async def _take(
        self, message: Mapping[str, Any], stream: trio.SocketStream, killer: Killer
    ) -> None:
        if "armed" in message:
            logger.info("the guard holds the last wills of %s", ", ".join(self._wills))
            self._armed.set()
        if "acted" in message:
            await self._go_on(Path(message["acted"]), killer)
            with suppress(trio.BrokenResourceError):  # who listens sees the end too
                await self._tell(stream, {"arm": self._orders()})

    async def _go_on(self, path: Path, killer: Killer) -> None:
        """The guard took this daemon for dead. What was known of those devices is not true now."""
        report = await trio.to_thread.run_sync(lambda: file_away(read_report(path)))
        self._acted += 1
        self._reports.append(report)
        logger.error("%s", report)
        reason = f"the guard carried out its last will: {report.reason}"
        for device in self._supervisor.devices():
            if device.id in report.devices:
                device.reconnect(reason)
        await killer.kill(f"the guard made {', '.join(report.devices)} safe: {report.reason}")

    def _orders(self) -> dict[str, Any]:
        return {
            "wills": [
                {"device": device_id, **will.as_plain()}
                for device_id, wills in self._wills.items()
                for will in wills
            ],
            "directory": str(self._directory),
            "pid": os.getpid(),
            "timeout_s": self._settings.timeout_s,
            "busy_s": self._settings.busy_s,
            "kill_frozen": self._settings.kill_frozen,
        }

    async def _tell(self, stream: trio.SocketStream, message: Mapping[str, Any]) -> None:
        async with self._speaking:
            await stream.send_all(json.dumps(message).encode() + b"\n")

    # ------------------------------------------------------------------------- what happened before

    def _prepare(self) -> None:
        """Wait for a guard that is still at work, and read what guards have done."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("a", encoding="utf-8") as lock:
            _wait_for(lock.fileno())
        for found in unseen_reports(self._directory):
            report = file_away(found)
            logger.warning("%s", report)
            self._reports.append(report)


def _wait_for(descriptor: int) -> None:
    """Until no guard holds the lock, or it has taken too long."""
    deadline = time.monotonic() + PREDECESSOR_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                logger.warning("a guard of another daemon is still at work; it is not waited for")
                return
            time.sleep(0.05)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return

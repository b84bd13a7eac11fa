"""The daemon's side of the guard: arms it, keeps telling it that all is well, hears what it did."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from daq.config import GuardConfig
from daq.drivers import LastWill
from daq.supervision.guard.process.keeping import forget
from daq.supervision.guard.report import (
    GuardReport,
    file_away,
    parse_report,
    read_report,
    unseen_reports,
)
from daq.supervision.json_file import set_aside_in
from daq.supervision.settings.order import in_order
from daq.supervision.supervisor import Supervisor

__all__ = ["Guard", "GuardStatistics", "Killer"]

logger = logging.getLogger(__name__)

ARM_S = 5.0
"""What starting the guard may take; the daemon starts without one after that, and says so."""
RESTART_S = 1.0
GOODBYE_S = 2.0
LEAVE_S = 3.0
"""What the guard may take to end; it acts within 2 s."""
DEAF_S = 5.0
"""A guard that has left so much time's heartbeats unanswered is stopped or stuck: another takes its
place. Counted in heartbeats, so that a loop that was held up itself does not judge."""
ARMING = 12
"""So many times longer it gets to put new last wills on a disk that stalls."""

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
        self._settings = settings
        self._wills: Mapping[str, Sequence[Mapping[str, Any]]] = {}
        """By device id, as the guard's orders hold them."""
        self._directory = directory.absolute()
        self._supervisor = supervisor
        self._link: trio.SocketStream | None = None
        self._needed = trio.Event()
        self._told: Mapping[str, Any] = {}
        """The orders that the guard has; empty when it has carried them out."""
        self._beats = 0
        self._heard = 0
        """The last heartbeat that the guard has answered."""
        self._is_arming = False
        self._speaking = trio.Lock()
        self._armed = trio.Event()
        self._dismissed = False
        self._acted = 0
        self._lost = 0
        self._reports: list[GuardReport] = []
        self._damages: Sequence[str] = ()
        self.reconfigure(wills)

    def __repr__(self) -> str:
        return f"<Guard of {', '.join(self._wills) or 'nothing'}: {self.statistics()}>"

    @property
    def reports(self) -> tuple[GuardReport, ...]:
        """What guards did since the last daemon started well: found at the start, or done since."""
        return tuple(self._reports)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The reports in words, and what could not be read of what guards had written down."""
        return (*map(str, self._reports), *self._damages)

    def statistics(self) -> GuardStatistics:
        wills = sum(len(each) for each in self._wills.values())
        return GuardStatistics(wills, self._armed.is_set(), self._acted, self._lost)

    async def run(
        self, killer: Killer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Report what an earlier guard did, then keep one as long as the daemon runs.

        Started when it is armed. Cancelled before `stand_down`, it leaves the guard to act.
        """
        for report in await trio.to_thread.run_sync(self._read_reports):
            self._note(report)
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
        if not self._settings.enabled:
            return
        self._wills = {name: [will.as_plain() for will in each] for name, each in wills.items()}
        if wills:
            self._needed.set()

    async def stand_down(self, not_safe: Collection[str] = ()) -> None:
        """All is safe: the guard may go. Without it, the end of the daemon lets it act.

        Args:
            not_safe: Devices that could not be made safe. If the guard holds the last will of one
                of them, it is not dismissed: it shall try.
        """
        left = [device_id for device_id in self._held() if device_id in not_safe]
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
        """One guard, from its start to its end; also one that was ended is reaped."""
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
                    nursery.start_soon(self._beat, stream, process)
                    await self._listen(stream, killer)
                    nursery.cancel_scope.cancel()
        finally:
            self._link = None
            # Without a goodbye it acts now; what it does is bounded.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_S):
                await process.wait()
            if process.returncode is None and self._dismissed:
                await self._dismiss(process)
        if process.returncode is None:
            process.kill()  # it would act some day, under another daemon
            await process.wait()

    async def _dismiss(self, process: trio.Process) -> None:
        """All is safe, and the guard has no ear for it."""
        logger.error("the guard did not take its leave: it is ended")
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_S):
            await process.wait()
            await trio.to_thread.run_sync(forget, self._directory)

    async def _beat(self, stream: trio.SocketStream, process: trio.Process) -> None:
        """From this loop: when it hangs, the guard has to know."""
        most = math.ceil(DEAF_S / self._settings.heartbeat_s)
        self._heard, self._beats, self._told = 0, 0, {}
        try:
            while self._beats - self._heard <= most * (ARMING if self._is_arming else 1):
                if self._told != (orders := self._orders()):
                    self._told, self._is_arming = orders, True
                    await self._tell(stream, {"arm": orders})
                await trio.sleep(self._settings.heartbeat_s)
                self._beats += 1
                await self._tell(stream, {"beat": self._beats})
            logger.error("the guard does not answer: it is ended, and another takes its place")
            process.kill()
        except trio.BrokenResourceError:
            pass
        await trio.sleep_forever()  # who listens sees the end

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
                await self._take(json.loads(line), killer)

    async def _take(self, message: Mapping[str, Any], killer: Killer) -> None:
        if "alive" in message:
            self._heard = max(self._heard, message["alive"])  # late ones tell nothing new
        if "armed" in message:
            logger.info("the guard holds the last wills of %s", ", ".join(self._held()))
            self._armed.set()
            self._is_arming, self._heard = False, self._beats  # the answers to these come now
        if "not_kept" in message:
            logger.error("the last wills would be lost with the guard: %s", message["not_kept"])
        if "acted" in message:
            await self._go_on(message, killer)

    async def _go_on(self, message: Mapping[str, Any], killer: Killer) -> None:
        """The guard took this daemon for dead. What was known of those devices is not true now."""
        if "report" in message:
            logger.error("what the guard did is not written down: %s", message["acted"])
            report = parse_report(message["report"], None)
        else:
            report = await trio.to_thread.run_sync(_take_report, Path(message["acted"]))
        self._acted += 1
        self._told = {}
        self._note(report)
        reason = f"the guard carried out its last will: {report.reason}"
        for device in self._supervisor.devices():
            if device.id in report.devices:
                device.reconnect(reason)
        await killer.kill(f"the guard made {', '.join(report.devices)} safe: {report.reason}")

    def _note(self, report: GuardReport) -> None:
        """Told, and what nobody has confirmed is owed."""
        logger.error("%s", report)
        self._reports.append(report)
        for device_id, why in report.not_confirmed().items():
            self._supervisor.owe(device_id, f"the guard acted: {why}")

    def _held(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """The last wills of the devices in use, in the order in which they are made safe.

        One that was disabled was made safe then, and is a person's since: its port may be another
        instrument's. Unless that could not be done.
        """
        after = self._supervisor.after
        return {
            each: self._wills[each]
            for each in in_order(self._wills, after)
            if not self._supervisor.is_disabled(each) or self._supervisor.is_owed(each)
        }

    def _orders(self) -> dict[str, Any]:
        return {
            "wills": [
                {
                    "device": device_id,
                    "after": list(self._supervisor.after.get(device_id, ())),
                    **will,
                }
                for device_id, wills in self._held().items()
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

    def _read_reports(self) -> list[GuardReport]:
        self._directory.mkdir(parents=True, exist_ok=True)
        reports = [file_away(report) for report in unseen_reports(self._directory)]
        self._damages = set_aside_in(self._directory)
        return reports


def _take_report(path: Path) -> GuardReport:
    report, damage = read_report(path)
    if report is None:
        raise ValueError(damage or f"{path} is missing")
    return file_away(report)

"""The sandbox: keeps a zygote alive, checks scripts, and makes programs of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import trio

from daq.core import Diagnostic, Program, ScriptCheck, StateError
from daq.scripting.limits import SandboxLimits
from daq.scripting.parent.conversation import unconfined
from daq.scripting.parent.fair_queue import FairQueue
from daq.scripting.parent.process import open_process, read_message
from daq.scripting.parent.program import LOST, SandboxedProgram
from daq.scripting.parent.zygote import Zygote, ZygoteLostError
from daq.scripting.policy import too_large
from daq.scripting.protocol import Checked, Confined, Message, ProtocolError, frame

__all__ = ["Sandbox", "SandboxStatistics"]

log = logging.getLogger(__name__)

_READY_S = 30.0
_PROBE_S = 10.0
_WAIT_FOR_RESTART_S = 10.0
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 10.0
_STEADY_S = 60.0
_CHECKS = 2
"""At a time: each is a process that computes."""
_WAITING_CHECKS = 100
"""Of one user."""


@dataclass(frozen=True, slots=True)
class SandboxStatistics:
    """What the sandbox has done."""

    zygote_pid: int
    """0 while there is none."""
    processes: int
    """How many were started, for checks and runs."""
    restarts: int
    """How often the zygote was lost."""


class Sandbox:
    """Confined processes for scripts; implements `daq.core.ProgramFactory`."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._zygote: Zygote | None = None
        self._available = trio.Event()
        self._confinement: Mapping[str, str] = {}
        self._processes = 0
        self._restarts = 0
        self._checks = FairQueue("checks of scripts", _CHECKS, _WAITING_CHECKS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a zygote alive until cancelled; started when the first one is ready.

        Raises StateError when the first one cannot be started.
        """
        delay = _FIRST_DELAY_S
        while True:
            began = trio.current_time()
            usable = await self._live_once(None if self._restarts else task_status)
            if not usable and not self._restarts:
                raise StateError(
                    "the sandbox for scripts could not be started",
                    advice="the standard error of the daemon says more",
                )
            self._restarts += 1
            log.warning("the sandbox was lost; it is started again in %.1f s", delay)
            if trio.current_time() - began > _STEADY_S:
                delay = _FIRST_DELAY_S
            await trio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_S)

    async def _live_once(self, task_status: trio.TaskStatus[None] | None) -> bool:
        """One zygote from start to loss; False when it never was of use."""
        zygote = Zygote(self._limits)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(zygote.serve)
            try:
                usable = await self._is_usable(zygote)
                if usable:
                    self._zygote = zygote
                    self._available.set()
                    if task_status is not None:
                        task_status.started()
                    await zygote.gone.wait()
            finally:
                self._forget(zygote)
                nursery.cancel_scope.cancel()
        return usable

    def _forget(self, zygote: Zygote) -> None:
        self._processes += zygote.spawned
        if self._zygote is zygote:
            self._zygote = None
            self._available = trio.Event()

    async def _is_usable(self, zygote: Zygote) -> bool:
        with trio.move_on_after(_READY_S):
            await zygote.ready.wait()
            if zygote.gone.is_set():
                return False
            self._confinement = await _probe(zygote)
            return bool(self._confinement)
        return False

    def use_limits(self, limits: SandboxLimits) -> None:
        """For the checks and programs that begin from now on."""
        self._limits = limits
        if self._zygote is not None:
            self._zygote.limits = limits

    # For programs

    async def zygote(self) -> Zygote:
        """The living zygote, after a short wait while it is restarted; raises StateError."""
        with trio.move_on_after(_WAIT_FOR_RESTART_S):
            while self._zygote is None:
                await self._available.wait()
            return self._zygote
        raise StateError(LOST, advice="the sandbox is being restarted; try again")

    # For the execution queue

    async def check(self, source: str, filename: str, user: str = "") -> ScriptCheck:  # noqa: ARG002 - the contract
        """Parse and check against the language policy, in a confined process.

        Two at a time, and users in turn: how long one takes does not depend on the others.

        Raises StateError when there is no sandbox to do it in, OverloadError when too many of the
        user's wait.
        """
        diagnostic = _sanity(source, self._limits)
        if diagnostic is not None:
            await trio.lowlevel.checkpoint()
            return ScriptCheck((diagnostic,))
        order = frame(source)
        try:
            async with self._checks.place(user):
                message = await self._ask_twice(order)
        except ZygoteLostError:
            raise StateError(LOST, advice="the sandbox is being restarted; try again") from None
        except ProtocolError as error:
            return _refused(f"the check of the script broke down: {error}")
        return self._checked(message)

    async def _ask_twice(self, order: bytes) -> Message | None:
        try:
            return await self._ask(order)
        except ZygoteLostError:
            return await self._ask(order)

    async def _ask(self, order: bytes) -> Message | None:
        zygote = await self.zygote()
        with trio.move_on_after(self._limits.check_timeout_s):
            async with open_process(zygote, "check") as process:
                await process.send(order)
                payload = await process.receive()
                if payload is not None:
                    return await read_message(payload)
                if await process.wait_status() is None:
                    raise ZygoteLostError
        return None

    def _checked(self, message: Message | None) -> ScriptCheck:
        match message:
            case Checked(check=check):
                return check
            case Confined(layers=layers):
                raise StateError(unconfined(layers))
            case None:
                limits = self._limits
                return _refused(
                    f"checking the script takes more than {limits.check_timeout_s:g} s "
                    f"(check_timeout_s) or {limits.memory_mb} MB (memory_mb)"
                )
        raise StateError(f"the sandbox answered a check with {type(message).__name__}")

    def program(
        self,
        source: str,
        filename: str,
        parameters: Mapping[str, Any],
        execution_id: str,
        limits: Mapping[str, float] = MappingProxyType({}),
    ) -> Program:
        """A program that is ready to `run`; nothing is started yet. `limits` are lower ones."""
        lowered = self._limits.lowered(limits)
        return SandboxedProgram(self, lowered, source, filename, parameters, execution_id)

    def check_limits(self, limits: Mapping[str, float]) -> None:
        """Raise ParameterError unless a start may ask for these limits."""
        self._limits.lowered(limits)

    def confinement(self) -> Mapping[str, str]:
        """Each layer of confinement: `active`, or why it does not hold here."""
        return MappingProxyType(dict(self._confinement))

    def statistics(self) -> SandboxStatistics:
        """A snapshot."""
        zygote = self._zygote
        return SandboxStatistics(
            zygote_pid=zygote.pid if zygote else 0,
            processes=self._processes + (zygote.spawned if zygote else 0),
            restarts=self._restarts,
        )


async def _probe(zygote: Zygote) -> Mapping[str, str]:
    """What confines a process here; empty when none could be had."""
    try:
        with trio.move_on_after(_PROBE_S):
            async with open_process(zygote, "probe") as process:
                payload = await process.receive()
                message = None if payload is None else await read_message(payload)
                return message.layers if isinstance(message, Confined) else {}
    except (ZygoteLostError, ProtocolError, StateError):
        return {}
    return {}


def _sanity(source: str, limits: SandboxLimits) -> Diagnostic | None:
    """Why the text is not even sent to be checked."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        return _whole("SYNTAX", "the script is not text: it holds bytes that are not UTF-8")
    if size > limits.max_source_bytes:
        return too_large(size, limits.max_source_bytes)
    return None


def _whole(code: str, message: str) -> Diagnostic:
    return Diagnostic(1, 1, 1, 2, code, message)


def _refused(message: str) -> ScriptCheck:
    return ScriptCheck((_whole("SIZE", message),))

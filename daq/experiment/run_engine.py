"""The run engine: performs the requests of one program, whoever wrote it.

It knows which devices the program touched, which run is open, and which call is in flight, so that
a stop can end the call and the execution can make exactly those devices safe.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import trio

from daq.core import (
    OPERATIONS,
    Call,
    CallBeside,
    CloseRun,
    DaqError,
    Describe,
    DeviceDescription,
    DeviceStop,
    ListDevices,
    Log,
    Measurement,
    OpenRun,
    Pause,
    Point,
    Progress,
    Record,
    Request,
    RunOutcome,
    StateError,
    StopRequested,
    StorageError,
)
from daq.experiment.live_run import LiveRun, plain_values, refuse_repeated, run_together
from daq.experiment.provenance import Provenance
from daq.storage import Storage
from daq.supervision import (
    Claim,
    Device,
    PausedDevice,
    PauseRule,
    Supervisor,
    hold_devices,
    refuse_vetoed,
    restore_devices,
)

__all__ = ["EngineEvents", "RunEngine"]

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 1.0
"""What one device gets to stop; all stop at the same time."""


_REPEATABLE = frozenset({"move_abs", "home", "wavelength"})
"""Calls that end in the same place when they are broken off and done again."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A cancellable step in progress."""

    scope: trio.CancelScope
    repeatable: bool
    paused: bool = False
    """It was broken off by a pause, and is done again after it."""


class EngineEvents(Protocol):
    """What the engine tells the execution that owns it."""

    def on_output(self, entry: Log) -> None: ...
    def on_progress_message(self, message: str) -> None: ...
    def on_run_opened(self, run_id: str) -> None: ...
    async def on_paused(self, line: int) -> None:
        """Returns when the execution was resumed, or must stop."""


class RunEngine:
    """Performs one program's requests, one at a time."""

    def __init__(
        self,
        supervisor: Supervisor,
        storage: Storage,
        provenance: Provenance,
        events: EngineEvents,
        now_ns: Callable[[], int],
        pause_rules: Mapping[str, PauseRule] = MappingProxyType({}),
    ) -> None:
        self._supervisor = supervisor
        self._storage = storage
        self._provenance = provenance
        self._events = events
        self._now_ns = now_ns
        self._pause_rules = pause_rules
        self._run: LiveRun | None = None
        self._touched: set[str] = set()
        self._in_flight: set[_Attempt] = set()
        self._pause_wanted = False
        self._stop_requested = False
        self._who = f"execution {provenance.execution_id[:8]}"
        self._claim = _claim(provenance)
        self._performers: Mapping[type, Callable[[Any], Awaitable[Any]]] = {
            ListDevices: self._list_devices,
            Describe: self._describe,
            Call: self._call,
            CallBeside: self._call,
            OpenRun: self._open_run,
            CloseRun: self._close_run,
            Record: self._record,
            Point: self._point,
            Pause: self._pause,
        }

    async def perform(self, request: Request, *, stopping: bool = False) -> Any:
        """Carry out one request; see `daq.core.Interpreter`."""
        if isinstance(request, Log):
            return self._events.on_output(request)
        if isinstance(request, Progress):
            return self._events.on_progress_message(request.message)
        if self._stop_requested and not stopping:
            raise StopRequested
        try:
            return await self._performers[type(request)](request)
        except (DaqError, StopRequested):
            raise
        except Exception as error:
            # A bug in a driver or in here: the script fails at its line, the daemon goes on.
            log.exception("%s: %s failed", self._who, type(request).__name__)
            raise DaqError(f"internal error: {type(error).__name__}: {error}") from error

    @property
    def busy(self) -> bool:
        """Whether a request is being performed that a stop cancels."""
        return bool(self._in_flight)

    def begin_stop(self) -> None:
        """A graceful stop came: end the call in flight, refuse new ones but for cleanup."""
        if self._stop_requested:
            return  # a second stop must not cut into the cleanup of the first
        self._stop_requested = True
        for attempt in self._in_flight:
            attempt.scope.cancel()

    def pause_now(self) -> None:
        """Break off the call in flight, if it can be done again from its beginning afterwards.

        Anything else goes on to its end, and the program pauses at its next checkpoint.
        """
        self._pause_wanted = True
        if len(self._in_flight) != 1:
            return  # a call beside: what is recorded meanwhile belongs to it
        (attempt,) = self._in_flight
        if attempt.repeatable:
            attempt.paused = True
            attempt.scope.cancel()

    def forget_pause(self) -> None:
        """The pause is over, or was taken back."""
        self._pause_wanted = False

    def refuse_vetoed_pause(self) -> None:
        """Raise StateError when a touched device does not allow a pause."""
        refuse_vetoed(self._devices(), self._pause_rules)

    async def hold_devices(self) -> tuple[PausedDevice, ...]:
        """Tell the touched devices what a pause means for them."""
        return await hold_devices(self._devices(), self._pause_rules, self._claim)

    async def restore_devices(self, held: Sequence[PausedDevice]) -> tuple[str, ...]:
        """Bring them back to how they were and say so; raises DaqError when one cannot be."""
        return await restore_devices(held, self._claim)

    def _devices(self) -> list[Device]:
        return [device for device in self._supervisor.devices() if device.id in self._touched]

    @property
    def touched(self) -> frozenset[str]:
        """Ids of the devices that the program asked for."""
        return frozenset(self._touched)

    async def make_safe(self) -> tuple[DeviceStop, ...]:
        """Bring every touched device to its safe state, all at once, each within its deadline."""
        return await self._supervisor.stop_devices(
            sorted(self._touched), timeout=STOP_TIMEOUT_S, safe=True
        )

    def release_devices(self) -> None:
        """Others may command the devices again."""
        for device_id in self._touched:
            self._supervisor.gate(device_id).release(self._claim)

    async def close_run(self, outcome: RunOutcome, reason: str, by: str) -> None:
        """Close the run if one is open."""
        run, self._run = self._run, None
        if run is not None:
            await run.close(outcome, self._now_ns(), reason, by)

    async def _interruptible(
        self, step: Callable[[], Awaitable[Any]], *, repeatable: bool = False
    ) -> Any:
        """Run a step that a graceful stop cancels: it is then as if it had never been asked for.

        A repeatable one is also broken off by a pause, and done again when that is over.
        """
        while True:
            attempt = _Attempt(trio.CancelScope(), repeatable)
            if repeatable and self._pause_wanted and not self._in_flight:
                attempt.paused = True
                attempt.scope.cancel()
            self._in_flight.add(attempt)
            try:
                with attempt.scope:
                    return await step()
            finally:
                self._in_flight.discard(attempt)
            if attempt.paused and not self._stop_requested:
                await self._events.on_paused(0)
            if not attempt.paused or self._stop_requested:
                raise StopRequested

    async def _list_devices(self, _request: ListDevices) -> list[str]:
        return [device.id for device in self._supervisor.devices()]

    async def _describe(self, request: Describe) -> DeviceDescription:
        return self._use(request.device).description

    def _use(self, device_id: str) -> Device:
        """The device, from now on claimed by this program."""
        device = self._supervisor.device(device_id)
        device.gate.take(self._claim)
        self._touched.add(device.id)
        return device

    async def _call(self, request: Call) -> Any:
        device = self._use(request.device)
        if request.operation == "stop":
            return (await device.stop(timeout=STOP_TIMEOUT_S)).outcome.value
        operation = OPERATIONS.get(request.operation)
        if operation is not None and operation.cancellable:
            return await self._interruptible(
                lambda: device.call(
                    request.operation, *request.arguments, by=self._who, claim=self._claim
                ),
                repeatable=request.operation in _REPEATABLE and not isinstance(request, CallBeside),
            )
        return await device.call(
            request.operation, *request.arguments, by=self._who, claim=self._claim
        )

    async def _open_run(self, request: OpenRun) -> str:
        if self._run is not None:
            raise StateError(
                f"run {self._run.name!r} is still open",
                advice="a script records into one run at a time: leave its `with` block first",
            )
        return (await self._open(request.name, request.metadata, request.durability)).run_id

    async def _open(
        self, name: str, metadata: Mapping[str, Any], durability: str = "process"
    ) -> LiveRun:
        start = await self._provenance.start_of_run(
            self._supervisor,
            name=name,
            metadata=metadata,
            now_ns=self._now_ns(),
            durability=durability,
        )
        # From now on it is closed as the program ends, also when it is cut off while it opens.
        self._run = run = LiveRun(await self._storage.begin_run(start), self._supervisor)
        self._events.on_run_opened(run.run_id)
        try:
            await run.wait_ready()
        except StorageError:
            self._run = None  # it closes itself, as failed
            raise
        return run

    async def _close_run(self, request: CloseRun) -> None:
        if self._stop_requested:
            return  # the execution closes it with the outcome of the stop, once that is known
        outcome = RunOutcome.FAILED if request.failed else RunOutcome.COMPLETED
        await self.close_run(outcome, request.reason, "")

    async def _record(self, request: Record) -> dict[str, Any]:
        # A script that records without an open run gets a run of its own.
        run = self._run or await self._open(self._provenance.script_name.removesuffix(".py"), {})
        blocks = await self._interruptible(lambda: self._acquire(run, request.devices))
        event = await run.store(blocks, request.values, request.stream, self._now_ns())
        return plain_values(event)

    async def _point(self, request: Point) -> dict[str, Any]:
        run = self._run or await self._open(self._provenance.script_name.removesuffix(".py"), {})
        blocks = await self._interruptible(lambda: self._reach(run, request), repeatable=True)
        event = await run.store(blocks, request.values, request.stream, self._now_ns())
        return plain_values(event)

    async def _reach(self, run: LiveRun, request: Point) -> list[Measurement]:
        moves = [
            lambda name=name, target=target: self._call_move(name, target)
            for name, target in request.moves.items()
        ]
        if len(moves) == 1:
            await moves[0]()
        elif moves:
            await run_together(moves)
        if request.dwell > 0:
            await trio.sleep(request.dwell)
        others = [name for name in request.devices if name not in request.moves]
        return await self._acquire(run, [*request.moves, *others])

    async def _call_move(self, device_id: str, target: float) -> None:
        await self._use(device_id).call("move_abs", target, by=self._who, claim=self._claim)

    async def _acquire(self, run: LiveRun, device_ids: Sequence[str]) -> list[Measurement]:
        refuse_repeated(device_ids)
        for device_id in device_ids:
            self._use(device_id)
        return await run.acquire(device_ids)

    async def _pause(self, request: Pause) -> None:
        if self._in_flight:
            # A call beside: what is recorded with it is only true while both go on together.
            await trio.lowlevel.checkpoint()
            return
        await self._events.on_paused(request.line)
        if self._stop_requested:
            raise StopRequested


def _claim(provenance: Provenance) -> Claim:
    by = f" (started by {provenance.user})" if provenance.user else ""
    return Claim(f"execution {provenance.execution_id[:8]} of {provenance.script_name}{by}")

"""The run engine: performs the requests of one program, whoever wrote it.

It knows which devices the program touched, which run is open, and which call is in flight, so that
a stop can end the call and the execution can make exactly those devices safe.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import trio

from daq.core import (
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
    split_target,
)
from daq.experiment.execution import Execution
from daq.experiment.live_run import LiveRun, plain_values, refuse_repeated, run_together
from daq.experiment.provenance import Provenance
from daq.storage import Storage
from daq.supervision import (
    Claim,
    Device,
    PauseAction,
    PausedDevice,
    PausedDevices,
    PauseRule,
    Supervisor,
    refuse_vetoed,
)

__all__ = ["RunEngine"]

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 1.0
"""What one device gets to stop; all stop at the same time."""


class _Repeat(IntEnum):
    """Which pauses break a step off, to be done again after them."""

    NEVER = 0
    PROTECTING = 1
    """One that makes devices safe at once: what is measured meanwhile would not be true."""
    ALWAYS = 2


_REPEATS: Mapping[str, _Repeat] = MappingProxyType(
    {
        "move_abs": _Repeat.ALWAYS,
        "home": _Repeat.ALWAYS,
        "move_rel": _Repeat.PROTECTING,  # to where it was to end
        "wait_settled": _Repeat.PROTECTING,
        "frames": _Repeat.PROTECTING,
    }
)
"""Calls that end in the same way when they are broken off and done again; setting a parameter that
takes time does too."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A cancellable step in progress."""

    scope: trio.CancelScope
    repeat: _Repeat
    paused: bool = False
    """It was broken off by a pause, and is done again after it."""


class RunEngine:
    """Performs one program's requests, one at a time.

    Args:
        execution: Whose program it is; it is told what the program prints and which runs it opens.
        supervisor: Has the devices.
        storage: Has the runs.
        on_forced: Is told when somebody commanded a device of the program by force.
        on_paused: Takes a line; returns when the execution was resumed, or must stop.
        pause_rules: What a pause means for a device, by id.
    """

    def __init__(
        self,
        execution: Execution,
        supervisor: Supervisor,
        storage: Storage,
        on_forced: Callable[[str], None],
        on_paused: Callable[[int], Awaitable[None]],
        pause_rules: Mapping[str, PauseRule] = MappingProxyType({}),
    ) -> None:
        self._execution = execution
        self._supervisor = supervisor
        self._storage = storage
        self._on_paused = on_paused
        self._provenance = provenance = execution.provenance()
        self._now_ns = execution.now_ns
        self._pause_rules = pause_rules
        self._run: LiveRun | None = None
        self._closing: LiveRun | None = None
        """The run that has been told to end, until it has."""
        self._touched: set[str] = set()
        self._in_flight: set[_Attempt] = set()
        self._pause_wanted = self._is_protecting = False
        self._stop_requested = False
        self._who = f"execution {provenance.execution_id[:8]}"
        self._ends_since = math.inf
        """Trio time at which somebody began to end the program."""
        self._claim = _claim(provenance, on_forced, lambda: self._ends_since < math.inf)
        self.paused_devices = PausedDevices(self._claim)
        """What the pause has told devices, and how they were before."""
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
            return self._execution.on_output(request)
        if isinstance(request, Progress):
            return self._execution.on_progress_message(request.message)
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
        self.note_ending()
        for attempt in self._in_flight:
            attempt.scope.cancel()

    def note_ending(self) -> None:
        """The program is being ended: a call that is cancelled makes its device safe at once."""
        self._ends_since = min(self._ends_since, trio.current_time())

    def pause_now(self, devices: Sequence[str] = (), *, protecting: bool = False) -> None:
        """Break off the call in flight, if it can be done again from its beginning afterwards.

        Anything else goes on to its end, and the program pauses at its next checkpoint. A pause
        that protects notes how devices are, and lets the program ask for nothing until it is over.

        Args:
            devices: Those that an interlock makes safe in this moment.
            protecting: It protects, whatever the pause means for the devices that are used.
        """
        self._pause_wanted = True
        self._note_devices(devices)
        if protecting or self.paused_devices:
            self._is_protecting = True
            for attempt in self._in_flight:
                if attempt.repeat is not _Repeat.NEVER:
                    _break_off(attempt)
        elif len(self._in_flight) == 1:  # else a call beside: what is recorded belongs to it
            (attempt,) = self._in_flight
            if attempt.repeat is _Repeat.ALWAYS:
                _break_off(attempt)

    def _note_devices(self, made_safe: Sequence[str]) -> None:
        for device in self._devices():
            self.paused_devices.note(device, self._rule(device.id))
        for device in self._supervisor.devices():
            if device.id in made_safe:
                self.paused_devices.note(device, PauseRule(PauseAction.SAFE))

    def _rule(self, device_id: str) -> PauseRule:
        return self._pause_rules.get(device_id, PauseRule())

    def forget_pause(self) -> None:
        """The pause is over, or was taken back."""
        self._pause_wanted = self._is_protecting = False
        self.paused_devices.forget()

    def refuse_vetoed_pause(self) -> None:
        """Raise StateError when a touched device does not allow a pause."""
        refuse_vetoed(self._devices(), self._pause_rules)

    async def hold_devices(self) -> tuple[PausedDevice, ...]:
        """Tell the touched devices what a pause means for them, those that do not know it yet."""
        self._note_devices(())
        return await self.paused_devices.tell()

    def _devices(self) -> list[Device]:
        return [device for device in self._supervisor.devices() if device.id in self._touched]

    @property
    def touched(self) -> frozenset[str]:
        """Ids of the devices that the program asked for."""
        return frozenset(self._touched)

    async def make_safe(self) -> tuple[DeviceStop, ...]:
        """Bring every touched device to its safe state, all at once, each within its deadline."""
        return await self._supervisor.stop_devices(
            sorted(self._touched), timeout=STOP_TIMEOUT_S, safe=True, since=self._ends_since
        )

    def release_devices(self) -> None:
        """Others may command the devices again."""
        for device_id in self._touched:
            self._supervisor.gate(device_id).release(self._claim)

    async def close_run(self, outcome: RunOutcome, reason: str, by: str) -> None:
        """Close the run if one is open; who was cancelled meanwhile may wait for its end again."""
        self._closing, self._run = self._run or self._closing, None
        if self._closing is None:
            return
        try:
            await self._closing.close(outcome, self._now_ns(), reason, by)
        except StorageError:
            self._closing = None
            raise
        self._closing = None

    async def _interruptible(
        self, step: Callable[[], Awaitable[Any]], repeat: _Repeat = _Repeat.NEVER
    ) -> Any:
        """Run a step that a graceful stop cancels: it is then as if it had never been asked for.

        One that can be repeated is also broken off by a pause, and done again when that is over.
        """
        while True:
            attempt = _Attempt(trio.CancelScope(), repeat)
            if repeat is _Repeat.ALWAYS and self._pause_wanted and not self._in_flight:
                _break_off(attempt)
            self._in_flight.add(attempt)
            try:
                with attempt.scope:
                    return await step()
            except DaqError:
                if not attempt.scope.cancel_called:  # else the device was stopped under it, too
                    raise
            finally:
                self._in_flight.discard(attempt)
            if attempt.paused and not self._stop_requested:
                await self._on_paused(0)
            if not attempt.paused or self._stop_requested:
                raise StopRequested

    async def _list_devices(self, _request: ListDevices) -> list[str]:
        return [device.id for device in self._supervisor.devices()]

    async def _describe(self, request: Describe) -> DeviceDescription:
        return self._use(request.device).description

    def _find(self, target: str) -> tuple[Device, str]:
        """The device of `laser.wavelength`, from now on claimed, and the parameter, or `""`."""
        device_id, parameter = split_target(target)
        return self._use(device_id), parameter

    def _use(self, device_id: str) -> Device:
        """The device, from now on claimed by this program."""
        device = self._supervisor.device(device_id)
        device.gate.take(self._claim)
        self._touched.add(device.id)
        return device

    async def _wait_unprotected(self) -> None:
        """While a pause protects, nothing is asked of any device."""
        while self._is_protecting and not self._stop_requested:
            await self._on_paused(0)

    async def _call(self, request: Call) -> Any:
        device, parameter = self._find(request.device)
        if request.operation == "stop":
            return (await device.stop(timeout=STOP_TIMEOUT_S)).outcome.value
        await self._wait_unprotected()
        if self._stop_requested:  # a cleanup, which must not run into the stop of its devices
            await device.wait_stopped()
        call: tuple[Any, ...] = (request.operation, *request.arguments)
        if parameter:
            call = device.axis_call(parameter, *call)
        step = _Step(device, call, self._who, self._claim)
        if not device.is_cancellable(*call):
            return await step.perform()
        repeat = _REPEATS.get(call[0], _Repeat.NEVER)
        if device.sets_parameter(*call):
            repeat = _Repeat.ALWAYS
        if isinstance(request, CallBeside):
            repeat = min(repeat, _Repeat.PROTECTING)
        return await self._interruptible(step.perform, repeat)

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
        self._execution.on_run_opened(run.run_id)
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
        await self._wait_unprotected()
        blocks = await self._interruptible(
            lambda: self._acquire(request.devices, no_value=request.no_value),
            _Repeat.PROTECTING,
        )
        event = await run.store(
            blocks, request.values, request.stream, self._now_ns(), request.units
        )
        return plain_values(event)

    async def _point(self, request: Point) -> dict[str, Any]:
        run = self._run or await self._open(self._provenance.script_name.removesuffix(".py"), {})
        await self._wait_unprotected()
        blocks = await self._interruptible(lambda: self._reach(request), _Repeat.ALWAYS)
        event = await run.store(
            blocks, request.values, request.stream, self._now_ns(), request.units
        )
        return plain_values(event)

    async def _reach(self, request: Point) -> list[Measurement]:
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
        return await self._acquire([*request.moves, *others])

    async def _call_move(self, axis: str, target: float) -> None:
        device, parameter = self._find(axis)
        call: tuple[Any, ...] = ("move_abs", target)
        if parameter:
            call = device.axis_call(parameter, *call)
        await device.call(*call, by=self._who, claim=self._claim)

    async def _acquire(
        self, device_ids: Sequence[str], *, no_value: bool = False
    ) -> list[Measurement]:
        refuse_repeated(device_ids)
        for target in device_ids:
            self._find(target)
        return await self._supervisor.acquire(device_ids, no_value=no_value)

    async def _pause(self, request: Pause) -> None:
        if self._in_flight:
            # A call beside: what is recorded with it is only true while both go on together.
            await trio.lowlevel.checkpoint()
            return
        await self._on_paused(request.line)
        if self._stop_requested:
            raise StopRequested


@dataclass(slots=True)
class _Step:
    """A call of a device, which may be done again after a pause has broken it off."""

    device: Device
    call: tuple[Any, ...]
    """The operation and its arguments."""
    who: str
    claim: Claim
    target: float | None = None
    """Where a move by a distance ends, wherever it was broken off."""

    async def perform(self) -> Any:
        operation, *arguments = self.call
        if operation == "move_rel" and self.target is not None:
            operation, arguments = "move_abs", [self.target]
        elif operation == "move_rel" and len(arguments) == 1:
            start = await self.device.call("position", by=self.who)
            if isinstance(arguments[0], int | float):
                self.target = start + arguments[0]
        return await self.device.call(operation, *arguments, by=self.who, claim=self.claim)


def _break_off(attempt: _Attempt) -> None:
    attempt.paused = True
    attempt.scope.cancel()


def _claim(
    provenance: Provenance, on_forced: Callable[[str], None], is_ending: Callable[[], bool]
) -> Claim:
    by = f" (started by {provenance.user})" if provenance.user else ""
    holder = f"execution {provenance.execution_id[:8]} of {provenance.script_name}{by}"
    return Claim(holder, on_forced=on_forced, is_ending=is_ending)

"""The handle to a device that everyone above supervision holds."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from daq.core import (
    OPERATIONS,
    BusyError,
    Capability,
    CapabilityError,
    DaqError,
    DeviceDescription,
    DeviceError,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    InterlockError,
    Invalid,
    LimitError,
    Measurement,
    Operation,
    Scalar,
    StopOutcome,
    did_you_mean,
)
from daq.supervision.device.acquisition import acquire
from daq.supervision.device.answers import checked_fields, checked_scalar
from daq.supervision.device.debts import Debts
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.gate import Claim, Gate
from daq.supervision.device.job import Job, Setting, intended
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.operations import ACTIONS, Action, device_action, parameter_action
from daq.supervision.device.out_of_use import Disabled, OutOfUse
from daq.supervision.device.parameters import check_get
from daq.supervision.device.questions import ask
from daq.supervision.device.stopping import Stopper
from daq.supervision.device.stream import Streamer
from daq.supervision.device.timing import Timing

__all__ = ["Acquisition", "Device"]

logger = logging.getLogger(__name__)

_NOTHING_BEGAN = (LimitError, BusyError, CapabilityError, InterlockError)
_NOT_STOPPED = (StopOutcome.REFUSED, StopOutcome.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """An acquisition in progress; one of the two must be awaited."""

    finish: Callable[[], Awaitable[tuple[Measurement, ...]]]
    """Waits for what was taken; cancelled, it stops the device as a cancelled command does."""
    abandon: Callable[[], Awaitable[None]]
    """Gives it up, in bounded time and shielded."""


class Device:
    """One instrument, by what it offers. Any number of callers may hold it at once.

    Everything here may be cancelled. A cancelled caller goes on within 1 s, with the device
    stopped, whatever the driver does.
    """

    def __init__(
        self,
        instrument: OperationContext,
        task: DeviceTask,
        timing: Timing,
        gate: Gate,
        out_of_use: OutOfUse,
        debts: Debts,
    ) -> None:
        self._instrument = instrument
        self._task = task
        self._timing = timing
        self._stopper = Stopper(instrument, task, timing, debts)
        self._debts = debts
        self._streamer = Streamer(instrument, task, timing)
        self._out_of_use = out_of_use
        self._defect = ""
        """Why there is no driver that could reach it."""
        self.gate = gate
        """Who may command it now."""
        self.motions = Counter[str]()
        """How often it was asked to move, and each axis among its parameters, by their channels."""
        self._offered: Mapping[str, tuple[Operation, Action]] = {
            operation.name: (operation, self._action_of(operation))
            for operation in instrument.description.operations
        }

    def __repr__(self) -> str:
        snapshot = self.snapshot()
        return f"<Device {self.id} {snapshot.state} {snapshot.activity or 'idle'}>"

    @property
    def id(self) -> str:
        return self._instrument.id

    @property
    def description(self) -> DeviceDescription:
        """What it is and offers."""
        return self._instrument.description

    def known_settings(self) -> Mapping[str, Scalar]:
        """What it is set to as far as the daemon knows, asking nobody.

        A command in progress counts as done; where a device is that moves is not known.
        """
        known = dict(self.snapshot().fields)
        command = self._task.command
        if command is not None:
            known |= intended(command)
            if command.is_motion:
                known.pop("position", None)
        return known

    @property
    def does_what_is_refused(self) -> bool:
        """Whether interlocks refuse the command that is in progress."""
        command = self._task.command
        return command is not None and bool(self.gate.refusal(command))

    @property
    def streaming(self) -> bool:
        """Whether a stream is in progress."""
        return self._streamer.is_streaming

    def snapshot(self) -> DeviceSnapshot:
        """What is known now, from the cache."""
        command = self._task.command
        return self._instrument.status.snapshot(str(command) if command else "")

    async def call(
        self,
        operation: str,
        *arguments: Any,
        by: str = "",
        claim: Claim | None = None,
        force: bool = False,
    ) -> Any:
        """Do one operation that the description offers, or `stop`, and return its plain value.

        Readings, positions and frames that it takes are published. Moves return the readback.

        Args:
            operation: Its name, such as `move_abs`.
            *arguments: As its signature says; positions in the description's units.
            by: Who asks, for those who find the device busy.
            claim: The claim of who asks, to command a device that is claimed.
            force: Command it in spite of another's claim.

        Raises:
            CapabilityError: The device does not offer it; the message lists what it offers.
            LimitError: A value is outside the limits; nothing moved.
            OfflineError: The device cannot be reached; the message says since when and why.
            BusyError: Another command is in progress, or an execution has claimed the device.
            InterlockError: An interlock that has tripped forbids it.
            UnreferencedError: It does not know where it is, so it is not moved.
            DeviceError: Wrong arguments, the device refused or failed, or it was stopped.
        """
        if operation == "stop":
            return await self._call_stop(by)
        offered, action = self._offer(operation)
        checked = action.check(self._instrument.description, operation, arguments)
        exclusive = offered.commands and not (action.asks_without_arguments and not checked)
        setting = self._setting(offered, checked) if exclusive else None
        job = Job(
            operation, checked, operation=offered, setting=setting, exclusive=exclusive, by=by
        )
        perform: Callable[[], Awaitable[Any]] = partial(action.perform, self._instrument, *checked)
        if exclusive:
            self.gate.require(job, claim, force=force)
            self._require_nothing_owed(job, force=force)
            if not self._task.unavailable():  # else it is said below why
                self._task.reference.require(job, force=force)
            self._count_motion(job)
        elif not offered.commands or action.asks_without_arguments:
            perform = partial(ask, self._instrument.status, str(job), perform)
        answer = await self._perform(job, perform)
        self._task.reference.done(operation)
        return answer

    def _count_motion(self, job: Job) -> None:
        if job.is_motion:
            self.motions[self.id] += 1
        elif job.setting is not None and job.setting[0].is_axis:
            self.motions[f"{self.id}.{job.setting[0].name}"] += 1

    def _require_nothing_owed(self, job: Job, *, force: bool) -> None:
        debt = self._debts.find(self.id)
        if self._task.stopping or self._instrument.status.unavailable():
            return  # it is said below what is in progress, or why it cannot be reached
        if debt is not None and not force:
            raise BusyError(
                f"{self.id}: {job} was refused: it is owed {debt}",
                advice=f"see why with `devices`; `stop {self.id}` tries again",
            )

    def axis_call(self, parameter: str, operation: str, *arguments: Any) -> tuple[Any, ...]:
        """The call of the device that is a call of one of its parameters, as if that were a motor.

        `move_abs` sets it and `position` and `read` get it; `get`, `set` and its own name are as
        they are. Raises DeviceError for a parameter that is no axis.
        """
        row = self.description.parameter(parameter)
        if operation in ("position", "read", "get"):
            return "get", parameter
        if operation in ("move_abs", "set"):
            if operation == "move_abs" and not row.is_axis:
                raise DeviceError(
                    f"{self.id}.{parameter} cannot be moved: "
                    f"{'it is no number' if row.writable else 'it can only be read'}",
                    advice=f"axes of {self.id}: {_axes(self.description)}",
                )
            return "set", parameter, *arguments
        raise CapabilityError(
            f"{self.id}.{parameter} does not offer {operation!r}; "
            "a parameter offers position, move_abs, get, set"
        )

    def is_cancellable(self, operation: str, *arguments: Any) -> bool:
        """Whether a call may be broken off half way."""
        if operation == "set" and arguments:
            operation = str(arguments[0])
        offered, _ = self._offered.get(operation, (None, None))
        return offered is not None and offered.cancellable

    def sets_parameter(self, operation: str, *arguments: Any) -> bool:
        """Whether a call sets a parameter: done again, it ends in the same place."""
        offered, _ = self._offered.get(operation, (None, None))
        if offered is None or not offered.commands:
            return False
        return operation == "set" or (bool(offered.parameter) and arguments not in ((), (None,)))

    async def acquire(self, parameter: str = "", *, by: str = "") -> tuple[Measurement, ...]:
        """Take what `record` stores of this device, or of one parameter. Publishes nothing.

        Position, frame or reading, and both of a device that moves and measures. Raises as `call`
        does.
        """
        return await self.begin_acquire(parameter, by=by).finish()

    def begin_acquire(
        self, parameter: str = "", *, by: str = "", no_value: bool = False
    ) -> Acquisition:
        """As `acquire`, but begins now and is finished later, so that several go on at once.

        The caller must `finish` or `abandon` it. Raises as `call` does. With `no_value` a reading
        that is invalid now is nan instead.
        """
        capabilities = self.description.capabilities
        job = Job("acquire", (parameter,) if parameter else (), by=by)
        if parameter:
            check_get(self.description, "record", (parameter,))
        elif Capability.FRAME_PRODUCER in capabilities and Capability.MOVABLE not in capabilities:
            job = Job("frames", (1,), operation=OPERATIONS["frames"], exclusive=True, by=by)
        self.gate.require_allowed(job)
        step: Callable[[], Awaitable[tuple[Measurement, ...]]] = partial(
            acquire, self._instrument, parameter, no_value=no_value
        )
        if not job.exclusive:
            step = partial(ask, self._instrument.status, "acquire", step)
        self._begin(job, step)
        return Acquisition(
            finish=partial(self._finish, job),
            abandon=partial(self._abandon, job),
        )

    async def publish(self, block: Measurement) -> None:
        """Publish what `acquire` took, as the next of its channel."""
        await self._instrument.publisher.publish(block)

    async def stop(
        self,
        *,
        timeout: float = 1.0,
        safe: bool = False,
        by: str = "",
        since: float = math.inf,
    ) -> DeviceStop:
        """Stop what moves or acquires, interrupting the command in progress.

        Never raises, and answers within `timeout` seconds even when the driver hangs.

        Args:
            timeout: Seconds until the device counts as unreachable.
            safe: Bring it to its safe state too, such as a closed shutter.
            by: Who asks; the caller of the interrupted command is told.
            since: Trio time at which the ending began that this belongs to: what was done since
                then, and followed by no command, is not done again.
        """
        # One that was never reached, and that nobody uses, was set to nothing by the daemon.
        owe = not self._defect and (self._task.was_reached or self.gate.claim is not None)
        return await self._stopper.stop(timeout, safe=safe, by=by, since=since, owe=owe)

    async def wait_stopped(self) -> None:
        """Until no stop is under way, for a moment at most."""
        await self._stopper.wait_idle()

    def require_possible(self, operation: str, *arguments: Any) -> None:
        """Raise what `call` would raise before it did anything, whoever has claimed the device."""
        offered, action = self._offer(operation)
        checked = action.check(self._instrument.description, operation, arguments)
        self._instrument.status.require_ready()
        setting = self._setting(offered, checked)
        self.gate.require_allowed(
            Job(operation, checked, operation=offered, setting=setting, exclusive=True)
        )

    async def restart(self, *, by: str = "", force: bool = False) -> DeviceStop:
        """Stop the device, let it go and connect it anew, without waiting for the next attempt.

        Raises BusyError when somebody has claimed it, unless `force` is given.
        """
        stop = await self._release("restart", by, force=force)
        self._task.restart(f"restarted{_by(by)}")
        return stop

    async def disable(self, reason: str = "", *, by: str = "", force: bool = False) -> DeviceStop:
        """Bring the device to its safe state, let it go, and leave it alone until `enable`.

        Raises BusyError when somebody has claimed it, unless `force` is given, and StorageError
        when it is disabled, but a restart of the daemon would forget that.
        """
        stop = await self._release("disable", by, force=force)
        reason = f"disabled{_by(by)}{f': {reason}' if reason else ''}"
        disabled = Disabled(reason, self._instrument.timebase.now_ns())
        self._task.disable(disabled)
        await self._out_of_use.add(self.id, disabled)
        return stop

    async def enable(self, *, by: str = "") -> None:
        """Take a device that was disabled into use again, and its position for right.

        That is all for one that is in use and has lost its reference.
        """
        self._task.reference.accept(by)
        if self.snapshot().state is DeviceState.DISABLED:
            self._task.enable()
            if self._defect:
                self._task.lost(self._defect)
        await self._out_of_use.remove(self.id)

    async def _release(self, what: str, by: str, *, force: bool) -> DeviceStop:
        """The instrument at rest, before it is let go; one that hangs is let go as it is."""
        self.gate.require(Job(what, exclusive=True, by=by), None, force=force)
        safe = what == "disable"
        return await self.stop(timeout=self._timing.cleanup_s, safe=safe, by=f"a {what}{_by(by)}")

    def reconnect(self, reason: str) -> None:
        """Somebody else had the instrument: what is in progress fails, and it is connected anew.

        What was known about it is forgotten.
        """
        self._task.lost(reason)

    def stay_disabled(self) -> None:
        """Leave it alone from the start, if it was disabled when the daemon ended."""
        disabled = self._out_of_use.find(self.id)
        if disabled is not None:
            self._task.disable(disabled)

    def retire(self, reason: str) -> None:
        """It is not configured any more: whoever still holds it finds it gone for good."""
        self._instrument.status.advice = "it is not configured any more; see `devices`"
        self._task.lost(reason)

    def fail(self, reason: str) -> None:
        """Its driver could not be built, so there is nothing that could be reached."""
        self._defect = reason
        self._instrument.status.advice = "mend the configuration, then `reload` it"
        self._task.lost(reason)

    async def settings(self) -> Mapping[str, Scalar]:
        """What a run's record should hold of this device; empty when it cannot be asked now."""
        if self._instrument.status.unavailable():
            await trio.lowlevel.checkpoint()
            return {}
        step = self._instrument.driver.settings
        try:
            settings = await self._task.perform_within(
                self._timing.settings_s, Job("settings"), step
            )
        except DaqError as error:
            logger.warning("the settings are not on record: %s", error.message)
            return {}
        try:
            checked = checked_fields(self.id, settings)
        except DeviceError as error:
            logger.warning("the settings are not on record: %s", error.message)
            return {}
        return {name: value for name, value in checked.items() if not isinstance(value, Invalid)}

    def pause_veto(self) -> str:
        """Why a program that uses it must not pause now, by the driver; empty when it may."""
        try:
            veto = checked_scalar(self.id, "pause_veto", self._instrument.driver.pause_veto())
        except BaseException:  # a foreign driver may raise anything, and must not hold up a pause
            logger.exception("%s: the driver could not tell whether it may be paused", self.id)
            return ""
        return str(veto)

    async def start_stream(
        self, count: int | None = None, *, by: str = "", force: bool = False
    ) -> None:
        """Publish frames, or sample blocks, until `count` of them or `stop_stream`.

        Frames without a count are a live view: it pauses while anybody else uses the detector. All
        else is an unbroken series, and whoever wants to acquire meanwhile gets BusyError: so a
        device that is claimed gives a live view only, unless `force` is given.
        """
        self.gate.require_allowed(
            Job("stream", operation=OPERATIONS["frames"], exclusive=True, by=by)
        )
        if count is not None or Capability.FRAME_PRODUCER not in self.description.capabilities:
            self.gate.require(Job("stream", by=by), None, force=force)
        await self._streamer.start(count, by)

    async def stop_stream(self) -> int:
        """End the stream; returns how many frames, or samples, the last one captured."""
        return await self._streamer.stop()

    def _offer(self, operation: str) -> tuple[Operation, Action]:
        try:
            return self._offered[operation]
        except KeyError:
            offers = [f"{name}{op.signature}" for name, (op, _) in self._offered.items()]
            listed = ", ".join([*offers, "stop()"])
            raise CapabilityError(
                f"{self.id}: does not offer {operation!r}; it offers {listed}",
                advice=did_you_mean(operation, [*self._offered, "stop"]),
            ) from None

    def _action_of(self, operation: Operation) -> Action:
        if operation.parameter:
            return parameter_action(operation, self.description.parameter(operation.parameter))
        if operation.name in ACTIONS:
            return ACTIONS[operation.name]
        return device_action(self.description.action(operation.name))

    def _setting(self, offered: Operation, checked: Sequence[Any]) -> Setting | None:
        """Which parameter the call sets, and to what."""
        if offered.name == "set" and not offered.parameter:
            name, value = checked
            return self.description.parameter(name), value
        if not offered.parameter:
            return None
        value = checked[0] if checked else offered.value
        return self.description.parameter(offered.parameter), value

    async def _perform(self, job: Job, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self._begin(job, step, *arguments)
        return await self._finish(job)

    def _begin(self, job: Job, step: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        self._instrument.status.require_ready()
        if job.is_acquisition and self.streaming:
            step, arguments = self._streamer.before_live_view, (step, *arguments)
        self._task.start(job, step, *arguments)

    async def _finish(self, job: Job) -> Any:
        """The answer. Whatever else ends it, what it set in motion is stopped first."""
        try:
            return await self._task.finish(job)
        except DaqError as error:
            if self._instrument.status.unavailable():
                raise
            if job.interrupted:
                await self._stopper.let_end(job)
            elif job.is_cancellable and not isinstance(error, _NOTHING_BEGAN):
                stop = await self._stopper.stop_after(job, safe=self._is_ending())
                raise _told(error, stop) from error
            raise
        except BaseException:
            await self._stopper.stop_after(job, safe=self._is_ending())
            raise

    async def _abandon(self, job: Job) -> None:
        job.scope.cancel()
        await self._stopper.stop_after(job, safe=self._is_ending())

    def _is_ending(self) -> bool:
        """Whether who uses it is being ended: then it goes straight into its safe state."""
        claim = self.gate.claim
        return claim is not None and claim.is_ending()

    async def _call_stop(self, by: str) -> bool:
        stop = await self.stop(by=by)
        if stop.outcome in _NOT_STOPPED:
            raise DeviceError(f"{self.id}: stop: {stop.outcome}: {stop.message}")
        return stop.outcome is StopOutcome.STOPPED


def _told(error: DaqError, stop: DeviceStop | None) -> DaqError:
    """A failure, and what became of what it had begun."""
    if stop is None or stop.outcome is StopOutcome.IDLE:
        return error
    what = f"it was {stop.outcome}"
    if stop.position is not None:
        what = f"it was stopped at {stop.position:.6g} {stop.units}"
    elif stop.outcome in _NOT_STOPPED:
        what = f"it was not stopped: {stop.message}"
    return type(error)(f"{error.message}; {what}", advice=error.advice)


def _axes(description: DeviceDescription) -> str:
    own = [description.id] if Capability.MOVABLE in description.capabilities else []
    rows = [f"{description.id}.{row.name}" for row in description.parameters if row.is_axis]
    return ", ".join([*own, *rows]) or "none"


def _by(who: str) -> str:
    return f" by {who}" if who else ""

"""The handle to a device that everyone above supervision holds."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from daq.core import (
    OPERATIONS,
    Capability,
    CapabilityError,
    DaqError,
    DeviceDescription,
    DeviceError,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    Measurement,
    Operation,
    Scalar,
    StopOutcome,
    did_you_mean,
)
from daq.supervision.device.acquisition import acquire
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.gate import Claim, Gate
from daq.supervision.device.job import Job, intended
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.operations import ACTIONS, Action
from daq.supervision.device.out_of_use import Disabled, OutOfUse
from daq.supervision.device.stopper import Stopper
from daq.supervision.device.stream import Streamer
from daq.supervision.device.timing import Timing

__all__ = ["Acquisition", "Device"]

logger = logging.getLogger(__name__)

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
    ) -> None:
        self._instrument = instrument
        self._task = task
        self._timing = timing
        self._stopper = Stopper(instrument, task, timing)
        self._streamer = Streamer(instrument, task, timing)
        self._out_of_use = out_of_use
        self._defect = ""
        """Why there is no driver that could reach it."""
        self.gate = gate
        """Who may command it now."""
        self.motions = 0
        """How often it was asked to move."""
        self._offered: Mapping[str, tuple[Operation, Action]] = {
            operation.name: (operation, ACTIONS[operation.name])
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
        """Do one operation of `OPERATIONS`, or `stop`, and return its plain value.

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
            DeviceError: Wrong arguments, the device refused or failed, or it was stopped.
        """
        if operation == "stop":
            return await self._call_stop(by)
        offered, action = self._offer(operation)
        checked = action.check(self._instrument.description, operation, arguments)
        exclusive = offered.commands and not (action.asks_without_arguments and not checked)
        job = Job(operation, checked, operation=offered, exclusive=exclusive, by=by)
        if exclusive:
            self.gate.require(job, claim, force=force)
            self.motions += offered.capability is Capability.MOVABLE
        return await self._perform(job, action.perform, self._instrument, *checked)

    async def acquire(self, *, by: str = "") -> tuple[Measurement, ...]:
        """Take what `record` stores of this device: position, frame or reading. Publishes nothing.

        Raises as `call` does.
        """
        return await self.begin_acquire(by=by).finish()

    def begin_acquire(self, *, by: str = "") -> Acquisition:
        """As `acquire`, but begins now and is finished later, so that several go on at once.

        The caller must `finish` or `abandon` it. Raises as `call` does.
        """
        capabilities = self.description.capabilities
        job = Job("acquire", by=by)
        if Capability.FRAME_PRODUCER in capabilities and Capability.MOVABLE not in capabilities:
            job = Job("frames", (1,), operation=OPERATIONS["frames"], exclusive=True, by=by)
        self.gate.require_allowed(job)
        self._begin(job, acquire, self._instrument)
        return Acquisition(
            finish=functools.partial(self._finish, job),
            abandon=functools.partial(self._abandon, job),
        )

    async def publish(self, block: Measurement) -> None:
        """Publish what `acquire` took, as the next of its channel."""
        await self._instrument.publisher.publish(block)

    async def stop(self, *, timeout: float = 1.0, safe: bool = False, by: str = "") -> DeviceStop:
        """Stop what moves or acquires, interrupting the command in progress.

        Never raises, and answers within `timeout` seconds even when the driver hangs.

        Args:
            timeout: Seconds until the device counts as unreachable.
            safe: Bring it to its safe state too, such as a closed shutter.
            by: Who asks; the caller of the interrupted command is told.
        """
        return await self._stopper.stop(timeout, safe=safe, by=by)

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

    async def enable(self) -> None:
        """Take a device that was disabled into use again; nothing for one that is in use."""
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
        return dict(settings)

    def pause_veto(self) -> str:
        """Why a program that uses it must not pause now, by the driver; empty when it may."""
        try:
            veto: str = self._instrument.driver.pause_veto()
        except Exception:  # a foreign driver may raise anything, and must not hold up a pause
            logger.exception("%s: the driver could not tell whether it may be paused", self.id)
            return ""
        return veto

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

    async def _perform(self, job: Job, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self._begin(job, step, *arguments)
        return await self._finish(job)

    def _begin(self, job: Job, step: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        self._instrument.status.require_ready()
        if job.is_acquisition and self.streaming:
            step, arguments = self._streamer.before_live_view, (step, *arguments)
        self._task.start(job, step, *arguments)

    async def _finish(self, job: Job) -> Any:
        try:
            return await self._task.finish(job)
        except DaqError:
            if job.interrupted and not self._instrument.status.unavailable():
                await self._let_stop_end(job)
            raise
        except BaseException:
            await self._clean_up(job)
            raise

    async def _let_stop_end(self, job: Job) -> None:
        """So that the caller of an interrupted command finds the device free, not being stopped."""
        with trio.move_on_after(self._timing.cleanup_s):
            await self._stopper.wait_idle()
        self._part(job)

    async def _abandon(self, job: Job) -> None:
        job.scope.cancel()
        await self._clean_up(job)

    async def _clean_up(self, job: Job) -> None:
        """The caller was cancelled: stop what it began, in bounded time."""
        bound = trio.current_time() + self._timing.cleanup_s
        with trio.CancelScope(shield=True, deadline=bound):
            if job.is_cancellable:
                stop = await self.stop(timeout=self._timing.cleanup_s, by="a cancellation")
                if stop.outcome in _NOT_STOPPED:
                    logger.warning("%s: %s was cancelled, but: %s", self.id, job, stop.message)
            else:
                await job.wait_ended()
        self._part(job)

    def _part(self, job: Job) -> None:
        """Give a driver up that does not let go of a job."""
        if not job.ended:
            self._task.lost(f"the driver is stuck in {job}")

    async def _call_stop(self, by: str) -> bool:
        stop = await self.stop(by=by)
        if stop.outcome in _NOT_STOPPED:
            raise DeviceError(f"{self.id}: stop: {stop.outcome}: {stop.message}")
        return stop.outcome is StopOutcome.STOPPED


def _by(who: str) -> str:
    return f" by {who}" if who else ""

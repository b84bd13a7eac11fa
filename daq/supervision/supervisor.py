"""All devices of the daemon: their tasks, their handles, their changes."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import trio
from trio_util import AsyncValue

from daq.bus import Bus
from daq.core import (
    BusyError,
    DeviceStop,
    Measurement,
    StopOutcome,
    UnknownDeviceError,
    brief,
    did_you_mean,
    split_target,
)
from daq.drivers import Driver, DriverContext, Timebase
from daq.supervision.device.acquisition import follow_position
from daq.supervision.device.debts import Debts
from daq.supervision.device.device import Acquisition, Device
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.gate import Gate
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.out_of_use import OutOfUse
from daq.supervision.device.publisher import Publisher
from daq.supervision.device.questions import text_of
from daq.supervision.device.reference import Reference, References
from daq.supervision.device.restart_policy import RestartPolicy
from daq.supervision.device.status import DeviceStatus
from daq.supervision.device.timing import Timing
from daq.supervision.device.unbuilt import UnbuiltDriver

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps every device reachable and knows how each one is.

    Args:
        drivers: By device id; not yet connected.
        bus: Where everything that devices say is published.
        timebase: The daemon's timestamps.
        failures: Devices whose driver could not even be built, with the reason; they are listed
            as offline and never tried.
        policy: When a lost device is tried again.
        timing: Periods and bounds.
        rng: For the policy's jitter.
        out_of_use: The devices that are disabled from the start.
        debts: What devices are owed from the start.
        references: The devices that have lost their reference from the start.
    """

    def __init__(
        self,
        drivers: Mapping[str, Driver],
        bus: Bus,
        timebase: Timebase,
        failures: Mapping[str, str] = MappingProxyType({}),
        *,
        policy: RestartPolicy | None = None,
        timing: Timing | None = None,
        rng: random.Random | None = None,
        out_of_use: OutOfUse | None = None,
        debts: Debts | None = None,
        references: References | None = None,
    ) -> None:
        self.after: Mapping[str, Sequence[str]] = MappingProxyType({})
        """The devices that are made safe before this one, by its id."""
        self.failures: dict[str, str] = {}
        """Devices that could not be built, with the reason."""
        self._bus = bus
        self._timebase = timebase
        self._policy = policy or RestartPolicy()
        self._timing = timing or Timing()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._out_of_use = out_of_use or OutOfUse()
        self._debts = debts or Debts(None, timebase.now_ns)
        self.references = references or References(None, timebase.now_ns)
        """Which devices do not know where they are."""
        self._changes = AsyncValue(0)
        self._watchers = 0
        self._watched_until = 0.0
        self._tasks: dict[str, DeviceTask] = {}
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[str, trio.CancelScope] = {}
        self._devices: dict[str, Device] = {}
        self._gates: dict[str, Gate] = {}
        for device_id, driver in drivers.items():
            self.add(device_id, driver)
        for device_id, reason in failures.items():
            self.add_failed(device_id, reason)

    def __repr__(self) -> str:
        return f"<Supervisor of {len(self._devices)} devices, version {self.version}>"

    @property
    def version(self) -> int:
        """Counts the changes of all devices."""
        return int(self._changes.value)

    def device(self, device_id: str) -> Device:
        """The device of that id; raises UnknownDeviceError listing those that exist."""
        try:
            return self._devices[device_id]
        except KeyError:
            shown = brief(device_id)  # it may have a million characters
            raise UnknownDeviceError(
                f"there is no device {shown!r}; there are {', '.join(sorted(self._devices))}",
                advice=did_you_mean(shown, self._devices),
            ) from None

    def find(self, target: str) -> tuple[Device, str]:
        """The device and the parameter of `laser.wavelength`; `""` for a device as a whole."""
        device_id, parameter = split_target(target)
        return self.device(device_id), parameter

    def is_owed(self, device_id: str) -> bool:
        """Whether a device, configured now or not, is owed a stop or its safe state."""
        return self._debts.find(device_id) is not None

    def owe(self, device_id: str, reason: str) -> None:
        """Nobody knows that a device is safe: it is made so before anybody may command it."""
        self._debts.add(device_id, safe=True, reason=reason)

    def is_disabled(self, device_id: str) -> bool:
        """Whether a person has taken a device out of use."""
        return self._out_of_use.find(device_id) is not None

    def gate(self, device_id: str) -> Gate:
        """Who may command the device of that id, whether or not it is configured now."""
        return self._gates.setdefault(device_id, Gate(device_id))

    def require_unclaimed(self, ids: Iterable[str], what: str) -> None:
        """Raise BusyError when any is claimed: `what`, the devices, and who has claimed them."""
        claims = [(each, self.device(each).gate.claim) for each in ids]
        in_use = [f"{each} by {claim.holder}" for each, claim in claims if claim is not None]
        if in_use:
            raise BusyError(
                f"{what}: {'; '.join(in_use)}",
                advice="stop it first, or repeat the command with force",
            )

    def devices(self) -> tuple[Device, ...]:
        """Every device, sorted by id."""
        return tuple(self._devices[device_id] for device_id in sorted(self._devices))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Supervise until cancelled. Started when every device was tried, or after 2 s."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._debts.keep)
            self._nursery.start_soon(self.references.keep)
            for device_id, task in self._tasks.items():
                self._nursery.start_soon(self._keep, device_id, task)
            with trio.move_on_after(self._timing.start_s):
                for task in tuple(self._tasks.values()):
                    await task.attempted.wait()
            task_status.started()
            await trio.sleep_forever()

    def add(self, device_id: str, driver: Driver) -> None:
        """Supervise one more device, from now on; one that exists already is a ValueError."""
        self._require_new(device_id)
        try:
            self._devices[device_id] = self._build(driver)
            self._devices[device_id].stay_disabled()
        except BaseException as error:  # a foreign driver may raise anything
            logger.exception("%s: the driver could not describe itself", device_id)
            reason = f"the driver failed: {type(error).__name__}: {text_of(error)}"
            self.add_failed(device_id, reason)
            return
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, device_id, self._tasks[device_id])
        self._count_change()

    def add_failed(self, device_id: str, reason: str) -> None:
        """List a device that could not be built."""
        self._require_new(device_id)
        self.failures[device_id] = reason
        self._devices[device_id] = self._build_failed(device_id, reason)
        self._count_change()

    async def remove(self, device_id: str, reason: str) -> DeviceStop | None:
        """Make a device safe, let it go and forget it; bounded. What is in progress on it fails.

        Who still holds it finds it offline with this reason. None for one that was never built.
        """
        device = self.device(device_id)
        with trio.CancelScope(shield=True):  # bounded: a device that is half removed is nobody's
            stop = await device.stop(timeout=self._timing.cleanup_s, safe=True, by=reason)
            device.retire(reason)
            task, scope = self._tasks.pop(device_id, None), self._scopes.pop(device_id, None)
            if task is not None and scope is not None:
                scope.cancel()
                with trio.move_on_after(self._timing.cleanup_s + self._timing.disconnect_s):
                    await task.ended.wait()
            device.retire(reason)  # what was said last is what its holders read
        del self._devices[device_id]
        was_built = self.failures.pop(device_id, None) is None
        self._count_change()
        return stop if was_built else None

    async def _keep(self, device_id: str, task: DeviceTask) -> None:
        with trio.CancelScope() as scope:
            self._scopes[device_id] = scope
            await task.run()

    def _require_new(self, device_id: str) -> None:
        if device_id in self._devices:
            raise ValueError(f"there is a device {device_id!r} already")

    async def wait_changed(self, seen: int) -> int:
        """Until the version is not `seen`; returns it. Meanwhile devices are polled faster."""
        self._watchers += 1
        try:
            return int(await self._changes.wait_value(lambda version: version != seen))
        finally:
            self._watchers -= 1
            self._watched_until = trio.current_time() + self._timing.watch_memory_s

    async def acquire(
        self, ids: Sequence[str], *, by: str = "", no_value: bool = False
    ) -> list[Measurement]:
        """Take what `record` stores of these devices, all at once; publishes nothing.

        An id with a name behind it, such as `laser.wavelength`, is that parameter alone.
        When one fails, the others are given up and its error is raised, as `Device.call` does.
        With `no_value` a reading that is invalid now is nan instead.
        """
        targets = [self.find(target) for target in ids]
        started: list[Acquisition] = []
        blocks: list[Measurement] = []
        try:
            for device, parameter in targets:
                # One by one: what began must be known when the next one fails.
                started.append(device.begin_acquire(parameter, by=by, no_value=no_value))
            while started:
                blocks += await started.pop(0).finish()
        except BaseException:
            for acquisition in started:
                await acquisition.abandon()
            raise
        return blocks

    async def stop_devices(
        self,
        ids: Iterable[str] | None = None,
        *,
        timeout: float = 1.0,
        safe: bool = False,
        by: str = "",
        since: float = math.inf,
    ) -> tuple[DeviceStop, ...]:
        """Stop these devices, or all, in parallel: one that hangs delays no other.

        When they are made safe, one that comes `after` others begins when those have answered, but
        waits for half of its time at most. Answers within `timeout`, in the order of `ids`.
        Arguments as `Device.stop`.
        """
        wanted = list(dict.fromkeys(sorted(self._devices) if ids is None else ids))
        answers: dict[str, DeviceStop] = {}

        done = {device_id: trio.Event() for device_id in wanted if device_id in self._devices}
        end = trio.current_time() + timeout

        async def stop(device_id: str) -> None:
            device = self._devices[device_id]
            with trio.move_on_after(timeout / 2):
                for other in self.after.get(device_id, ()) if safe else ():
                    if other in done:
                        await done[other].wait()
            left = end - trio.current_time()
            answers[device_id] = await device.stop(timeout=left, safe=safe, by=by, since=since)
            done[device_id].set()

        async with trio.open_nursery() as stops:
            for device_id in wanted:
                if device_id in self._devices:
                    stops.start_soon(stop, device_id)
                else:
                    answers[device_id] = DeviceStop(
                        device_id, StopOutcome.UNREACHABLE, 0.0, "there is no such device"
                    )
        return tuple(answers[device_id] for device_id in wanted)

    def _build(self, driver: Driver) -> Device:
        description = driver.description
        status = DeviceStatus(description.id, self._timebase, self._count_change)
        publisher = Publisher(description, self._bus)
        instrument = OperationContext(driver, description, status, publisher, self._timebase)
        task = DeviceTask(
            driver,
            status,
            partial(follow_position, instrument),
            self._is_watched,
            policy=self._policy,
            timing=self._timing,
            rng=self._rng,
            debts=self._debts,
            reference=Reference(self.references, driver, description),
        )
        self._debts.watch(description.id, status.owe)
        self.references.watch(description.id, status.lose_reference)
        self._tasks[description.id] = task
        # A device that takes another's place is forbidden and claimed just as that one was.
        gate = self.gate(description.id)
        return Device(instrument, task, self._timing, gate, self._out_of_use, self._debts)

    def _build_failed(self, device_id: str, reason: str) -> Device:
        driver = UnbuiltDriver(DriverContext(device_id, "", self._timebase), reason)
        device = self._build(driver)
        device.fail(reason)
        del self._tasks[device_id]
        return device

    def _is_watched(self) -> bool:
        return self._watchers > 0 or trio.current_time() < self._watched_until

    def _count_change(self) -> None:
        self._changes.value += 1

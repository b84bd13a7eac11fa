"""What every driver is: a description, a connection, a stop, and the capabilities it implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from daq.core import (
    DeviceDescription,
    DeviceError,
    Invalid,
    Movable,
    OfflineError,
    Scalar,
)
from daq.drivers.last_will import LastWill
from daq.drivers.motion import MotionLook, MotionTiming
from daq.drivers.timebase import Timebase
from daq.transport import Busy, FairTimeout

__all__ = ["Driver", "DriverContext", "seems_so"]

_SEEMS_S = 0.5
"""So long a stop waits for the answer whether there is something to stop."""


async def seems_so(ask: Callable[[], Awaitable[bool]]) -> bool:
    """For a stop: an answer that is late or not understood is no reason not to stop."""
    try:
        return await FairTimeout(_SEEMS_S).wait(ask)
    except OfflineError:
        raise
    except (DeviceError, trio.TooSlowError):
        return True


@dataclass(frozen=True, slots=True)
class DriverContext:
    """What a driver is given to live in."""

    device_id: str
    driver_name: str
    """As configured, such as `simulated.stage`."""
    timebase: Timebase
    options: Mapping[str, Any] = field(default_factory=dict)
    """The device's table of the configuration, without `driver`."""
    shared: dict[Any, Any] = field(default_factory=dict)
    """What the drivers of one daemon share, such as a bus that several of them sit on or the
    physics of the simulated bench; each family of drivers keeps its own key."""
    directory: Path | None = None
    """Where relative paths in options begin: the folder of the configuration file."""


class Driver(ABC):
    """One instrument. Capabilities are the protocols of `daq.core.capabilities`, by implementation.

    The constructor checks options (ConfigurationError) and talks to nobody. Every method may be
    cancelled at any await; after a cancelled move the supervisor calls `stop`.
    """

    motion_timing: MotionTiming = MotionTiming()
    """Of a movable: by which times its motions are judged."""
    home_position: float | None = None
    """Of a movable: where `home` ends, when that is known."""
    finds_reference: frozenset[str] = frozenset({"home"})
    """Of a movable: operations after which it knows where it is."""

    def __init__(self, context: DriverContext) -> None:
        self.context = context

    @property
    @abstractmethod
    def description(self) -> DeviceDescription:
        """What it is and offers; known before it is connected, the same while it lives."""

    @abstractmethod
    async def connect(self) -> None:
        """Reach the instrument and check that it is the right one; raises DeviceError."""

    async def disconnect(self) -> None:
        """Let the instrument go. Called after every successful `connect`, also when cancelled."""
        await trio.lowlevel.checkpoint()

    async def wait_plugged_in(self) -> None:
        """While it cannot be reached: until there is reason to try again before it is its time.

        Such as a port that had vanished and is there again. By default there never is.
        """
        await trio.sleep_forever()

    @abstractmethod
    async def stop(self) -> bool:
        """End whatever moves or acquires, at any time. True if something had to be stopped.

        It tells the instrument, also where that says that it is at rest: it may be about to move.
        Supervision sees to it that what moves comes to rest.
        """

    async def look_at_motion(self) -> MotionLook:
        """Of a movable: whether it moves and where it is, in as few exchanges as that takes.

        Asked again and again while it moves. By default `is_moving`, then `position`.

        Returns:
            Whether it moves, and the position in the description's units.

        Raises:
            DeviceError: The instrument gave something else than a number.
        """
        if not isinstance(self, Movable):
            raise DeviceError(f"{self.context.device_id}: it does not move")
        moving = await self.is_moving()
        return MotionLook(moving, await self.position())

    async def seems_moving(self) -> bool:
        """For `stop`: as `seems_so`; what is no movable never moves."""
        return isinstance(self, Movable) and await seems_so(self.is_moving)

    def distance(self, position: float, other: float) -> float:
        """How far apart two positions of a movable are; on a circle, by the shortest way."""
        return abs(position - other)

    async def make_safe(self) -> bool:
        """Bring the instrument to its safe state at the end of a program that used it.

        By default that is `stop`; a laser closes its shutter too.

        Returns:
            True if anything was changed.
        """
        return await self.stop()

    def safe_state_gap(self) -> str:
        """Why `make_safe` leaves something that can do harm as it is; empty when it does not.

        For people, such as `close_on_stop = false: the shutter stays as it is`. By default: a
        device that can let light out, and whose safe state is only its `stop`.

        Returns:
            A sentence, or nothing.
        """
        lets_out = [row.name for row in self.description.parameters if row.off is not None]
        if not lets_out or type(self).make_safe is not Driver.make_safe:
            return ""
        return f"it has {' and '.join(lets_out)}, and its safe state is only its stop"

    def fingerprint(self) -> str:
        """What makes it what it is, beside its options: the text of a file that it was built from.

        A device whose fingerprint has changed is built anew when the configuration is read again.

        Returns:
            A text that is another one when it is built differently.
        """
        return ""

    def busy(self) -> Busy | None:
        """What it waits for that was declared to take long: it is then busy, not silent.

        Such as a `home` that is answered at its end, or a spectrum of 7 s. Asked when an answer is
        late, and answered at once, from what the driver knows. By default it never is.

        Returns:
            What it waits for, and how long that takes at most (s); None when it should answer now.
        """
        return None

    def declared_s(self, operation: str, *arguments: str) -> float:  # noqa: ARG002
        """How long `read`, `position` or `get` of a parameter may take, s.

        Known from the options: what cannot work is refused by `check`.

        Returns:
            Seconds; 0 where nobody has said so.
        """
        return 0.0

    def pause_veto(self) -> str:
        """Why a program that uses the instrument must not pause now; empty when it may.

        For people, such as `exposure of 30 s in progress`. Asked before each pause and answered at
        once, from what the driver knows. By default nothing stands against it.

        Returns:
            A sentence, or nothing.
        """
        return ""

    def last_will(self) -> tuple[LastWill, ...]:
        """What makes the instrument safe when the daemon is gone; known from the options alone.

        By default nothing: an instrument that is safe by itself, or that has no such command.

        Returns:
            What is sent on which port, in this order.
        """
        return ()

    async def get_parameter(self, name: str) -> Scalar:
        """The value of a parameter of the description; by default what the method `name` gives."""
        value: Scalar = await getattr(self, name)()
        return value

    async def set_parameter(self, name: str, value: Scalar) -> Scalar | None:
        """Set one; by default by the method `set_name`. Raises DeviceError or LimitError.

        Returns:
            What it reads back, where the driver has asked: it is not asked again.
        """
        kept: Scalar | None = await getattr(self, f"set_{name}")(value)
        return kept

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        """Do an action of the description; by default by the method `name`.

        It ends when it is done; for one that moves, when the instrument has taken the command.

        Returns:
            What the instrument says of it, if anything.
        """
        answer: Scalar | None = await getattr(self, name)(*arguments)
        return answer

    @abstractmethod
    async def poll(self) -> Mapping[str, Scalar | Invalid]:
        """The cached state's fields, fresh from the instrument: `position`, `moving`, ...

        A field that has no value now, such as a reading in overload, is `Invalid`. Raises
        OfflineError when the instrument does not answer: it is then lost.
        """

    async def settings(self) -> Mapping[str, Scalar | Invalid]:
        """What a run's record should hold of this device; by default what `poll` sees."""
        return await self.poll()

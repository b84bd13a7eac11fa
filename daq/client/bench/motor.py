"""Whatever has a position: a stage, a rotator."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Literal, overload

from daq.client.bench.device import Device
from daq.client.bench.readings import Readings
from daq.client.bench.subscription import RATE_HZ, Subscribing
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import Action
from daq.client.blocking.status import MotionProgress, Status
from daq.client.calls.async_client import AsyncClient
from daq.core import (
    Capability,
    DaqError,
    DeviceError,
    DeviceStop,
    LimitError,
    Limits,
    ParameterError,
)

__all__ = ["Motor"]

STOP_S = 2.0


class Motor(Subscribing, Device):
    """A device with a position, in its `units`.

    stage.position                        # read back from the instrument
    stage.position = 1.5                  # moves, and returns when settled
    status = stage.move(3.0, wait=False)  # several motors may be under way
    stage.stop()
    """

    capability = Capability.MOVABLE
    _stopped = 0
    """How often it was stopped as part of a plan."""

    @property
    def position(self) -> float:
        """Where it is, asked of the instrument. To set it is to move and wait until settled."""
        return float(self.call("position"))

    @position.setter
    def position(self, target: float) -> None:
        self.move(target)

    @property
    def limits(self) -> Limits | None:
        """Between which positions it may move."""
        return self._description.limits

    @property
    def tolerance(self) -> float | None:
        """A move that ends farther than this from its target has failed."""
        return self._description.tolerance

    @property
    def is_moving(self) -> bool:
        """Whether it moves, as the daemon saw it last; what has arrived or was stopped does not."""
        return bool(self.state().fields.get("moving", False))

    @overload
    def move(
        self, target: float, wait: Literal[True] = True, timeout: float | None = None
    ) -> float: ...
    @overload
    def move(
        self, target: float, wait: Literal[False], timeout: float | None = None
    ) -> Status[float]: ...

    def move(
        self, target: float, wait: bool = True, timeout: float | None = None
    ) -> float | Status[float]:
        """Move to a position.

        Args:
            target: In `units`.
            wait: Return when settled, with the position read back; Ctrl-C stops the motion.
                Otherwise return a Status at once.
            timeout: Seconds after which the daemon stops the motion and the move has failed.

        Returns:
            The position read back, in `units`; without `wait` a Status that ends with it.
        """
        position = self._number(target)
        status = self._motion(
            lambda client: client.devices.move_abs(self.name, position, timeout=timeout),
            f"to {position:g} {self.units}",
            MotionProgress(self.name, self.units, self._positions, target=position),
        )
        return status.wait() if wait else status

    @overload
    def move_relative(
        self, distance: float, wait: Literal[True] = True, timeout: float | None = None
    ) -> float: ...
    @overload
    def move_relative(
        self, distance: float, wait: Literal[False], timeout: float | None = None
    ) -> Status[float]: ...

    def move_relative(
        self, distance: float, wait: bool = True, timeout: float | None = None
    ) -> float | Status[float]:
        """Move by a distance from where it is; the arguments are those of `move`."""
        step = self._number(distance)
        status = self._motion(
            lambda client: client.devices.move_rel(self.name, step, timeout=timeout),
            f"by {step:g} {self.units}",
            MotionProgress(self.name, self.units, self._positions, distance=step),
        )
        return status.wait() if wait else status

    def home(self, wait: bool = True) -> float | Status[float]:
        """Search the home position; gives the position read back, as `move` does."""
        status = self._motion(
            lambda client: client.devices.call(self.name, "home"),
            "home",
            MotionProgress(self.name, self.units, self._positions),
        )
        return status.wait() if wait else status

    def wait_settled(self, timeout: float | None = None) -> float:
        """Wait until a motion that anybody began has ended; the position read back."""
        return self._ask(lambda client: client.devices.wait_settled(self.name, timeout=timeout))

    def _number(self, value: float) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ParameterError(
                f"{self.name} moves to or by a number of {self.units}, not {value!r}"
            ) from None

    def _motion(self, action: Action[float], what: str, progress: MotionProgress) -> Status[float]:
        stopped = self._stopped

        async def move(client: AsyncClient) -> float:
            try:
                return await action(client)
            except DeviceError:
                if stopped == self._stopped:
                    raise
                return float(await client.devices.call(self.name, "position"))
            except asyncio.CancelledError:
                # The daemon stops what nobody waits for. Asked once more, it says when it stands.
                with contextlib.suppress(DaqError, TimeoutError):
                    await asyncio.wait_for(client.devices.stop(self.name), STOP_S)
                raise

        return self._begin(move, f"{self.name}: the move {what}", progress)

    def _positions(self) -> Iterator[float]:
        with self.stream() as readings:
            for reading in readings:
                yield reading.value

    # ------------------------------------------------------------------------- bluesky.protocols

    def stop(self, success: bool = False) -> DeviceStop:
        """Stop it now, whoever uses it; never refused.

        Args:
            success: bluesky: that is part of the plan, and moves under way end well where they are.

        Returns:
            What it did, and where it rests.
        """
        self._stopped += success
        return super().stop()

    def stream(self, rate_hz: int = RATE_HZ) -> BlockingStream[Readings]:
        """Where it is, at a rate, to iterate over; close it, or use it as a `with` block."""

        async def readings(client: AsyncClient) -> AsyncGenerator[Readings, None]:
            async with aclosing(client.streams.positions(self.name, rate_hz)) as positions:
                async for update in positions:
                    yield Readings(self.name, update.position, update.timestamp_ns, self.units)

        return self._portal.stream(readings, depth=2)

    def set(self, value: float) -> Status[float]:
        """bluesky: `move` without waiting."""
        return self.move(value, wait=False)

    def read(self) -> Readings:
        """bluesky: the position, read back."""
        return Readings(self.name, self.position, time.time_ns(), self.units)

    def locate(self) -> dict[str, float]:
        """bluesky: where it is; after a move that is also where it was sent, within tolerance."""
        position = self.position
        return {"setpoint": position, "readback": position}

    def check_value(self, value: float) -> None:
        """bluesky: raise LimitError for a position that a move would be refused for."""
        limits = self.limits
        if not math.isfinite(value):
            raise LimitError(f"{self.name}: position {value} is not a finite number")
        if limits is not None:
            limits.require(self.name, "position", value, self.units)

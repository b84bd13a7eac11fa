"""Motion of a described instrument: setpoint out, readback until it has settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import trio

from daq.core import DeviceError, Limits, Scalar
from daq.drivers.declarative.conversation import Conversation, Look
from daq.drivers.declarative.model import Motion

__all__ = ["Mover"]


class Mover:
    """Moves one value of an instrument.

    Args:
        device_id: As errors name it.
        motion: As described.
        limits: The description's, or narrower ones.
        conversation: With the instrument.
    """

    def __init__(
        self, device_id: str, motion: Motion, limits: Limits, conversation: Conversation
    ) -> None:
        self._id = device_id
        self._motion = motion
        self._limits = limits
        self._talk = conversation
        self._setpoint: float | None = None
        """Where it was sent and has not been seen to have arrived."""
        self._move: trio.Event | None = None
        """Set when the move in progress is stopped."""

    def __repr__(self) -> str:
        return f"<Mover of {self._id} to {self._setpoint}>"

    def forget(self) -> None:
        """The instrument was away: nobody knows where it was sent."""
        self._setpoint = None

    async def move(self, position: float) -> None:
        """Return when it rests within tolerance; LimitError, DeviceError."""
        self._check_limits(position)
        await self._check_requirement()
        with self._underway():
            for target in await self._steps(position):
                self._require_going()
                self._setpoint = position
                await self._talk.write(self._motion.setpoint, target, verify=False)
                if target != position:
                    await self._rest()
            await self._settle(position)
        self._setpoint = None

    async def home(self) -> None:
        """Go to the home position, or let the instrument search it."""
        home = self._motion.home
        if not isinstance(home, str):
            await self.move(home)
            return
        await self._check_requirement()
        with self._underway():
            self._require_going()
            await self._talk.act(home)
            await self._settle(None)

    async def position(self) -> float:
        """The readback."""
        return await self._position(self._talk.look())

    async def is_moving(self, look: Look) -> bool:
        """Whether it is on its way: to where it was sent, or as it tells by itself."""
        if self._setpoint is None and "setpoint" in self._motion.settled.names:
            await trio.lowlevel.checkpoint()
            return False
        settled = await self._is_settled(look, self._setpoint)
        if settled and self._move is None:
            self._setpoint = None
        return not settled

    async def poll(self, look: Look) -> Mapping[str, Scalar]:
        return {"position": await self._position(look), "moving": await self.is_moving(look)}

    async def stop(self) -> bool:
        """Stop, and return when it rests. True if it was on its way."""
        moving = self._move is not None or self._setpoint is not None
        if self._move is not None:
            self._move.set()
        motion = self._motion
        if motion.stop is not None:
            await self._talk.act(motion.stop)
        elif motion.hold and moving:
            here = await self.position()
            nearest = min(max(here, self._limits.low), self._limits.high)
            await self._talk.write(motion.setpoint, nearest, verify=False)
        self._setpoint = None
        # A motion that somebody else began is seen only where the instrument tells of it.
        moving = moving or await self.is_moving(self._talk.look())
        if moving and motion.stop is not None:
            await self._wait_rest()
        return moving

    async def _settle(self, setpoint: float | None) -> None:
        """Until it has been settled for long enough; DeviceError when it does not get there."""
        motion = self._motion
        deadline = trio.current_time() + motion.timeout_s
        since: float | None = None
        while True:
            look = self._talk.look()
            now = trio.current_time()
            if await self._is_settled(look, setpoint):
                since = now if since is None else since
                if now - since >= motion.stable_s:
                    break
            else:
                since = None
            if now >= deadline:
                raise await self._missed(setpoint, f"did not settle within {motion.timeout_s:g} s")
            await self._rest()
        if setpoint is not None and abs(await self.position() - setpoint) > motion.tolerance:
            raise await self._missed(setpoint, "came to rest elsewhere")

    async def _missed(self, setpoint: float | None, what: str) -> DeviceError:
        units = self._talk.value(self._motion.position).units
        here = await self.position()
        if setpoint is None:
            return DeviceError(f"{self._id}: home {what}; it is at {here:g} {units}")
        return DeviceError(
            f"{self._id}: move to {setpoint:g} {units} {what}: readback {here:g} {units}, off by "
            f"{abs(here - setpoint):.3g} {units}, tolerance {self._motion.tolerance:g} {units}"
        )

    async def _is_settled(self, look: Look, setpoint: float | None) -> bool:
        motion = self._motion
        known = {"tolerance": motion.tolerance}
        if "position" in motion.settled.names:
            known["position"] = await self._position(look)
        if setpoint is not None:
            known["setpoint"] = setpoint
        return bool(await look.evaluate(motion.settled, known))

    async def _position(self, look: Look) -> float:
        return float(await look.read(self._motion.position))

    async def _steps(self, position: float) -> list[float]:
        """The setpoints on the way: one, or a ramp from here."""
        step = self._motion.ramp_step
        if step is None:
            return [position]
        here = await self.position()
        count = int(abs(position - here) / step)
        sign = 1.0 if position > here else -1.0
        way = [here + sign * step * (number + 1) for number in range(count)]
        # Where it stands may lie a little outside of what may be set.
        within = [target for target in way if target in self._limits and target != position]
        return [*within, position]

    async def _rest(self) -> None:
        """Wait until the next look; DeviceError when the move was stopped meanwhile."""
        move = self._move
        with trio.move_on_after(self._motion.interval_s):
            if move is None:
                await trio.sleep_forever()
            else:
                await move.wait()
        self._require_going()

    def _require_going(self) -> None:
        if self._move is not None and self._move.is_set():
            raise DeviceError(f"{self._id}: the move was stopped half way")

    async def _wait_rest(self) -> None:
        """After a stop: until the instrument says so, or its position does not change any more."""
        motion = self._motion
        tells = "setpoint" not in motion.settled.names
        before = await self.position()
        while True:
            await trio.sleep(motion.interval_s)
            here = await self.position()
            is_at_rest = abs(here - before) <= motion.tolerance
            if is_at_rest and not (tells and await self.is_moving(self._talk.look())):
                return
            before = here

    async def _check_requirement(self) -> None:
        requires = self._motion.requires
        if requires is not None and not await self._talk.look().evaluate(requires, {}):
            raise DeviceError(
                f"{self._id}: it cannot move: {requires.text!r} is not so; nothing was changed"
            )

    @contextmanager
    def _underway(self) -> Iterator[None]:
        """A move is in progress, so that a stop finds it."""
        self._move = trio.Event()
        try:
            yield
        finally:
            self._move = None
            if self._motion.ramp_step is not None:
                self._setpoint = None  # nobody goes on with the ramp

    def _check_limits(self, position: float) -> None:
        units = self._talk.value(self._motion.setpoint).units
        self._limits.require(self._id, "position", position, units)

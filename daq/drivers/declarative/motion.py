"""Motion of a described instrument: setpoint out, and what it says of its way there."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from daq.core import DeviceError, Invalid, Limits, Scalar
from daq.drivers.declarative.conversation import Conversation, Look
from daq.drivers.declarative.model import Motion
from daq.drivers.driver import seems_so
from daq.drivers.motion import MotionTiming

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
        """Where it was sent and has not been seen to have settled."""
        self._settled_since: float | None = None
        self._on_ramp = False
        self._searches = False
        """It was sent home, and has not been seen to have settled."""
        self.timing = MotionTiming(
            # What is settled by its readback alone neither lags nor blinks.
            begin_s=MotionTiming().begin_s if motion.tells_rest else 0.0,
            rest_s=max(motion.stable_s, MotionTiming().rest_s if motion.tells_rest else 0.0),
            look_s=motion.interval_s,
            timeout_s=motion.timeout_s,
        )
        self.home_position = None if isinstance(motion.home, str) else motion.home
        self.home_action = motion.home if isinstance(motion.home, str) else ""

    def __repr__(self) -> str:
        return f"<Mover of {self._id} to {self._setpoint}>"

    def forget(self) -> None:
        """The instrument was away: nobody knows where it was sent."""
        self._setpoint, self._searches = None, False

    def distance(self, position: float, other: float) -> float:
        """Between two positions: by the shortest way, and nothing where `settled` says so."""
        motion = self._motion
        apart = motion.distance(position, other)
        names = motion.settled.names
        if {"position", "setpoint"} <= names <= {"position", "setpoint", "tolerance"}:
            known = {"position": position, "setpoint": other, "tolerance": motion.tolerance}
            if self._talk.evaluate(motion.settled, known):
                return min(apart, motion.tolerance)
        return apart

    async def move(self, position: float) -> None:
        """Send it there, by steps where it is described so; LimitError, DeviceError."""
        self._check_limits(position)
        await self._check_requirement()
        try:
            steps = await self._steps(position)
            for number, target in enumerate(steps, 1):
                self._on_ramp = number < len(steps)
                self._setpoint, self._settled_since = target, None
                await self._talk.write(self._motion.setpoint, target, verify=False)
                if self._on_ramp:
                    await trio.sleep(self._motion.interval_s)
        finally:
            self._on_ramp = False

    async def home(self) -> None:
        """Send it to the home position, or let the instrument search it."""
        home = self._motion.home
        if home is None:
            raise DeviceError(f"{self._id}: it is not described where its home position is")
        if not isinstance(home, str):
            await self.move(home)
            return
        await self.act(home)

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        """An action that moves it to nobody knows where."""
        await self._check_requirement()
        self._setpoint, self._searches = None, True
        return await self._talk.act(name, *arguments)

    async def position(self) -> float:
        """The readback."""
        return await self._position(self._talk.look())

    async def is_moving(self, look: Look) -> bool:
        """Whether it is on its way: to where it was sent, or as it tells by itself."""
        if self._on_ramp or (self._setpoint is None and not self._motion.tells_rest):
            await trio.lowlevel.checkpoint()
            self._searches = False  # nothing tells when it has ended
            return self._on_ramp
        settled = await self._is_settled(look, self._setpoint)
        now = trio.current_time()
        if not settled:
            self._settled_since = None
        elif self._settled_since is None:
            self._settled_since = now
        if settled and now - (self._settled_since or now) >= self.timing.rest_s:
            self._setpoint, self._searches = None, False
        return not settled

    async def look(self) -> tuple[bool, float]:
        """Whether it moves and where it is; what stands in one reply is asked for once."""
        look = self._talk.look()
        return await self.is_moving(look), await self._position(look)

    async def poll(self, look: Look) -> Mapping[str, Scalar | Invalid]:
        told: dict[str, Scalar | Invalid] = {}
        if self._motion.referenced is not None:
            told["referenced"] = bool(await look.evaluate(self._motion.referenced, {}))
        position = await look.read_or_invalid(self._motion.position)
        if isinstance(position, Invalid):
            return {"position": position, "moving": False, **told}
        return {"position": float(position), "moving": await self.is_moving(look), **told}

    async def stop(self) -> bool:
        """Tell it to stop. True if it was on its way."""
        moving = await self._seems_moving()
        motion = self._motion
        if motion.stop is not None:
            await self._talk.act(motion.stop)
        elif motion.hold and moving:
            here = await self.position()
            nearest = min(max(here, self._limits.low), self._limits.high)
            await self._talk.write(motion.setpoint, nearest, verify=False)
        self.forget()
        return moving

    async def _seems_moving(self) -> bool:
        if self._setpoint is not None or self._searches:
            return True  # nothing is asked before it is told
        return await seems_so(lambda: self.is_moving(self._talk.look()))

    async def _is_settled(self, look: Look, setpoint: float | None) -> bool:
        motion = self._motion
        known = {"tolerance": motion.tolerance}
        if "position" in motion.settled.names:
            known["position"] = await self._position(look)
        if setpoint is not None:
            known["setpoint"] = setpoint
            if "position" in known and motion.circle is not None:
                # The turn on which it counts is the one on which it was sent there.
                known["position"] = setpoint + motion.offset(known["position"], setpoint)
        return bool(await look.evaluate(motion.settled, known))

    async def _position(self, look: Look) -> float:
        return float(await look.read(self._motion.position))

    async def _steps(self, position: float) -> list[float]:
        """The setpoints on the way: one, or a ramp from here."""
        step, circle = self._motion.ramp_step, self._motion.circle
        if step is None and circle is None:
            return [position]
        here = await self.position()
        position = self._shortest(here, position)
        if step is None:
            return [position]
        count = int(abs(position - here) / step)
        sign = 1.0 if position > here else -1.0
        way = [here + sign * step * (number + 1) for number in range(count)]
        # Where it stands may lie a little outside of what may be set.
        within = [target for target in way if target in self._limits and target != position]
        return [*within, position]

    def _shortest(self, here: float, position: float) -> float:
        """The same place on a circle on the turn that is nearest, where that may be set."""
        motion = self._motion
        if motion.circle is None:
            return position
        turns = round((here - position) / motion.circle)
        nearest = position + turns * motion.circle
        return nearest if nearest in self._limits else position

    async def _check_requirement(self) -> None:
        requires = self._motion.requires
        if requires is not None and not await self._talk.look().evaluate(requires, {}):
            raise DeviceError(
                f"{self._id}: it cannot move: {requires.text!r} is not so; nothing was changed"
            )

    def _check_limits(self, position: float) -> None:
        units = self._talk.value(self._motion.setpoint).units
        self._limits.require(self._id, "position", position, units)

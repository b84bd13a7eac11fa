"""When a motion is over: it began, it went, it rests. The one place where that is judged."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

import trio

from daq.core import DeviceError, Measurement
from daq.drivers import MotionLook, MotionTiming
from daq.supervision.device.acquisition import note_position
from daq.supervision.device.answers import checked_truth
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.questions import is_wrong_answer, own_error

__all__ = ["MotionJudge", "Sight", "Verdict", "carry_out_motion", "look", "wait_rest"]

BLIND_S = 2.0
"""So long a motion may go on while no look at it can be understood."""
PUBLISH_S = 0.1
"""Between two published positions of a motion."""

Distance = Callable[[float, float], float]
Send = Callable[[], Awaitable[None]]


class Verdict(Enum):
    """What a look says about a motion."""

    GOING = auto()
    OVER = auto()
    """It rests, where it was sent to."""
    NOT_BEGUN = auto()
    """It was sent somewhere else and stays where it is."""
    ELSEWHERE = auto()
    """It went, and rests where it was not sent to."""
    LATE = auto()
    """It is not over in time."""


class MotionJudge:
    """Pure arithmetic: looks in, a verdict out.

    Args:
        timing: The driver's.
        tolerance: How far from the target it may rest.
        target: Where it was sent; None where nobody knows that, such as a home position.
        now: When the command was taken, by the clock of the looks, s.
        distance: Of two positions; on a circle it is the shortest way.
        start: Where it was seen before the command.
    """

    def __init__(
        self,
        timing: MotionTiming,
        tolerance: float,
        target: float | None,
        now: float,
        distance: Distance,
        start: float | None = None,
    ) -> None:
        self.began = False
        """It was seen to move."""
        self._timing = timing
        self._tolerance = tolerance
        self._target = target
        self._distance = distance
        self._sent_at = self._moved_at = now
        self._rests_since: float | None = None
        self._anchor = start
        """Where it was when it was last seen to have moved."""

    def judge(self, moving: bool, position: float, now: float) -> Verdict:
        """What is true after this look."""
        self._note_motion(moving, position, now)
        if self._rests_since is not None:
            timing = self._timing
            if self._is_at_target(position):
                # At a home position that nobody knows it is at once, or not yet.
                unsure = self._target is None and not self.began
                needed = max(timing.rest_s, timing.begin_s) if unsure else timing.rest_s
                if now - self._rests_since >= needed:
                    return Verdict.OVER
            elif now - self._moved_at >= max(timing.begin_s, timing.rest_s):
                return Verdict.ELSEWHERE if self.began else Verdict.NOT_BEGUN
        return Verdict.LATE if now - self._sent_at >= self._timing.timeout_s else Verdict.GOING

    def _note_motion(self, moving: bool, position: float, now: float) -> None:
        """Its word, and whether it is elsewhere than before: either tells that it moves."""
        first = self._anchor is None
        anchor = position if self._anchor is None else self._anchor
        shifted = self._distance(position, anchor) > self._tolerance / 2
        if moving or shifted:
            self.began = True
            self._moved_at = now
        if first or moving or shifted:
            self._anchor = position
        if moving:
            self._rests_since = None
        elif self._rests_since is None or shifted:
            self._rests_since = now

    def _is_at_target(self, position: float) -> bool:
        return self._target is None or self._distance(position, self._target) <= self._tolerance


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at a movable saw."""

    moving: bool
    position: Measurement
    """Not yet published."""


async def carry_out_motion(
    context: OperationContext, what: str, send: Send, target: float | None
) -> float:
    """Send a device off and return its readback when it has arrived.

    Args:
        context: The device.
        what: The operation, for people.
        send: Tells the instrument; returns when that has taken the command, or later.
        target: Where it shall arrive; None for a home position.

    Raises:
        DeviceError: It did not begin, ended elsewhere or took too long, or what it answers cannot
            be understood. Whoever asked for the motion then stops it.
    """
    start = context.status.position
    await send()  # what the instrument needs for its answer is not the motion's time
    sent_at = trio.current_time()
    timing, tolerance = context.driver.motion_timing, _tolerance(context)
    judged = target if tolerance < math.inf else None
    judge = MotionJudge(timing, tolerance, judged, sent_at, context.driver.distance, start)
    context.status.is_followed = True
    try:
        verdict, position = await _follow(context, timing, judge)
    finally:
        context.status.is_followed = False
    if verdict is Verdict.OVER:
        return position
    raise _failure(context, what, target, position, verdict)


async def wait_rest(
    context: OperationContext,
    rest_s: float,
    *,
    unsure_s: float = 0.0,
    moved_again: Callable[[], Awaitable[object]] | None = None,
) -> Measurement:
    """Until a device has been at rest for so long; gives where it rests, not yet published.

    Raises OfflineError. Looks that cannot be understood are taken again: give it a deadline.

    Args:
        context: The device.
        rest_s: So long it has to rest.
        unsure_s: The same for one that was not seen to move: it may be about to.
        moved_again: Called when it moves after it had been seen at rest.
    """
    tolerance, moved = _tolerance(context), False
    rest: tuple[float, float] | None = None
    while True:
        seen = await _try_to_look(context)
        if seen is not None:
            position, now = float(seen.position.last()), trio.current_time()
            moved |= seen.moving
            if seen.moving:
                if moved_again is not None and rest is not None:
                    await moved_again()
                rest = None
            elif rest is None or context.driver.distance(position, rest[0]) > tolerance / 2:
                rest = position, now
            if rest is not None and now - rest[1] >= (rest_s if moved else max(rest_s, unsure_s)):
                return seen.position
        await trio.sleep(context.driver.motion_timing.look_s)


async def look(context: OperationContext) -> Sight:
    """See whether it moves and where it is."""
    seen = await context.driver.look_at_motion()
    if not isinstance(seen, MotionLook):
        raise DeviceError(f"{context.id}: look_at_motion gave {type(seen).__name__}, not a look")
    moving = checked_truth(context.id, "is_moving", seen.moving)
    position = note_position(context, seen.position)
    context.status.note_motion(moving)
    return Sight(moving, position)


async def _try_to_look(context: OperationContext) -> Sight | None:
    """None when the answer cannot be understood; that is counted."""
    try:
        return await look(context)
    except trio.Cancelled:
        raise
    except BaseException as raised:
        error = own_error(raised, context.id, "looking at its motion")
        if error is None or not is_wrong_answer(error):
            raise
        context.status.count_failed_question(error.message)
        return None


async def _follow(
    context: OperationContext, timing: MotionTiming, judge: MotionJudge
) -> tuple[Verdict, float]:
    """Look until it is over, one way or another."""
    published_at, understood_at = -math.inf, trio.current_time()
    while True:
        seen, now = await _try_to_look(context), trio.current_time()
        if seen is not None:
            position, understood_at = float(seen.position.last()), now
            verdict = judge.judge(seen.moving, position, now)
            if verdict is not Verdict.GOING or now - published_at >= PUBLISH_S:
                published_at = now
                await context.publisher.publish(seen.position)
            if verdict is not Verdict.GOING:
                return verdict, position
        elif now - understood_at > BLIND_S:
            raise DeviceError(
                f"{context.id}: nobody knows where it moves: no answer could be understood for "
                f"{BLIND_S:g} s; {context.status.reason}"
            )
        await trio.sleep(timing.look_s)


def _failure(
    context: OperationContext, what: str, target: float | None, position: float, verdict: Verdict
) -> DeviceError:
    units, timing = context.description.units, context.driver.motion_timing
    within = f" within {timing.begin_s:g} s" if timing.begin_s else ""
    happened: dict[Verdict, str] = {
        Verdict.NOT_BEGUN: f"it did not begin to move{within}",
        Verdict.ELSEWHERE: "it came to rest elsewhere",
        Verdict.LATE: f"it is not over after {timing.timeout_s:g} s",
    }
    numbers = f"readback {position:.12g} {units}"
    if target is not None:
        off = context.driver.distance(position, target)
        numbers = (
            f"setpoint {target:.12g} {units}, {numbers}: off by {off:.3g} {units}, "
            f"tolerance {_tolerance(context):g} {units}"
        )
    return DeviceError(
        f"{context.id}: {what}: {happened[verdict]}: {numbers}",
        advice="check for an obstacle, a lost reference or a tolerance that is too tight",
    )


def _tolerance(context: OperationContext) -> float:
    tolerance = context.description.tolerance
    return math.inf if tolerance is None else tolerance

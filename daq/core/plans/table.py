"""The table of plans: what each takes, by name and kind. Scripts, clients and texts read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

__all__ = ["AROUND", "PLANS", "Kind", "Plan", "PlanParameter"]


class Kind(StrEnum):
    """What a value is, and so how it is checked."""

    DEVICES = "devices"
    MOTOR = "motor"
    POSITION = "position"
    """A finite number in the motor's units."""
    POSITIONS = "positions"
    LENGTH = "length"
    """A finite number above 0, in the motor's units or in those of the column `target`."""
    SECONDS = "seconds"
    PERIOD = "period"
    """Seconds, more than 0."""
    COUNT = "count"
    FLAG = "flag"
    TEXT = "text"
    FUNCTION = "function"
    FACTS = "facts"
    """Metadata by name."""


_NEEDED = object()


@dataclass(frozen=True, slots=True)
class PlanParameter:
    """One argument of a plan."""

    name: str
    kind: Kind
    default: Any = _NEEDED
    aliases: tuple[str, ...] = ()
    """Other names that are understood as keywords."""

    @property
    def needed(self) -> bool:
        """Whether it has to be given."""
        return self.default is _NEEDED


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan: after the detectors come the `axes`, once for each motor, then the rest."""

    name: str
    summary: str
    axes: tuple[PlanParameter, ...] = ()
    rest: tuple[PlanParameter, ...] = ()
    """By position or by name; of a plan with `axes`, all but `num` by name only."""
    per_point: bool = True
    """Whether it takes a function that is called at each point."""

    @property
    def relative(self) -> bool:
        """Whether positions are distances from where the motors stand, and they return."""
        return self.name.startswith("rel_")

    @property
    def ordered(self) -> tuple[PlanParameter, ...]:
        """All arguments in their order, for one motor."""
        return (DETECTORS, *self.axes, *self.rest)

    @property
    def keywords(self) -> tuple[PlanParameter, ...]:
        """All that it takes, by name."""
        around = (p for p in AROUND if self.per_point or p.name != "per_point")
        return (*self.ordered, *around)


DETECTORS = PlanParameter("detectors", Kind.DEVICES)

AROUND = (
    PlanParameter("name", Kind.TEXT, ""),
    PlanParameter("before", Kind.FUNCTION, None),
    PlanParameter("after", Kind.FUNCTION, None),
    PlanParameter("per_point", Kind.FUNCTION, None),
    PlanParameter("metadata", Kind.FACTS, MappingProxyType({})),
)
"""What every plan takes beside its own arguments, by name: the run's name, functions that are
called before the first point, after the last (also after an error or a stop) and at each, and
metadata whose names would be taken for something else."""

_MOTOR = PlanParameter("motor", Kind.MOTOR)
_START = PlanParameter("start", Kind.POSITION)
_STOP = PlanParameter("stop", Kind.POSITION)
_NUM = PlanParameter("num", Kind.COUNT, aliases=("steps",))
_DWELL = PlanParameter("dwell", Kind.SECONDS, 0.0, aliases=("dwell_time",))
_SNAKE = PlanParameter("snake", Kind.FLAG, default=False)
_LINE = (_MOTOR, _START, _STOP)
_LIST = (_MOTOR, PlanParameter("positions", Kind.POSITIONS))
_X_Y = (
    PlanParameter("x", Kind.MOTOR, aliases=("x_motor",)),
    PlanParameter("y", Kind.MOTOR, aliases=("y_motor",)),
)
_CENTER = (PlanParameter("x_center", Kind.POSITION), PlanParameter("y_center", Kind.POSITION))
_TURNS = (PlanParameter("radius", Kind.LENGTH), PlanParameter("step", Kind.LENGTH), _DWELL)
_STEPS = (
    PlanParameter("min_step", Kind.LENGTH),
    PlanParameter("max_step", Kind.LENGTH),
    PlanParameter("target_delta", Kind.LENGTH),
)
_RETURN = "The motors return at the end, also after an error or a stop."


def _plans() -> tuple[Plan, ...]:
    target = PlanParameter("target", Kind.TEXT)
    backstep = PlanParameter("backstep", Kind.FLAG, default=True)
    delay = PlanParameter("delay", Kind.SECONDS, 0.0)
    interval = PlanParameter("interval", Kind.PERIOD, 0.1)
    once = PlanParameter("num", Kind.COUNT, 1, aliases=("steps",))
    return (
        Plan(
            "count",
            "Record the detectors `num` times, `delay` seconds apart.",
            rest=(once, delay),
            per_point=False,
        ),
        Plan(
            "scan",
            "`scan([meter], stage, 0, 10, 11)`: equal steps, both ends included.\n\n"
            "Several `motor, start, stop` before `num` move together along a line. `dwell` seconds "
            "pass between settled and read.",
            _LINE,
            (_NUM, _DWELL),
        ),
        Plan(
            "rel_scan",
            f"As `scan`, with distances from where the motors stand. {_RETURN}",
            _LINE,
            (_NUM, _DWELL),
        ),
        Plan("list_scan", "`list_scan([meter], stage, [0, 1, 4, 9])`: these positions.", _LIST,
             (_DWELL,)),
        Plan(
            "rel_list_scan",
            f"As `list_scan`, with distances from where the motors stand. {_RETURN}",
            _LIST,
            (_DWELL,),
        ),
        Plan(
            "grid_scan",
            "`grid_scan([meter], y, 0, 1, 5, x, 0, 1, 5)`: all combinations, the last motor "
            "fastest.\n\nWith `snake` the faster motors turn around instead of flying back.",
            (*_LINE, _NUM),
            (_SNAKE, _DWELL),
        ),
        Plan(
            "rel_grid_scan",
            f"As `grid_scan`, with distances from where the motors stand. {_RETURN}",
            (*_LINE, _NUM),
            (_SNAKE, _DWELL),
        ),
        Plan(
            "spiral_scan",
            "From the centre outwards, with `step` between turns and between points.",
            rest=(*_X_Y, *_CENTER, *_TURNS),
        ),
        Plan(
            "rel_spiral_scan",
            f"As `spiral_scan`, around where the motors stand. {_RETURN}",
            rest=(*_X_Y, *_TURNS),
        ),
        Plan(
            "adaptive_scan",
            "Choose each step so that the column `target` changes by about `target_delta`.\n\n"
            "Both ends are measured. With `backstep`, a step after which it changed far more is "
            "taken again, smaller.",
            rest=(target, *_LINE, *_STEPS, _DWELL, backstep),
            per_point=False,
        ),
        Plan(
            "fly_scan",
            "Move from `start` to `stop` without a halt, recording every `interval` seconds.",
            rest=(*_LINE, interval),
            per_point=False,
        ),
    )  # fmt: skip


PLANS: Mapping[str, Plan] = MappingProxyType({plan.name: plan for plan in _plans()})
"""Every plan by name."""

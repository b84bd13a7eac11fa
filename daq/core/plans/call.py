"""A call of a plan, bound to its row of the table and checked: nothing has moved yet."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from daq.core.errors import LimitError, ParameterError
from daq.core.near_miss import did_you_mean
from daq.core.plans.table import AROUND, DETECTORS, PLANS, Kind, Plan, PlanParameter

__all__ = ["FACTS", "MAX_POINTS", "PlanCall", "bind_plan"]

MAX_POINTS = 10_000_000

FACTS = frozenset({"plan_name", "detectors", "motors", "num_points", "shape", "extents", "snaking"})
"""What a plan notes of itself in its run; nobody else may."""

_NEAR = 0.8
"""How much alike two names are of which one is a slip of the pen."""
_WAYS = frozenset({Kind.SECONDS, Kind.PERIOD, Kind.FLAG, Kind.FUNCTION, Kind.COUNT})
"""Kinds of which a name is never meant as metadata: they say how a plan goes."""


@dataclass(frozen=True, slots=True)
class PlanCall:
    """What a plan was asked to do."""

    plan: Plan
    detectors: list[str]
    axes: list[tuple[Any, ...]]
    """A motor's id and what the plan takes with it, for each motor of a plan with `axes`."""
    values: dict[str, Any] = field(default_factory=dict)
    """The other arguments, by name."""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def motors(self) -> list[str]:
        """The ids of what it moves, in the order given."""
        rest = [self.values[p.name] for p in self.plan.rest if p.kind is Kind.MOTOR]
        return [axis[0] for axis in self.axes] + rest

    @property
    def run_name(self) -> str:
        """Of the run that it opens."""
        return self.values["name"] or self.plan.name


def bind_plan(
    plan: Plan,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    name: Callable[[object], str],
) -> PlanCall:
    """Bind the arguments of a plan and check them.

    Args:
        plan: Its row of the table.
        arguments: By position: the detectors, the axes, the rest.
        keywords: By name; those that the plan does not know are metadata.
        name: Gives the id of a device, or raises for what is none.

    Raises:
        ParameterError: An argument is missing, too much, of the wrong kind or not finite; a name
            is nearly one that the plan knows; a motor was given twice.
        LimitError: A position is no finite number.
    """
    return _Binding(plan, name).bind(list(arguments), dict(keywords))


class _Binding:
    """One call on its way through the checks."""

    def __init__(self, plan: Plan, name: Callable[[object], str]) -> None:
        self._plan = plan
        self._name = name

    def bind(self, arguments: list[Any], keywords: dict[str, Any]) -> PlanCall:
        known = self._known(keywords)
        if not arguments and DETECTORS.name not in known:
            raise self._error("which detectors? They come first, as a list of devices")
        if arguments and DETECTORS.name in known:
            raise self._error("the detectors are given twice, by position and by name")
        detectors = self._devices(arguments.pop(0) if arguments else known.pop(DETECTORS.name))
        axes = self._axes(arguments, known)
        values = self._values(arguments, known)
        metadata = {**values.pop("metadata"), **keywords}
        call = PlanCall(self._plan, detectors, axes, values, metadata)
        self._once("motor", call.motors)
        for key in FACTS & call.metadata.keys():
            raise self._error(f"{key!r} is noted by the plan itself; take another name for yours")
        return call

    # ------------------------------------------------------------------------------------- names

    def _known(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """Take out the keywords that the plan knows, by their proper names."""
        proper = {n: p.name for p in self._plan.keywords for n in (p.name, *p.aliases)}
        known: dict[str, Any] = {}
        for key in list(keywords):
            if key not in proper:
                self._refuse_slip(key, proper)
            elif proper[key] in known:
                raise self._error(f"{proper[key]!r} is given twice, once as {key!r}")
            else:
                known[proper[key]] = keywords.pop(key)
        return known

    def _refuse_slip(self, key: str, known: Iterable[str]) -> None:
        if question := did_you_mean(key.lower(), known, alike=_NEAR):
            raise self._error(
                f"there is no {key!r}; {question}",
                advice=f"as metadata it can be given in metadata={{{key!r}: ...}}",
            )
        others = [plan.name for plan in PLANS.values() if key in _ways(plan)]
        if others:
            raise self._error(f"takes no {key!r}; {', '.join(others)} do")

    # ---------------------------------------------------------------------------------- arguments

    def _axes(self, arguments: list[Any], known: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Take out the groups of arguments, one for each motor."""
        axes = self._plan.axes
        if not axes:
            return []
        if any(p.name in known for p in axes):
            one = self._ordered(axes, arguments, known)
            return [tuple(one.values())]
        spare = 1 if self._takes_num() and "num" not in known else 0
        if len(arguments) < len(axes) + spare or (len(arguments) - spare) % len(axes):
            raise self._error(f"after the detectors come {self._groups()}")
        groups: list[tuple[Any, ...]] = []
        while len(arguments) > spare:
            group, arguments[: len(axes)] = arguments[: len(axes)], []
            groups.append(
                tuple(self._checked(p, value) for p, value in zip(axes, group, strict=True))
            )
        return groups

    def _takes_num(self) -> bool:
        return any(p.name == "num" for p in self._plan.rest)

    def _groups(self) -> str:
        names = ", ".join(p.name for p in self._plan.axes)
        tail = ", and then num, the number of points" if self._takes_num() else ""
        return f"groups of {names}{tail}"

    def _values(self, arguments: list[Any], known: dict[str, Any]) -> dict[str, Any]:
        values = self._ordered(self._plan.rest, arguments, known)
        if arguments:
            names = ", ".join(p.name for p in self._plan.ordered)
            raise self._error(f"too many arguments; it takes {names}")
        around = {p.name: self._checked(p, known.get(p.name, p.default)) for p in AROUND}
        return values | around

    def _ordered(
        self, parameters: Sequence[PlanParameter], arguments: list[Any], known: dict[str, Any]
    ) -> dict[str, Any]:
        """Take these from the arguments in their order, or by name."""
        values: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.name in known:
                value = known.pop(parameter.name)
            elif arguments:
                value = arguments.pop(0)
            elif parameter.needed:
                raise self._error(f"{parameter.name} is missing")
            else:
                value = parameter.default
            values[parameter.name] = self._checked(parameter, value)
        return values

    # ------------------------------------------------------------------------------------- kinds

    def _checked(self, parameter: PlanParameter, value: Any) -> Any:
        name, value = parameter.name, _unboxed(value)
        match parameter.kind:
            case Kind.MOTOR:
                return self._name(value)
            case Kind.POSITION:
                return self._position(name, value)
            case Kind.POSITIONS:
                return self._positions(name, value)
            case Kind.COUNT:
                return self._count(name, value)
            case Kind.LENGTH | Kind.SECONDS | Kind.PERIOD:
                return self._amount(name, value, parameter.kind)
            case Kind.FUNCTION if value is None or callable(value):
                return value
            case Kind.FLAG if isinstance(value, int) and value in (0, 1):
                return bool(value)
            case Kind.TEXT if isinstance(value, str):
                return value
            case Kind.FACTS if isinstance(value, Mapping):
                return value
        raise self._error(f"{name} is a {parameter.kind}, not {value!r:.80}")

    def _devices(self, value: Any) -> list[str]:
        # A client's detector can be iterated too: over its readings, as they come.
        several = isinstance(value, list | tuple | set | frozenset)
        names = [self._name(device) for device in (value if several else [value])]
        self._once("detector", names)
        return names

    def _once(self, what: str, names: Sequence[str]) -> None:
        for name in names:
            if names.count(name) > 1:
                raise self._error(f"the {what} {name!r} is given twice; nothing has moved")

    def _number(self, name: str, value: Any) -> float:
        value = _unboxed(value)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise self._error(f"{name} is a number, not {value!r:.80}")
        try:
            return float(value)
        except OverflowError:
            return math.inf

    def _position(self, name: str, value: Any) -> float:
        number = self._number(name, value)
        if not math.isfinite(number):
            raise LimitError(
                f"{self._plan.name}: {name} is {number}, which is no position; nothing has moved"
            )
        return number

    def _positions(self, name: str, value: Any) -> list[float]:
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise self._error(f"{name} is a list of positions, not {value!r:.80}")
        positions = [self._position(f"{name}[{i}]", item) for i, item in enumerate(value)]
        if not positions:
            raise self._error(f"{name} is empty: there is no position to go to")
        return positions

    def _amount(self, name: str, value: Any, kind: Kind) -> float:
        number = self._number(name, value)
        least = "at least 0" if kind is Kind.SECONDS else "above 0"
        if not (0 <= number < math.inf) or (number == 0 and kind is not Kind.SECONDS):
            unit = "" if kind is Kind.LENGTH else " of seconds"
            raise self._error(f"{name} is a finite number{unit}, {least}, not {number}")
        return number

    def _count(self, name: str, value: Any) -> int:
        try:
            number = -1 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = -1
        if not 1 <= number <= MAX_POINTS:
            raise self._error(f"{name} is a whole number from 1 to {MAX_POINTS}, not {value!r:.80}")
        return number

    def _error(self, message: str, advice: str = "") -> ParameterError:
        return ParameterError(f"{self._plan.name}: {message}", advice=advice)


def _ways(plan: Plan) -> Iterator[str]:
    return (n for p in plan.keywords if p.kind in _WAYS for n in (p.name, *p.aliases))


def _unboxed(value: Any) -> Any:
    """Numpy's single numbers as Python's own."""
    return value.item() if getattr(value, "shape", None) == () else value

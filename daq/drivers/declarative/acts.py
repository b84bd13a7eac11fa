"""Makes acts of the tables `[actions.NAME]`, and rows of those that are offered."""

from __future__ import annotations

from dataclasses import replace

from daq.config import KeyPath, Mistakes
from daq.core import OPERATIONS, STANDARD, DeviceAction, DeviceParameter
from daq.drivers.declarative.model import Act, Description, Value
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.tables import ActionTable, ArgumentTable
from daq.drivers.declarative.values import read_words, sample_of

__all__ = ["check_acts", "make_act", "offered_rows"]


def make_act(name: str, table: ActionTable, phrases: Phrases) -> Act:
    """One of them; mistakes are noted."""
    at = ("actions", name)
    samples = {each: sample_of(given) for each, given in table.arguments.items()}
    asking = replace(phrases, sample={**phrases.sample, **samples})
    arguments = tuple(
        _argument((*at, "arguments", each), each, given, phrases)
        for each, given in table.arguments.items()
    )
    return Act(asking.commands(at, table), table.description, arguments, table.moves)


def _argument(at: KeyPath, name: str, table: ArgumentTable, phrases: Phrases) -> Value:
    if table.limits is not None and table.type not in ("float", "int"):
        phrases.mistakes.note((*at, "limits"), f"a value of type {table.type!r} has none")
    if not name.isidentifier() or name in phrases.options:
        why = "is an option of the device" if name in phrases.options else "is no name"
        phrases.mistakes.note(at, f"{name!r} {why}")
    return Value(
        name,
        table.type,
        table.units,
        table.description,
        table.limits,
        words=read_words(at, table, phrases),
    )


def check_acts(description: Description, mistakes: Mistakes) -> None:
    """What holds between actions and the other tables."""
    taken: dict[str, str] = dict.fromkeys((*OPERATIONS, "stop", "open", "close"), "an operation")
    taken |= dict.fromkeys(STANDARD, "a standard parameter")
    taken |= {name: "a value" for name, value in description.values.items() if value.is_parameter}
    for name, act in description.offered_actions.items():
        if name in taken:
            why = f"is the name of {taken[name]} too; call the action something else"
            mistakes.note(("actions", name), why)
        if act.moves:
            _check_moving(name, description, mistakes)
    for name in description.actions.keys() - description.offered_actions.keys():
        if description.actions[name].arguments:
            at = ("actions", name, "arguments")
            mistakes.note(at, "what [movable] or [trigger] uses is called without arguments")


def _check_moving(name: str, description: Description, mistakes: Mistakes) -> None:
    motion, at = description.motion, ("actions", name, "moves")
    if motion is None:
        mistakes.note(at, "there is no [movable] that says when it rests")
    elif not motion.tells_rest:
        mistakes.note(at, "`settled` has to tell the end of it without `setpoint`")


def offered_rows(description: Description) -> tuple[DeviceAction, ...]:
    """As everybody above sees them.

    What may set the position in motion without a word does so, as long as its rest can be seen: so
    nothing moves on when whoever has called it is gone.
    """
    motion = description.motion
    tells_rest = motion is not None and motion.tells_rest
    return tuple(
        DeviceAction(
            name,
            act.description,
            tuple(map(_row, act.arguments)),
            tells_rest if act.moves is None else act.moves,
        )
        for name, act in description.offered_actions.items()
    )


def _row(value: Value) -> DeviceParameter:
    return DeviceParameter(
        value.name,
        value.dtype,
        value.description,
        value.units,
        readable=False,
        limits=value.limits,
        choices=value.choices,
    )

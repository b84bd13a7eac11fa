"""Makes a table a value of a dataclass, by cattrs, and tells every mistake with its place.

A field of the dataclass is a key of the table: its type says what may stand there, its default what
holds where it is left out. `key` gives it a sentence for people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import date, datetime, time
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cattrs import BaseValidationError, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from daq.config.toml_file import KeyPath, Mistakes
from daq.core import Limits, did_you_mean

__all__ = [
    "Moment",
    "Number",
    "Positive",
    "Rule",
    "Seconds",
    "Texts",
    "Words",
    "expected_of",
    "is_key",
    "key",
    "read_model",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """What may stand at a key, beside its Python type: `Annotated[float, Rule(...)]`."""

    expected: str
    """For people: `a number in s`."""
    convert: Callable[[Any], Any]
    """Gives the value; raises ValueError when it is none of that kind."""


class _WrongError(ValueError):
    """Something else than what is expected stands there; the message is for people."""


def key(doc: str, default: Any = MISSING, *, default_rule: str = "") -> Any:
    """A field that is a key of a table.

    Args:
        doc: What it means, for people.
        default: What holds where it is left out; without one it is needed.
        default_rule: The same in words, where the value alone does not say it.
    """
    metadata = {"doc": doc, "default": default_rule}
    if isinstance(default, dict | tuple) and not default:
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def is_key(each: Field[Any]) -> bool:
    """Whether a field of a dataclass stands in the table: those that are not compared do not."""
    return each.compare


def read_model(
    values: Mapping[str, Any], model: type[T], mistakes: Mistakes, at: KeyPath = ()
) -> T:
    """A table as a value of `model`.

    Every mistake is noted, and what is wrong replaced by its default, or by an empty value, so that
    whoever goes on finds the other mistakes too; call `mistakes.finish()` after that.

    Args:
        values: The table.
        model: A dataclass.
        mistakes: Where they are noted.
        at: Where the table stands in that which `mistakes` is about.
    """
    plain = _plain(values)
    while True:
        try:
            return _CONVERTER.structure(plain, model)
        except BaseValidationError as error:
            for leaf in list(_leaves(error, ())):
                leaf.unfold(plain)
                leaf.tell(mistakes, at, plain)
                leaf.mend(plain)


def expected_of(kind: Any) -> str:
    """What may stand at a key of that type, for people."""
    if rule := _rule_of(kind):
        return rule.expected
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(part) for part in parts)
    if words := _words_of(kind):
        return "one of " + ", ".join(map(repr, words))
    if get_origin(kind) in (dict, Mapping):
        return "tables with a name each"
    if get_origin(kind) is tuple:
        return "a list of tables" if is_dataclass(parts[0]) else "a list"
    if parts:  # `X | None`
        return expected_of(parts[0])
    if is_dataclass(kind):
        short = getattr(kind, "SHORT", "")
        return "a text or a table" if short else "a table"
    return _EXPECTED.get(kind, "something else")


def _words_of(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(each.value) for each in kind]
    return [part for part in get_args(kind) if isinstance(part, str)]


# ------------------------------------------------------------------------------------ what is wrong


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One key that is wrong."""

    path: KeyPath
    error: Exception
    owner: Any
    """The dataclass whose key it is; None for an element of a list or of a table of tables."""
    kind: Any

    def unfold(self, plain: Any) -> None:
        """Make the table of a text that stands for one."""
        short = getattr(self.owner, "SHORT", "")
        if not short:
            return
        around, place = _place(plain, self.path[:-1])
        if not isinstance(around[place], dict):
            around[place] = {short: around[place]}

    def tell(self, mistakes: Mistakes, at: KeyPath, plain: Any) -> None:
        where = (*at, *self.path)
        table, last = _place(plain, self.path)
        if isinstance(self.error, ForbiddenExtraKeysError):
            known = [each.name for each in fields(self.owner) if is_key(each)]
            mistakes.unknown(where, known)
        elif isinstance(self.error, KeyError) and self.path[-1] not in table:
            mistakes.note(where, f"is missing; give it as {self.path[-1]} = {self._expected}")
        else:
            value = table[last]
            near = ""
            if isinstance(value, str):
                words = _words_of(self.kind)
                near = did_you_mean(value, words, "; ")
            mistakes.note(where, f"{value!r:.80} is not {self._expected}{near}")

    def mend(self, plain: Any) -> None:
        """Leave out what is wrong, or put something empty there when it is needed."""
        table, last = _place(plain, self.path)
        if self.path[-1] in table or isinstance(table, list):
            del table[last]
        if self.owner is None or isinstance(self.error, ForbiddenExtraKeysError):
            return
        needed = next(each for each in fields(self.owner) if each.name == self.path[-1])
        if needed.default is MISSING and needed.default_factory is MISSING:
            table[self.path[-1]] = _empty(self.kind)

    @property
    def _expected(self) -> str:
        return str(self.error) if isinstance(self.error, _WrongError) else expected_of(self.kind)


def _place(plain: Any, path: KeyPath) -> tuple[Any, Any]:
    """The table or list that holds the end of a path, and the key or place that it has there."""
    for part in path[:-1]:
        plain = plain[_key(plain, part)]
    return plain, _key(plain, path[-1])


def _key(plain: Any, part: str) -> Any:
    return int(part) if isinstance(plain, list) else part


def _leaves(error: BaseValidationError, path: KeyPath) -> Iterator[_Leaf]:
    owner = error.cl if isinstance(error, ClassValidationError) else None
    hints = {} if owner is None else get_type_hints(owner, include_extras=True)
    for each in reversed(error.exceptions):  # so that the places in a list stay what they are
        if isinstance(each, ForbiddenExtraKeysError):
            for name in each.extra_fields:
                yield _Leaf((*path, name), each, owner, None)
            continue
        note = next(note for note in each.__notes__ if hasattr(note, "type"))
        name = str(getattr(note, "name", getattr(note, "index", "")))
        if isinstance(each, BaseValidationError):
            yield from _leaves(each, (*path, name))
        else:
            yield _Leaf((*path, name), each, owner, hints.get(name, getattr(note, "type", None)))


def _empty(kind: Any) -> Any:
    """Something that can stand for a value that is missing."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if is_dataclass(kind):
        return {}
    return {str: "", bool: False, Limits: [0.0, 1.0]}.get(kind, [] if get_origin(kind) else 1)


def _plain(value: Any) -> Any:
    """A copy that may be mended."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


# ---------------------------------------------------------------------------- what is made of what


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - all of these are told alike
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _amount(value: Any) -> float:
    if _number(value) < 0:
        raise ValueError
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError
    return float(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _range(value: Any) -> Limits:
    if not isinstance(value, list) or len(value) != 2 or not _number(value[0]) < _number(value[1]):
        raise ValueError
    return Limits(float(value[0]), float(value[1]))


def _texts(value: Any) -> tuple[str, ...]:
    """A single text counts as a list of one."""
    return tuple(map(_text, value if isinstance(value, list) else [value]))


def _words(value: Any) -> dict[str, str]:
    """In a list each stands for itself."""
    if isinstance(value, list):
        return {_text(word): word for word in value}
    return {name: _text(word) for name, word in dict(value).items()}


def _moment(value: Any) -> datetime:
    """A date begins at midnight here; a time without a zone is that of this machine."""
    if isinstance(value, datetime):
        return value.astimezone()
    if isinstance(value, date):
        return datetime.combine(value, time()).astimezone()
    raise ValueError


Moment = Annotated[datetime, Rule("a date, such as 2027-01-31", _moment)]
Number = Annotated[float, Rule("a number", _number)]
Positive = Annotated[float, Rule("a number greater than 0", _positive)]
Seconds = Annotated[float, Rule("a number in s, at least 0", _amount)]
Texts = Annotated[tuple[str, ...], Rule("a text or a list of texts", _texts)]
Words = Annotated[Mapping[str, str], Rule("a list of texts, or a table of them", _words)]

_PLAIN: Mapping[type, tuple[str, Callable[[Any], Any]]] = {
    str: ("a text", _text),
    bool: ("true or false", _truth),
    int: ("a whole number, at least 0", _whole),
    float: ("a number, at least 0", _amount),
    Limits: ("two numbers [low, high]", _range),
    Path: ("a path", lambda value: Path(_text(value)).expanduser()),
}
_EXPECTED: Mapping[Any, str] = {kind: expected for kind, (expected, _) in _PLAIN.items()}


def _new_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind, (_, convert) in _PLAIN.items():
        converter.register_structure_hook(kind, _first_only(convert))
    converter.register_structure_hook_factory(_has_rule, _rule_hook)
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and is_dataclass(kind) and kind is not Limits,
        partial(_model_hook, converter),
    )
    return converter


def _first_only(convert: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """As cattrs calls it: with the type behind the value."""
    return lambda value, _: convert(value)


def _rule_of(kind: Any) -> Rule | None:
    """Of `Annotated[float, Rule(...)]`, also where None is allowed beside it."""
    may_be_none = type(None) in get_args(kind)
    for part in (kind, *(get_args(kind) if may_be_none else ())):
        if get_origin(part) is Annotated:
            return next((each for each in get_args(part) if isinstance(each, Rule)), None)
    return None


def _has_rule(kind: Any) -> bool:
    return _rule_of(kind) is not None


def _rule_hook(kind: Any) -> Callable[[Any, Any], Any]:
    rule = _rule_of(kind)
    return _first_only(lambda value: value if rule is None else rule.convert(value))


def _model_hook(converter: Converter, model: Any) -> Callable[[Any, Any], Any]:
    overrides: Any = {}
    hints = get_type_hints(model, include_extras=True)  # cattrs takes them without our rules
    for each in fields(model):
        kind = hints[each.name]
        if isinstance(kind, type) and issubclass(kind, Enum):  # else taken for the text that it is
            converter.register_structure_hook(kind, lambda value, enum: enum(value))
        if not is_key(each):
            overrides[each.name] = override(omit=True)
        elif rule := _rule_of(kind):
            overrides[each.name] = override(struct_hook=_first_only(rule.convert))
    structure = make_dict_structure_fn(
        model, converter, _cattrs_forbid_extra_keys=True, **overrides
    )
    short = getattr(model, "SHORT", "")

    def read(value: Any, kind: Any) -> Any:
        if short and isinstance(value, str):
            value = {short: value}
        if not isinstance(value, Mapping):
            raise _WrongError("a text or a table" if short else "a table")
        return structure(value, kind)

    return read


_CONVERTER = _new_converter()

"""Writes the reference of descriptions in the README of the drivers, from the tables themselves.

`python -m daq.drivers.declarative.reference` after a change of `tables.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from daq.config import expected_of
from daq.drivers.declarative.tables import DescriptionTable

__all__ = ["reference", "replace_reference"]

_BEGIN = "<!-- reference: written by daq/drivers/declarative/reference.py -->\n"
_END = "<!-- end of the reference -->\n"
_NAMED = {"options": "options.NAME", "values": "values.NAME", "actions": "actions.NAME"}
_IN_A_ROW = ("login", "init")


def reference() -> str:
    """Every table of a description, every key of it: what it takes, and what holds without it."""
    return "\n".join(_tables()) + "\n"


def replace_reference(page: str) -> str:
    """A page with the reference of now in its place."""
    begin, end = page.index(_BEGIN) + len(_BEGIN), page.index(_END)
    return page[:begin] + reference() + page[end:]


def _tables() -> Iterator[str]:
    shown: set[Any] = set()
    for each in fields(DescriptionTable):
        model = _model_of(_kind(DescriptionTable, each))
        header = f"[{_NAMED.get(each.name, each.name)}]"
        if each.name in _IN_A_ROW:
            header = f"[{header}]"
        if model is None:
            yield f"**`{header}`**: {each.metadata['doc']}.\n"
        elif model in shown:
            same = " and ".join(f"`{key.name}`" for key in fields(model))
            yield f"**`{header}`**: {model.__doc__.splitlines()[0]} Keys: {same}, as above.\n"
        else:
            shown.add(model)
            yield from _table(header, model)
            yield from _inner(model, shown)


def _inner(model: Any, shown: set[Any]) -> Iterator[str]:
    for each in fields(model):
        inner = _model_of(_kind(model, each))
        if inner is not None and inner not in shown:
            shown.add(inner)
            what = getattr(inner, "SHORT", "")
            short = f" A text stands for its `{what}`." if what else ""
            named = ".NAME" if get_origin(_kind(model, each)) is Mapping else ""
            yield from _table(f"{each.name}{named} = {{ ... }}", inner, short)


def _table(header: str, model: Any, more: str = "") -> Iterator[str]:
    yield f"**`{header}`**: {model.__doc__.splitlines()[0]}{more}\n"
    yield "| key | takes | without it | |"
    yield "|---|---|---|---|"
    for each in fields(model):
        takes = expected_of(_kind(model, each)).replace("|", "\\|")
        yield f"| `{each.name}` | {takes} | {_default(each)} | {each.metadata['doc']} |"
    yield ""


def _default(each: Field[Any]) -> str:
    if rule := each.metadata["default"]:
        return str(rule)
    if each.default is MISSING and each.default_factory is MISSING:
        return "**needed**"
    default = each.default
    if default in (MISSING, None, "", ()):
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if is_dataclass(default):
        return "all as usual"
    if isinstance(default, Enum):
        default = str(default.value)
    return f"`{default!r}`".replace("'", '"') if isinstance(default, str) else f"{default:g}"


def _kind(model: Any, each: Field[Any]) -> Any:
    return get_type_hints(model, include_extras=True)[each.name]


def _model_of(kind: Any) -> Any:
    """The dataclass in `X`, `X | None`, `tuple[X, ...]` or `Mapping[str, X]`."""
    for part in (kind, *get_args(kind)):
        if is_dataclass(part) and part.__module__ == DescriptionTable.__module__:
            return part
    return None


if __name__ == "__main__":
    file = Path(__file__).parents[1] / "README.md"
    file.write_text(replace_reference(file.read_text(encoding="utf-8")), encoding="utf-8")

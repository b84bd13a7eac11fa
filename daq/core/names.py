"""Names for formats that cannot carry every name: unique, and none hides another."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

__all__ = ["TIME", "table_names", "unique_names"]

TIME = "time"
"""The column of every table that tells when an event was taken."""


def unique_names(
    names: Iterable[str],
    reserved: Container[str] = (),
    clean: Callable[[str], str] = str,
) -> dict[str, str]:
    """Each name to the one that it gets: cleaned, not among those `reserved`, and never twice.

    A name that can stay as it is stays, whatever comes before it; others get a `_` behind.
    """
    wanted = list(dict.fromkeys(names))
    fixed = {name for name in wanted if clean(name) == name and name not in reserved}
    given: dict[str, str] = {name: name for name in fixed}
    taken = set(fixed)
    for name in wanted:
        if name in fixed:
            continue
        new = clean(name)
        while new in taken or new in reserved:
            new += "_"
        taken.add(new)
        given[name] = new
    return {name: given[name] for name in wanted}


def table_names(columns: Iterable[str]) -> dict[str, str]:
    """The names that columns have in a table, beside its `time`."""
    return unique_names(columns, (TIME,))

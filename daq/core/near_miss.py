"""The near miss: which known name somebody meant who misspelt it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

__all__ = ["did_you_mean"]

LONGEST = 64
"""Characters of a word that somebody may have misspelt; comparing takes longer with each."""
MOST = 1000
"""Names that it is compared with."""


def did_you_mean(word: object, known: Iterable[str], before: str = "", alike: float = 0.6) -> str:
    """The question whether the closest known name was meant.

    Args:
        word: What was written.
        known: The names that there are.
        before: What stands before the question, where there is one.
        alike: How close a name has to be, from 0 to 1.

    Returns:
        Such as `did you mean 'stage'?`; nothing when no name is close.
    """
    if len(str(word)) > LONGEST:
        return ""
    names = islice(dict.fromkeys(known), MOST)
    close = get_close_matches(str(word), list(names), 1, alike)
    return f"{before}did you mean {close[0]!r}?" if close else ""

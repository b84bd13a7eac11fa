"""The near miss: which known name somebody meant who misspelt it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


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
    close = get_close_matches(str(word), list(known), 1, alike)
    return f"{before}did you mean {close[0]!r}?" if close else ""

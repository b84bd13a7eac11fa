"""Replies that were asked for and did not come: which frame may still be one of them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Accepts", "LateReplies", "LateReply"]

Accepts = Callable[[str], bool]
"""Tells a command's reply from those to other commands."""

_MOST = 16
"""What an instrument owes from long ago is forgotten."""


@dataclass(eq=False, slots=True)
class LateReply:
    """One reply that an exchange expects, or expected until it gave up."""

    accepts: Accepts
    due: float
    """Until when it may well come, s."""
    lost_by: float
    """When it will not come any more, s: not over a connection that was opened anew, and not
    while something is waited for that takes long."""
    awaited: bool = False
    """Somebody has listened for it once more, in vain."""


class LateReplies:
    """What the instruments on one connection owe.

    An instrument answers in order. So where a reply is still owed, and one comes that could be
    either, it is the older one's, and the newer comes after it.
    """

    def __init__(self) -> None:
        self._owed: list[LateReply] = []

    def __len__(self) -> int:
        return len(self._owed)

    def __repr__(self) -> str:
        return f"<LateReplies {len(self._owed)}>"

    def expect(self, accepts: Accepts, due: float, seconds: float) -> LateReply:
        """A command was sent that will be answered, within so many seconds as it should."""
        begins = max([due - seconds, *(owed.lost_by for owed in self._owed)])
        owed = LateReply(accepts, due, begins + 2 * seconds)
        self._owed.append(owed)
        del self._owed[:-_MOST]
        return owed

    def settled(self, received: Iterable[LateReply]) -> None:
        """These have come."""
        for owed in received:
            if owed in self._owed:
                self._owed.remove(owed)

    def settle(self, text: str) -> bool:
        """A frame came that nobody waits for: whether it was the oldest owed one that it fits."""
        for owed in self._owed:
            if owed.accepts(text):
                self._owed.remove(owed)
                return True
        return False

    def forgive(self, text: str) -> None:
        """What could have been taken for `text` will not come any more."""
        self._owed = [owed for owed in self._owed if not owed.accepts(text)]

    def is_ambiguous(self, text: str, expected: LateReply | None = None) -> bool:
        """Whether this reply could be another one than is expected now, still owed."""
        return any(owed is not expected and owed.accepts(text) for owed in self._owed)

    def reopened(self, now: float) -> None:
        """The connection was lost and is there again: what is owed may still come over it.

        But not for ever: no reply is taken to need twice as long as it was given, counted from
        when the instrument was done with the one before.
        """
        self.forget_lost(now)
        for owed in self._owed:
            owed.awaited = False

    def forget_lost(self, now: float) -> None:
        """What has needed more than twice its time will not come any more."""
        self._owed = [owed for owed in self._owed if owed.lost_by > now]

    def listen_until(self) -> float | None:
        """When nobody needs to listen for late replies any more, s; None when nothing is owed."""
        return max((owed.due for owed in self._owed if not owed.awaited), default=None)

    def give_up(self) -> None:
        """Somebody has listened, and these did not come."""
        for owed in self._owed:
            owed.awaited = True

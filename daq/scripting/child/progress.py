"""Progress that comes free from the script's own loops."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from daq.scripting.shared_page import SharedPage

__all__ = ["ProgressTracker"]

_STEPS = 1000


class _Level:
    """One loop in progress, or the script itself: `index` of `count` parts are done."""

    __slots__ = ("count", "done", "index", "segments")

    def __init__(self, count: int, segments: int) -> None:
        self.count = count
        self.index = 0
        self.segments = max(segments, 1)
        self.done = 0

    def within(self, inner: float) -> float:
        """The fraction of this level, when the segment in progress stands at `inner`."""
        part = (min(self.done, self.segments - 1) + inner) / self.segments
        return (self.index + part) / self.count


class ProgressTracker:
    """Nested loops multiply; loops one after the other have equal shares."""

    def __init__(self, page: SharedPage) -> None:
        self._page = page
        self._levels = [_Level(1, 1)]
        self._explicit = False

    def begin(self, segments: int) -> None:
        """The script has this many loops and plans one after the other."""
        self._levels = [_Level(1, segments)]

    def set(self, fraction: float) -> None:
        """What the script itself says from now on."""
        self._explicit = True
        self._page.progress = min(max(fraction, 0.0), 1.0)

    @contextmanager
    def segment(self) -> Iterator[None]:
        """A plan that cannot count its points before; it says where it stands with `show`."""
        depth = len(self._levels)
        self._levels.append(_Level(1, 1))
        try:
            yield
        except BaseException:
            self._leave(depth, early=True)
            raise
        self._leave(depth)

    def show(self, fraction: float) -> None:
        """Where the innermost segment stands."""
        self._show(fraction)

    def track(self, iterable: Iterable[Any], segments: int = 0) -> Iterable[Any]:
        """The same items, counted as they pass; what has no length is not followed."""
        try:
            count = len(iterable)  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            return iterable
        return self._follow(iterable, count, segments) if count else iterable

    def _follow(
        self, iterable: Iterable[Any], count: int, segments: int
    ) -> Generator[Any, None, None]:
        level, depth = _Level(count, segments), len(self._levels)
        self._levels.append(level)
        stride = max(1, count // _STEPS)
        try:
            for index, item in enumerate(iterable):
                level.index, level.done = min(index, count - 1), 0
                if not index % stride:
                    del self._levels[depth + 1 :]  # loops that an exception left open
                    self._show()
                yield item
        except GeneratorExit:
            self._leave(depth, early=True)
            raise
        self._leave(depth)

    def _leave(self, depth: int, *, early: bool = False) -> None:
        """A loop is over. One that was left early may be on its way out of the whole script.

        By a break, a failure or a stop: what is shown stays, until something goes on after it.
        """
        del self._levels[depth:]
        self._levels[-1].done += 1
        if not early:
            self._show()

    def _show(self, inner: float = 0.0) -> None:
        if self._explicit:
            return
        *outer, innermost = self._levels
        fraction = innermost.within(1.0 if innermost.done >= innermost.segments else inner)
        for level in reversed(outer):
            fraction = level.within(fraction)
        self._page.progress = min(fraction, 1.0)

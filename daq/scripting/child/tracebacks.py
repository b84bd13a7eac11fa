"""An error as its author can use it: the script's own frames, with source lines and carets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

from daq.scripting.policy.compiler import SCRIPT

__all__ = ["describe_error", "error_line", "error_title"]

_MAX_FRAMES = 12
_MAX_CHAIN = 8
_MAX_MESSAGE = 4000
_MAX_SOURCE_LINE = 300
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


@dataclass(frozen=True, slots=True)
class _Frame:
    line: int
    end_line: int
    start: int
    """Byte offsets in the line, as the compiler counts."""
    end: int
    function: str

    def render(self, filename: str, lines: Sequence[str]) -> str:
        head = f'  File "{filename}", line {self.line}, in {self.function}\n'
        if not 0 < self.line <= len(lines) or not lines[self.line - 1].strip():
            return head
        text = lines[self.line - 1][:_MAX_SOURCE_LINE]
        indent = len(text) - len(text.lstrip())
        start = _characters(text, self.start)
        end = _characters(text, self.end) if self.end_line == self.line else len(text.rstrip())
        caret = " " * max(0, start - indent) + "^" * max(1, end - start)
        return f"{head}    {text.strip()}\n    {caret}\n"


def error_title(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero`, on one line."""
    return _title(error).split("\n", 1)[0]


def error_line(error: BaseException) -> int:
    """The innermost line of the script that the error passed, or 0."""
    frames = list(_frames(error.__traceback__))
    return frames[-1].line if frames else 0


def describe_error(error: BaseException, filename: str, source: str, title: str = "") -> str:
    """The whole text: the chain of causes, each with its frames.

    `title` stands for the error's own last line, where it says more.
    """
    lines = source.split("\n")
    return "".join(islice(_chain(error, filename, lines, set(), title), _MAX_CHAIN))


def _chain(
    error: BaseException, filename: str, lines: Sequence[str], seen: set[int], title: str = ""
) -> Iterator[str]:
    seen.add(id(error))
    if len(seen) < _MAX_CHAIN:
        earlier, link = error.__cause__, _CAUSE
        if earlier is None and not error.__suppress_context__:
            earlier, link = error.__context__, _CONTEXT
        if isinstance(earlier, Exception) and id(earlier) not in seen:
            yield "".join(_chain(earlier, filename, lines, seen)) + link
    frames = list(_frames(error.__traceback__))
    half, more = _MAX_FRAMES // 2, len(frames) - _MAX_FRAMES
    kept = frames[:half] + frames[-half:] if more > 0 else frames
    shown = [frame.render(filename, lines) for frame in kept]
    if more > 0:
        shown.insert(half, f"  ... {more} more frames\n")
    yield f"Traceback (most recent call last):\n{''.join(shown)}{title or _title(error)}\n"


def _title(error: BaseException) -> str:
    try:
        message = str(error)[:_MAX_MESSAGE]
    except BaseException as failure:  # noqa: BLE001 - it is the script's own __str__ that failed
        message = f"<its text could not be made: {type(failure).__name__}>"
    name = type(error).__name__
    notes = [str(note)[:_MAX_MESSAGE] for note in getattr(error, "__notes__", ())]
    return "\n".join([f"{name}: {message}" if message else name, *notes])


def _frames(traceback: TracebackType | None) -> Iterator[_Frame]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == SCRIPT:
            index = traceback.tb_lasti // 2
            line, end_line, start, end = next(
                islice(code.co_positions(), index, None), (None, None, None, None)
            )
            line = traceback.tb_lineno if line is None else line
            yield _Frame(line, end_line or line, start or 0, end or 0, code.co_name)
        traceback = traceback.tb_next


def _characters(text: str, offset: int) -> int:
    return len(text.encode(errors="replace")[:offset].decode(errors="ignore"))

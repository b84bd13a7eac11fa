"""Past a syntax error: the rest of a file is looked at too, so that one mistake hides no other."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

__all__ = ["mistaken_lines", "without_mistake"]

_NAME = re.compile(r"[^\W\d]\w*")
_TO_THE_END = ("never closed", "unterminated", "EOF")
"""In the message of a mistake from which on nobody can tell what is code."""


def mistaken_lines(error: SyntaxError) -> range:
    """The numbers of the lines that a syntax error is about; none where that cannot be told."""
    first = error.lineno or 0
    if not first or isinstance(error, IndentationError):
        return range(0)
    if any(words in error.msg for words in _TO_THE_END):
        return range(0)
    return range(first, max(error.end_lineno or first, first) + 1)


def without_mistake(lines: Sequence[str], error: SyntaxError) -> list[str]:
    """The lines with something harmless in place of the mistaken ones.

    It defines the names that stood there, so that no other line is blamed for using them.
    """
    taken_out = mistaken_lines(error)
    first = taken_out.start - 1
    mended = [*lines]
    mended[first : taken_out.stop - 1] = [""] * len(taken_out)
    if error.msg == "expected ':'":
        line, at = lines[first], (error.offset or 1) - 1
        mended[first] = f"{line[:at].rstrip()}: {line[at:].lstrip()}".rstrip()
        return mended
    text = " ".join(lines[first : taken_out.stop - 1])
    names = [n for n in _NAME.findall(text) if not keyword.iskeyword(n) and n[0] != "_"] or ["x"]
    depth = _indent(lines[first])
    following = next((line for line in lines[taken_out.stop - 1 :] if line.strip()), "")
    is_head = _indent(following) > depth
    harmless = _head(text, names) if is_head else f"{' = '.join(names)} = 0"
    mended[first] = lines[first][:depth] + harmless
    return mended


def _head(text: str, names: Sequence[str]) -> str:
    """The head of a block, so that an `else` or an `except` that follows still fits."""
    match text.split(maxsplit=1)[0].rstrip(":"):
        case "if" | "elif" | "while" as word:
            return f"{word} [{', '.join(f'{name} := 0' for name in names)}]:"
        case "try" | "else" | "finally" as word:
            return f"{word}:"
        case "def":
            function, *arguments = dict.fromkeys(names)
            return f"def {function}({', '.join(f'{name}=0' for name in arguments)}):"
        case "class":
            return f"class {names[0]}:"
        case "except":
            return "except Exception:"
    return f"for {', '.join(names)} in ():"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

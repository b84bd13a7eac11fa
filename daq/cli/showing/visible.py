"""Control characters in texts of clients, scripts and instruments, made harmless to show."""

from __future__ import annotations

__all__ = ["visible"]

_SHOWN = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_SHOWN[ord("\t")] = "\t"


def visible(text: str, *, line_end: str) -> str:
    """The text with control characters as escapes, and `line_end` where a line of it ends."""
    return text.translate(_SHOWN | {ord("\n"): line_end})

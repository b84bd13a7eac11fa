"""What is sent: text with places for a value and the device's options."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Template", "TemplateError"]


class TemplateError(ValueError):
    """A command with places that cannot be filled in."""


class Template:
    """A command such as `VOLT {value:.3f}` or `{address}PA{value}`; braces are doubled, `{{`.

    Args:
        text: With places `{name}` or `{name:format}`.
        samples: A value of each name that there will be, to try the formats on.
        encoding: Of the line.

    Raises:
        TemplateError: It says which place is wrong.
    """

    def __init__(self, text: str, samples: Mapping[str, Any], encoding: str = "latin-1") -> None:
        self.text = text
        self._encoding = encoding
        try:
            self._parts = [
                (literal, name, spec or "") for literal, name, spec, _ in _parse(text, samples)
            ]
        except ValueError as error:
            raise TemplateError(f"{text!r}: {error}") from None
        self.names = frozenset(name for _, name, _ in self._parts if name)
        """The names that it needs."""
        try:
            self.render(samples)
        except UnicodeEncodeError:
            raise TemplateError(f"{text!r} has characters that {encoding} cannot carry") from None
        except (ValueError, TypeError) as error:
            raise TemplateError(f"{text!r} cannot be filled in: {error}") from None

    def __repr__(self) -> str:
        return f"<Template {self.text!r}>"

    def render(self, names: Mapping[str, Any]) -> str:
        """The command to send, without its end."""
        sent = "".join(
            literal + (_format(names[name], spec) if name else "")
            for literal, name, spec in self._parts
        )
        sent.encode(self._encoding)
        return sent


def _parse(
    text: str, known: Iterable[str]
) -> Iterable[tuple[str, str | None, str | None, str | None]]:
    for part in string.Formatter().parse(text):
        _, name, spec, conversion = part
        if name is not None and name not in known:
            there = ", ".join(f"{{{known_name}}}" for known_name in known) or "none here"
            raise ValueError(f"there is no place {{{name}}}; places: {there}")
        if conversion or (spec and "{" in spec):
            raise ValueError(f"a format is plain, such as {{{name}:.3f}}")
        yield part


def _format(value: Any, spec: str) -> str:
    if isinstance(value, float) and not spec:
        return f"{value:.12g}"
    # A whole number that was given as 3.0 fits the formats of whole numbers, such as {value:04d}.
    if isinstance(value, float) and spec[-1:] in "dxXbo" and value.is_integer():
        value = int(value)
    return format(value, spec)

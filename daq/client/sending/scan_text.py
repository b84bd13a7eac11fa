"""Makes the script of a scan: one call of the plan of the same name, and what is around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daq.client.sending.literals import literal
from daq.client.sending.program_text import ProgramText

__all__ = ["ScanText"]

Step = Callable[[], object]
PerPoint = Callable[[dict[str, float]], Mapping[str, Any] | None]


@dataclass(slots=True)
class ScanText:
    """What a scan is made of; `build` makes the script."""

    plan: str
    arguments: Sequence[str]
    """Source texts, as the plan takes them."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keywords of the plan."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str = "scan"
    """Of the run."""
    before: Step | None = None
    after: Step | None = None
    per_point: PerPoint | None = None
    origins: Sequence[str] = ()
    """Motors of a relative scan: `origin[motor]` is where they stand, and they return there."""

    def build(self) -> ProgramText:
        """The script; functions of the caller's travel with it."""
        text = ProgramText(f"{self.plan}({', '.join(self.arguments)})")
        before = text.add_function(self.before) if self.before else ""
        after = text.add_function(self.after) if self.after else ""
        options = {key: literal(value) for key, value in self.options.items()}
        if self.per_point is not None:
            options["per_point"] = text.add_function(self.per_point)
        text.add("\n".join(["def main():", *self._body(before, after, options)]))
        return text

    def _body(self, before: str, after: str, options: Mapping[str, str]) -> list[str]:
        given = [*self.arguments, *(f"{key}={value}" for key, value in options.items())]
        lines = [f"{self.plan}({', '.join(given)})"]
        if self.origins:
            known = ", ".join(f"{m!r}: device({m!r}).position()" for m in self.origins)
            back = [f"device({m!r}).move_abs(origin[{m!r}])" for m in self.origins]
            lines = [f"origin = {{{known}}}", *lines, *back]
        if before:
            lines.insert(0, f"{before}()")
        if after:
            lines = ["try:", *_indented(lines), "finally:", f"    {after}()"]
        opened = f"with open_run({self.name!r}, **{literal(dict(self.metadata))}):"
        return _indented([opened, *_indented(lines)])


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]

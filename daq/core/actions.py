"""Actions: what a device does when it is told, beside what its capabilities bring with them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from daq.core.capabilities import Capability, Operation
from daq.core.parameters import DeviceParameter

__all__ = ["DeviceAction", "action_operations"]


@dataclass(frozen=True, slots=True)
class DeviceAction:
    """One action of a device: scripts and clients call it by its name."""

    name: str
    description: str = ""
    arguments: tuple[DeviceParameter, ...] = ()
    """In their order: each has its type, units, limits and choices."""
    moves: bool = False
    """It sets the position in motion; the call returns when that rests."""

    def bind(self, *given: Any, **named: Any) -> tuple[Any, ...]:
        """Arguments by position and by name, in their order. Raises TypeError."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        takes = inspect.Signature([inspect.Parameter(row.name, kind) for row in self.arguments])
        return takes.bind(*given, **named).args

    @property
    def signature(self) -> str:
        """For people: `(rate, cycles)`."""
        return f"({', '.join(row.name for row in self.arguments)})"


def action_operations(actions: Iterable[DeviceAction]) -> Iterable[Operation]:
    """What can be called: each action by its name. A stop breaks it off, as it does a move."""
    for action in actions:
        yield Operation(
            action.name,
            Capability.MOVABLE if action.moves else Capability.COMMANDABLE,
            action.signature,
            action.description or f"Do {action.name.replace('_', ' ')}.",
            commands=True,
            cancellable=True,
        )

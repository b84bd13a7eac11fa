"""Presets: what a bench is set to, kept under a name, and what loading one has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daq.core.units import Scalar

__all__ = ["Preset", "SettingChange", "SettingOutcome"]


@dataclass(frozen=True, slots=True)
class Preset:
    """What devices were set to at one time."""

    name: str
    created_ns: int
    by: str = ""
    note: str = ""
    settings: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Device to setting to value: `position`, `wavelength`, `exposure`, `emission`, `shutter`, and
    every parameter that can be read and set."""


class SettingOutcome(StrEnum):
    """What became of one setting."""

    SAME = "same"
    """It was so already."""
    DIFFERS = "differs"
    """Only looked at."""
    CHANGED = "changed"
    FAILED = "failed"
    NOT_TRIED = "not_tried"
    """Something before it had failed."""
    MISSING = "missing"
    """The bench has no such setting, or it cannot be asked now."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One line of the report of a preset that was loaded or compared."""

    device: str
    setting: str
    wanted: Scalar
    outcome: SettingOutcome
    before: Scalar | None = None
    """None when it could not be asked."""
    after: Scalar | None = None
    """As it read back; None unless it was set."""
    units: str = ""
    message: str = ""
    """Why it failed or is missing."""

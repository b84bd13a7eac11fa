"""What a description says, checked and ready to be used: pure values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from daq.core import Capability, Category, Limits, Scalar
from daq.drivers.declarative.expression import Expression
from daq.drivers.declarative.template import Template
from daq.transport import Dialect, PortSettings

__all__ = [
    "Act",
    "Command",
    "Description",
    "ErrorRules",
    "Motion",
    "OptionRule",
    "Question",
    "Reply",
    "StandardValue",
    "Trigger",
    "Value",
    "Will",
]

Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """Where in a reply the value stands."""

    pattern: Pattern | None = None
    """The whole reply fits it; the group `value`, or the first one, is the value."""
    field: int | None = None
    """Or the place of the value, counted from 1."""
    separator: str = ","
    """Between places."""
    strip: bool = False
    """Spaces around the value are no part of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something that is asked and answered."""

    send: Template
    reply: Reply = field(default_factory=Reply)
    convert: Expression | None = None
    """From what the instrument answers to the value, by the names `value`, `text` and groups."""
    timeout_s: float | None = None
    block: str | None = None
    """numpy's type string of the numbers in a block of IEEE 488.2; None for text."""
    no_value: Pattern | None = None
    """What the whole reply fits when there is no value now: an overload, an open sensor."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something that is sent to change the instrument."""

    send: Template
    acknowledge: Pattern | None = None
    """What the whole answer has to fit; None where nothing is answered."""
    convert: Expression | None = None
    """From the value to what the instrument takes."""
    timeout_s: float | None = None
    pause_s: float = 0.0
    """What the instrument needs afterwards before it can be talked to."""


@dataclass(frozen=True, slots=True)
class Value:
    """A quantity or a setting of the instrument."""

    name: str
    dtype: str = "float"
    """`float`, `int`, `bool`, `str` or `waveform`."""
    units: str = ""
    description: str = ""
    limits: Limits | None = None
    shape: tuple[int, ...] = ()
    """Of a waveform: points, or height and width."""
    words: Mapping[Scalar, str] = field(default_factory=dict)
    """What the instrument writes for a choice, or for True and False."""
    read: Question | None = None
    write: tuple[Command, ...] = ()
    """Sent in a row."""
    text: Template | None = None
    """Instead of a question: what it is built of."""
    verify: bool = True
    """Read it back after it was written."""
    tolerance: float | None = None
    """How far a readback may be from what was written; None for a thousandth of it."""
    reach_s: float = 0.0
    """How long the readback may take to come there."""
    invalid: Expression | None = None
    """True for numbers that stand for an error, such as an overload."""
    requires: Expression | None = None
    """By the names of other values: false where it is not asked, because it has no value now."""
    is_parameter: bool = False
    is_polled: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether it can be asked for."""
        return self.read is not None or self.text is not None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that people use; empty when any text or number will do."""
        return tuple(str(name) for name in self.words) if self.dtype == "str" else ()


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the instrument does."""

    commands: tuple[Command, ...]
    """Sent in a row."""
    description: str = ""
    arguments: tuple[Value, ...] = ()
    """In their order; only what they may be, and their words, count."""
    moves: bool | None = None
    """Whether it may set the position in motion; None where nobody has said so."""


@dataclass(frozen=True, slots=True)
class StandardValue:
    """The values behind a standard parameter."""

    value: str
    """The one that is read."""
    setpoint: str = ""
    """The one that is written, where that is another."""
    tolerance: float | None = None
    settle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Motion:
    """How the instrument moves something: a stage, a voltage, a temperature."""

    position: str
    """The value that is read back."""
    setpoint: str
    """The value that is written; often the same."""
    tolerance: float
    limits: Limits
    circle: float | None
    """One turn of what goes round."""
    settled: Expression
    """By the names of values, and `position`, `setpoint` and `tolerance`."""
    stable_s: float
    """How long it has to stay settled."""
    timeout_s: float
    interval_s: float
    """Between two looks."""
    home: str | float | None
    """An action, or a position; None where there is no home."""
    stop: str | None = None
    """An action."""
    hold: bool = False
    """Stopped by making its position the setpoint."""
    ramp_step: float | None = None
    """The setpoint goes in steps of at most this, one each `interval_s`."""
    requires: Expression | None = None
    """By the names of values: what has to be true before it may move."""
    referenced: Expression | None = None
    """By the names of values: whether it knows where it is."""

    @property
    def tells_rest(self) -> bool:
        """Whether `settled` tells the end also of what goes to nobody knows where."""
        return "setpoint" not in self.settled.names

    def distance(self, position: float, other: float) -> float:
        """Between two positions; on a circle by the shortest way."""
        return abs(self.offset(position, other))

    def offset(self, position: float, other: float) -> float:
        """From `other` to `position`; on a circle by the shortest way."""
        way = position - other
        if self.circle is None:
            return way
        return (way + self.circle / 2) % self.circle - self.circle / 2


@dataclass(frozen=True, slots=True)
class Trigger:
    """Actions of an instrument that is armed and triggered."""

    arm: str
    trigger: str
    disarm: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """How the instrument tells that something went wrong."""

    reply: Pattern | None = None
    """A reply that fits is an error; its groups `code` and `message` say which."""
    question: Question | None = None
    """Asked after every command, until it is answered with `ok`."""
    ok: Pattern | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    """What a code means."""
    busy: Pattern | None = None
    """A reply that fits says: ask again later."""
    busy_timeout_s: float = 0.0
    busy_pause_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Will:
    """What makes the instrument safe when the daemon is gone."""

    send: tuple[Template, ...]
    summary: str = ""
    ask: Template | None = None
    reply: Pattern | None = None
    """In the answer when all is done."""


@dataclass(frozen=True, slots=True)
class OptionRule:
    """An option that the configuration of a device gives, and commands hold as `{name}`."""

    name: str
    dtype: str
    """`str` or `int`."""
    default: str | int | None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A whole instrument."""

    source: str
    """The file, as messages name it."""
    text: str
    """What stands in it."""
    name: str
    category: Category
    notes: str
    options: tuple[OptionRule, ...]
    dialect: Dialect
    port: PortSettings
    """As the instrument comes out of its box, without an address; the configuration may differ."""
    strip: bool
    """Spaces around a reply say nothing."""
    mine: Template | None
    """A regular expression that tells replies of this device from others' on its bus."""
    login: tuple[Command, ...]
    """Sent before anything is asked."""
    identify: Question | None
    init: tuple[Command, ...]
    errors: ErrorRules
    values: Mapping[str, Value]
    actions: Mapping[str, Act]
    reading: str
    """The value that is its reading; empty when it has none."""
    standard: Mapping[str, StandardValue]
    """What is behind its standard parameters, by their names."""
    motion: Motion | None
    trigger: Trigger | None
    safe: Mapping[str, Scalar]
    """Values of the safe state."""
    will: Will | None

    @property
    def offered_actions(self) -> Mapping[str, Act]:
        """Those that are called by their names: what stops, homes or triggers has another."""
        motion, trigger = self.motion, self.trigger
        used = {motion.stop, motion.home} if motion is not None else set()
        if trigger is not None:
            used |= {trigger.arm, trigger.trigger, trigger.disarm}
        return {name: act for name, act in self.actions.items() if name not in used}

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it offers beside parameters: what was described, and nothing else."""
        offered = {Capability.READABLE} if self.reading else set()
        if self.motion is not None:
            offered.add(Capability.MOVABLE)
        if self.trigger is not None:
            offered.add(Capability.TRIGGERABLE)
        return frozenset(offered)

"""The tables of a description: a dataclass each, a field for every key.

From here comes what may stand in a file, what holds where it is left out, and the reference in the
README.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from daq.config import Positive, Rule, Seconds, Texts, Words, key
from daq.core import Category, Limits

__all__ = [
    "ActionTable",
    "ArgumentTable",
    "ChecksumTable",
    "CommandTable",
    "DescriptionTable",
    "ErrorsTable",
    "IdentifyTable",
    "InstrumentTable",
    "LastWillTable",
    "LineTable",
    "MovableTable",
    "OptionTable",
    "QuestionTable",
    "ReadableTable",
    "StandardTable",
    "TriggerTable",
    "ValueTable",
    "WriteTable",
]


def _position_or_action(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError  # noqa: TRY004 - all of these are told alike
    return value if isinstance(value, str) else float(value)


def _shape(value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, list) else [value]
    if not 1 <= len(sizes) <= 2 or any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError
    return tuple(sizes)


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError  # noqa: TRY004
    return value


def _stop_bits(value: Any) -> float:
    if isinstance(value, bool) or value not in (1, 1.5, 2):
        raise ValueError
    return float(value)


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError
    return float(value)


Home = Annotated[float | str, Rule("a position, or the name of an action", _position_or_action)]
Shape = Annotated[tuple[int, ...], Rule("a number of points, or [height, width]", _shape)]
Plain = Annotated[Any, Rule("true, false, a number or a text", _scalar)]
Elements = Literal["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentTable:
    """What it is."""

    name: str = key("Of the instrument, for people")
    category: Category = key("Its kind", Category.OTHER)
    notes: str = key("For people", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTable:
    """An option that the configuration of a device gives, and commands hold as `{NAME}`."""

    type: Literal["str", "int"] = key("Of its value", "str")
    default: Plain | None = key(
        "What holds where the configuration says nothing", None, default_rule="it must be given"
    )
    description: str = key("For people", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumTable:
    """What stands behind every command and reply."""

    SHORT: ClassVar[str] = "kind"

    kind: Literal[
        "sum8", "sum16", "sum6_printable", "negative8", "xor8", "crc8", "crc16_modbus",
        "crc16_ccitt", "crc16_xmodem", "crc32",
    ] = key("How it is computed")  # fmt: skip
    form: Literal["hex", "decimal", "raw", "raw_little"] = key(
        "Digits, or bytes, the highest or the lowest first", "raw"
    )
    skip: int = key("Bytes at the begin that are not counted", 0)
    commands: bool = key("Whether commands have one", True)
    replies: bool = key("Whether replies have one", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTable:
    """How it writes and is written to."""

    send_end: str = key("After every command", "\n")
    reply_end: Texts = key(
        "What ends a reply; of several the one that came stays in the reply",
        ("\n",),
        default_rule="a line feed",
    )
    reply_length: int | None = key("Instead: bytes of every reply", None)
    reply_gap: Positive | None = key("Instead: s of silence after every reply", None)
    encoding: str = key("Of its text", "latin-1", default_rule="latin-1, a character for each byte")
    strip: bool = key("Whether spaces around every reply are taken away", False)
    checksum: ChecksumTable | None = key("Behind every command and reply", None)
    timeout: Positive = key("For a reply, s, at most 600", 1.0)
    pause: Seconds = key("Between exchanges, s", 0.0)
    quiet: Seconds = key("How long a late reply is listened for, s", 0.05)
    echo: bool = key("Whether it repeats every command first", False)
    acknowledge: str = key(
        "A pattern that every command is answered with", "", default_rule="no answer"
    )
    mine: str | None = key(
        "A pattern of this device's replies on a bus of several", None, default_rule="all"
    )
    events: str = key("A pattern of lines that come without being asked", "", default_rule="none")
    baudrate: int = key("Bits/s", 9600)
    data_bits: Literal[5, 6, 7, 8] = key("", 8)
    parity: Literal["none", "even", "odd", "mark", "space"] = key("", "none")
    stop_bits: Annotated[float, Rule("one of 1, 1.5, 2", _stop_bits)] = key("", 1.0)
    flow_control: Literal["none", "software", "hardware"] = key("", "none")
    dtr: bool | None = key(
        "The line DTR; false keeps some boards from a reset", None, default_rule="as the system"
    )
    rts: bool | None = key("The line RTS", None, default_rule="as the system")
    open_wait: Seconds = key(
        "From the opening of the port to the first command, s; what comes is thrown away", 0.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionTable:
    """A question, and where in the reply the value stands."""

    SHORT: ClassVar[str] = "send"

    send: str = key("What is sent")
    reply: str = key(
        "A pattern of the whole reply; its group `value`, else the first one, is the value",
        "",
        default_rule="everything",
    )
    field: int | None = key("Instead: the place of the value, from 1", None, default_rule="none")
    separator: str = key("Between places, and between the numbers of a waveform", ",")
    strip: bool | None = key(
        "Whether spaces around the value are taken away", None, default_rule="as the line"
    )
    block: Elements | None = key(
        "The reply is a block of IEEE 488.2 (`#...`) of such numbers",
        None,
        default_rule="it is text",
    )
    convert: str = key(
        "An expression of `value`, `text`, the pattern's groups, and the values of a waveform's "
        "scale",
        "",
        default_rule="as it stands there",
    )
    no_value: str = key(
        "A pattern of the whole reply, such as `OVLD`: it is well, and has no value now", ""
    )
    timeout: Positive | None = key("For the reply, s, at most 600", None, default_rule="the line's")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyTable(QuestionTable):
    """A reply that does not fit is passed over; when none fits, it is another instrument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTable:
    """A command, or several in a row; with options and values in it."""

    SHORT: ClassVar[str] = "send"

    send: Texts = key("What is sent: one, or several in a row")
    acknowledge: str | None = key(
        "A pattern of the answer; empty for none", None, default_rule="the line's"
    )
    timeout: Positive | None = key(
        "For the answer, s, at most 600", None, default_rule="the line's"
    )
    pause: Seconds = key("What it needs afterwards, s", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTable(CommandTable):
    """A command that sets `{value}`, or several in a row."""

    convert: str = key("An expression of `value`", "", default_rule="as it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorsTable:
    """How it says that something went wrong."""

    reply: str = key(
        "A pattern of a reply, to whatever, that is a refusal; groups `code`, `message`", ""
    )
    ask: QuestionTable | None = key(
        "A question after each command, until it is answered by `ok`", None
    )
    ok: str = key("A pattern; belongs to `ask`", "")
    codes: Mapping[str, str] = key("What a code means", {})
    busy: str = key("A pattern of a reply that means: ask again later", "")
    busy_timeout: Seconds = key("How long it is asked again, s", 10.0)
    busy_pause: Positive = key("Before it is asked again, s", 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTable:
    """A quantity or a setting."""

    type: Literal["float", "int", "bool", "str", "waveform"] = key("Of its value", "float")
    units: str = key("Such as mm, `1` for a plain number; a reading and a position need them", "")
    description: str = key("For people", "")
    limits: Limits | None = key(
        "Of what may be written; what moves and standard parameters need them",
        None,
        default_rule="any",
    )
    shape: Shape | None = key("Of a waveform: points, or [height, width]; needed there", None)
    choices: Words = key("Of a text: people's words to the instrument's", {}, default_rule="any")
    on: str | None = key("What a true bool is written as", None, default_rule="1")
    off: str | None = key("What a false bool is written as", None, default_rule="0")
    read: QuestionTable | None = key("How it is asked for", None, default_rule="it cannot be")
    write: WriteTable | None = key("How it is set", None, default_rule="it cannot be")
    text: str = key("Instead of both, of a text: built of other values, `{maker} {model}`", "")
    verify: bool = key("Whether it is read back after it was written", True)
    tolerance: Annotated[float, Rule("a number, at least 0", _amount)] | None = key(
        "How far it may read back from that", None, default_rule="a thousandth of it"
    )
    reach: Seconds = key("How long the readback may take to come there, s", 0.0)
    invalid: str = key(
        "An expression of `value` for numbers that mean an error", "", default_rule="none do"
    )
    requires: str = key(
        "An expression of other values that is true while it can be asked for",
        "",
        default_rule="always",
    )
    parameter: bool = key("Whether `get` and `set` offer it", False)
    poll: bool = key("Whether it is looked at again and again", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentTable:
    """An argument of an action, sent as `{NAME}`."""

    type: Literal["float", "int", "bool", "str"] = key("Of its value", "float")
    units: str = key("Such as mm", "")
    description: str = key("For people", "")
    limits: Limits | None = key("Of a number", None, default_rule="any")
    choices: Words = key("Of a text: people's words to the instrument's", {}, default_rule="any")
    on: str | None = key("What a true bool is written as", None, default_rule="1")
    off: str | None = key("What a false bool is written as", None, default_rule="0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTable(CommandTable):
    """Something that it does; called by its name, or used by `[movable]` and `[trigger]`."""

    description: str = key("For people", "")
    arguments: Mapping[str, ArgumentTable] = key("What it is called with, in order", {})
    moves: bool | None = key(
        "Whether the position may move by it: it ends when that rests, and a stop ends it",
        None,
        default_rule="true where `settled` tells that without `setpoint`",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadableTable:
    """The value that is read; beside a position it is recorded as `smu.current`, by its name."""

    value: str = key("A value by its name")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardTable:
    """A standard parameter."""

    value: str = key("The value that is read")
    setpoint: str = key("The one that is written", "", default_rule="the same")
    tolerance: Annotated[float, Rule("a number, at least 0", _amount)] | None = key(
        "How far it may read back from what it was set to", None, default_rule="as usual"
    )
    settle: Seconds | None = key(
        "How long it may take to come there, s", None, default_rule="as usual"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MovableTable:
    """The value that moves."""

    position: str = key("The value that is read back")
    setpoint: str = key("The one that is written", "", default_rule="the position")
    tolerance: Positive = key("How far from its setpoint it may rest")
    circle: Positive | None = key(
        "One turn of what goes round, such as 360", None, default_rule="it does not go round"
    )
    settled: str = key(
        "An expression that is true when it rests",
        "",
        default_rule="abs(position - setpoint) <= tolerance",
    )
    stable: Seconds = key("How long that has to be true, s", 0.0)
    timeout: Positive = key("What a move may take, s", 60.0)
    interval: Positive = key("Between two looks, s", 0.05)
    home: Home | None = key(
        "Where `home` goes, or the action that it is", None, default_rule="it is refused"
    )
    stop: str = key("The action that stops it; this, `hold` or `ramp_step` is needed", "")
    hold: bool = key("Whether it is stopped by making its position the setpoint", False)
    ramp_step: Positive | None = key(
        "The setpoint goes in steps of this, one each `interval`", None, default_rule="at once"
    )
    requires: str = key(
        "An expression that has to be true before it may move", "", default_rule="nothing"
    )
    referenced: str = key(
        "An expression that is true when it knows where it is, looked at with each poll",
        "",
        default_rule="it always does",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTable:
    """Actions of what is armed and triggered."""

    arm: str = key("An action")
    trigger: str = key("An action")
    disarm: str = key("An action", "", default_rule="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWillTable:
    """What another process sends when the daemon is gone."""

    send: Texts = key("Commands")
    ask: str = key(
        "A question, asked until its answer fits `reply`: only then it counts as made safe",
        "",
        default_rule="sent, not answered",
    )
    reply: str = key("A pattern in the raw answer; belongs to `ask`", "")
    summary: str = key("For people", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionTable:
    """A whole description."""

    instrument: InstrumentTable = key("What it is")
    options: Mapping[str, OptionTable] = key("What the configuration gives", {})
    line: LineTable = key("How it is talked to", LineTable())
    login: tuple[CommandTable, ...] = key("Commands before anything else", ())
    identify: IdentifyTable | None = key("A question that tells whether it is the one", None)
    init: tuple[CommandTable, ...] = key("Commands after that, in order", ())
    errors: ErrorsTable = key("How it refuses", ErrorsTable())
    values: Mapping[str, ValueTable] = key("What it knows", {})
    actions: Mapping[str, ActionTable] = key("What it does", {})
    readable: ReadableTable | None = key("What `read` reads", None)
    shutter: StandardTable | None = key("", None)
    emission: StandardTable | None = key("", None)
    wavelength: StandardTable | None = key("", None)
    exposure: StandardTable | None = key("", None)
    temperature: StandardTable | None = key("", None)
    power: StandardTable | None = key("", None)
    movable: MovableTable | None = key("What moves", None)
    trigger: TriggerTable | None = key("What is triggered", None)
    safe: Mapping[str, Plain] = key("Values and what they are when it is safe", {})
    last_will: LastWillTable | None = key("For when the daemon is gone", None)

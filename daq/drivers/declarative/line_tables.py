"""Makes a dialect and a port's settings of the table `[line]` of a description."""

from __future__ import annotations

from daq.drivers.declarative.model import ErrorRules
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.tables import LineTable
from daq.transport import (
    Checksum,
    Dialect,
    FixedLength,
    Framing,
    IdleGap,
    PortSettings,
    Terminated,
    UntilRefused,
)

__all__ = ["make_dialect", "make_port"]


def make_dialect(line: LineTable, phrases: Phrases, errors: ErrorRules) -> Dialect:
    """How the instrument writes; mistakes are noted."""
    events = phrases.pattern(("line", "events"), line.events)
    given = line.checksum
    return Dialect(
        framing=_make_framing(line, phrases, errors),
        end=_encoded(line.send_end, phrases, "send_end"),
        timeout_s=phrases.bounded(("line", "timeout"), line.timeout) or line.timeout,
        pause_s=line.pause,
        quiet_s=line.quiet,
        echoes=line.echo,
        encoding=phrases.encoding,
        checksum=None
        if given is None
        else Checksum(given.kind, given.form, given.skip, given.commands, given.replies),
        is_event=None if events is None else lambda text: events.fullmatch(text) is not None,
    )


def _make_framing(line: LineTable, phrases: Phrases, errors: ErrorRules) -> Framing:
    note = phrases.mistakes.note
    ends = [_encoded(end, phrases, "reply_end") for end in line.reply_end]
    if line.reply_length is not None and line.reply_gap is not None:
        note(("line", "reply_gap"), "a reply ends in one way, but there is reply_length too")
    if line.reply_length == 0:
        note(("line", "reply_length"), "a reply has at least one byte")
    if not all(ends) or not ends:
        note(("line", "reply_end"), "is empty: a reply has to end")
        return Terminated()
    if line.reply_length:
        return FixedLength(line.reply_length)
    if line.reply_gap is not None:
        return IdleGap(line.reply_gap)
    framing = Terminated(ends[0], tuple(ends[1:]))
    refusal = errors.reply
    if refusal is None or framing == Terminated():
        return framing
    encoding = phrases.encoding

    def is_refusal(came: bytes) -> bool:
        text = came.decode(encoding, "replace")
        return refusal.fullmatch(text.rstrip("\r\n")) is not None

    return UntilRefused(framing, is_refusal)


def _encoded(text: str, phrases: Phrases, key: str) -> bytes:
    try:
        return text.encode(phrases.encoding)
    except UnicodeEncodeError:
        note = phrases.mistakes.note
        note(("line", key), f"{text!r} has characters that {phrases.encoding} cannot carry")
        return text.encode("ascii", "replace")


def make_port(line: LineTable) -> PortSettings:
    """As the instrument comes out of its box, without an address."""
    return PortSettings(
        "",
        baudrate=line.baudrate,
        data_bits=line.data_bits,
        parity=line.parity,
        stop_bits=line.stop_bits,
        flow_control=line.flow_control,
        dtr=line.dtr,
        rts=line.rts,
        open_wait_s=line.open_wait,
    )

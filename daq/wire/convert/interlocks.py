"""Interlocks."""

from __future__ import annotations

from dataclasses import asdict

from daq.core import InterlockState, InterlockStatus
from daq.wire.convert.values import clean
from daq.wire.generated import daq as pb

__all__ = ["interlock_from_wire", "interlock_to_wire"]


def interlock_to_wire(status: InterlockStatus) -> pb.InterlockInfo:
    """The message's fields are the value's."""
    fields = asdict(status) | {
        "reason": clean(status.reason),
        "refuses": list(status.refuses),
        "state": status.state.value,
        "acknowledged_by": clean(status.acknowledged_by),
        "note": clean(status.note),
    }
    return pb.InterlockInfo(**fields)


def interlock_from_wire(message: pb.InterlockInfo) -> InterlockStatus:
    return InterlockStatus(
        name=message.name,
        channel=message.channel,
        condition=message.condition,
        action=message.action,
        tripped=message.tripped,
        latched=message.latched,
        reason=message.reason,
        value=message.value,
        units=message.units,
        changed_ns=message.changed_ns,
        trips=message.trips,
        refuses=tuple(message.refuses),
        state=InterlockState(message.state or "ok"),  # an older daemon says only `tripped`
        acknowledged_by=message.acknowledged_by,
        acknowledged_ns=message.acknowledged_ns,
        note=message.note,
    )

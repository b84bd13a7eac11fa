"""The conversation with a script's process, without any I/O: frames in, values out.

Each frame is a little-endian 32 bit length and a msgpack array. A script's process asks:

    [op, sequence, stopping, *fields]      one of `daq.core.requests`; answered unless one-way
    ["start", ...] / ["join", ...]         a call in the background, and waiting for it
    ["end", ...] / ["checked", ...] / ["confined", ...]    its last word

and is answered with `[sequence, "ok", value]`, `[sequence, "error", kind, message, advice]` or
`[sequence, "stop"]`. Sequence numbers keep answers and questions together when an exception (out of
memory, recursion) hits a script between the two. Whatever arrives is checked as if an enemy had
sent it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from daq.core import (
    Call,
    CloseRun,
    DaqError,
    Describe,
    DeviceDescription,
    Diagnostic,
    Ending,
    ListDevices,
    Log,
    OpenRun,
    Pause,
    Point,
    ProgramEnd,
    Progress,
    Record,
    Request,
    ScriptCheck,
    ScriptParameter,
)
from daq.scripting.codec import MAX_TEXT, CodecError, pack, require_plain, require_sendable, unpack

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_FRAME_BYTES",
    "Asked",
    "Checked",
    "Confined",
    "Ended",
    "FrameBuffer",
    "Joined",
    "Message",
    "ProtocolError",
    "Started",
    "decode",
    "describe",
    "encode_check",
    "encode_end",
    "encode_request",
    "frame",
    "refusal",
]

MAX_FRAME_BYTES = 16 << 20
"""The largest frame that is taken from a script's process."""
MAX_ANSWER_BYTES = 64 << 20
"""The largest frame that is sent to one: some camera frames at once."""
_LENGTH = struct.Struct("<I")
_MAX_SEQUENCE = 1 << 53
_MAX_LINE = 1 << 31


class ProtocolError(Exception):
    """What came is not what was agreed on; the process that sent it cannot be trusted any more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; `answered` tells whether the process waits for an answer."""

    sequence: int
    stopping: bool
    request: Request
    answered: bool


@dataclass(frozen=True, slots=True)
class Started:
    """A call that goes on in the background; the answer only says that it has begun."""

    sequence: int
    stopping: bool
    call: Call


@dataclass(frozen=True, slots=True)
class Joined:
    """Wait up to `timeout` seconds for the call in the background; the answer: has it ended?"""

    sequence: int
    stopping: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word of a script."""

    end: ProgramEnd


@dataclass(frozen=True, slots=True)
class Checked:
    """The last word of a check."""

    check: ScriptCheck


@dataclass(frozen=True, slots=True)
class Confined:
    """Which layers of confinement hold in the process, each `active` or why not."""

    layers: Mapping[str, str]


Message = Asked | Started | Joined | Ended | Checked | Confined


class FrameBuffer:
    """Cuts a stream of bytes into frames."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what was received; yields each complete frame's payload."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > self._limit:
                raise ProtocolError(f"a frame of {size} bytes, more than {self._limit}")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[_LENGTH.size : end])
            del self._buffer[:end]
            yield payload


def frame(message: object) -> bytes:
    """A whole frame: length and payload; CodecError for what cannot be sent."""
    payload = pack(message)
    return _LENGTH.pack(len(payload)) + payload


# Fields: each check returns the value as the request takes it, or raises ProtocolError.

Check = Callable[[Any], Any]


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > MAX_TEXT:
        raise ProtocolError(f"{_show(value)} instead of a text")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ProtocolError(f"{_show(value)} instead of a number")
    return value  # type: ignore[no-any-return]


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MAX_SEQUENCE:
        raise ProtocolError(f"{_show(value)} instead of a count")
    return value


def _line(value: Any) -> int:
    if _count(value) >= _MAX_LINE:
        raise ProtocolError(f"{value} instead of a line")
    return value  # type: ignore[no-any-return]


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ProtocolError(f"{_show(value)} instead of true or false")
    return value


def _list_of(check: Check) -> Check:
    def checked(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ProtocolError(f"{_show(value)} instead of a list")
        return [check(item) for item in value]

    return checked


def _map_of(check: Check) -> Check:
    def checked(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ProtocolError(f"{_show(value)} instead of a map")
        return {_text(key): check(item) for key, item in value.items()}

    return checked


def _show(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, bool | int | float | str) else type(value).__name__


def _name(value: Any) -> str:
    """Of a device; whoever looks for it says what is wrong with a very long one."""
    if type(value) is not str:
        raise ProtocolError(f"{_show(value)} instead of a text")
    return value


_names = _list_of(_name)
_rows = _list_of(_list_of(require_plain))
_plains = _map_of(require_plain)

_REQUESTS: dict[str, tuple[type[Any], tuple[Check, ...]]] = {
    "call": (Call, (_text, _text, _list_of(require_plain))),
    "close_run": (CloseRun, (_truth, _text)),
    "describe": (Describe, (_text,)),
    "list_devices": (ListDevices, ()),
    "log": (Log, (_text, _text, _line)),
    "open_run": (OpenRun, (_text, _plains, _text)),
    "pause": (Pause, (_line,)),
    "point": (Point, (_map_of(_number), _names, _number, _plains, _text, _map_of(_text))),
    "progress": (Progress, (_text,)),
    "record": (Record, (_names, _plains, _text, _truth, _map_of(_text))),
}
_OPS = {kind: op for op, (kind, _) in _REQUESTS.items()}
_NAMES = {kind: tuple(f.name for f in fields(kind)) for kind in _OPS}
_ONE_WAY = frozenset({Log, Progress})
_LEVELS = frozenset({"output", "debug", "info", "warning", "error", "result"})


def encode_request(sequence: int, stopping: bool, request: Request) -> bytes:
    """The frame that asks for `request`."""
    kind = type(request)
    values = [getattr(request, name) for name in _NAMES[kind]]
    require_sendable(values)
    return frame([_OPS[kind], sequence, stopping, *values])


def encode_end(end: ProgramEnd) -> bytes:
    """The frame that ends a script."""
    fields = (end.message, end.traceback, end.line, end.result, end.refused)
    return frame(["end", end.ending.value, *fields])


def encode_check(check: ScriptCheck) -> bytes:
    """The frame that ends a check."""
    diagnostics = [[getattr(d, f.name) for f in fields(d)] for d in check.diagnostics]
    parameters = [[getattr(p, f.name) for f in fields(p)] for p in check.parameters]
    return frame(["checked", diagnostics, parameters, check.description])


def decode(payload: bytes) -> Message:
    """What a script's process says; raises ProtocolError and nothing else."""
    try:
        message = unpack(payload)
        if type(message) is not list or not message or type(message[0]) is not str:
            raise ProtocolError("a frame that is not a message")
        op, *rest = message
        if op in _REQUESTS:
            return _decode_request(op, rest)
        if op in _SPECIAL:
            return _SPECIAL[op](rest)
    except CodecError as error:
        raise ProtocolError(str(error)) from None
    raise ProtocolError(f"an unknown message {op[:40]!r}")


def _take(rest: list[Any], *checks: Check) -> list[Any]:
    if len(rest) != len(checks):
        raise ProtocolError(f"{len(rest)} fields where {len(checks)} belong")
    return [check(value) for check, value in zip(checks, rest, strict=True)]


def _decode_request(op: str, rest: list[Any]) -> Asked:
    kind, checks = _REQUESTS[op]
    sequence, stopping, *values = _take(rest, _count, _truth, *checks)
    request = kind(*values)
    if isinstance(request, Log) and request.level not in _LEVELS:
        raise ProtocolError(f"output of level {request.level[:20]!r}")
    return Asked(sequence, stopping, request, answered=kind not in _ONE_WAY)


def _decode_started(rest: list[Any]) -> Started:
    sequence, stopping, *call = _take(rest, _count, _truth, _text, _text, _list_of(require_plain))
    return Started(sequence, stopping, Call(*call))


def _decode_joined(rest: list[Any]) -> Joined:
    return Joined(*_take(rest, _count, _truth, _number))


def _decode_end(rest: list[Any]) -> Ended:
    ending, *fields = _take(rest, _text, _text, _text, _line, require_plain, _text)
    if ending not in (Ending.COMPLETED, Ending.FAILED, Ending.STOPPED):
        raise ProtocolError(f"an end {ending[:40]!r}")
    return Ended(ProgramEnd(Ending(ending), *fields))


def _decode_checked(rest: list[Any]) -> Checked:
    diagnostics, parameters, description = _take(rest, _rows, _rows, _text)
    return Checked(
        ScriptCheck(
            tuple(
                Diagnostic(*_take(d, _line, _line, _line, _line, _text, _text, _text, _count))
                for d in diagnostics
            ),
            tuple(
                ScriptParameter(*_take(p, _text, _text, _truth, require_plain)) for p in parameters
            ),
            description,
        )
    )


def _decode_confined(rest: list[Any]) -> Confined:
    return Confined(*_take(rest, _map_of(_text)))


_SPECIAL: dict[str, Callable[[list[Any]], Message]] = {
    "start": _decode_started,
    "join": _decode_joined,
    "end": _decode_end,
    "checked": _decode_checked,
    "confined": _decode_confined,
}


def refusal(sequence: int, error: DaqError) -> bytes:
    """The answer that a request failed."""
    return frame([sequence, "error", error.kind, error.message, error.advice])


def describe(description: DeviceDescription) -> dict[str, Any]:
    """A device as its proxy in the script knows it: operations and facts."""
    d = description
    return {
        "id": d.id,
        "operations": {operation.name: operation.signature for operation in d.operations},
        "parameters": {
            row.name: {
                "units": row.units,
                "limits": [row.limits.low, row.limits.high] if row.limits else None,
                "choices": list(row.choices),
                "argument": row.argument if row.writable else "",
                "is_axis": row.is_axis,
            }
            for row in d.parameters
        },
        "facts": {
            "label": d.label,
            "category": d.category.value,
            "units": d.units,
            "limits": [d.limits.low, d.limits.high] if d.limits else None,
            "tolerance": d.tolerance,
            "resolution": list(d.resolution) if d.resolution else None,
            **{
                f"{row.name}_limits": [row.limits.low, row.limits.high]
                for row in d.parameters
                if row.limits
            },
            "parameters": [p.name for p in d.parameters],
        },
    }

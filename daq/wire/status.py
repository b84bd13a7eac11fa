"""Errors across the wire: a gRPC status for every client, a kind and an advice for those that know.

`grpc-message` carries the message. Two trailers carry the rest: `x-daq-error-kind` holds the word
of the error's class, `x-daq-error-advice` what to do, percent-encoded like `grpc-message` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, unquote

from grpclib.const import Status

from daq.core import (
    AmbiguousError,
    AuthenticationError,
    BusyError,
    CapabilityError,
    CommunicationError,
    ConfigurationError,
    DaqError,
    DeviceError,
    InterlockError,
    InvalidReadingError,
    LimitError,
    NotFoundError,
    OfflineError,
    OverloadError,
    ParameterError,
    PermissionDeniedError,
    ScriptError,
    ScriptSyntaxError,
    StateError,
    StorageError,
    TimeoutError,  # noqa: A004 - the class that crosses the wire as DEADLINE_EXCEEDED
    UnknownDeviceError,
    UnreferencedError,
    error_class,
)

__all__ = [
    "ADVICE_TRAILER",
    "KIND_TRAILER",
    "STATUS_OF_KIND",
    "WireStatus",
    "from_wire",
    "to_status",
]

KIND_TRAILER = "x-daq-error-kind"
ADVICE_TRAILER = "x-daq-error-advice"

# A client may refuse more than 8 KiB of trailers (grpcio does), and then sees none of them.
MESSAGE_BYTES = 4096
ADVICE_BYTES = 2048

STATUS_OF_KIND: Mapping[str, Status] = MappingProxyType(
    {
        DaqError.kind: Status.INTERNAL,
        ConfigurationError.kind: Status.INVALID_ARGUMENT,
        NotFoundError.kind: Status.NOT_FOUND,
        AmbiguousError.kind: Status.INVALID_ARGUMENT,
        StateError.kind: Status.FAILED_PRECONDITION,
        OverloadError.kind: Status.RESOURCE_EXHAUSTED,
        StorageError.kind: Status.INTERNAL,
        DeviceError.kind: Status.INTERNAL,
        UnknownDeviceError.kind: Status.NOT_FOUND,
        OfflineError.kind: Status.UNAVAILABLE,
        LimitError.kind: Status.OUT_OF_RANGE,
        InvalidReadingError.kind: Status.FAILED_PRECONDITION,
        # ABORTED is the status of a conflict with somebody else: try again when they are done.
        BusyError.kind: Status.ABORTED,
        CapabilityError.kind: Status.INVALID_ARGUMENT,
        UnreferencedError.kind: Status.FAILED_PRECONDITION,
        InterlockError.kind: Status.FAILED_PRECONDITION,
        ScriptError.kind: Status.UNKNOWN,
        ScriptSyntaxError.kind: Status.INVALID_ARGUMENT,
        ParameterError.kind: Status.INVALID_ARGUMENT,
        AuthenticationError.kind: Status.UNAUTHENTICATED,
        PermissionDeniedError.kind: Status.PERMISSION_DENIED,
        CommunicationError.kind: Status.UNAVAILABLE,
        TimeoutError.kind: Status.DEADLINE_EXCEEDED,
    }
)
"""The one table of kinds and statuses. A test checks that every class of `daq.core` is in it."""

# What a status means when no kind came with it: from a proxy, from gRPC itself.
_CLASS_OF_STATUS: Mapping[str, type[DaqError]] = MappingProxyType(
    {
        Status.CANCELLED.name: CommunicationError,
        Status.UNAVAILABLE.name: CommunicationError,
        Status.DEADLINE_EXCEEDED.name: TimeoutError,
        Status.NOT_FOUND.name: NotFoundError,
        Status.INVALID_ARGUMENT.name: ConfigurationError,
        Status.OUT_OF_RANGE.name: LimitError,
        Status.FAILED_PRECONDITION.name: StateError,
        Status.ABORTED.name: BusyError,
        Status.RESOURCE_EXHAUSTED.name: OverloadError,
        Status.DATA_LOSS.name: StorageError,
        Status.UNAUTHENTICATED.name: AuthenticationError,
        Status.PERMISSION_DENIED.name: PermissionDeniedError,
    }
)


class WireStatus(NamedTuple):
    """What the wire carries of an error."""

    status: str
    """Name of the gRPC status, such as `OUT_OF_RANGE`."""
    message: str
    metadata: dict[str, str]
    """Trailers: ASCII only, whatever the error says."""


def to_status(error: DaqError) -> WireStatus:
    """How an error crosses the wire. Very long texts are cut, and say so."""
    # A kind that is not in the table is of a subclass made elsewhere: its parents are.
    status = next(
        STATUS_OF_KIND[kind]
        for cls in type(error).__mro__
        if (kind := getattr(cls, "kind", DaqError.kind)) in STATUS_OF_KIND
    )
    metadata = {KIND_TRAILER: quote(error.kind, safe="")}
    if error.advice:
        metadata[ADVICE_TRAILER] = quote(_clip(error.advice, ADVICE_BYTES), safe=_PLAIN)
    return WireStatus(status.name, _clip(error.message, MESSAGE_BYTES), metadata)


def from_wire(status: str, message: str, metadata: Mapping[str, str]) -> DaqError:
    """The error that `to_status` took apart; for a foreign one the class that fits its status."""
    kind = unquote(metadata.get(KIND_TRAILER, ""))
    advice = unquote(metadata.get(ADVICE_TRAILER, ""), errors="replace")
    cls = error_class(kind) if kind else _CLASS_OF_STATUS.get(status, DaqError)
    return cls(message or f"the call ended with {status} and no message", advice=advice)


# Printable ASCII without "%": what percent-encoding may leave as it is.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def _clip(text: str, limit: int) -> str:
    """Cut `text` to at most `limit` bytes in percent-encoded form; lone surrogates become `?`."""
    text = text.encode("utf-8", "replace").decode()
    if len(quote(text, safe=_PLAIN)) <= limit:
        return text
    room = limit - 64  # for the note
    kept = 0
    for character in text:
        room -= len(quote(character, safe=_PLAIN))
        if room < 0:
            break
        kept += 1
    return f"{text[:kept]} ... ({len(text) - kept} more characters)"

"""The whole tree of errors, split by who is to blame.

An error's `kind` is the machine-readable word that crosses the wire; a message says what, where and
why with values, limits and units; `advice` says what to do. Every class takes the same two
arguments, so that the client can rebuild any of them from what the wire carries.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AmbiguousError",
    "AuthenticationError",
    "BusyError",
    "CapabilityError",
    "CommunicationError",
    "ConfigurationError",
    "DaqError",
    "DeviceError",
    "InterlockError",
    "InvalidReadingError",
    "LimitError",
    "NotFoundError",
    "OfflineError",
    "OverloadError",
    "ParameterError",
    "PermissionDeniedError",
    "ScriptError",
    "ScriptSyntaxError",
    "StateError",
    "StorageError",
    "TimeoutError",
    "UnknownDeviceError",
    "error_class",
]


class DaqError(Exception):
    """Base of all errors that `daq` raises on purpose."""

    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message


class ConfigurationError(DaqError):
    """A configuration file or an option is wrong: names file, line and what was expected."""

    kind = "configuration"


class NotFoundError(DaqError):
    """No script, execution or run goes by that id or name."""

    kind = "not_found"


class AmbiguousError(DaqError):
    """An id prefix or a name fits more than one thing; the message lists them."""

    kind = "ambiguous"


class StateError(DaqError):
    """The thing exists, but is not in a state in which this can be done."""

    kind = "state"


class OverloadError(DaqError):
    """A bound was reached: size, length, rate or number."""

    kind = "overload"


class StorageError(DaqError):
    """Data could not be stored or read back: names the file and the cause."""

    kind = "storage"


class DeviceError(DaqError):
    """An instrument refused, failed or answered nonsense: names device, command and reply."""

    kind = "device"


class UnknownDeviceError(DeviceError):
    """No device of that id is configured; the message lists those that are."""

    kind = "unknown_device"


class OfflineError(DeviceError):
    """The device is known but not reachable now; the message says since when and why."""

    kind = "offline"


class LimitError(DeviceError):
    """A value is outside of what the device accepts. Nothing moved."""

    kind = "limit"

    @classmethod
    def outside(
        cls, device: str, quantity: str, value: float, low: float, high: float, units: str
    ) -> LimitError:
        """State the value that was asked for next to the limits that it breaks."""
        suffix = f" {units}" if units else ""
        # Twelve digits: 10.0000001 next to a limit of 10 must not read as 10.
        return cls(
            f"{device}: {quantity} {value:.12g}{suffix} is outside the limits "
            f"[{low:.12g}, {high:.12g}]{suffix}; nothing was changed"
        )


class InvalidReadingError(DeviceError):
    """There is no value now: an overload, a saturated detector, an output that is off.

    The device is well: only its reading is not, and the message says why.
    """

    kind = "invalid_reading"


class BusyError(DeviceError):
    """Another command holds the device; the message names it."""

    kind = "busy"


class UnreferencedError(DeviceError):
    """The device does not know where it is, so it is not sent anywhere; says since when and why."""

    kind = "unreferenced"


class CapabilityError(DeviceError):
    """The device does not offer this operation; the message lists what it offers."""

    kind = "capability"


class InterlockError(DeviceError):
    """An interlock has tripped and refuses the command."""

    kind = "interlock"


class ScriptError(DaqError):
    """A script failed: file, line, source line and caret are in the message."""

    kind = "script"


class ScriptSyntaxError(ScriptError):
    """A script was refused at upload; the message holds every violation, not only the first."""

    kind = "script_syntax"


class ParameterError(ScriptError):
    """A script was started with parameters that its `main` does not declare that way."""

    kind = "parameter"


class AuthenticationError(DaqError):
    """The daemon wants to know who calls: the token is missing, or is not one of its own."""

    kind = "authentication"


class PermissionDeniedError(DaqError):
    """Who calls is known, and may not do that."""

    kind = "permission"


class CommunicationError(DaqError):
    """The daemon could not be reached, or the connection to it was lost."""

    kind = "communication"


class TimeoutError(CommunicationError):  # noqa: A001 - the name that the client's users expect
    """The daemon did not answer in time."""

    kind = "timeout"


def _all_classes(root: type[DaqError]) -> dict[str, type[DaqError]]:
    classes: dict[str, type[DaqError]] = {}
    for subclass in root.__subclasses__():
        classes.update(_all_classes(subclass))
    # Last: a driver's own subclass without a kind of its own does not stand for its parent's.
    classes[root.kind] = root
    return classes


def error_class(kind: str) -> type[DaqError]:
    """The class that stands for `kind`; `DaqError` itself for a kind from a newer daemon."""
    return _all_classes(DaqError).get(kind, DaqError)

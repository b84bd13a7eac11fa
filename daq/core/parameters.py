"""Parameters: what a device can be asked or told beside motion and acquisition, one row for each.

A row says all that anybody needs to know: what it is, how it is set, what it means for safety, for
a pause and for a preset, and whether it can be scanned. Nobody above has a word of its own for one
of them: operations, script proxies, messages, attributes, presets and pauses are made of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from daq.core.capabilities import Capability, Operation
from daq.core.errors import DeviceError
from daq.core.near_miss import did_you_mean
from daq.core.units import Limits, Scalar

__all__ = [
    "DTYPES",
    "STANDARD",
    "DeviceParameter",
    "names_of",
    "parameter_operations",
    "parse_scalar",
    "row_of",
    "setpoint_of",
    "split_target",
    "standard",
]

DTYPES: Mapping[str, type[Scalar]] = MappingProxyType(
    {"bool": bool, "int": int, "float": float, "str": str}
)
_TRUTH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_RELATIVE = 1e-6
"""What two numbers may differ by and be the same, where no tolerance is known."""


@dataclass(frozen=True, slots=True)
class DeviceParameter:
    """One parameter of a device."""

    name: str
    dtype: str
    """`bool`, `int`, `float` or `str`."""
    description: str = ""
    units: str = ""
    readable: bool = True
    writable: bool = True
    limits: Limits | None = None
    choices: tuple[str, ...] = ()
    tolerance: float | None = None
    """How far a number may read back from what it was set to; farther is an error. None where only
    the driver can tell."""
    settles: bool = False
    """It takes time: a stop breaks the setting off, and after a pause it is repeated."""
    settle_s: float = 0.0
    """How long the readback may take to come within tolerance after the driver has set it."""
    setpoint: str = ""
    """The parameter that tells what it was set to, where that is not what it reads back."""
    off: Scalar | None = None
    """The value that makes it harmless: always allowed, and the first that a preset sets."""
    restrained: bool = True
    """A tripped interlock lets it be set to `off` or 0 only."""
    step: int = 2
    """When a preset or the end of a pause sets it, see `supervision/settings/bench_settings.py`."""
    on_pause: str = ""
    """The word of the configuration by which a pause switches it off."""
    words: tuple[str, str] = ("off", "on")
    """What False and True mean, for people."""
    argument: str = "value"
    """What a setter's argument is called: `nm`."""
    capability: Capability | None = None
    """The word on the wire for a device that has it."""

    @property
    def is_number(self) -> bool:
        return self.dtype in ("int", "float")

    @property
    def is_axis(self) -> bool:
        """Whether it can be scanned as a motor's position can."""
        return self.is_number and self.readable and self.writable

    def in_words(self, value: Scalar) -> str:
        """`open`, `off`, `3.5 mm`."""
        if isinstance(value, bool):
            return self.words[value]
        number = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f"{number} {self.units}".rstrip()

    def is_at(self, value: Scalar, wanted: Scalar) -> bool:
        """Whether that is the same, within tolerance and the rounding of numbers."""
        if isinstance(value, bool | str) or isinstance(wanted, bool | str):
            return value == wanted
        tolerance = max(self.tolerance or 0.0, 1e-12)
        return math.isclose(value, wanted, rel_tol=_RELATIVE, abs_tol=tolerance)


_ROWS = (
    DeviceParameter(
        "shutter", "bool", "Lets the light out", off=False, step=6,
        on_pause="close_shutter", words=("closed", "open"), argument="is_open",
        capability=Capability.SHUTTER_CONTROLLABLE,
    ),
    DeviceParameter(
        "emission", "bool", "Of a source", off=False, step=5,
        on_pause="emission_off", argument="on", capability=Capability.EMISSION_CONTROLLABLE,
    ),
    DeviceParameter(
        "wavelength", "float", "Of a source, or that a detector is calibrated for", "nm",
        tolerance=0.1, settles=True, step=3, argument="nm",
        capability=Capability.WAVELENGTH_TUNABLE,
    ),
    DeviceParameter(
        "exposure", "float", "Of one frame", "s", restrained=False, argument="seconds",
        capability=Capability.EXPOSURE_CONTROLLABLE,
    ),
    DeviceParameter(
        "temperature", "float", "As it is measured; set, it waits until that has come", "K",
        tolerance=0.1, settles=True, settle_s=3600.0, setpoint="temperature_setpoint",
        step=3, argument="kelvin",
    ),
    DeviceParameter(
        "power", "float", "Of a source, as it is measured", "W", setpoint="power_setpoint",
        off=0.0, argument="watts",
    ),
)  # fmt: skip

STANDARD: Mapping[str, DeviceParameter] = MappingProxyType({row.name: row for row in _ROWS})
"""Parameters that mean the same on every device. A driver says what differs on its own: limits,
units, tolerance."""


def standard(name: str, **differing: Any) -> DeviceParameter:
    """The standard row of that name, with what differs on this device, such as `limits`."""
    return replace(STANDARD[name], **differing)


def setpoint_of(parameter: DeviceParameter) -> DeviceParameter:
    """The row of what `parameter` was set to, which can only be read."""
    return DeviceParameter(
        parameter.setpoint,
        parameter.dtype,
        f"What {parameter.name} was set to",
        parameter.units,
        writable=False,
        tolerance=parameter.tolerance,
    )


def parameter_operations(parameters: Iterable[DeviceParameter]) -> Iterable[Operation]:
    """What can be called: each parameter by its name, and the words that people have for one."""
    for row in parameters:
        argument = f"({row.argument}=None)" if row.writable else "()"
        yield Operation(
            row.name,
            row.capability or Capability.PARAMETERIZED,
            argument if row.readable else f"({row.argument})",
            f"{'Get or set' if row.writable else 'Get'} the {row.name.replace('_', ' ')}.",
            row.writable,
            row.settles,
            row.name,
        )
        for name, summary, value in _WORDS.get(row.name, ()):
            commands = value is not None
            capability = row.capability or Capability.PARAMETERIZED
            yield Operation(
                name, capability, "()", summary, commands, commands and row.settles, row.name, value
            )


_WORDS: Mapping[str, Sequence[tuple[str, str, Scalar | None]]] = MappingProxyType(
    {
        "shutter": (
            ("open", "Open the shutter.", True),
            ("close", "Close the shutter.", False),
            ("is_open", "Ask whether the shutter is open.", None),
        )
    }
)
"""Operations that set a parameter to one value, or only ask for it."""


def names_of(row: DeviceParameter) -> frozenset[str]:
    """All names by which it is set: `shutter`, `open`, `close`."""
    return frozenset(each.name for each in parameter_operations([row])) | {row.name}


def row_of(rows: Sequence[DeviceParameter], device: str, name: str) -> DeviceParameter:
    """The row of that name; raises DeviceError listing those that the device has."""
    for row in rows:
        if row.name == name:
            return row
    names = [row.name for row in rows]
    raise DeviceError(
        f"{device}: there is no parameter {name!r}; it has {', '.join(names) or 'none'}",
        advice=did_you_mean(name, names),
    )


def split_target(target: str) -> tuple[str, str]:
    """The device and the parameter of `laser.wavelength`; no parameter for a device's own id."""
    device, _, parameter = target.partition(".")
    return device, parameter


def parse_scalar(text: str, dtype: str) -> Scalar:
    """Convert `text` to `dtype` (`bool`, `int`, `float` or `str`); raises ValueError."""
    if dtype not in DTYPES:
        raise ValueError(f"{dtype!r} is not one of {', '.join(DTYPES)}")
    if dtype == "bool":
        try:
            return _TRUTH[text.strip().lower()]
        except KeyError:
            raise ValueError(f"{text!r} is not one of true, false, yes, no, on, off") from None
    if dtype == "int":
        return int(text.strip().replace("_", ""), 0)
    return DTYPES[dtype](text) if dtype != "str" else text

"""`driver = "pymeasure"`: the instruments of PyMeasure, and all that PyVISA reaches.

The tables of the configuration are those of a described instrument (`daq.drivers.declarative`).
What is read and written is an attribute of the class, such as `source_voltage` or `ch_1.voltage`,
or else a text that is sent as it is, such as `"VOLT?"`; an action is a method or such a text.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from operator import attrgetter
from typing import Any

from daq.core import ConfigurationError, DeviceError, Limits, OfflineError, Scalar
from daq.drivers.declarative.library import LibraryConversation, build_driver, read_description
from daq.drivers.declarative.model import Description
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import REQUIRED, Options

__all__ = ["pymeasure"]

_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_GENERIC = "pymeasure.instruments.Instrument"
_GIVEN_TWICE = re.compile(r"multiple values for keyword argument '(\w+)'")
_MS_PER_S = 1e3
_TIMEOUT_S = 3.0
_LOST = ("VisaIOError", "InvalidSession", "SerialException")
"""Errors of the libraries below, by their names: which of them are installed varies."""


def pymeasure(context: DriverContext) -> Driver:
    """Make the driver of an instrument of PyMeasure.

    Options: `adapter`, a VISA resource; `class` (any instrument), `visa_library` (PyVISA's default;
    `@py` is PyVISA-py), `arguments` (a table, for the class: `read_termination`, `asrl`, ...),
    `timeout` (the class's own, 3 s at least), `label`, `limits` of a movable, and the tables of a
    described instrument.

    Raises ConfigurationError, also when PyMeasure is not installed.
    """
    if find_spec("pymeasure") is None:
        raise ConfigurationError(
            f"{context.device_id}: the package pymeasure is not installed",
            advice='install it beside the daemon: pip install "daq[pymeasure]"',
        )
    options = Options(context.device_id, context.options)
    adapter = options.text("adapter", REQUIRED, "a VISA resource such as GPIB0::24::INSTR")
    name = options.text("class", _GENERIC, "a class such as pymeasure.instruments.hp.HP34401A")
    library = options.text("visa_library", "", "a VISA library such as @py")
    arguments = options.plain("arguments", "a table of arguments for the class") or {}
    timeout_s = options.number("timeout", math.nan, "s", Limits(0.01, 3600.0))
    description = read_description(options, f"{context.device_id} ({name})")
    instrument_class = _find_class(context.device_id, name)
    if name == _GENERIC:
        arguments = {"name": context.device_id, "includeSCPI": False, **arguments}
    if library:
        arguments = {"visa_library": library, **arguments}
    connect = partial(_connect, instrument_class, adapter, arguments)
    conversation = _PyMeasure(context.device_id, description, timeout_s, connect)
    return build_driver(context, options, description, conversation)


def _connect(
    instrument_class: Callable[..., Any], adapter: str, arguments: Mapping[str, Any]
) -> Any:
    """An instrument, with an adapter that PyMeasure builds: the class knows how to talk to it.

    What the class sets itself, and cannot be given, is set afterwards.
    """
    import pyvisa

    manager = pyvisa.ResourceManager(arguments.get("visa_library", ""))
    before, given, later = set(manager.list_opened_resources()), dict(arguments), {}
    try:
        while True:
            try:
                instrument = instrument_class(adapter, **given)
                break
            except TypeError as error:
                match = _GIVEN_TWICE.search(str(error))
                if match is None or match[1] not in given:
                    raise
                later[match[1]] = given.pop(match[1])
        for name, value in later.items():
            setattr(instrument.adapter.connection, name, value)
    except BaseException:
        for resource in manager.list_opened_resources():
            if resource not in before and resource.resource_name.casefold() == adapter.casefold():
                resource.close()
        raise
    return instrument


def _find_class(device_id: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{device_id}: class = {name!r} cannot be loaded: {error}",
            advice="give module and class, such as pymeasure.instruments.keithley.Keithley2000",
        ) from error
    if not isinstance(found, type):
        raise ConfigurationError(f"{device_id}: class = {name!r} is no class")
    return found


class _PyMeasure(LibraryConversation):
    def __init__(
        self,
        device_id: str,
        description: Description,
        timeout_s: float,
        connect: Callable[[], Any],
    ) -> None:
        is_given = math.isfinite(timeout_s)
        super().__init__(device_id, description, timeout_s if is_given else _TIMEOUT_S)
        self._connect = connect
        self._is_given = is_given
        self._instrument: Any = None

    def open_blocking(self) -> None:
        instrument = self._connect()
        self._instrument = instrument
        connection = instrument.adapter.connection
        if self._is_given:
            connection.timeout = round(self._timeout_s * _MS_PER_S)
        elif connection.timeout is not None and math.isfinite(connection.timeout):
            # The class knows how long its instrument may take.
            self._timeout_s = max(_TIMEOUT_S, connection.timeout / _MS_PER_S)

    def close_blocking(self) -> None:
        instrument, self._instrument = self._instrument, None
        if instrument is not None:
            instrument.adapter.close()

    def get_blocking(self, source: str) -> Any:
        instrument = self._connected(source)
        if _ATTRIBUTE.fullmatch(source):
            return attrgetter(source)(instrument)
        return instrument.ask(source).strip()

    def put_blocking(self, target: str, value: Scalar, sent: str) -> None:
        instrument = self._connected(target)
        if not _ATTRIBUTE.fullmatch(target):
            instrument.write(sent)
            return
        path, _, attribute = target.rpartition(".")
        owner = attrgetter(path)(instrument) if path else instrument
        # Python takes any new attribute, and nothing would be sent.
        if not hasattr(type(owner), attribute):
            raise AttributeError(f"{type(owner).__name__} has no {attribute!r} to be set")
        setattr(owner, attribute, value)

    def act_blocking(self, what: str, *arguments: Scalar) -> None:
        instrument = self._connected(what)
        if _ATTRIBUTE.fullmatch(what):
            attrgetter(what)(instrument)(*arguments)
        else:
            instrument.write(what)

    def translate(self, what: str, error: Exception) -> Exception:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) or type(error).__name__ in _LOST:
            return OfflineError(f"{what}: {reason}", advice="check power, cable and address")
        return DeviceError(f"{what}: {reason}")

    def _connected(self, what: str) -> Any:
        if self._instrument is None:
            raise OfflineError(f"{self.device_id}: {what!r} was not sent: it is not connected")
        return self._instrument

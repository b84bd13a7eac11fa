"""Last wills, as the configuration and the drivers say them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from daq.config import DeviceConfig
from daq.core import ConfigurationError, Limits
from daq.drivers import REQUIRED, Driver, LastWill, Options, SerialSettings, WillFrame
from daq.transport import PortSettings

__all__ = ["read_last_wills"]

_SOME_TIME = Limits(0.01, math.inf)


def read_last_wills(device: DeviceConfig, driver: Driver | None) -> tuple[LastWill, ...]:
    """What the driver declares, unless the configuration says otherwise.

    What the configuration asks for has to be possible.
    """
    wanted = device.supervision.get("last_will")
    if wanted is False:
        return ()
    if wanted is None or wanted is True:
        declared = _declared(device.id, driver) if driver else ()
        return _possible(f"devices.{device.id}", declared) if wanted else declared
    tables = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(table, Mapping) for table in tables):
        raise ConfigurationError(
            f"devices.{device.id}: last_will = {wanted!r} is not true, false or tables",
            advice='such as last_will = { port = "/dev/ttyUSB0", send = ["OUTP 0\\n"] }',
        )
    owner = f"devices.{device.id}.last_will"
    return _possible(owner, tuple(_will(Options(owner, table)) for table in tables))


def _possible(owner: str, wills: tuple[LastWill, ...]) -> tuple[LastWill, ...]:
    for will in wills:
        if will.obstacle:
            raise ConfigurationError(
                f"{owner}: a last will cannot be carried out: {will.obstacle}",
                advice="connect the instrument otherwise, or go without one: last_will = false",
            )
    return wills


def _declared(device_id: str, driver: Driver) -> tuple[LastWill, ...]:
    try:
        return driver.last_will()
    except Exception as error:  # a foreign driver may raise anything
        raise ConfigurationError(
            f"devices.{device_id}: its driver could not tell its last will: "
            f"{type(error).__name__}: {error}",
            advice="last_will = false goes without it, last_will = { ... } writes another",
        ) from error


def _will(options: Options) -> LastWill:
    frames = _frames(options)
    clear = options.text("clear", "", "what ends half a command").encode("latin-1")
    serial = SerialSettings(
        baud=options.integer("baud", 9600),
        data_bits=options.integer("data_bits", 8, "", Limits(5, 8)),
        parity=options.choice("parity", "N", ("N", "E", "O")),
        stop_bits=options.integer("stop_bits", 1, "", Limits(1, 2)),
        xon_xoff=options.boolean("xon_xoff", False),
        rts_cts=options.boolean("rts_cts", False),
    )
    address = options.text("port", REQUIRED, "a serial port such as /dev/ttyUSB0, or host:port")
    summary = options.text("summary", "")
    options.finish()
    try:
        url = PortSettings(address).url
    except ValueError as error:
        raise ConfigurationError(f"last_will: port = {error}") from None
    return LastWill(url, frames, summary, serial, clear if options.has("clear") else None)


def _frames(options: Options) -> tuple[WillFrame, ...]:
    """The commands, and the question whether they are done, to which `reply` then belongs."""
    timeout_s = options.number("timeout_s", 0.5, "s", _SOME_TIME)
    reply = options.text("reply", "", "a regular expression")
    try:
        re.compile(reply)
    except re.error as error:
        raise ConfigurationError(f"last_will: reply = {reply!r} is no pattern: {error}") from None
    sent = options.texts("send", (), "a list of commands, terminators included")
    if not sent:
        raise ConfigurationError("last_will: send is empty: it would do nothing")
    ask = options.text("ask", "", "a question, terminator included").encode("latin-1")
    if ask and not reply:
        raise ConfigurationError("last_will: ask needs reply, the answer when all is done")
    answer = reply.encode("latin-1") or None
    each = None if ask else answer
    frames = tuple(WillFrame(text.encode("latin-1"), each, timeout_s) for text in sent)
    return (*frames, WillFrame(ask, answer, timeout_s, repeat=True)) if ask else frames

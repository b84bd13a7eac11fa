"""How a port is reached and set up: pure values."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

__all__ = ["DATA_BITS", "FLOW_CONTROLS", "PARITIES", "STOP_BITS", "PortSettings"]

DATA_BITS = (5, 6, 7, 8)
PARITIES = ("none", "even", "odd", "mark", "space")
STOP_BITS = (1.0, 1.5, 2.0)
FLOW_CONTROLS = ("none", "software", "hardware")
_VISA = re.compile(r"(GPIB|USB|TCPIP|ASRL|PXI|VXI|VICP|PRLGX-\w+)\d*::", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PortSettings:
    """A serial line, a TCP connection to a serial server or an instrument, or a VISA resource."""

    address: str
    """`/dev/ttyUSB0`; or `host:port`, also written `tcp://` or `socket://` before; or a VISA
    resource such as `GPIB0::24::INSTR`."""
    baudrate: int = 9600
    """Bits/s; this and the rest hold for serial lines only."""
    data_bits: int = 8
    parity: str = "none"
    """One of `PARITIES`."""
    stop_bits: float = 1.0
    flow_control: str = "none"
    """`software` is XON/XOFF, `hardware` is RTS/CTS."""
    dtr: bool | None = None
    """What the line DTR is set to when the port is opened; None leaves it to the system, which
    raises it. Some boards reset when it is raised."""
    rts: bool | None = None
    open_wait_s: float = 0.0
    """Before anything is sent after the port was opened; what comes meanwhile is thrown away."""
    visa_library: str = ""
    """Of a VISA resource: PyVISA's default, or such as `@py`."""

    def __str__(self) -> str:
        return self.address

    @property
    def is_visa(self) -> bool:
        """Whether the address is that of a VISA resource."""
        return _VISA.match(self.address) is not None

    @property
    def tcp(self) -> tuple[str, int] | None:
        """Host and port of a TCP connection, None for a serial line. Raises ValueError."""
        text = self.address.removeprefix("socket://").removeprefix("tcp://")
        if self.is_visa:
            return None
        if text == self.address and ("/" in text or ":" not in text):
            return None
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{self.address!r} is not host:port with a port from 1 to 65535")
        return host, int(port)

    @property
    def url(self) -> str:
        """`tcp://host:port` of a TCP connection, else the address. Raises ValueError."""
        return self.address if self.tcp is None else "tcp://{}:{}".format(*self.tcp)

    def differences(self, other: PortSettings) -> str:
        """What another use of the same port asks for that this one does not, for people."""
        names = [field.name for field in fields(self) if field.name != "address"]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return ", ".join(f"{name} {mine} and {its}" for name, mine, its in pairs if mine != its)

"""Bytes to instruments: ports, one exchange at a time, framing, serial lines and TCP."""

from daq.transport.checksum import CHECKSUM_FORMS, CHECKSUMS, Checksum
from daq.transport.exchange import LONG_S, Busy, urgently
from daq.transport.fair_timeout import FairTimeout
from daq.transport.framing import Block, FixedLength, Framing, IdleGap, Terminated, UntilRefused
from daq.transport.inbox import ConnectionLostError
from daq.transport.line import Dialect, GarbledReplyError, Line, UnfitReplyError
from daq.transport.loopback import LoopbackStream, loopback_pair
from daq.transport.port import Port, Ports
from daq.transport.serial_port import open_serial_loop
from daq.transport.settings import DATA_BITS, FLOW_CONTROLS, PARITIES, STOP_BITS, PortSettings
from daq.transport.stream import ByteStream, OpenStream, open_stream
from daq.transport.tcp import TcpStream
from daq.transport.trace import trace_device

__all__ = [
    "CHECKSUMS",
    "CHECKSUM_FORMS",
    "DATA_BITS",
    "FLOW_CONTROLS",
    "LONG_S",
    "PARITIES",
    "STOP_BITS",
    "Block",
    "Busy",
    "ByteStream",
    "Checksum",
    "ConnectionLostError",
    "Dialect",
    "FairTimeout",
    "FixedLength",
    "Framing",
    "GarbledReplyError",
    "IdleGap",
    "Line",
    "LoopbackStream",
    "OpenStream",
    "Port",
    "PortSettings",
    "Ports",
    "TcpStream",
    "Terminated",
    "UnfitReplyError",
    "UntilRefused",
    "loopback_pair",
    "open_serial_loop",
    "open_stream",
    "trace_device",
    "urgently",
]

"""HTTP/2 without manners, on a blocking socket."""

from __future__ import annotations

import socket
import struct
import time
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)

__all__ = ["FLOOD_S", "HEADERS", "Rude"]

HEADERS = [
    (":method", "POST"), (":scheme", "http"), (":path", "/daq.ControlService/GetDaemonInfo"),
    (":authority", "bench"), ("te", "trailers"), ("content-type", "application/grpc"),
]  # fmt: skip
WATCH = [(k, "/daq.HardwareService/StreamPosition" if k == ":path" else v) for k, v in HEADERS]
POSITION = struct.pack(">?I", False, 7) + b"\x0a\x05stage"
EMPTY = struct.pack(">?I", False, 0)
FLOOD_S = 3.0


class Rude:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.h2 = H2Connection(H2Configuration())
        self.h2.initiate_connection()
        self.flush()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def words(self, timeout: float) -> str:
        """What the server says against it within `timeout` seconds; empty for nothing."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                return ""
            except OSError as error:
                return f"cut off: {error.strerror}"
            if not data:
                return "closed"
            for event in self.h2.receive_data(data):
                said = self._said(event)
                if said is not None:
                    return said
            self.flush()
        return ""

    def _said(self, event: object) -> str | None:
        """What an event says against it; empty for a good answer, None while that is to come."""
        if isinstance(event, ConnectionTerminated):
            more = (event.additional_data or b"").decode()
            return f"GOAWAY {event.error_code!r} {more}"
        if isinstance(event, StreamReset):
            return f"RST_STREAM {event.error_code!r}"
        if isinstance(event, ResponseReceived | TrailersReceived):
            headers = {bytes(k): bytes(v) for k, v in event.headers}
            if b"grpc-status" in headers:
                return headers.get(b"grpc-message", b"").decode()
        if isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        return None

    def first_words(self) -> str:
        """What is said to a first call; empty when it is answered."""
        self.h2.send_headers(1, HEADERS)
        self.h2.send_data(1, EMPTY, end_stream=True)
        self.flush()
        return self.words(5.0)

    def open_streams(self) -> str:
        """5,000 that go on."""
        self.h2.remote_settings.max_concurrent_streams = 1 << 30
        for n in range(5000):
            number = 2 * n + 1
            try:
                self.h2.send_headers(number, WATCH)
                self.h2.send_data(number, POSITION, end_stream=True)
                self.flush()
            except OSError as error:
                return f"cut off after {n}: {error.strerror}"
            if n % 100 == 99 and (said := self.words(0.05)):
                return f"after {n}: {said}"
        return self.words(2.0) or "all are served"

    def half_requests(self) -> str:
        """Messages of 30 MB of which most comes, and never the end."""
        began, number = time.monotonic(), 1
        chunk = bytes(16384)
        self.h2.send_headers(number, HEADERS)
        self.h2.send_data(number, struct.pack(">?I", False, 30 << 20))
        self.flush()
        for _ in range(1800):
            try:
                while self.h2.local_flow_control_window(number) < len(chunk):
                    if said := self.words(0.5):
                        return said
                    if time.monotonic() - began > 40:
                        return "held for 40 s"
                self.h2.send_data(number, chunk)
                self.flush()
            except Exception as error:
                return f"cut off: {error}"
        return self.words(40.0) or "held for 40 s"

    def _flood(self, data: bytes) -> str:
        end = time.monotonic() + FLOOD_S
        self.socket.settimeout(FLOOD_S)
        sent = 0
        try:
            while time.monotonic() < end:
                self.socket.sendall(data)
                sent += 1
        except OSError as error:
            return f"cut off after {sent} x {len(data)} bytes: {error.strerror or error}"
        return self.words(1.0) or f"went on for {FLOOD_S:g} s"

    def flood_settings(self) -> str:
        """Empty SETTINGS frames, each of which wants an answer."""
        return self._flood(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000)

    def flood_pings(self) -> str:
        return self._flood((b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)) * 1000)

    def flood_resets(self) -> str:
        """Streams that are reset as soon as they are open."""
        end = time.monotonic() + FLOOD_S
        self.h2.outbound_flow_control_window = 1 << 30
        number, sent = 1, 0
        try:
            while time.monotonic() < end:
                for _ in range(50):
                    self.h2.send_headers(number, WATCH)
                    self.h2.send_data(number, POSITION, end_stream=True)
                    self.h2.reset_stream(number)
                    number += 2
                    sent += 1
                self.flush()
        except OSError as error:
            return f"cut off after {sent} resets: {error.strerror or error}"
        return self.words(1.0) or f"went on for {FLOOD_S:g} s ({sent} resets)"

"""The script's end of the conversation: blocking frames over a socket."""

from __future__ import annotations

import os
import signal
import socket
from collections import deque
from typing import Any

from daq.scripting.codec import unpack
from daq.scripting.protocol import MAX_ANSWER_BYTES, FrameBuffer

__all__ = ["Link"]

_CHUNK = 1 << 18
_CONTROL_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)


class Link:
    """Sends whole frames and receives whole messages; ends the process when the daemon is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = FrameBuffer(MAX_ANSWER_BYTES)
        self._received: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Send a whole frame, or wait until the daemon takes it."""
        # A signal handler that fails (recursion, memory) must not leave half a frame behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, _CONTROL_SIGNALS)
        try:
            self._socket.sendall(data)
        except OSError:
            os._exit(0)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CONTROL_SIGNALS)

    def receive(self) -> Any:
        """The next message; arrays in it are read-only."""
        while not self._received:
            data = self._socket.recv(_CHUNK)
            if not data:
                os._exit(0)
            self._received.extend(self._frames.feed(data))
        return unpack(self._received.popleft())

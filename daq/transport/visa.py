"""Instruments on GPIB, USB and Ethernet by VISA: PyVISA, whose calls block, in worker threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from daq.transport.inbox import ConnectionLostError

__all__ = ["VisaStream", "open_visa"]

_SHORTEST_S, _LONGEST_S = 0.01, 10.0
"""Of one call of the library: one that was given up holds up the next for so long at most."""
_MS_PER_S = 1e3
_CLOSE_S = 3.0
_PAUSE_S = 0.01


async def open_visa(resource: str, library: str) -> VisaStream:
    """Open a resource such as `GPIB0::24::INSTR`. Raises OSError."""
    return VisaStream(await trio.to_thread.run_sync(_open, resource, library))


def _open(name: str, library: str) -> Any:
    from pyvisa import Error, ResourceManager

    try:
        resource = ResourceManager(library).open_resource(name)
    except (Error, ValueError) as error:
        raise OSError(str(error)) from error
    resource.timeout = _LONGEST_S * _MS_PER_S
    return resource


class VisaStream:
    """Messages of an open resource, which this object owns, as bytes.

    Reading asks the instrument to talk, so it is begun only when somebody waits for a reply. A call
    that is cancelled goes on in its thread, alone; what it brings then is there for the next.
    """

    def __init__(self, resource: Any) -> None:
        self._resource = resource
        self._arrived: deque[bytes] = deque()
        self._alone = threading.Lock()
        self._threads = trio.CapacityLimiter(2)

    async def send(self, data: bytes) -> None:
        if not await self._call(partial(self._resource.write_raw, data)):
            raise ConnectionLostError("it takes no commands")

    async def receive(self) -> bytes:
        while True:
            # As long as the exchange may take: a read that is broken off can confuse an instrument.
            left_s = trio.current_effective_deadline() - trio.current_time()
            await self._call(partial(self._read, min(max(left_s, _SHORTEST_S), _LONGEST_S)))
            if data := self.receive_nowait():
                return data
            await trio.sleep(_PAUSE_S)  # some libraries give an empty message for none

    def receive_nowait(self) -> bytes:
        return b"".join(self._arrived.popleft() for _ in range(len(self._arrived)))

    async def close(self) -> None:
        """Bounded: a call that hangs is left to end by itself."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_S):
            await self._call(self._resource.close)

    async def _call(self, step: Callable[[], object]) -> bool:
        """False when it was not over in its time."""
        return await trio.to_thread.run_sync(
            self._perform, step, abandon_on_cancel=True, limiter=self._threads
        )

    def _perform(self, step: Callable[[], object]) -> bool:
        from pyvisa import Error, VisaIOError
        from pyvisa.constants import StatusCode

        with self._alone:
            try:
                step()
            except (Error, OSError) as error:
                if isinstance(error, VisaIOError) and error.error_code == StatusCode.error_timeout:
                    return False
                raise ConnectionLostError(str(error)) from error
        return True

    def _read(self, within_s: float) -> None:
        self._resource.timeout = within_s * _MS_PER_S
        message = bytes(self._resource.read_raw())
        if not message:
            return
        # A message has an end of its own, and so need not have that of a line.
        self._arrived.append(message if message.endswith((b"\n", b"\r")) else message + b"\r\n")

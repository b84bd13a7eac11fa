"""Serial ports: pyserial-asyncio behind the door of trio-asyncio, on Trio's thread.

The only module besides the API's that knows of asyncio. pyserial-asyncio's transport needs a loop
for its readers and writers and nothing else; bytes cross over by plain callbacks, so an exchange
costs no hand-over between the two worlds.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import trio
from serial import Serial, SerialException
from serial_asyncio import SerialTransport

from daq.transport.inbox import Inbox
from daq.transport.settings import PortSettings

if TYPE_CHECKING:
    import trio_asyncio

__all__ = ["SerialStream", "open_serial", "open_serial_loop"]

logger = logging.getLogger(__name__)

_CLOSE_S = 1.0
_PARITY = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}

_current_loop: ContextVar[trio_asyncio.TrioEventLoop] = ContextVar("serial_loop")


@asynccontextmanager
async def open_serial_loop() -> AsyncIterator[None]:
    """Serial ports can be opened within this block, by its task and all that are started in it.

    The loop ends after the block: it outlives a cancellation, so that instruments can still be made
    safe on the way out.
    """
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(shield=True)
        loop = await nursery.start(_run_loop, scope)
        token = _current_loop.set(loop)
        try:
            yield
        finally:
            _current_loop.reset(token)
            scope.cancel()


async def _run_loop(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[trio_asyncio.TrioEventLoop]
) -> None:
    import trio_asyncio  # only now: it replaces asyncio's functions, for the whole process

    with scope:
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(_log_loop_error)
            task_status.started(loop)
            await trio.sleep_forever()


def _log_loop_error(_loop: object, context: Mapping[str, Any]) -> None:
    """trio-asyncio would end the daemon with an error that no callback took care of.

    The one that comes is a failed write to a port that was unplugged, and whoever uses the port is
    told of that by `connection_lost`.
    """
    logger.debug("serial: %s", context.get("message"), exc_info=context.get("exception"))


async def open_serial(settings: PortSettings) -> SerialStream:
    """Open and set up a serial port, for this process alone. Raises OSError."""
    loop = _current_loop.get(None)
    if loop is None:
        raise RuntimeError("serial ports are opened within `async with open_serial_loop()`")
    # Some adapters take their time to open and to be set up.
    try:
        port = await trio.to_thread.run_sync(_open, settings)
    except ValueError as error:  # what pyserial makes of a rate that the port does not do
        raise OSError(errno.EINVAL, str(error)) from error
    except termios.error as error:
        raise _unfit(settings, error) from error
    try:
        return SerialStream(loop, port)
    except termios.error as error:
        port.close()
        raise _unfit(settings, error) from error


def _unfit(settings: PortSettings, error: termios.error) -> OSError:
    """The port does not do what it was asked for; pyserial's error is no OSError."""
    code, reason = error.args
    if code == errno.EINVAL:
        framing = f"{settings.data_bits} data bits, parity {settings.parity}"
        reason = f"it does not take {framing} (a pseudo-terminal has 8 and none)"
    return OSError(code, reason)


class _Serial(Serial):  # type: ignore[misc]
    """A port that is read only when there is something to be read."""

    def read(self, size: int = 1) -> bytes:
        """What has come, without waiting.

        pyserial asks `select` first, which knows no descriptors from 1024 on, and each port takes
        five: some two hundred serial ports would be the end.
        """
        try:
            data = os.read(self.fd, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise SerialException(error.errno, f"reading failed: {error.strerror}") from error
        if not data:
            raise SerialException("it hung up")
        return data


def _open(settings: PortSettings) -> Serial:
    port = _Serial(
        None,
        baudrate=settings.baudrate,
        bytesize=settings.data_bits,
        parity=_PARITY[settings.parity],
        stopbits=settings.stop_bits,
        xonxoff=settings.flow_control == "software",
        rtscts=settings.flow_control == "hardware",
        timeout=0,
        write_timeout=0,
        exclusive=True,
    )
    port.port = settings.address
    if settings.dtr is not None:
        port.dtr = settings.dtr
    if settings.rts is not None:
        port.rts = settings.rts
    port.open()
    return port


class SerialStream(asyncio.Protocol):
    """Bytes over an open serial port that this object owns."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop, port: Serial) -> None:
        self._inbox = Inbox()
        self._closed = trio.Event()
        self._writable = trio.Event()
        self._transport = SerialTransport(loop, self, port)
        # Told when everything was written, not when a buffer of 64 KiB is half empty.
        self._transport.set_write_buffer_limits(high=0)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._inbox.require_open()  # pyserial-asyncio takes bytes for a port that is gone
        left = self._write_nowait(data)
        if not left:
            return
        self._writable = trio.Event()
        self._transport.write(left)
        try:
            await self._writable.wait()
        except trio.Cancelled:
            self._transport.flush()  # what the line did not take must not come out later
            raise
        self._inbox.require_open()

    async def receive(self) -> bytes:
        return await self._inbox.take()

    def receive_nowait(self) -> bytes:
        return self._inbox.take_nowait()

    async def close(self) -> None:
        """Bounded, also when flow control holds the line."""
        if not self._transport.is_closing():
            # Closing waits, on the loop, until the line has sent everything: at 9600 baud that
            # takes long, and with CTS low for ever. So nothing is left to send.
            try:
                self._transport.serial.reset_output_buffer()
            except (OSError, termios.error) as error:
                logger.debug("serial: %s", error)
            self._transport.abort()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_S):
            await self._closed.wait()

    def _write_nowait(self, data: bytes) -> bytes:
        """Write what the port takes at once, and return the rest.

        A command is a few bytes, for which there is room: watching for that, as the transport does,
        takes as long as the exchange itself. Also an error is left to the transport.
        """
        try:
            return data[os.write(self._transport.serial.fileno(), data) :]
        except OSError:
            return data

    # What pyserial-asyncio calls.

    def data_received(self, data: bytes) -> None:
        self._inbox.put(data)

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.end("it hung up, as when it is unplugged" if exc else "it was closed")
        if exc is not None:
            logger.debug("serial: %s", exc)
        self._writable.set()
        self._closed.set()

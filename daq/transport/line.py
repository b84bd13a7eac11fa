"""One device's way to its instrument: questions and commands over a port that it may share."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from daq.core import BusyError, DeviceError, OfflineError
from daq.transport.checksum import Checksum, WrongChecksumError
from daq.transport.exchange import LONG_S, Busy, Exchange, is_urgent
from daq.transport.fair_timeout import FairTimeout
from daq.transport.framing import Framing, Terminated
from daq.transport.inbox import ConnectionLostError
from daq.transport.late_replies import Accepts, LateReply
from daq.transport.port import Connection, Port
from daq.transport.settings import PortSettings
from daq.transport.trace import Trace

__all__ = ["Dialect", "GarbledReplyError", "Line", "UnfitReplyError"]

_ENCODING: Final = "latin-1"
"""One character for each byte, so that no reply can fail to be shown."""
_USUAL, _MOST_USUAL_S = 3, 0.5
"""By so many answers it is judged what one usually needs; a slower one counts as this, s."""
_NOISE_S = 0.06
"""What noise gets to pass before anything is asked again."""
_SHOWN = 3
"""Of replies that were passed over, in an error."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an instrument writes and is written to."""

    framing: Framing = field(default_factory=Terminated)
    """Of its replies."""
    end: bytes = b"\n"
    """After each command."""
    timeout_s: float = 1.0
    """For a reply, unless the exchange says otherwise."""
    pause_s: float = 0.0
    """From the end of one exchange to the begin of the next."""
    quiet_s: float = 0.05
    """How long to listen for a reply that is late already."""
    echoes: bool = False
    """It repeats every command before it answers."""
    encoding: str = _ENCODING
    """Of its text."""
    checksum: Checksum | None = None
    """Behind every command and reply."""
    is_event: Accepts | None = None
    """Tells lines that come without being asked for."""

    def encode(self, command: str) -> bytes:
        """A command as it goes over the line. Raises ValueError."""
        data = command.encode(self.encoding)
        return (self.checksum.sign(data) if self.checksum else data) + self.end

    def decode(self, frame: bytes) -> str:
        """A frame as text. What is none in its encoding is shown by replacement characters."""
        return frame.decode(self.encoding, "replace")


class UnfitReplyError(OfflineError):
    """Replies came in time, and none of them was to what was asked."""

    def __init__(self, message: str, *, advice: str = "", replies: Sequence[str] = ()) -> None:
        super().__init__(message, advice=advice)
        self.replies = tuple(replies)


class GarbledReplyError(DeviceError):
    """The reply came, and was changed on its way."""


class Line:
    """Talks for one device.

    An exchange that timed out or was cancelled spoils nothing: its reply, when it comes late, is
    not taken for the reply to a later command (`LateReplies`). Once after a reply that never came,
    this costs a later exchange up to twice its timeout.

    Args:
        port: Shared with other devices, or not.
        device_id: Whose errors and trace these are.
        dialect: How the instrument writes.
    """

    def __init__(self, port: Port, device_id: str, dialect: Dialect | None = None) -> None:
        self.dialect = dialect or Dialect()
        self._port = port
        self._device_id = device_id
        self._trace = Trace(device_id, str(port.settings), trio.current_time)
        self._connection: Connection | None = None
        self._passed_over: list[str] = []
        self._took_s: deque[float] = deque(maxlen=_USUAL)
        """What the last answers needed, s."""
        self.has_opened_port = False
        """Nobody had it open before this line."""

    def __repr__(self) -> str:
        return f"<Line of {self._device_id} on {self._port.settings}>"

    @property
    def port_settings(self) -> PortSettings:
        """How the port is reached and set up."""
        return self._port.settings

    @property
    def is_open(self) -> bool:
        """Whether it can be talked over."""
        return self._connection is not None and self._connection.lost is None

    @property
    def address(self) -> str:
        """The port's address, as configured."""
        return self.port_settings.address

    @property
    def device_id(self) -> str:
        """Whose line it is."""
        return self._device_id

    def busy(self) -> Busy | None:
        """What the port is busy with, when that may take long.

        None when it is not, or when that is over its time.
        """
        exchange = self._port.exchange
        if exchange is None or not exchange.is_long or exchange.until <= trio.current_time():
            return None
        waits = f"it waits for {exchange.what}, which may take {exchange.seconds:g} s"
        if exchange.user is not self:
            owner = getattr(exchange.user, "device_id", "another device")
            waits = f"it waits for its turn on {self.address}: {owner}: {waits}"
        return Busy(waits, exchange.until)

    async def open(self) -> None:
        """Open the port, or join those who have it open. Raises OfflineError."""
        try:
            self.has_opened_port = not self._port.is_open
            self._connection = await self._port.join(self)
        except OfflineError as error:
            message = f"{self._device_id}: {error.message}"
            raise OfflineError(message, advice=error.advice) from error
        self._trace.event("open")

    async def close(self) -> None:
        """Let the port go; the last one closes it."""
        if self._connection is not None:
            self._connection = None
            self._trace.event("closed")
        await self._port.leave(self)

    async def wait_port(self) -> None:
        """As `Port.wait_appeared`."""
        await self._port.wait_appeared()

    async def query(
        self,
        command: str,
        *,
        accepts: Accepts | None = None,
        timeout_s: float | None = None,
        framing: Framing | None = None,
    ) -> str:
        """Send a command and return its reply.

        Args:
            command: Without its end.
            accepts: Tells this reply from those to others on the same bus; what it does not take
                is passed over. Without it, the next reply is taken.
            timeout_s: For the whole exchange, once it is this one's turn.
            framing: Of this reply, where it is not as usual; its bytes come as one character each,
                and no checksum is looked for.

        Raises:
            OfflineError: No reply in time, or the connection is lost; names port and command.
            UnfitReplyError: Replies came, and `accepts` took none of them.
            GarbledReplyError: The checksum of the reply is wrong.
        """
        seconds = self.dialect.timeout_s if timeout_s is None else timeout_s
        accepts = accepts or _anything
        async with self._exchange(command, seconds) as connection:
            await self._collect_late(connection)
            patience = FairTimeout(seconds)
            echoes = self._expect_echo(connection, command, patience.deadline, seconds)
            expected = connection.owed.expect(accepts, patience.deadline, seconds)
            await self._send(connection, command, patience.deadline)
            asked_at = trio.current_time()
            listen = partial(self._reply, connection, accepts, echoes, framing)
            try:
                reply = await patience.wait(listen)
            except WrongChecksumError:
                connection.owed.settled([expected, *echoes])
                self._wait_out(connection)
                raise
            self._took_s.append(min(trio.current_time() - asked_at, _MOST_USUAL_S))
            reply = await self._newest(connection, reply, expected, 2 * seconds, listen)
            connection.owed.settled([expected, *echoes])  # an echo that did not come is lost
            return reply

    async def command(self, command: str, *, timeout_s: float | None = None) -> None:
        """Send a command that is not answered. Raises OfflineError."""
        seconds = self.dialect.timeout_s if timeout_s is None else timeout_s
        async with self._exchange(command, seconds) as connection:
            patience = FairTimeout(seconds)
            echoes = self._expect_echo(connection, command, patience.deadline, seconds)
            await self._send(connection, command, patience.deadline)
            for echo in echoes:
                await patience.wait(partial(self._reply, connection, echo.accepts))
                connection.owed.settled([echo])

    def distrust(self) -> None:
        """What was taken for the last answer was none, or was changed by noise.

        It may have come of itself: then the answer still comes. So the next exchange begins when
        that has come, and throws it away. A stop waits only for what it has asked itself.
        """
        if self._took_s:
            self._took_s.pop()
        if self._connection is not None:
            self._wait_out(self._connection)

    def _wait_out(self, connection: Connection) -> None:
        until = trio.current_time() + max(_NOISE_S, 2 * max(self._took_s, default=0.0))
        if is_urgent():
            connection.not_before = max(connection.not_before, until)
        else:
            connection.doubtful_until = until

    @asynccontextmanager
    async def _exchange(self, command: str, seconds: float) -> AsyncIterator[Connection]:
        """This device's turn on a connection that is usable.

        That it was lost, or took longer than these seconds, is told by OfflineError, a wrong
        checksum by GarbledReplyError.
        """
        async with self._port.turn():
            connection = self._require(command)
            connection.tap = self._trace.received
            self._passed_over = []
            exchange = self._port.exchange = self._announced(connection, command, seconds)
            try:
                with exchange.scope:
                    begin = connection.not_before
                    if not is_urgent():
                        begin = max(begin, connection.doubtful_until)
                    if begin > trio.current_time():
                        await trio.sleep_until(begin)
                    yield connection
                if exchange.scope.cancelled_caught:
                    self._trace.event(f"broken off for a stop: {command!r}")
                    raise BusyError(
                        f"{self._device_id}: {command!r} on {self.address} was broken off: "
                        "a stop on that line could not wait for it"
                    )
            except trio.TooSlowError:
                raise self._silent(connection, command, seconds) from None
            except WrongChecksumError as error:
                raise GarbledReplyError(
                    f"{self._device_id}: the reply to {command!r} on {self.address} is garbled: "
                    f"{error}",
                    advice="is there noise on the line, or another instrument on it?",
                ) from error
            except ConnectionLostError as error:
                self._trace.event(f"lost: {error}")
                raise OfflineError(
                    f"{self._device_id}: the connection to {self._port.settings} was lost "
                    f"in {command!r}: {error}"
                ) from error
            finally:
                self._port.exchange = None
                connection.tap = None
                pause_ends = trio.current_time() + self.dialect.pause_s
                connection.not_before = max(connection.not_before, pause_ends)

    def _announced(self, connection: Connection, command: str, seconds: float) -> Exchange:
        """What others are told while it goes on."""
        now, quiet_s = trio.current_time(), self.dialect.quiet_s
        what, late = f"the answer to {command!r}", self._late_for(connection)
        if late > LONG_S:
            what = f"a late answer and {what}"
        # Twice more where it has to be told from an earlier one.
        until = now + late + 3 * seconds + quiet_s
        return Exchange(self, what, late + seconds, until)

    def _late_for(self, connection: Connection) -> float:
        """How long is listened for late replies before a command is sent, s."""
        due = connection.owed.listen_until()
        if due is None:
            return 0.0
        wait_s = 0.0 if is_urgent() else max(due - trio.current_time(), 0.0)
        return wait_s + self.dialect.quiet_s

    def _require(self, command: str) -> Connection:
        connection = self._connection
        if connection is None:
            why = f"it is not connected to {self._port.settings}"
        elif connection.lost is not None:
            why = f"the connection to {self._port.settings} was lost: {connection.lost}"
        else:
            return connection
        raise OfflineError(f"{self._device_id}: {command!r} was not sent: {why}")

    def _expect_echo(
        self, connection: Connection, command: str, deadline: float, seconds: float
    ) -> list[LateReply]:
        if not self.dialect.echoes:
            return []
        return [connection.owed.expect(partial(operator.eq, command), deadline, seconds)]

    async def _send(self, connection: Connection, command: str, deadline: float) -> None:
        stale = connection.discard()
        if stale:
            self._trace.event(f"discarded, it came before the command: {stale!r}")
        data = self.dialect.encode(command)
        self._trace.sent(data)
        with trio.fail_at(deadline):
            await connection.send(data)

    async def _collect_late(self, connection: Connection) -> None:
        """Listen a moment for replies that earlier exchanges did not wait for."""
        late = self._late_for(connection)
        if not late:
            return
        try:
            await FairTimeout(late).wait(partial(self._take_owed, connection))
        except trio.TooSlowError:
            connection.owed.give_up()

    async def _take_owed(self, connection: Connection) -> None:
        while connection.owed.listen_until() is not None:
            self._pass_over(connection, await connection.next_frame(self.dialect.framing))

    async def _reply(
        self,
        connection: Connection,
        accepts: Accepts,
        echoes: list[LateReply] | None = None,
        framing: Framing | None = None,
    ) -> str:
        """The next frame that it accepts; takes out of `echoes` those that came before."""
        while True:
            frame = await connection.next_frame(framing or self.dialect.framing)
            text = frame.decode(_ENCODING) if framing else self._text(frame)
            if echoes and echoes[0].accepts(text):
                connection.owed.settled([echoes.pop()])
            elif not self._is_event(text) and accepts(text):
                return text
            else:
                self._pass_over(connection, frame)

    def _text(self, frame: bytes) -> str:
        """A reply without its checksum; raises WrongChecksumError."""
        checksum = self.dialect.checksum
        return self.dialect.decode(frame if checksum is None else checksum.verified(frame))

    def _is_event(self, text: str) -> bool:
        return self.dialect.is_event is not None and self.dialect.is_event(text)

    def _pass_over(self, connection: Connection, frame: bytes) -> None:
        text = self.dialect.decode(frame)
        self._passed_over.append(text)
        late = not self._is_event(text) and connection.owed.settle(text)
        why = "late, to an earlier command" if late else "not to this command"
        self._trace.event(f"passed over, {why}: {frame!r}")

    async def _newest(
        self,
        connection: Connection,
        reply: str,
        expected: LateReply,
        certain_s: float,
        listen: Callable[[], Awaitable[str]],
    ) -> str:
        """The last reply, when it could be one that is still owed: that would have come first.

        So it counts as the older one's at once: whoever gives up waiting here is owed his own.

        Only time tells. No reply is taken to need twice as long as it was given, counted from the
        one before: an instrument that is busy with one question begins the next after it.
        """
        owed = connection.owed
        if certain_s > 2 * LONG_S:  # else the answer to `HOME` would be sure after 20 minutes only
            owed.forget_lost(trio.current_time())
        while owed.is_ambiguous(reply, expected):
            owed.settle(reply)
            try:
                newer = await FairTimeout(certain_s).wait(listen)
            except trio.TooSlowError:
                owed.forgive(reply)
                break
            self._trace.event(f"passed over, late, to an earlier command: {reply!r}")
            reply = newer
        return reply

    def _silent(self, connection: Connection, command: str, seconds: float) -> OfflineError:
        came = connection.pending
        rest = f"; an incomplete reply came: {came!r}" if came else ""
        self._trace.event(f"no reply to {command!r} within {seconds:g} s{rest}")
        if self._passed_over and not came:
            shown = ", ".join(repr(text)[:80] for text in self._passed_over[:_SHOWN])
            return UnfitReplyError(
                f"{self._device_id}: no reply to {command!r} within {seconds:g} s on "
                f"{self._port.settings}: what came does not fit: {shown}",
                advice="is it the right instrument, port and address?",
                replies=self._passed_over,
            )
        return OfflineError(
            f"{self._device_id}: no reply to {command!r} within {seconds:g} s "
            f"on {self._port.settings}{rest}",
            advice="check power, cable and the port's settings: baud rate, parity, flow control",
        )


def _anything(text: str) -> bool:  # noqa: ARG001 - on a line of one instrument every frame is its
    return True

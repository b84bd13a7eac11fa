"""The two channels to a daemon, and the seam where foreign errors become those of `daq`."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from grpclib import Status
from grpclib.client import Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from daq import __version__
from daq.client.rpc.channel import ClientChannel
from daq.client.rpc.credentials import Credentials, refused_by_tls
from daq.core import CommunicationError, ConfigurationError, DaqError, ParameterError
from daq.core import TimeoutError as NoAnswerError
from daq.wire.generated import daq as pb
from daq.wire.status import from_wire

__all__ = [
    "DEFAULT_ADDRESS",
    "Answer",
    "Connection",
    "ConnectionLostError",
    "OlderDaemonError",
    "WireMessage",
    "default_address",
    "split_address",
]

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_PORT = 50051
SILENCE_S = 10.0
FORCE_METADATA = "x-daq-force"

_INFO = "/daq.ControlService/GetDaemonInfo"
_NO_CONTENT_TYPE = "Missing content-type header"


class WireMessage(Protocol):
    """What the generated messages offer and the codec needs."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The bytes of it."""


Answer = TypeVar("Answer", bound=WireMessage)


class ConnectionLostError(CommunicationError):
    """A connection that was there broke: whether the daemon acted on the call is not known."""


class OlderDaemonError(CommunicationError):
    """The daemon's API is older than this client and has no such call."""


def default_address() -> str:
    """`DAQ_ADDRESS`, or the daemon's own default."""
    return os.environ.get("DAQ_ADDRESS") or DEFAULT_ADDRESS


def split_address(address: str) -> tuple[str, int]:
    """`"bench:50051"` as `("bench", 50051)`; the port may be left out, IPv6 stands in brackets.

    Returns:
        Host and port.

    Raises:
        ConfigurationError: It is no address.
    """
    host, separator, port = address.rpartition(":")
    if not separator or port.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError(
            f"{address!r} is not an address of a daemon",
            advice=f"an address is HOST:PORT, such as {DEFAULT_ADDRESS}",
        )
    return host, int(port)


class Connection:
    """Calls over a control channel, streams over a data channel of their own.

    Nothing is opened before the first call; a lost channel is opened again by the next call.
    """

    def __init__(
        self,
        address: str,
        timeout: float,
        *,
        user: str = "",
        credentials: Credentials | None = None,
        resume_s: float = 0.0,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.resume_s = resume_s
        """How long a stream tries to come back after the connection was lost, in seconds."""
        self.silence_s = min(SILENCE_S, resume_s / 2) if resume_s else SILENCE_S
        """A daemon that says nothing for so long is lost; early enough to come back in time."""
        self._credentials = credentials or Credentials()
        self._metadata = self._credentials.metadata(user)
        self._host, self._port = split_address(address)
        self._control: ClientChannel | None = None
        self._data: ClientChannel | None = None
        self._features: frozenset[str] | None = None

    def open(self) -> None:
        """Make the channels. Needs a running asyncio loop."""
        context = self._credentials.context()
        self._credentials.warn_in_clear(self._host)
        self._control = ClientChannel(self._host, self._port, self.silence_s, ssl=context)
        self._data = ClientChannel(self._host, self._port, self.silence_s, ssl=context)

    def close(self) -> None:
        """Close both channels; calls in progress fail."""
        for channel in (self._control, self._data):
            if channel is not None:
                channel.close()
        self._control = self._data = None

    @property
    def is_open(self) -> bool:
        """Whether it is in use; a connection that was lost is open, one that was closed is not."""
        return self._control is not None

    async def call(
        self,
        route: str,
        request: WireMessage,
        answer: type[Answer],
        *,
        timeout: float | None,
        repeatable: bool = False,
        force: bool = False,
    ) -> Answer:
        """One request, one answer. `timeout` in seconds; None waits as long as it takes.

        A `repeatable` call, which does no harm when the daemon carries it out twice, is made once
        more when the connection broke under it. With `force` it commands what somebody else uses.

        Returns:
            The answer.

        Raises:
            ConnectionLostError: It broke, and the call is not one to be made again.
        """
        metadata = {**self._metadata, **({FORCE_METADATA: "1"} if force else {})}
        try:
            return await self._call(route, request, answer, timeout, metadata)
        except OlderDaemonError as error:
            raise await self._too_old(_method(route)) from error
        except ConnectionLostError:
            if not repeatable:
                raise
        return await self._call(route, request, answer, timeout, metadata)

    async def info(self) -> pb.DaemonInfoResponse:
        """What the daemon says of itself."""
        return await self.call(
            _INFO, pb.DaemonInfoRequest(), pb.DaemonInfoResponse, timeout=self.timeout,
            repeatable=True,
        )  # fmt: skip

    async def require(self, feature: str, what: str) -> None:
        """Raise OlderDaemonError when the daemon has not the feature; asked once a connection."""
        if self._features is None:
            self._features = frozenset((await self.info()).features)
        if feature not in self._features:
            raise await self._too_old(what)

    async def _too_old(self, what: str) -> OlderDaemonError:
        try:
            request = pb.DaemonInfoRequest()
            info = await self._call(
                _INFO, request, pb.DaemonInfoResponse, self.timeout, self._metadata
            )
            version = f"daq {info.version}"
        except CommunicationError:
            version = "older"
        return OlderDaemonError(
            f"the daemon on {self.address} is {version} and does not know {what}, "
            f"which daq {__version__} does",
            advice=f"update it to daq {__version__}; whatever both know works meanwhile",
        )

    async def _call(
        self,
        route: str,
        request: WireMessage,
        answer: type[Answer],
        timeout: float | None,
        metadata: Mapping[str, str],
    ) -> Answer:
        channel = self._opened(self._control)
        stream = channel.request(
            route,
            Cardinality.UNARY_UNARY,
            type(request),
            answer,
            timeout=timeout,
            metadata=metadata,
        )
        with self._translated(channel, stream, route, timeout):
            async with stream:
                await _send(stream, request, route)
                message = await stream.recv_message()
                await stream.recv_trailing_metadata()
        if message is None:
            raise CommunicationError(f"the daemon on {self.address} gave no answer to {route}")
        return message

    async def stream(
        self, route: str, request: WireMessage, answer: type[Answer], *, bulk: bool = True
    ) -> AsyncGenerator[Answer, None]:
        """One request, many answers, no deadline. Closing or cancelling it resets the stream.

        Without `bulk` it shares the control channel: for the few small messages of a watch.

        Yields:
            The answers.
        """
        channel = self._opened(self._data if bulk else self._control)
        stream = channel.request(
            route, Cardinality.UNARY_STREAM, type(request), answer, metadata=self._metadata
        )
        try:
            with self._translated(channel, stream, route, None):
                async with stream:
                    await _send(stream, request, route)
                    async for message in stream:
                        yield message
        except OlderDaemonError as error:
            raise await self._too_old(_method(route)) from error

    def _opened(self, channel: ClientChannel | None) -> ClientChannel:
        if channel is None:
            raise CommunicationError(
                "the client is not open", advice="use it as `async with AsyncClient() as client:`"
            )
        return channel

    @contextmanager
    def _translated(
        self, channel: ClientChannel, stream: Stream[Any, Any], route: str, timeout: float | None
    ) -> Iterator[None]:
        try:
            yield
        except GRPCError as error:
            # The daemon's error says it all: grpclib's, of which it was made, would only hide it.
            raise _from_status(error, _trailers(stream), route) from None
        except TimeoutError as error:
            if timeout is None or error.errno is not None:
                raise self._unreachable(error) from error
            raise NoAnswerError(
                f"the daemon on {self.address} did not answer {_method(route)} within {timeout:g} s"
            ) from error
        except ssl.SSLError as error:
            raise refused_by_tls(self.address, error) from error
        except (StreamTerminatedError, ConnectionResetError, BrokenPipeError) as error:
            self._features = None  # what answers next may be another one
            raise self._lost(channel) from error
        except OSError as error:
            raise self._unreachable(error) from error
        except ProtocolError as error:
            raise CommunicationError(
                f"what listens on {self.address} does not speak gRPC: {error}"
            ) from error

    def _lost(self, channel: ClientChannel) -> ConnectionLostError:
        if channel.was_met_with_silence:
            return ConnectionLostError(
                f"what listens on {self.address} said nothing before the connection ended",
                advice=self._credentials.advice_for_silence(),
            )
        return ConnectionLostError(
            f"the connection to the daemon on {self.address} was lost",
            advice="it ended or the network failed; what it acknowledged is stored",
        )

    def _unreachable(self, error: OSError) -> CommunicationError:
        reason = error.strerror or str(error)
        if error.errno and not isinstance(error, socket.gaierror):
            reason = os.strerror(error.errno)
        return CommunicationError(
            f"no daemon answers on {self._host}:{self._port}: {reason}",
            advice="start one with `python -m daq serve`, or say where it is with --address or "
            "DAQ_ADDRESS",
        )


async def _send(stream: Stream[Any, Any], request: WireMessage, route: str) -> None:
    try:
        await stream.send_message(request, end=True)
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{_method(route)} was not called: a text holds half a character (a surrogate), "
            f"{error.object[error.start : error.end]!r}, which is no text",
            advice="was it read with the wrong encoding?",
        ) from error
    except ssl.SSLError:  # that of a certificate is a ValueError too
        raise
    except (ValueError, TypeError, struct.error) as error:
        raise ParameterError(f"{_method(route)} cannot be called with that: {error}") from error


def _method(route: str) -> str:
    return route.rpartition("/")[2]


def _from_status(error: GRPCError, trailers: Mapping[str, str], route: str) -> DaqError:
    # grpclib 0.4.9 answers an unknown method without a content type, and its own client then
    # looks no further.
    unknown = error.status is Status.UNIMPLEMENTED or error.message == _NO_CONTENT_TYPE
    if unknown and not trailers:
        return OlderDaemonError(f"the daemon does not know {_method(route)}")
    return from_wire(error.status.name, error.message or "", trailers)


def _trailers(stream: Stream[Any, Any]) -> Mapping[str, str]:
    if stream.trailing_metadata is None:
        return {}
    return {k: v for k, v in stream.trailing_metadata.items() if isinstance(v, str)}

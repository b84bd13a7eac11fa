"""The channels of a client: grpclib's as the wire tunes it, for calls in one piece."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import grpclib.client
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol

from daq.client.rpc.receiving import ClientProtocol
from daq.core import CommunicationError
from daq.wire.grpc_tuning import TunedChannel

__all__ = ["ClientChannel"]

MIN_CONNECT_S = 1.0
"""A connection over a slow network may take so long, whoever is in a hurry."""


def _configuration(silence_s: float) -> Configuration:
    return Configuration(
        # By default the window of the connection is that of one stream: a stream that nobody reads
        # would then block every other call of its channel.
        http2_connection_window_size=2**31 - 1,
        http2_stream_window_size=8 << 20,
        # Calls that follow a long operation carry no deadline, so a vanished daemon has to be
        # noticed by pings. Both limits below would silence them after the second one.
        _keepalive_time=silence_s / 2,
        _keepalive_timeout=silence_s / 2,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=silence_s / 4,
    )


class ClientChannel(TunedChannel):
    """A channel to a daemon. Needs a running asyncio loop.

    Args:
        host: Of the daemon.
        port: Of the daemon.
        silence_s: A daemon that says nothing for so long, while calls are open, is lost.
        options: Of grpclib.
    """

    def __init__(self, host: str, port: int, silence_s: float, **options: Any) -> None:
        super().__init__(host, port, configuration=_configuration(silence_s), **options)
        self._patience_s = max(MIN_CONNECT_S, silence_s)
        self._newest: ClientProtocol | None = None
        self._is_closed = False

    @property
    def was_met_with_silence(self) -> bool:
        """Whether nothing was said on the last connection: so ends TLS with a stranger."""
        return self._newest is not None and not self._newest.heard

    def close(self) -> None:
        """Close at once. TLS's own farewell would outlast the loop of whoever closes last."""
        newest = self._newest
        self._is_closed = True
        super().close()
        if self._ssl is not None and newest is not None:
            newest.abort()

    async def _create_connection(self) -> H2Protocol:
        try:
            protocol = await asyncio.wait_for(super()._create_connection(), self._patience_s)
        except TimeoutError as error:
            if error.errno is not None:
                raise
            raise TimeoutError(errno.ETIMEDOUT, "it does not answer at all") from error
        if self._is_closed:  # while it was being made: nobody would ever close it
            self._protocol = protocol
            self.close()
            raise CommunicationError("the client was closed while it was connecting")
        return protocol

    def _protocol_factory(self) -> H2Protocol:
        self._newest = ClientProtocol(grpclib.client.Handler(), self._config, self._h2_config)
        return self._newest

"""The client for asyncio: everything that the daemon's API offers, in typed form."""

from __future__ import annotations

import getpass
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

from daq.client.calls.bench_control import BenchClient, PresetsClient
from daq.client.calls.devices import DevicesClient
from daq.client.calls.interlocks import InterlocksClient
from daq.client.calls.models import DaemonInfo, LiveStatus
from daq.client.calls.runs import RunsClient
from daq.client.calls.scripts import ScriptsClient
from daq.client.calls.streams import StreamsClient
from daq.client.rpc.connection import Connection, default_address
from daq.client.rpc.credentials import Credentials
from daq.wire.generated import daq as pb

__all__ = ["AsyncClient"]


class AsyncClient:
    """A connection to a daemon, to be used as `async with AsyncClient() as client:`.

        async with AsyncClient() as client:
            script = await client.scripts.upload(source, name="knife_edge")
            execution = await client.scripts.start(script.id, {"points": 21})
            view = await client.scripts.wait(execution)

    Errors are those of `daq.core`: what a daemon raises arrives here as the same class, with its
    message and its advice; a daemon that cannot be reached is a CommunicationError.

    Args:
        address: `HOST:PORT`; by default `DAQ_ADDRESS`, or 127.0.0.1:50051.
        timeout: Seconds for calls that only ask. What an instrument or a stop takes is not cut.
        credentials: A token and TLS, where the daemon asks for them; by default those of
            `Credentials.from_environment`.
        user: Who is told to the daemon, for the record; by default the login name.
        resume_s: Seconds for which a stream tries to come back when the connection was lost, before
            it fails; 0 fails at once. What was missed meanwhile is counted where it can be.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float = 10.0,
        credentials: Credentials | None = None,
        user: str | None = None,
        resume_s: float = 10.0,
    ) -> None:
        name = _login_name() if user is None else user
        self._connection = Connection(
            address or default_address(),
            timeout,
            user=name,
            credentials=Credentials.from_environment() if credentials is None else credentials,
            resume_s=resume_s,
        )
        self.scripts = ScriptsClient(self._connection, name)
        self.devices = DevicesClient(self._connection)
        self.interlocks = InterlocksClient(self._connection)
        self.bench = BenchClient(self._connection)
        self.presets = PresetsClient(self._connection)
        self.streams = StreamsClient(self._connection)
        self.runs = RunsClient(self._connection, name)

    def __repr__(self) -> str:
        return f"<AsyncClient {self.address}>"

    @property
    def address(self) -> str:
        """Where the daemon is."""
        return self._connection.address

    async def __aenter__(self) -> Self:
        self._connection.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection.close()

    async def info(self) -> DaemonInfo:
        """The daemon itself: version, sandbox, counters."""
        answer = await self._connection.info()
        return DaemonInfo(
            version=answer.version,
            features=tuple(answer.features),
            devices=tuple(answer.available_hardware),
            uptime_s=answer.uptime_seconds,
            host=answer.host,
            pid=answer.pid,
            data_directory=answer.data_directory,
            confinement=dict(answer.confinement),
            versions=dict(answer.versions),
            counters=dict(answer.counters),
            ring_path=answer.ring_path,
            flight_address=answer.flight_address,
            warnings=tuple(answer.warnings),
        )

    async def require(self, feature: str, what: str) -> None:
        """Raise OlderDaemonError when the daemon has not this one of `info().features`.

        `what` stands in the message. For what an older daemon would pass over in silence.
        """
        await self._connection.require(feature, what)

    async def live(self, execution: str = "") -> AsyncGenerator[LiveStatus, None]:
        """The daemon's live values, while an execution runs."""
        updates = self._connection.stream(
            "/daq.ControlService/StreamStatus",
            pb.StatusRequest(execution),
            pb.SystemStatus,
            bulk=False,
        )
        async with aclosing(updates):
            async for u in updates:
                yield LiveStatus(
                    u.current_state, u.current_memory_usage_mb, dict(u.live_values), u.timestamp_ns
                )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return ""

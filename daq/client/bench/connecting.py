"""The way in. To import it costs nothing: what a connection needs loads when one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daq.client.bench.bench import Bench
    from daq.client.rpc.credentials import Credentials

__all__ = ["connect"]


def connect(
    address: str | None = None,
    *,
    timeout: float = 10.0,
    credentials: Credentials | None = None,
    user: str | None = None,
    resume_s: float = 10.0,
) -> Bench:
    """Connect to a daemon.

        bench = connect()
        bench["stage"].position = 1.5
        data = bench.scan([bench["power_meter"]], bench["stage"], -1, 1, 41)

    Args:
        address: `HOST:PORT`; by default `DAQ_ADDRESS`, or 127.0.0.1:50051.
        timeout: Seconds for calls that only ask. A move, a read, a scan take as long as they do.
        credentials: A token and TLS, where the daemon asks for them.
        user: Who is told to the daemon, for the record; by default the login name.
        resume_s: Seconds for which streams and scans wait for a daemon that went away.

    Returns:
        The bench; close it, or use it as a `with` block.

    Raises:
        CommunicationError: No daemon answers; known at once.
    """
    from daq.client.bench.bench import Bench
    from daq.client.calls.async_client import AsyncClient

    def make_client() -> AsyncClient:
        return AsyncClient(
            address, timeout=timeout, credentials=credentials, user=user, resume_s=resume_s
        )

    bench = Bench(make_client)
    try:
        bench.refresh()
    except BaseException:
        bench.close()
        raise
    return bench

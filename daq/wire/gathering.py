"""What is written bit by bit leaves in one piece: a system call takes longer than the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["GatheringTransport"]

HELD_BYTES = 64 << 10
"""More than this is passed on at once."""


class GatheringTransport:
    """Passes what is written within one turn of the loop on in one piece.

    grpclib 0.4.9 writes the headers, the message and the trailers of a call one by one.

    Args:
        transport: Of asyncio.
        call_soon: The loop's.
    """

    def __init__(self, transport: Any, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, at the latest when the loop turns; bulk goes at once."""
        if not self._held:
            self._call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on what is held."""
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """Close, after what is held."""
        self.flush()
        self._transport.close()

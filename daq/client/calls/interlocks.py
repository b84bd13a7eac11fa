"""Interlocks: how they are, and releasing what is latched."""

from __future__ import annotations

import builtins

from daq.client.rpc.service import HardwareCalls
from daq.core import InterlockStatus
from daq.wire.convert import interlock_from_wire
from daq.wire.generated import daq as pb

__all__ = ["InterlocksClient"]


class InterlocksClient(HardwareCalls):
    """What `client.interlocks` offers."""

    async def list(self) -> builtins.list[InterlockStatus]:
        """All of them, in the order of the daemon's configuration."""
        answer = await self._ask(
            "ListInterlocks", pb.ListInterlocksRequest(), pb.ListInterlocksResponse
        )
        return [interlock_from_wire(message) for message in answer.interlocks]

    async def reset(self, name: str, *, note: str = "") -> InterlockStatus:
        """Release one that is latched.

        Who did, when, and the note are kept by the daemon.

        Returns:
            How it is now.

        Raises:
            StateError: Its condition is still true.
        """
        request = pb.ResetInterlockRequest(name, note)
        return interlock_from_wire(await self._operate("ResetInterlock", request, pb.InterlockInfo))

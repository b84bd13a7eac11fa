"""Whatever has a position."""

from __future__ import annotations

import math

from daq.client.rpc.service import HardwareCalls
from daq.core import DeviceError, ParameterError
from daq.wire.generated import daq as pb

__all__ = ["MotionCalls"]

_LONGEST_S = 2**32 / 1e3
"""As many milliseconds as the wire carries."""


class MotionCalls(HardwareCalls):
    """Moves of a stage, a rotator, ...: each returns the position read back."""

    async def move_abs(
        self, device: str, position: float, *, timeout: float | None = None
    ) -> float:
        """Move and wait until settled."""
        return await self._move("MoveAbsolute", device, position, timeout)

    async def move_rel(
        self, device: str, distance: float, *, timeout: float | None = None
    ) -> float:
        """Move by a distance and wait until settled."""
        return await self._move("MoveRelative", device, distance, timeout)

    async def wait_settled(self, device: str, *, timeout: float | None = None) -> float:
        """Wait until a motion has ended. Raises DeviceError when it has not within `timeout`."""
        request = pb.WaitSettledRequest(device, _milliseconds(timeout))
        answer = await self._operate(
            "WaitSettled",
            request,
            pb.WaitSettledResponse,
            self._patience(timeout),
            repeatable=True,
        )
        if not answer.settled:
            raise DeviceError(
                f"{device}: still moving after {timeout or 0:g} s, now at {answer.position:g}"
            )
        return answer.position

    async def _move(self, method: str, device: str, value: float, timeout: float | None) -> float:
        request = pb.MoveRequest(device, value, True, _milliseconds(timeout))
        answer = await self._operate(method, request, pb.MoveResponse, self._patience(timeout))
        return answer.final_position

    def _patience(self, timeout: float | None) -> float | None:
        """The daemon notices first that the time is over: it then stops the motion and says so."""
        return None if timeout in (None, math.inf) else timeout + self._connection.timeout


def _milliseconds(seconds: float | None) -> int | None:
    if seconds is None or seconds == math.inf:
        return None
    if not 0 <= seconds < _LONGEST_S:
        raise ParameterError(f"a timeout is a number of seconds from 0 on, not {seconds!r}")
    return max(1, round(seconds * 1e3))

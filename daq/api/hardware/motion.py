"""Moving devices: moves, stops, settling, positions."""

from __future__ import annotations

import logging
import math

import trio
from trio_util import wait_any

from daq.api.door.bridge import Emit
from daq.api.door.call_boundary import Caller, caller
from daq.api.door.trio_service import streaming, unary
from daq.api.hardware.device_service import DeviceService, deadline, period_s
from daq.core import Capability, DaqError, DeviceStop, StopOutcome
from daq.supervision import Device
from daq.wire.convert import clean
from daq.wire.generated import daq as pb

__all__ = ["MotionMethods"]

logger = logging.getLogger(__name__)

ACCEPT_S = 0.05
"""How long a move that nobody waits for may take to be refused or to be seen moving."""


class MotionMethods(DeviceService):
    """A move that is waited for belongs to its call: if the client vanishes, the device stops."""

    @unary
    async def move_absolute(self, request: pb.MoveRequest) -> pb.MoveResponse:
        return await self._move("move_abs", request)

    @unary
    async def move_relative(self, request: pb.MoveRequest) -> pb.MoveResponse:
        return await self._move("move_rel", request)

    async def _move(self, operation: str, request: pb.MoveRequest) -> pb.MoveResponse:
        device = self._device(request.device_id)
        if not request.wait_for_completion:  # as the API has it: left out, it does not wait
            await self._begin(device, operation, request)
            return pb.MoveResponse(
                success=True, final_position=self._position(device)[0], settled=False
            )
        position = await self._finish(device, operation, request, caller())
        return pb.MoveResponse(success=True, final_position=position, settled=True)

    async def _finish(
        self, device: Device, operation: str, request: pb.MoveRequest, who: Caller
    ) -> float:
        """Move and return the readback."""
        what = f"{device.id}: {operation}({request.value:g})"
        with deadline(request.timeout_ms, what):
            return float(await device.call(operation, request.value, by=str(who), force=who.force))
        raise AssertionError("the deadline raises")

    async def _begin(self, device: Device, operation: str, request: pb.MoveRequest) -> None:
        """Start a move that outlives the call; raises what refuses it at once."""
        refusals: list[DaqError] = []
        ended = trio.Event()
        answered = False

        async def move(who: Caller) -> None:
            try:
                await self._finish(device, operation, request, who)
            except DaqError as error:
                refusals.append(error)
                if answered:
                    logger.warning("a move that nobody waits for failed: %s", error)
            except Exception:
                logger.exception("a move that nobody waits for failed")
            finally:
                ended.set()

        was_idle = not device.snapshot().activity
        self._command_nursery.start_soon(move, caller())

        async def seen_moving() -> None:
            seen = self._supervisor.version
            while not (was_idle and device.snapshot().activity):
                seen = await self._supervisor.wait_changed(seen)

        with trio.move_on_after(ACCEPT_S):
            await wait_any(ended.wait, seen_moving)
        answered = True
        if refusals:
            raise refusals[0]

    @unary
    async def stop_motion(self, request: pb.StopMotionRequest) -> pb.StopMotionResponse:
        device = self._device(request.device_id)
        stop = await device.stop(by=str(caller()))
        return pb.StopMotionResponse(
            success=stop.outcome in (StopOutcome.STOPPED, StopOutcome.IDLE),
            stopped_position=await self._where(device, stop),
            outcome=stop.outcome.value,
            message=clean(stop.message),
            owed=stop.owed,
        )

    async def _where(self, device: Device, stop: DeviceStop) -> float:
        if Capability.MOVABLE not in device.description.capabilities:
            return math.nan
        return await self._readback(device) if stop.position is None else stop.position

    @unary
    async def wait_settled(self, request: pb.WaitSettledRequest) -> pb.WaitSettledResponse:
        """A timeout is an answer here, not an error, and stops nothing."""
        device = self._device(request.device_id, Capability.MOVABLE)
        bound = request.timeout_ms / 1e3 if request.timeout_ms else float("inf")
        settled = False
        with trio.move_on_after(bound):
            seen = self._supervisor.version
            while self._moving(device):
                seen = await self._supervisor.wait_changed(seen)
            settled = True
        position = await self._readback(device)
        return pb.WaitSettledResponse(success=True, settled=settled, position=position)

    @streaming(buffer=1)
    async def stream_position(
        self, request: pb.StreamPositionRequest, emit: Emit[pb.PositionUpdate]
    ) -> None:
        """From the cache, which follows a move at about 10 Hz: the instrument is not asked."""
        device = self._device(request.device_id, Capability.MOVABLE)
        while True:
            position, timestamp_ns = self._position(device)
            await emit(pb.PositionUpdate(device.id, position, timestamp_ns, self._moving(device)))
            await trio.sleep(period_s(request.rate_hz))

    @staticmethod
    def _moving(device: Device) -> bool:
        snapshot = device.snapshot()
        return bool(snapshot.fields.get("moving")) or bool(snapshot.activity)

    def _position(self, device: Device) -> tuple[float, int]:
        """The newest position that is known, and its time."""
        snapshot = device.snapshot()
        position = float(snapshot.fields.get("position", 0.0))
        block = self._bus.latest(device.description.channel.name)
        if block is not None and block.values.ndim == 1:
            published_ns = int(block.timestamps[-1])
            if published_ns > snapshot.timestamp_ns or "position" not in snapshot.fields:
                return float(block.last()), published_ns
        return position, snapshot.timestamp_ns

    async def _readback(self, device: Device) -> float:
        """Where it stands; as it was last seen when it does not answer."""
        try:
            return float(await device.call("position", by=str(caller())))
        except DaqError:
            return self._position(device)[0]

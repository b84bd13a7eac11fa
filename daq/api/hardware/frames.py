"""Frames: streams of a camera, and viewers that see them at their own pace and size."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import trio

from daq.api.door.bridge import Bridge, Emit
from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import streaming, unary
from daq.api.hardware.device_service import DeviceService
from daq.api.parts import Parts
from daq.bus import Overflow
from daq.core import Capability, DaqError, Measurement
from daq.supervision import Device
from daq.wire.generated import daq as pb
from daq.wire.lz4 import compress_lz4

__all__ = ["FrameMethods", "FrameStatistics", "FrameViewers", "bin_mean"]

logger = logging.getLogger(__name__)

STOP_S = 2.0
SMOOTHING = 0.2
_BINNING = {pb.StreamQuality.FULL: 1, pb.StreamQuality.PREVIEW: 2, pb.StreamQuality.FAST: 4}


class FrameMethods(DeviceService):
    """A viewer that is slow, or that asked for few frames, always gets the newest one."""

    def __init__(self, bridge: Bridge, services: Parts, command_nursery: trio.Nursery) -> None:
        super().__init__(bridge, services, command_nursery)
        self._viewers = FrameViewers()

    @unary
    async def start_stream(self, request: pb.StartStreamRequest) -> pb.StartStreamResponse:
        device = self._device(request.device_id)
        who = caller()
        await device.start_stream(request.frame_count or None, by=str(who), force=who.force)
        return pb.StartStreamResponse(success=True)

    @unary
    async def stop_stream(self, request: pb.StopStreamRequest) -> pb.StopStreamResponse:
        captured = await self._device(request.device_id).stop_stream()
        return pb.StopStreamResponse(success=True, frames_captured=captured)

    @streaming(buffer=1)
    async def stream_frames(
        self, request: pb.StreamFramesRequest, emit: Emit[pb.FrameData]
    ) -> None:
        """Starts the camera if nothing else has; stops it again when the last viewer leaves."""
        device = self._device(request.device_id, Capability.FRAME_PRODUCER)
        binning = _BINNING.get(request.quality, 1)
        lz4 = pb.CompressionType.COMPRESSION_LZ4 in request.accepted_compression
        period = 1.0 / request.max_fps if request.max_fps else 0.0
        statistics = FrameStatistics()
        channel = device.description.channel.name
        with self._bus.view(channel, capacity=1, overflow=Overflow.LATEST) as view:
            async with self._viewers.watching(device):
                async for block in view:
                    sent_at = trio.current_time()
                    if block.values.ndim != 3:
                        continue
                    message = await _frame_message(device, block, binning, lz4=lz4)
                    statistics.sending(len(block), message.timestamp_ns, time.time_ns())
                    message.metrics = statistics.metrics(view.statistics().dropped)
                    await emit(message)
                    await trio.sleep_until(sent_at + period)


async def _frame_message(
    device: Device, block: Measurement, binning: int, *, lz4: bool
) -> pb.FrameData:
    encode = partial(_encode, block.last(), binning, lz4=lz4)
    if binning > 1 or lz4:
        encoded = await trio.to_thread.run_sync(encode, abandon_on_cancel=True)
    else:
        encoded = encode()
    frame, data, compression = encoded
    height, width = frame.shape
    exposure_s = device.snapshot().fields.get("exposure")
    return pb.FrameData(
        device_id=device.id,
        width=width,
        height=height,
        bit_depth=device.description.bits_per_pixel or 8 * frame.dtype.itemsize,
        data=data,
        frame_number=block.sequence + len(block) - 1,
        timestamp_ns=int(block.timestamps[-1]),
        exposure_ms=None if exposure_s is None else float(exposure_s) * 1e3,
        metadata={"dtype": frame.dtype.str, "units": block.units, "reduced_by": str(binning)},
        compression=compression,
        uncompressed_size=frame.nbytes,
    )


def _encode(
    frame: npt.NDArray[Any], binning: int, *, lz4: bool
) -> tuple[npt.NDArray[Any], bytes, pb.CompressionType]:
    """The frame in the size that was asked for, its bytes, and what they are compressed by."""
    if binning > 1:
        frame = bin_mean(frame, binning)
    plain = np.ascontiguousarray(frame)
    if lz4:
        packed = compress_lz4(plain.data)
        if len(packed) < plain.nbytes:
            return frame, packed, pb.CompressionType(pb.CompressionType.COMPRESSION_LZ4)
    return frame, plain.tobytes(), pb.CompressionType(pb.CompressionType.COMPRESSION_NONE)


def bin_mean(frame: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """The mean of each square of `size` x `size` pixels, in the frame's own dtype.

    What is left over at the right and at the bottom is cut off; a frame smaller than one square
    comes back as it is.
    """
    height, width = (extent // size for extent in frame.shape)
    if height == 0 or width == 0:
        return frame
    squares = frame[: height * size, : width * size].reshape(height, size, width, size)
    means: npt.NDArray[Any] = squares.mean(axis=(1, 3))
    if frame.dtype.kind in "iu":
        np.rint(means, out=means)
    return means.astype(frame.dtype)


class FrameStatistics:
    """What one viewer is told about its own stream."""

    def __init__(self) -> None:
        self._sent = 0
        self._skipped = 0
        self._last_ns = 0
        self._fps = 0.0
        self._latency_ms = 0.0

    def sending(self, frames: int, timestamp_ns: int, now_ns: int) -> None:
        """One frame goes out, the last of a block of `frames`."""
        self._skipped += frames - 1
        latency_ms = max(0, now_ns - timestamp_ns) / 1e6
        interval_s = (now_ns - self._last_ns) / 1e9
        if self._sent == 0:
            self._latency_ms = latency_ms
        else:
            self._latency_ms += SMOOTHING * (latency_ms - self._latency_ms)
            self._fps += (SMOOTHING if self._fps else 1.0) * (1 / max(interval_s, 1e-6) - self._fps)
        self._sent += 1
        self._last_ns = now_ns

    def metrics(self, dropped: int) -> pb.StreamingMetrics:
        """`dropped` are those that the subscription lost."""
        return pb.StreamingMetrics(
            current_fps=self._fps,
            frames_sent=self._sent,
            frames_dropped=dropped + self._skipped,
            avg_latency_ms=self._latency_ms,
        )


class FrameViewers:
    """Counts the viewers of each camera, and stops a stream that was started only for them."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._started: set[str] = set()
        self._turns: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)

    @asynccontextmanager
    async def watching(self, device: Device) -> AsyncGenerator[None, None]:
        """Frames come while inside."""
        self._count[device.id] += 1
        try:
            async with self._turns[device.id]:
                if not device.streaming:
                    await device.start_stream(by=str(caller()))
                    self._started.add(device.id)
            yield
        finally:
            self._count[device.id] -= 1
            bound = trio.current_time() + STOP_S
            with trio.CancelScope(shield=True, deadline=bound):
                await self._leave(device)

    async def _leave(self, device: Device) -> None:
        async with self._turns[device.id]:
            if self._count[device.id] or device.id not in self._started:
                return
            self._started.discard(device.id)
            try:
                await device.stop_stream()
            except DaqError as error:
                logger.warning("the stream of the last viewer did not end well: %s", error)

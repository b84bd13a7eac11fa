"""What devices deliver as it comes: measurements, frames, states, changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import numpy as np

from daq.client.calls.models import (
    Block,
    Frame,
    FrameQuality,
    ParameterChange,
    PositionUpdate,
    Sample,
    StateUpdate,
)
from daq.client.rpc.resuming import GapCounter
from daq.client.rpc.service import HardwareCalls
from daq.core import CommunicationError
from daq.wire.convert import array_from_wire, scalars_from_wire
from daq.wire.generated import daq as pb

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["StreamsClient"]


class StreamsClient(HardwareCalls):
    """What `client.streams` offers: async generators that end when they are closed.

    Wrap them in `contextlib.aclosing`: leaving such a block tells the daemon at once. A slow reader
    costs nobody else: it misses values, and is told how many. After a lost connection they go on by
    themselves, for as long as `AsyncClient(resume_s=...)` allows; measurements and frames count the
    gap.
    """

    async def measurements(
        self, channels: Sequence[str] = (), *, max_rate_hz: int = 0, average: bool = False
    ) -> AsyncGenerator[Sample, None]:
        """Every measurement as it is published, whoever takes it.

        Args:
            channels: Glob patterns such as `stage` or `laser.*`; none for all.
            max_rate_hz: At most that many samples a second of each channel, the newest; 0 for all.
            average: With a rate, the mean of the samples since the last one instead of the newest;
                `Sample.averaged` tells how many those are.

        Yields:
            A sample, its units, and how many were missed before it.
        """
        request = pb.MeasurementRequest(list(channels), max_rate_hz, average)
        points = self._resuming(
            "StreamMeasurements", request, pb.DataPoint, service="ControlService"
        )
        counter = GapCounter()
        async with aclosing(points):
            async for interruptions, point in points:
                gap, dropped = counter.take(
                    interruptions, point.channel, point.sequence, point.dropped,
                    point.averaged or 1,
                )  # fmt: skip
                yield _sample(point, gap, dropped)

    async def blocks(
        self, channels: Sequence[str] = (), *, max_rate_hz: int = 0, lz4: bool = False
    ) -> AsyncGenerator[Block, None]:
        """Every measurement, many samples at a time: for channels that are fast.

        Args:
            channels: Glob patterns such as `digitizer.*`; none for all.
            max_rate_hz: How often samples are gathered; 0 takes the daemon's default.
            lz4: Compressed on the wire: worth it where the network is slower than a disk.

        Yields:
            Samples of one channel, their units, and how many were missed before them.
        """
        import pyarrow as pa  # loads slowly, and only this and reading runs need it

        request = pb.BlockRequest(list(channels), max_rate_hz, _accepted(lz4=lz4))
        messages = self._resuming(
            "StreamBlocks", request, pb.MeasurementBlock, service="ControlService"
        )
        counter = GapCounter()
        async with aclosing(messages):
            async for interruptions, message in messages:
                gap, dropped = counter.take(
                    interruptions, message.channel, message.sequence, message.dropped,
                    message.samples,
                )  # fmt: skip
                with pa.ipc.open_stream(message.ipc) as reader:
                    yield _block(message, reader.read_next_batch(), gap, dropped)

    async def readings(self, device: str, rate_hz: int) -> AsyncGenerator[Sample, None]:
        """Readings of a device, taken at a rate; however many watch, it is read once a period."""
        request = pb.StreamValuesRequest(device, rate_hz)
        updates = self._resuming("StreamValues", request, pb.ValueUpdate)
        async with aclosing(updates):
            async for _, u in updates:
                yield Sample(u.device_id, u.timestamp_ns, u.value, u.units)

    async def positions(self, device: str, rate_hz: int) -> AsyncGenerator[PositionUpdate, None]:
        """Where a device is, at a rate; asks the cache, not the instrument."""
        request = pb.StreamPositionRequest(device, rate_hz)
        updates = self._resuming("StreamPosition", request, pb.PositionUpdate)
        async with aclosing(updates):
            async for _, u in updates:
                yield PositionUpdate(u.device_id, u.position, u.timestamp_ns, u.is_moving)

    async def frames(
        self,
        device: str,
        *,
        max_fps: int = 0,
        quality: FrameQuality = FrameQuality.FULL,
        lz4: bool = False,
    ) -> AsyncGenerator[Frame, None]:
        """Frames of a camera, always the newest; starts it if nothing else has.

        Args:
            device: The camera.
            max_fps: At most that many frames a second; 0 for as many as get through.
            quality: How much of each frame.
            lz4: Compressed on the wire, where that makes a frame smaller.

        Yields:
            An image of shape (height, width), and how many were missed before it.
        """
        request = pb.StreamFramesRequest(
            device, max_fps, pb.StreamQuality(quality.value), _accepted(lz4=lz4)
        )
        frames = self._resuming("StreamFrames", request, pb.FrameData)
        counter = GapCounter()
        async with aclosing(frames):
            async for interruptions, frame in frames:
                dropped = frame.metrics.frames_dropped if frame.metrics else 0
                gap, missed = counter.take(interruptions, device, frame.frame_number, dropped)
                if frame.compression == pb.CompressionType.COMPRESSION_LZ4:
                    await asyncio.to_thread(_decompress, frame)
                yield _frame(frame, gap, missed)

    async def states(
        self, *devices: str, max_rate_hz: int = 0, seen: int = 0
    ) -> AsyncGenerator[StateUpdate, None]:
        """Changes of state of these devices, or of all; begins with a snapshot of each."""
        request = pb.DeviceStateSubscribeRequest(
            list(devices), max_rate_hz, seen, include_snapshot=True
        )
        updates = self._resuming("SubscribeDeviceState", request, pb.DeviceStateUpdate)
        async with aclosing(updates):
            async for _, u in updates:
                fields = scalars_from_wire(u.fields_json)
                yield StateUpdate(u.device_id, u.timestamp_ns, u.version, u.is_snapshot, fields)

    async def observables(
        self,
        devices: Sequence[str] = (),
        names: Sequence[str] = (),
        *,
        max_rate_hz: int = 0,
        deadband: float = 0.0,
    ) -> AsyncGenerator[Sample, None]:
        """Numbers of the cached states as `device.name`, when they change by `deadband` or more."""
        request = pb.StreamObservablesRequest(list(devices), list(names), max_rate_hz, deadband)
        values = self._resuming("StreamObservables", request, pb.ObservableValue)
        async with aclosing(values):
            async for _, v in values:
                channel = f"{v.device_id}.{v.observable_name}"
                yield Sample(channel, v.timestamp_ns, v.value, v.units)

    async def parameter_changes(
        self, device: str | None = None, names: Sequence[str] = ()
    ) -> AsyncGenerator[ParameterChange, None]:
        """Changes of parameters that anybody made: a client, a script, a hand on a knob."""
        request = pb.StreamParameterChangesRequest(device, list(names))
        changes = self._resuming("StreamParameterChanges", request, pb.ParameterChange)
        async with aclosing(changes):
            async for _, c in changes:
                yield ParameterChange(
                    c.device_id, c.name, c.old_value, c.new_value, c.units, c.timestamp_ns
                )

    async def start(self, device: str, count: int | None = None) -> None:
        """Have a camera or digitizer publish continuously, or `count` frames."""
        request = pb.StartStreamRequest(device, count)
        await self._operate("StartStream", request, pb.StartStreamResponse)

    async def stop(self, device: str) -> int:
        """End the continuous acquisition; returns the number of frames that it delivered."""
        request = pb.StopStreamRequest(device)
        answer = await self._operate("StopStream", request, pb.StopStreamResponse)
        return answer.frames_captured


def _accepted(*, lz4: bool) -> list[pb.CompressionType]:
    return [pb.CompressionType(pb.CompressionType.COMPRESSION_LZ4)] if lz4 else []


def _decompress(frame: pb.FrameData) -> None:
    from daq.wire.lz4 import decompress_lz4  # pyarrow loads slowly

    try:
        frame.data = decompress_lz4(frame.data, frame.uncompressed_size)
    except ValueError as error:
        raise CommunicationError(f"{frame.device_id}: {error}") from error


def _sample(point: pb.DataPoint, gap: int, dropped: int) -> Sample:
    return Sample(
        channel=point.channel,
        timestamp_ns=point.timestamp_ns,
        value=point.value,
        units=point.units,
        array=array_from_wire(point.shape, point.dtype, point.data) if point.shape else None,
        sequence=point.sequence,
        dropped=dropped,
        gap=gap,
        averaged=point.averaged or 1,
    )


def _block(message: pb.MeasurementBlock, batch: pa.RecordBatch, gap: int, dropped: int) -> Block:
    from daq.wire.arrow import column_values

    field = batch.schema.field(1)
    return Block(
        channel=message.channel,
        timestamps=np.asarray(batch.column(0).to_numpy(zero_copy_only=False)),
        values=column_values(batch.column(1), field),
        units=(field.metadata or {}).get(b"units", b"").decode(),
        sequence=message.sequence,
        dropped=dropped,
        gap=gap,
    )


def _frame(message: pb.FrameData, gap: int, dropped: int) -> Frame:
    dtype = message.metadata.get("dtype") or ("<u1" if message.bit_depth <= 8 else "<u2")
    image = np.frombuffer(message.data, dtype=np.dtype(dtype))
    return Frame(
        device=message.device_id,
        number=message.frame_number,
        timestamp_ns=message.timestamp_ns,
        image=image.reshape(message.height, message.width),
        units=message.metadata.get("units", ""),
        exposure_s=None if message.exposure_ms is None else message.exposure_ms / 1e3,
        dropped=dropped,
        gap=gap,
    )

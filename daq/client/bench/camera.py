"""Whatever delivers images or an unbroken series of samples."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.client.bench.device import Device
from daq.client.bench.readings import Readings
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.status import Status
from daq.client.calls.async_client import AsyncClient
from daq.client.calls.models import Block, Frame, FrameQuality
from daq.core import Capability, CommunicationError

__all__ = ["Camera", "Digitizer"]


class Camera(Device):
    """A camera.

    camera.exposure = 0.02
    image = camera.read().value        # an array of shape (height, width)
    for frame in camera: ...           # live, always the newest
    """

    capability = Capability.FRAME_PRODUCER

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._triggered: Status[Readings] | None = None

    @property
    def resolution(self) -> tuple[int, int] | None:
        """(width, height) in pixels."""
        return self._description.resolution

    def stream(
        self, max_fps: int = 0, quality: FrameQuality = FrameQuality.FULL, *, lz4: bool = False
    ) -> BlockingStream[Frame]:
        """Live frames to iterate over; close it, or use it as a `with` block."""
        return self._portal.stream(
            lambda client: client.streams.frames(
                self.name, max_fps=max_fps, quality=quality, lz4=lz4
            ),
            depth=2,
        )

    def __iter__(self) -> Iterator[Frame]:
        with self.stream() as frames:
            yield from frames

    def frames(self, count: int = 1) -> npt.NDArray[Any]:
        """The next frames, as an array of shape (count, height, width)."""
        with self.stream() as frames:
            return np.stack([frame.image for frame in itertools.islice(frames, count)])

    def read(self) -> Readings:
        """One image; after `trigger`, the one that it took."""
        status, self._triggered = self._triggered, None
        return self._ask(self._acquire) if status is None else status.wait()

    async def _acquire(self, client: AsyncClient) -> Readings:
        async with aclosing(client.streams.frames(self.name)) as frames:
            async for frame in frames:
                return Readings.of_frame(frame)
        raise CommunicationError(f"{self.name}: the stream ended without an image")

    def trigger(self) -> Status[Readings]:
        """Begin an image; `read` gives it when the Status is done."""
        self._triggered = self._begin(self._acquire, f"{self.name}: the image")
        return self._triggered


class Digitizer(Device):
    """A device with an unbroken series of samples.

    with digitizer.acquire() as blocks:
        for block in blocks: ...  # block.values, block.timestamps, block.dropped
    """

    capability = Capability.SAMPLE_PRODUCER

    def acquire(self) -> BlockingStream[Block]:
        """Start the acquisition and iterate over its blocks; closing the stream stops it."""

        async def blocks(client: AsyncClient) -> AsyncGenerator[Block, None]:
            received = client.streams.blocks([f"{self.name}.*"])
            await client.streams.start(self.name)
            try:
                async with aclosing(received):
                    async for block in received:
                        yield block
            finally:
                await client.streams.stop(self.name)

        return self._portal.stream(blocks, depth=16)

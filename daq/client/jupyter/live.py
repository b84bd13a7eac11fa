"""Live pictures: readings against time, a camera's image, the run that is being recorded.

plot = live_plot(bench["power_meter"])     # returns at once; the picture goes on below the cell
plot.close()

with live_image(bench["camera"]) as view:  # or for the time of a block
    view.wait_points(20)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from daq.client.bench.camera import Camera
from daq.client.bench.detector import Detector
from daq.client.bench.readings import Readings
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import FOREVER_S
from daq.client.blocking.portal import Portal
from daq.client.calls.models import Frame, FrameQuality, Sample
from daq.client.jupyter.charts import Chart, ImageChart, TraceChart
from daq.client.jupyter.picture import MAX_FPS, Output, Picture
from daq.client.jupyter.run_chart import RunChart
from daq.client.recorded.run_log import Run
from daq.client.sending.execution import Execution
from daq.core import DaqError, NotFoundError, ParameterError, axis_label
from daq.wire.event_model import Document

__all__ = ["LivePicture", "follow_run", "live_image", "live_plot", "live_run"]

RATE_HZ = 10
WINDOW_S = 60.0
JOIN_S = 5.0


class LivePicture(Picture):
    """A picture that follows streams until it is closed, or they end."""

    def __init__(self, chart: Chart, output: Output | None, max_fps: float) -> None:
        super().__init__(chart, output, max_fps=max_fps)
        self.error: DaqError | None = None
        """Why a stream ended, when something went wrong."""
        self._followed: list[tuple[BlockingStream[Any], threading.Thread]] = []

    def __repr__(self) -> str:
        state = "live" if self.is_live else f"ended: {self.error}" if self.error else "ended"
        return f"<LivePicture {state}, {self.points} points, drawn {self.drawn} times>"

    @property
    def is_live(self) -> bool:
        """Whether data still comes."""
        return any(reader.is_alive() for _, reader in self._followed)

    def follow(self, stream: BlockingStream[Any], take: Callable[[Any], object]) -> None:
        """Give each item of the stream to `take`, a method of the chart, until it ends."""
        reader = threading.Thread(
            target=self._read, args=(stream, take), name="daq live", daemon=True
        )
        self._followed.append((stream, reader))
        reader.start()

    def _read(self, stream: BlockingStream[Any], take: Callable[[Any], object]) -> None:
        try:
            for item in stream:
                self.feed(take, item)
        except DaqError as error:
            self.error = error
        finally:
            stream.close()

    def wait_end(self, timeout: float | None = None) -> bool:
        """Wait until its streams have ended by themselves, as that of a run does."""
        for _, reader in self._followed:
            reader.join(FOREVER_S if timeout is None else timeout)
        return not self.is_live

    def close(self) -> None:
        """End the streams and draw what came last."""
        for stream, reader in self._followed:  # a reader may find more to follow until it has ended
            stream.close()
            reader.join(JOIN_S)
        super().close()


def live_plot(
    *detectors: Detector,
    rate_hz: int = RATE_HZ,
    window_s: float = WINDOW_S,
    max_fps: float = MAX_FPS,
    output: Output | None = None,
) -> LivePicture:
    """Readings of detectors against time, one panel each; returns at once.

    Args:
        detectors: Whatever gives a number when it is read, or a waveform, of which the newest is
            drawn against its samples.
        rate_hz: Readings a second of each.
        window_s: How much of the past is shown, in seconds.
        max_fps: At most so many drawings a second.
        output: Where to draw, instead of below the cell.
    """
    if not detectors:
        raise ParameterError("live_plot takes one detector or more")
    for detector in detectors:
        _need(detector, Detector, "read")
        if len(detector.description.channel.shape) > 1:
            raise ParameterError(f"{detector.name} gives images", advice="see them with live_image")
    waves = {d.name for d in detectors if d.description.channel.shape}
    chart = TraceChart({d.name: axis_label(d.name, d.units) for d in detectors}, window_s, waves)
    picture = LivePicture(chart, output, max_fps)
    for detector in detectors:
        take = _take_waveform if detector.name in waves else _take_reading
        picture.follow(detector.stream(rate_hz), partial(take, chart))
    return picture


def live_image(
    camera: Camera,
    *,
    max_fps: float = MAX_FPS,
    quality: FrameQuality = FrameQuality.PREVIEW,
    output: Output | None = None,
) -> LivePicture:
    """A camera's image, always the newest; returns at once. `quality` is what is sent of it."""
    _need(camera, Camera, "seen")
    chart = ImageChart(camera.units or "counts")
    picture = LivePicture(chart, output, max_fps)
    frames = camera.stream(max_fps=max(int(max_fps), 1), quality=quality)
    picture.follow(frames, partial(_take_frame, chart))
    return picture


def live_run(
    source: Run | Execution, *, max_fps: float = MAX_FPS, output: Output | None = None
) -> LivePicture:
    """A run as it is recorded, up to its end; of an execution, the last run that it opened."""
    run_id = source.id
    if isinstance(source, Execution):
        if not source.run_ids:
            raise NotFoundError(f"{source.name} has not opened a run yet")
        run_id = source.run_ids[-1]
    return follow_run(source.portal, run_id, max_fps=max_fps, output=output)


def follow_run(
    portal: Portal, run_id: str, *, max_fps: float = MAX_FPS, output: Output | None = None
) -> LivePicture:
    """The same, of a run's id."""
    chart = RunChart()
    picture = LivePicture(chart, output, max_fps)
    beside: list[BlockingStream[Sample]] = []

    def take(document: Document) -> None:
        chart.take_document(*document)
        if document[0] == "stop":
            for stream in beside:
                stream.close()
        elif chart.outside and not beside:
            rate = max(int(max_fps), 1)
            beside.append(
                portal.stream(
                    lambda c: c.streams.measurements(chart.outside, max_rate_hz=rate), depth=2
                )
            )
            picture.follow(beside[0], lambda sample: chart.take_array(sample.channel, sample.array))

    picture.follow(portal.stream(lambda client: client.runs.documents(run_id)), take)
    return picture


def _need(device: object, wanted: type, done: str) -> None:
    if not isinstance(device, wanted):
        raise ParameterError(
            f"{device!r} cannot be {done}", advice="take one of the bench: bench['power_meter']"
        )


def _take_reading(chart: TraceChart, reading: Readings) -> None:
    chart.take_reading(reading.name, reading.timestamp_ns / 1e9, float(reading.value))


def _take_waveform(chart: TraceChart, reading: Readings) -> None:
    chart.take_waveform(reading.name, reading.value)


def _take_frame(chart: ImageChart, frame: Frame) -> None:
    missed = f", {frame.dropped} missed" if frame.dropped else ""
    chart.take_image(frame.image, f"{frame.device}, frame {frame.number}{missed}")

"""Live pictures: readings against time, a camera's image, the run that is being recorded.

plot = live_plot(bench["power_meter"])     # returns at once; the picture goes on below the cell
plot.close()

with live_image(bench["camera"]) as view:  # or for the time of a block
    view.wait_points(20)
"""

from __future__ import annotations

from functools import partial

from daq.client.bench.camera import Camera
from daq.client.bench.detector import Detector
from daq.client.bench.readings import Readings
from daq.client.calls.models import Frame, FrameQuality
from daq.client.figures.charts import ImageChart, TraceChart
from daq.client.figures.following import LivePicture, follow_run
from daq.client.figures.picture import MAX_FPS, Output
from daq.client.recorded.run_log import Run
from daq.client.sending.execution import Execution
from daq.core import NotFoundError, ParameterError

__all__ = ["LivePicture", "live_image", "live_plot", "live_run"]

RATE_HZ = 10
WINDOW_S = 60.0


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

    Returns:
        The picture, which goes on until it is closed.

    Raises:
        ParameterError: No detector is given.
    """
    if not detectors:
        raise ParameterError("live_plot takes one detector or more")
    for detector in detectors:
        _need(detector, Detector, "read")
        if len(detector.description.channel.shape) > 1:
            raise ParameterError(f"{detector.name} gives images", advice="see them with live_image")
    waves = {d.name for d in detectors if d.description.channel.shape}
    chart = TraceChart({d.name: d.units for d in detectors}, window_s, waves)
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

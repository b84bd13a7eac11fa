"""A picture that follows streams: that of a run while it is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import FOREVER_S
from daq.client.blocking.portal import Portal
from daq.client.calls.models import Sample
from daq.client.figures.charts import Chart
from daq.client.figures.picture import MAX_FPS, Output, Picture
from daq.client.figures.run_chart import RunChart
from daq.core import DaqError
from daq.wire.event_model import Document

__all__ = ["LivePicture", "follow_run"]

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


def follow_run(
    portal: Portal, run_id: str, *, max_fps: float = MAX_FPS, output: Output | None = None
) -> LivePicture:
    """The picture of a run as it is recorded, up to its end."""
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

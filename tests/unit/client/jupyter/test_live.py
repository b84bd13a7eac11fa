"""A live picture follows its streams, says why they ended, and refuses what cannot be drawn."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from daq.client import AsyncClient, Detector, DeviceInfo
from daq.client.blocking.portal import Portal
from daq.client.figures.following import LivePicture
from daq.client.jupyter.live import live_image, live_plot
from daq.core import (
    Category,
    Channel,
    CommunicationError,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
    ParameterError,
)


class Sum:
    def __init__(self) -> None:
        self.points = 0

    def take(self, value: int) -> None:
        self.points += value

    def draw(self, figure: Figure) -> bool:
        return True


class Page:
    def __init__(self) -> None:
        self.shown = 0

    def show(self, bundle) -> None:
        self.shown += 1


class Stream:
    """Yields, then raises what it was given."""

    def __init__(self, items, error: Exception | None = None) -> None:
        self._items = iter(items)
        self._error = error
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        for item in self._items:
            return item
        raise self._error or StopIteration

    def close(self) -> None:
        self.closed += 1


def test_it_follows_several_streams_to_their_ends() -> None:
    chart, page = Sum(), Page()
    picture = LivePicture(chart, page, 100.0)
    streams = [Stream([1, 2]), Stream([10, 20])]
    for stream in streams:
        picture.follow(stream, chart.take)
    assert picture.wait_end(30)
    picture.close()
    assert (picture.points, picture.error) == (33, None)
    assert page.shown == picture.drawn >= 1
    assert all(stream.closed for stream in streams)
    assert repr(picture) == f"<LivePicture ended, 33 points, drawn {picture.drawn} times>"


def test_a_lost_daemon_leaves_what_was_drawn_and_the_reason() -> None:
    chart, page = Sum(), Page()
    with LivePicture(chart, page, 100.0) as picture:
        picture.follow(Stream([5], CommunicationError("the daemon is gone")), chart.take)
        assert picture.wait_end(30)
    assert picture.points == 5
    assert "the daemon is gone" in repr(picture)


@pytest.mark.parametrize("devices", [(), ("power_meter",), (None,)])
def test_only_detectors_are_plotted(devices) -> None:
    with pytest.raises(ParameterError):
        live_plot(*devices)


def test_images_are_not_plotted_but_seen() -> None:
    description = DeviceDescription(
        "ccd", "x", Category.CAMERA, frozenset(), Channel("ccd", "counts", "<u2", (2, 3))
    )
    snapshot = DeviceSnapshot("ccd", DeviceState.READY, 0, 0)
    ccd = Detector(Portal(AsyncClient), DeviceInfo(description, snapshot), "bench:1")
    with pytest.raises(ParameterError, match="ccd gives images") as caught:
        live_plot(ccd)
    assert "live_image" in caught.value.advice


def test_only_cameras_are_viewed() -> None:
    with pytest.raises(ParameterError, match="cannot be seen"):
        live_image("power_meter")

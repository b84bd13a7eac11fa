from __future__ import annotations

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from daq.api.hardware.frames import FrameStatistics, FrameViewers, bin_mean
from daq.core import DeviceError


def test_squares_become_their_mean_in_the_same_dtype():
    frame = np.array([[1, 2, 9], [3, 5, 9], [9, 9, 9]], dtype=np.uint16)
    binned = bin_mean(frame, 2)
    assert binned.dtype == np.uint16
    assert binned.tolist() == [[3]]  # 2.75, rounded; the odd row and column are cut off


def test_a_frame_smaller_than_a_square_stays_as_it_is():
    frame = np.ones((1, 7))
    assert bin_mean(frame, 4) is frame


@given(
    npst.arrays(np.uint8, st.tuples(st.integers(4, 9), st.integers(4, 9))), st.sampled_from([2, 4])
)
def test_a_reduced_frame_stays_within_its_values(frame, size):
    binned = bin_mean(frame, size)
    assert binned.shape == (frame.shape[0] // size, frame.shape[1] // size)
    assert frame.min() <= binned.min() <= binned.max() <= frame.max()


def test_statistics_tell_rate_latency_and_loss():
    statistics = FrameStatistics()
    for number in range(50):
        now_ns = number * 100_000_000
        statistics.sending(3, now_ns - 5_000_000, now_ns)
    metrics = statistics.metrics(dropped=7)
    assert metrics.current_fps == pytest.approx(10.0)
    assert metrics.avg_latency_ms == pytest.approx(5.0, rel=0.2)
    assert metrics.frames_sent == 50
    assert metrics.frames_dropped == 7 + 50 * 2


class Camera:
    id = "camera"

    def __init__(self, *, streaming: bool = False) -> None:
        self.streaming = streaming
        self.log: list[str] = []

    async def start_stream(self, count=None, *, by="") -> None:
        await trio.sleep(1)
        self.streaming = True
        self.log.append("start")

    async def stop_stream(self) -> int:
        await trio.sleep(1)
        self.streaming = False
        self.log.append("stop")
        return 0


async def test_two_viewers_start_the_camera_once_and_the_last_one_stops_it(autojump_clock):
    viewers, camera = FrameViewers(), Camera()

    async def view(seconds: float) -> None:
        async with viewers.watching(camera):
            assert camera.streaming
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(view, 5)
        nursery.start_soon(view, 10)
        await trio.sleep(7)
        assert camera.log == ["start"]
    assert camera.log == ["start", "stop"]


async def test_a_stream_that_ran_before_goes_on(autojump_clock):
    viewers, camera = FrameViewers(), Camera(streaming=True)
    async with viewers.watching(camera):
        pass
    assert camera.log == []
    assert camera.streaming


async def test_a_cancelled_viewer_stops_what_it_started(autojump_clock):
    viewers, camera = FrameViewers(), Camera()
    with trio.move_on_after(3):
        async with viewers.watching(camera):
            await trio.sleep_forever()
    assert camera.log == ["start", "stop"]


async def test_a_camera_that_does_not_let_go_holds_nobody_up(autojump_clock):
    class Stuck(Camera):
        async def stop_stream(self) -> int:
            await trio.sleep_forever()

    started = trio.current_time()
    async with FrameViewers().watching(Stuck()):
        pass
    assert trio.current_time() - started < 4


async def test_a_camera_that_does_not_start_holds_up_only_its_own_viewers(autojump_clock):
    class Stuck(Camera):
        id = "stuck"

        async def start_stream(self, count=None, *, by: str = "") -> None:
            await trio.sleep_forever()

    viewers, camera = FrameViewers(), Camera()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(viewers.watching(Stuck()).__aenter__)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(4):
            async with viewers.watching(camera):
                pass
        nursery.cancel_scope.cancel()
    assert camera.log == ["start", "stop"]


async def test_a_stream_that_ends_badly_is_logged_not_raised(autojump_clock, caplog):
    class Failing(Camera):
        async def stop_stream(self) -> int:
            await trio.lowlevel.checkpoint()
            raise DeviceError("lost in the end")

    async with FrameViewers().watching(Failing()):
        pass
    assert "lost in the end" in caplog.text

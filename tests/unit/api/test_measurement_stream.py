from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.api.door.rate_limit import ChannelLimiter, Mean, Newest
from daq.api.streams.measurement_stream import stream_measurements, viewer_capacity
from daq.bus import Bus
from daq.core import Channel, Measurement, Reading
from daq.wire.generated import daq as pb


def block(channel: str, value: float, sequence: int = 0) -> Measurement:
    return Measurement.single(channel, Reading(value, 1), "V", sequence)


def channels(due) -> list[str]:
    return [gathered.result().channel for gathered in due]


def test_the_first_block_of_a_channel_is_due_at_once():
    limiter = ChannelLimiter(0.5, Newest)
    assert limiter.next_due() == math.inf
    limiter.offer(block("a", 1))
    assert limiter.next_due() <= 0
    assert channels(limiter.due(10.0)) == ["a"]


def test_only_the_newest_block_of_a_period_is_sent():
    limiter = ChannelLimiter(0.5, Newest)
    limiter.offer(block("a", 1))
    limiter.due(10.0)
    limiter.offer(block("a", 2))
    limiter.offer(block("a", 3))
    assert limiter.due(10.4) == []
    assert limiter.next_due() == 10.5
    assert [float(due.result().last()) for due in limiter.due(10.5)] == [3.0]


def test_channels_do_not_share_a_limit():
    limiter = ChannelLimiter(0.5, Newest)
    limiter.offer(block("a", 1))
    limiter.due(10.0)
    limiter.offer(block("a", 2))
    limiter.offer(block("b", 3))
    assert channels(limiter.due(10.1)) == ["b"]


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc")), max_size=60))
def test_no_channel_is_faster_than_its_rate_and_the_last_block_always_comes(steps):
    limiter, now, sent, last = ChannelLimiter(0.5, Newest), 0.0, [], {}
    for pause, channel in steps:
        now += pause
        last[channel] = block(channel, now)
        limiter.offer(last[channel])
        sent += [(now, due.result()) for due in limiter.due(now)]
    while (due_at := limiter.next_due()) != math.inf:
        now = max(now, due_at)
        sent += [(now, due.result()) for due in limiter.due(now)]
    for channel, newest in last.items():
        times = [at for at, due in sent if due.channel == channel]
        assert all(after - before > 0.499999 for before, after in pairwise(times))
        assert [due for _, due in sent if due.channel == channel][-1] is newest


def test_a_mean_is_that_of_values_and_times_and_counts_its_samples():
    now = 1_700_000_000_000_000_000
    mean = Mean(Measurement("a", now + np.array([0, 10]), np.array([1.0, 2.0]), "V", 5))
    mean.add(Measurement("a", now + np.array([50]), np.array([6.0]), "V", 7))
    result = mean.result()
    assert (result.channel, result.units, result.sequence) == ("a", "V", 5)
    assert (result.values.tolist(), result.timestamps.tolist()) == ([3.0], [now + 20])
    assert mean.averaged == 3


def test_frames_are_averaged_pixel_by_pixel_without_overflow():
    frames = np.stack([np.full((2, 3), 65_535, "<u2"), np.full((2, 3), 65_534, "<u2")])
    mean = Mean(Measurement("camera", np.arange(2), frames, "counts", 0))
    result = mean.result()
    assert result.values.shape == (1, 2, 3)
    assert (result.values == 65_534.5).all()
    for pair, expected in (([1j, 3j], 2j), ([True, False], 0.5)):
        pair_mean = Mean(Measurement("pair", np.arange(2), np.array(pair), "", 0))
        assert pair_mean.result().values == [expected]


def test_what_differs_in_units_or_shape_is_not_averaged_together():
    limiter = ChannelLimiter(0.5, Mean)
    for units, value in (("V", 1.0), ("mV", 5.0), ("V", 3.0)):
        limiter.offer(Measurement("a", np.array([1]), np.array([value]), units, 0))
    limiter.offer(Measurement("a", np.array([1]), np.array([[1.0, 2.0]]), "V", 3))
    due = [(g.result().units, g.result().last().tolist(), g.averaged) for g in limiter.due(0)]
    assert due == [("V", 2.0, 2), ("mV", 5.0, 1), ("V", [1.0, 2.0], 1)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=40))
def test_every_sample_is_in_exactly_one_mean(sizes):
    limiter, now, first, seen = ChannelLimiter(0.5, Mean), 0.0, 0, []
    for samples in sizes:
        numbers = np.arange(first, first + samples)
        limiter.offer(Measurement("a", numbers, numbers.astype(float), "", first))
        first, now = first + samples, now + 0.1
        seen += limiter.due(now)
    seen += limiter.due(math.inf)
    assert sum(mean.averaged for mean in seen) == first
    total = sum(mean.averaged * float(mean.result().last()) for mean in seen)
    assert math.isclose(total, first * (first - 1) / 2, abs_tol=1e-6)


def test_a_viewer_of_frames_holds_few_and_one_of_scalars_many():
    scalar, camera = Channel("stage", "mm"), Channel("camera", "", "u2", (2048, 2048))
    assert viewer_capacity([scalar], []) == 4096
    assert viewer_capacity([scalar, camera], []) == 8
    assert viewer_capacity([scalar, camera], ["stage"]) == 4096
    assert viewer_capacity([], ["unknown"]) == 4096


class Collector:
    def __init__(self, slow_s: float = 0.0) -> None:
        self.points: list[pb.DataPoint] = []
        self._slow_s = slow_s

    async def __call__(self, point: pb.DataPoint) -> None:
        await trio.sleep(self._slow_s)
        self.points.append(point)


async def test_every_sample_is_sent_without_a_rate(autojump_clock):
    bus, collector = Bus(), Collector()
    async with trio.open_nursery() as nursery:
        request = pb.MeasurementRequest(channels=["laser*"])
        nursery.start_soon(stream_measurements, bus, [], request, collector)
        await trio.testing.wait_all_tasks_blocked()
        samples = Measurement("laser.power", np.arange(3), np.arange(3.0), "W", 0)
        await bus.publish(samples)
        await bus.publish(block("stage", 1.0))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [(p.channel, p.value, p.sequence) for p in collector.points] == [
        ("laser.power", 0.0, 0),
        ("laser.power", 1.0, 1),
        ("laser.power", 2.0, 2),
    ]


async def test_a_large_block_is_not_turned_into_messages_at_once(autojump_clock):
    bus, collector = Bus(), Collector()
    large = Measurement("scope", np.arange(1000), np.arange(1000.0), "V", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream_measurements, bus, [], pb.MeasurementRequest(), collector)
        await trio.testing.wait_all_tasks_blocked()
        await bus.publish(large)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [point.sequence for point in collector.points] == list(range(1000))


async def test_a_rate_counts_only_the_channels_that_were_asked_for(autojump_clock):
    bus, collector = Bus(), Collector()
    async with trio.open_nursery() as nursery:
        request = pb.MeasurementRequest(channels=["slow"], max_rate_hz=10)
        nursery.start_soon(stream_measurements, bus, [], request, collector)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(100):
            await bus.publish(block("fast", number))
            if number % 20 == 0:
                await bus.publish(block("slow", number))
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert [p.value for p in collector.points] == [0.0, 20.0, 40.0, 60.0, 80.0]


async def test_a_rate_sends_the_newest_value_of_each_period(autojump_clock):
    bus, collector = Bus(), Collector()
    async with trio.open_nursery() as nursery:
        request = pb.MeasurementRequest(max_rate_hz=10)
        nursery.start_soon(stream_measurements, bus, [], request, collector)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(101):
            await bus.publish(block("stage", number, number))
            await trio.sleep(0.01)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    values = [p.value for p in collector.points]
    assert values[0] == 0.0
    assert values[-1] == 100.0
    assert 10 <= len(values) <= 12
    assert all(p.dropped == 0 for p in collector.points)


async def test_drops_of_a_slow_reader_are_counted_in_the_stream(autojump_clock):
    bus, collector = Bus(), Collector(slow_s=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream_measurements, bus, [], pb.MeasurementRequest(), collector)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(5000):
            await bus.publish(block("stage", number, number))
        await trio.sleep(3.5)
        nursery.cancel_scope.cancel()
    assert collector.points[-1].dropped > 0


async def test_a_rate_can_send_the_mean_of_each_period(autojump_clock):
    bus, collector = Bus(), Collector()
    async with trio.open_nursery() as nursery:
        request = pb.MeasurementRequest(max_rate_hz=10, average=True)
        nursery.start_soon(stream_measurements, bus, [], request, collector)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(101):
            await bus.publish(block("stage", number, number))
            await trio.sleep(0.01)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    points = collector.points
    assert sum(p.averaged for p in points) == 101
    assert sum(p.averaged * p.value for p in points) == 5050
    assert (points[0].averaged, points[0].value) == (1, 0.0)
    assert all(9 <= p.averaged <= 11 for p in points[1:-1])
    assert [p.sequence for p in points[1:3]] == [1, 1 + points[1].averaged]

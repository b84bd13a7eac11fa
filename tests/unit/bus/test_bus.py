"""Fan-out, drops, back-pressure and endings."""

import tracemalloc
from contextlib import ExitStack

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.bus import Bus, Overflow, Statistics
from daq.bus.subscription import BLOCK_BYTES
from daq.core import Measurement


def block(channel="stage", sequence=0, samples=1, value=0.0):
    return Measurement(
        channel,
        np.arange(samples, dtype=np.int64),
        np.full(samples, value),
        "mm",
        sequence,
    )


def frame(sequence, mebibytes):
    pixels = np.zeros((1, mebibytes, 1 << 20), dtype=np.uint8)
    return Measurement("camera", np.zeros(1, dtype=np.int64), pixels, "counts", sequence)


def drain(subscription):
    blocks = []
    while (received := subscription.receive_nowait()) is not None:
        blocks.append((received.channel, received.sequence))
    return blocks


async def test_everybody_gets_what_matches_their_patterns(autojump_clock):
    bus = Bus()
    with (
        bus.view() as everything,
        bus.view("laser.*") as laser,
        bus.view("stage", "camera") as two,
        bus.record("stage") as recorder,
    ):
        for channel in ("stage", "laser", "laser.wavelength", "camera"):
            await bus.publish(block(channel))
        assert [name for name, _ in drain(everything)] == [
            "stage",
            "laser",
            "laser.wavelength",
            "camera",
        ]
        assert drain(laser) == [("laser.wavelength", 0)]
        assert drain(two) == [("stage", 0), ("camera", 0)]
        assert drain(recorder) == [("stage", 0)]


async def test_the_newest_block_of_each_channel_is_kept(autojump_clock):
    bus = Bus()
    await bus.publish(block("stage", 0))
    await bus.publish(block("stage", 1))
    await bus.publish(block("camera", 5))
    assert bus.channels() == ("camera", "stage")
    assert bus.latest("stage").sequence == 1
    assert bus.latest("laser") is None


async def test_a_subscription_begins_and_ends_with_its_block(autojump_clock):
    bus = Bus()
    await bus.publish(block(sequence=0))
    with bus.view() as view:
        assert repr(bus) == "<Bus 1 viewers, 0 recorders>"
        await bus.publish(block(sequence=1))
    await bus.publish(block(sequence=2))
    assert drain(view) == [("stage", 1)]
    with pytest.raises(trio.EndOfChannel):
        await view.receive()
    assert repr(bus) == "<Bus 0 viewers, 0 recorders>"


async def test_a_full_viewer_drops_the_oldest_and_counts_its_samples(autojump_clock):
    bus = Bus()
    with bus.view(capacity=2) as view:
        for sequence in range(5):
            await bus.publish(block(sequence=3 * sequence, samples=3))
        assert view.statistics() == Statistics(delivered=0, dropped=9, lag=6)
        assert drain(view) == [("stage", 9), ("stage", 12)]
        assert view.statistics() == Statistics(delivered=6, dropped=9, lag=0)
        assert repr(view) == ("<LossySubscription * Statistics(delivered=6, dropped=9, lag=0)>")


async def test_a_viewer_of_frames_is_bounded_in_bytes(autojump_clock):
    bus = Bus()
    with bus.view(capacity_bytes=5 << 20) as view:
        for sequence in range(4):
            await bus.publish(frame(sequence, 2))
        assert drain(view) == [("camera", 2), ("camera", 3)]
        await bus.publish(frame(9, 8))  # larger than all of it: alone it fits
        assert drain(view) == [("camera", 9)]
        assert view.statistics().dropped == 2


async def test_a_stalled_viewer_holds_a_bounded_amount_by_default(autojump_clock):
    bus = Bus()
    with bus.view() as view:
        for sequence in range(80):
            await bus.publish(frame(sequence, 1))
        assert view.statistics().lag == 63


async def test_a_viewer_of_the_latest_keeps_one_block_of_each_channel(autojump_clock):
    bus = Bus()
    with bus.view(overflow=Overflow.LATEST) as view:
        for sequence in range(3):
            await bus.publish(block("stage", sequence))
            await bus.publish(block("meter", sequence))
        assert view.statistics() == Statistics(delivered=0, dropped=4, lag=2)
        # In the order in which the channels came, so that a fast one does not starve the others.
        assert drain(view) == [("stage", 2), ("meter", 2)]
        await bus.publish(block("stage", 3))
        assert drain(view) == [("stage", 3)]


async def test_a_stalled_viewer_costs_neither_producer_nor_other_viewers(autojump_clock):
    bus = Bus()
    with bus.view(capacity=1) as stalled, bus.view(capacity=10_000) as reader:
        for sequence in range(5000):
            await bus.publish(block(sequence=sequence))
        assert [sequence for _, sequence in drain(reader)] == list(range(5000))
        assert reader.statistics().dropped == 0
        assert stalled.statistics() == Statistics(delivered=0, dropped=4999, lag=1)


async def test_a_block_is_stored_once_for_all_viewers_and_not_at_all_without_any(autojump_clock):
    """The work of publishing is counted, not timed: viewers that do not read are not touched."""
    bus = Bus()
    await bus.publish(block())
    (log,) = bus._logs.values()
    assert log.end - log.first == 0
    with ExitStack() as stalled:
        for _ in range(100):
            stalled.enter_context(bus.view(capacity=8))
        patient = stalled.enter_context(bus.view("st*", capacity=20))
        for sequence in range(1, 50):
            await bus.publish(block(sequence=sequence))
        assert log.end - log.first == 20
        assert log.idle == set()
        assert len(drain(patient)) == 20
        assert repr(log) == "<ChannelLog stage 30 to 50>"
    assert log.end - log.first == 0


async def test_a_fast_channel_does_not_push_out_a_slow_one(autojump_clock):
    bus = Bus()
    with bus.view(capacity=4) as view:
        await bus.publish(block("stage", 0))
        for sequence in range(100):
            await bus.publish(block("camera", sequence))
        assert drain(view) == [("stage", 0), *(("camera", n) for n in range(96, 100))]


async def test_blocks_of_several_channels_come_in_the_order_of_their_publication(autojump_clock):
    bus = Bus()
    channels = ["a", "b", "a", "c", "b", "a"]
    with bus.view() as view:
        for sequence, channel in enumerate(channels):
            await bus.publish(block(channel, sequence))
        assert drain(view) == [(channel, n) for n, channel in enumerate(channels)]


async def test_a_waiting_viewer_hears_of_a_channel_that_begins_meanwhile(autojump_clock):
    bus = Bus()
    await bus.publish(block("stage"))
    with bus.view() as view:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read():
                assert (await view.receive()).channel == "laser"

            await trio.testing.wait_all_tasks_blocked()
            await bus.publish(block("laser"))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.integers(1, 5)),
            st.just("receive"),
        ),
        max_size=60,
    ),
    st.sampled_from(list(Overflow)),
    st.integers(1, 4),
    st.integers(1, 200),
)
def test_what_was_published_is_delivered_dropped_or_waiting(steps, overflow, capacity, size):
    view = trio.run(_follow_steps, steps, overflow, capacity, size)
    statistics = view.statistics()
    published = sum(step[1] for step in steps if step != "receive")
    assert statistics.delivered + statistics.dropped + statistics.lag == published
    waiting = 0
    seen = set()
    while (received := view.receive_nowait()) is not None:
        waiting += len(received)
        seen.add(received.channel)
    assert waiting == statistics.lag
    assert view.statistics().lag == 0
    if overflow is Overflow.LATEST:
        newest = {step[0] for step in steps if step != "receive"}
        assert seen <= newest


async def _follow_steps(steps, overflow, capacity, size):
    bus = Bus()
    with bus.view(overflow=overflow, capacity=capacity, capacity_bytes=size) as view:
        for step in steps:
            if step == "receive":
                view.receive_nowait()
            else:
                await bus.publish(block(step[0], samples=step[1]))
    return view


@given(
    publishing=st.lists(st.sampled_from("ab"), max_size=40),
    most=st.integers(1, 5),
    capacity=st.integers(1, 30),
)
def test_rows_bring_every_block_of_a_channel_in_its_order(publishing, most, capacity):
    async def rows():
        bus = Bus()
        with bus.view(capacity=capacity) as view:
            counts = dict.fromkeys("ab", 0)
            for channel in publishing:
                await bus.publish(block(channel, counts[channel]))
                counts[channel] += 1
            taken = []
            while row := view.receive_row_nowait(most):
                taken.append(row)
            return counts, taken, view.statistics()

    counts, taken, statistics = trio.run(rows)
    assert all(len(row) <= most and len({b.channel for b in row}) == 1 for row in taken)
    for channel in "ab":
        found = [b.sequence for row in taken for b in row if b.channel == channel]
        assert found == list(range(max(0, counts[channel] - capacity), counts[channel]))
    assert statistics.delivered == sum(map(len, taken))
    assert statistics.delivered + statistics.dropped == len(publishing)
    assert statistics.lag == 0


async def test_a_full_recorder_makes_the_producer_wait_and_loses_nothing(autojump_clock):
    bus = Bus()
    size = block().nbytes + BLOCK_BYTES
    produced = []
    with bus.record(capacity_bytes=3 * size) as recorder:

        async def produce():
            for sequence in range(10):
                await bus.publish(block(sequence=sequence))
                produced.append(sequence)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            await trio.testing.wait_all_tasks_blocked()
            assert produced == [0, 1, 2]
            assert recorder.statistics().lag == 3
            await recorder.receive()
            await trio.testing.wait_all_tasks_blocked()
            assert produced == [0, 1, 2, 3]
            assert [(await recorder.receive()).sequence for _ in range(9)] == list(range(1, 10))
        assert recorder.statistics() == Statistics(delivered=10, dropped=0, lag=0)


async def test_what_waits_is_counted_as_the_memory_that_it_takes(autojump_clock):
    """Of scalars, most is the block itself."""
    bus = Bus()
    with bus.record() as recorder:
        tracemalloc.start()
        try:
            for number in range(1000):
                await bus.publish(Measurement("a", np.array([number]), np.ones(1), "V", number))
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert 0.7 < taken / recorder.waiting_bytes < 1.3


async def test_a_block_larger_than_the_recorders_room_passes_alone(autojump_clock):
    bus = Bus()
    with bus.record(capacity_bytes=1) as recorder:
        await bus.publish(frame(0, 1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.publish, frame(1, 1))
            await trio.testing.wait_all_tasks_blocked()
            assert recorder.statistics().lag == 1
            assert (await recorder.receive()).sequence == 0
        assert (await recorder.receive()).sequence == 1


async def test_producers_that_wait_keep_their_order(autojump_clock):
    bus = Bus()
    with bus.record(capacity_bytes=block().nbytes) as recorder:
        async with trio.open_nursery() as nursery:
            for sequence in range(20):
                nursery.start_soon(bus.publish, block(sequence=sequence))
                await trio.testing.wait_all_tasks_blocked()
            received = [(await recorder.receive()).sequence for _ in range(20)]
    assert received == list(range(20))


async def test_who_comes_when_there_is_room_does_not_overtake_who_waits(autojump_clock):
    bus = Bus()
    received = []
    with bus.record(capacity_bytes=block().nbytes) as recorder:
        async with trio.open_nursery() as nursery:
            for sequence in range(3):
                nursery.start_soon(bus.publish, block(sequence=sequence))
                await trio.testing.wait_all_tasks_blocked()
            received.append(recorder.receive_nowait().sequence)

            @nursery.start_soon
            async def receive_the_rest():
                received.extend([(await recorder.receive()).sequence for _ in range(3)])

            await bus.publish(block(sequence=3))
    assert received == [0, 1, 2, 3]


async def test_a_producer_that_is_cancelled_while_it_waits_leaves_the_others(autojump_clock):
    bus = Bus()
    with bus.record(capacity_bytes=block().nbytes) as recorder:
        await bus.publish(block(sequence=0))
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(1):
                await bus.publish(block(sequence=1))
            nursery.start_soon(bus.publish, block(sequence=2))
            assert [(await recorder.receive()).sequence for _ in range(2)] == [0, 2]


async def test_producers_are_released_when_the_recorder_leaves(autojump_clock):
    bus = Bus()
    async with trio.open_nursery() as nursery:
        with bus.record(capacity_bytes=1) as recorder:
            for sequence in range(3):
                nursery.start_soon(bus.publish, block(sequence=sequence))
            await trio.testing.wait_all_tasks_blocked()
    assert len(drain(recorder)) == 1


async def test_what_is_buffered_can_be_received_after_the_close(autojump_clock):
    bus = Bus()
    with bus.record() as recorder:
        for sequence in range(3):
            await bus.publish(block(sequence=sequence))
        recorder.close()
        await bus.publish(block(sequence=3))
        assert [received.sequence async for received in recorder] == [0, 1, 2]


async def test_a_waiting_reader_wakes_on_a_block_and_on_the_end(autojump_clock):
    bus = Bus()
    got = []
    async with trio.open_nursery() as nursery:
        with bus.view() as view:

            @nursery.start_soon
            async def read():
                got.extend([received.sequence async for received in view])

            for sequence in range(3):
                await trio.testing.wait_all_tasks_blocked()
                await bus.publish(block(sequence=sequence))
    assert got == [0, 1, 2]


async def test_two_readers_share_a_subscription(autojump_clock):
    bus = Bus()
    got = set()
    async with trio.open_nursery() as nursery:
        with bus.view() as view:

            async def read():
                async for received in view:
                    got.add(received.sequence)

            nursery.start_soon(read)
            nursery.start_soon(read)
            for sequence in range(10):
                await trio.testing.wait_all_tasks_blocked()
                await bus.publish(block(sequence=sequence))
    assert got == set(range(10))


async def test_a_cancelled_reader_loses_no_block_and_stops_reading(autojump_clock):
    bus = Bus()
    with bus.view() as view:
        for sequence in range(3):
            await bus.publish(block(sequence=sequence))
        with trio.CancelScope() as scope:
            scope.cancel()
            await view.receive()
        assert scope.cancelled_caught
        assert view.statistics().lag == 3
        with trio.move_on_after(1) as waiting:
            while True:
                await view.receive()
        assert waiting.cancelled_caught
        assert view.statistics() == Statistics(3, 0, 0)


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"capacity_bytes": 0}])
async def test_a_subscription_that_holds_nothing_is_refused(autojump_clock, wrong):
    with pytest.raises(ValueError, match="at least one"), Bus().view(**wrong):
        pass


async def test_a_reader_that_waits_leaves_no_trace_on_quiet_channels(autojump_clock):
    bus = Bus()
    await bus.publish(block("quiet"))
    with bus.view() as view:
        for sequence in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(view.receive)
                await trio.testing.wait_all_tasks_blocked()
                assert len(view._readers) == 1
                await bus.publish(block("busy", sequence))
            with trio.move_on_after(1):
                await view.receive()
        assert view._readers == set()
        assert len(bus._logs["quiet"].idle) == 1
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read():
                with pytest.raises(trio.EndOfChannel):
                    await view.receive()

            await trio.testing.wait_all_tasks_blocked()
            view.close()
            assert bus._logs["quiet"].idle == set()


async def test_one_of_two_readers_may_be_cancelled(autojump_clock):
    bus = Bus()
    await bus.publish(block())
    with bus.view() as view:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(view.receive)
            with trio.move_on_after(1):
                await view.receive()
            await bus.publish(block(sequence=1))
        assert view.statistics().delivered == 1

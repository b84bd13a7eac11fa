from __future__ import annotations

import numpy as np
import pyarrow as pa
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.api.streams.block_stream import stream_blocks
from daq.bus import Bus
from daq.core import Measurement, merge_blocks
from daq.wire.generated import daq as pb


def block(channel: str, first: int, samples: int, units: str = "V") -> Measurement:
    numbers = np.arange(first, first + samples)
    return Measurement(channel, numbers, numbers.astype(float), units, first)


def test_blocks_without_a_gap_are_joined():
    (joined,) = merge_blocks([block("a", 0, 2), block("a", 2, 3)])
    assert joined.values.tolist() == [0, 1, 2, 3, 4]
    assert joined.timestamps.tolist() == [0, 1, 2, 3, 4]


def test_a_gap_another_unit_or_another_shape_begins_a_new_message():
    frames = Measurement("a", np.arange(2), np.zeros((2, 3)), "V", 5)
    blocks = [block("a", 0, 2), block("a", 3, 1), block("a", 4, 1, "mV"), frames]
    assert merge_blocks(blocks) == blocks


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.booleans()), max_size=30))
def test_no_sample_is_lost_or_changes_its_place(steps):
    following = dict.fromkeys("abc", 0)
    blocks = []
    for channel, samples, gap in steps:
        following[channel] += gap
        blocks.append(block(channel, following[channel], samples))
        following[channel] += samples
    merged = merge_blocks(blocks)
    for channel in "abc":
        before = [int(t) for b in blocks if b.channel == channel for t in b.timestamps]
        after = [int(t) for b in merged if b.channel == channel for t in b.timestamps]
        assert after == before
    for joined in merged:
        assert joined.timestamps[0] == joined.sequence
        assert (np.diff(joined.timestamps) == 1).all()


async def test_samples_published_one_by_one_travel_together(autojump_clock):
    bus, messages = Bus(), []

    async def emit(message) -> None:
        await trio.lowlevel.checkpoint()
        messages.append(message)

    async with trio.open_nursery() as nursery:
        request = pb.BlockRequest(channels=["fast"], max_rate_hz=10)
        nursery.start_soon(stream_blocks, bus, [], request, emit)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2000):
            await bus.publish(block("fast", number, 1))
            await bus.publish(block("other", number, 1))
            await trio.sleep(0.001)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(messages) <= 22
    assert sum(message.samples for message in messages) == 2000
    assert messages[-1].dropped == 0
    tables = [pa.ipc.open_stream(message.ipc).read_all() for message in messages]
    assert pa.concat_tables(tables).column("fast").to_pylist() == list(range(2000))
    assert tables[0].schema.names == ["time", "fast"]


async def test_a_client_that_accepts_lz4_gets_smaller_batches_with_the_same_in_them():
    numbers = np.zeros((4, 128, 128), "<u2")
    frames = Measurement("camera", np.arange(4), numbers, "counts", 0)
    tables, sizes = [], []
    for accepted in ([], [pb.CompressionType.COMPRESSION_LZ4]):
        bus, messages = Bus(), []

        async def emit(message, messages=messages, bus=bus) -> None:
            await trio.lowlevel.checkpoint()
            messages.append(message)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            request = pb.BlockRequest(accepted_compression=accepted)
            nursery.start_soon(stream_blocks, bus, [], request, emit)
            await trio.testing.wait_all_tasks_blocked()
            await bus.publish(frames)
        tables.append(pa.ipc.open_stream(messages[0].ipc).read_all())
        sizes.append(len(messages[0].ipc))
    assert tables[0].equals(tables[1])
    assert sizes[1] < sizes[0] / 10

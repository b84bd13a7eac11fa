"""The ring: one writer, any number of readers that it does not know of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.bus import Bus, feed_ring, ring_layout
from daq.bus.ring import RingChannel, RingReader, RingWriter
from daq.core import Measurement, NotFoundError, StorageError
from daq.wire.arrow import from_arrow

KIB = 1 << 10


def block(channel="stage", first=0, samples=1, shape=(), dtype="<f8", units="mm", event=None):
    numbers = np.arange(first, first + samples)
    values = np.broadcast_to(
        numbers.reshape((samples,) + (1,) * len(shape)), (samples, *shape)
    ).astype(dtype)
    return Measurement(channel, numbers * 10, values, units, first, event)


@pytest.fixture
def writer(tmp_path: Path):
    with RingWriter(tmp_path / "ring", 64 * KIB) as ring:
        yield ring


def drain(reader: RingReader) -> list[Measurement]:
    return list(iter(reader.take, None))


def fill(writer: RingWriter, channel="stage", first=0, turns=2, samples=100) -> int:
    """Write until the writer has come round so many times; returns the next sample's number."""
    end = writer._head + turns * writer.capacity
    while writer._head < end:
        writer.write(block(channel, first, samples))
        first += samples
    return first


def test_what_is_written_is_read_back_with_everything_about_it(writer):
    blocks = [
        block("stage", 5, 3),
        block("camera", 0, 2, (4, 6), "<u2", "counts", event=7),
        block("flags", 1, 1, (), "|b1", ""),
        block("spectrum", 9, 1, (3,), "<c8", "V"),
        block("old", 2, 4, (2,), ">i4", "µm"),
    ]
    with RingReader(writer.path) as reader:
        for each in blocks:
            assert writer.write(each)
        for wanted, found in zip(blocks, drain(reader), strict=True):
            assert (found.channel, found.units) == (wanted.channel, wanted.units)
            assert (found.sequence, found.event) == (wanted.sequence, wanted.event)
            assert found.values.dtype == wanted.values.dtype
            np.testing.assert_array_equal(found.values, wanted.values)
            np.testing.assert_array_equal(found.timestamps, wanted.timestamps)
        assert reader.statistics().delivered == 11
        assert reader.statistics().behind_bytes == 0


def test_a_late_joiner_gets_recent_history_or_none_as_it_likes(writer):
    writer.write(block(first=0))
    with (
        RingReader(writer.path) as late,
        RingReader(writer.path, history=False) as new,
    ):
        writer.write(block(first=1))
        assert [b.sequence for b in drain(late)] == [0, 1]
        assert [b.sequence for b in drain(new)] == [1]


def test_patterns_choose_channels(writer):
    with RingReader(writer.path, "laser.*", "stage") as reader:
        for channel in ("laser", "stage", "laser.power", "camera"):
            writer.write(block(channel))
        assert [b.channel for b in drain(reader)] == ["stage", "laser.power"]


def test_an_overrun_reader_knows_by_how_many_samples(writer):
    with RingReader(writer.path, "stage") as reader:
        writer.write(block(first=0, samples=10))
        assert reader.take() is not None
        total = fill(writer, first=10, turns=3)
        fill(writer, "camera", turns=1 / 4)
        rest = drain(reader)
        statistics = reader.statistics()
        assert rest
        assert statistics.overruns == 1
        assert statistics.lost == reader.lost("stage") == rest[0].sequence - 10
        assert statistics.delivered + statistics.lost == total
        assert reader.lost("camera") == 0


def test_a_channel_that_appears_while_the_reader_sleeps_is_counted_from_its_first_sample(writer):
    with RingReader(writer.path) as reader:
        total = fill(writer, "new", turns=2)
        drain(reader)
        assert reader.statistics().delivered + reader.lost("new") == total


def test_a_view_is_the_memory_itself_and_tells_when_it_was_overwritten(writer):
    with RingReader(writer.path) as reader:
        writer.write(block(samples=100))
        view = reader.view()
        assert view is not None
        assert view.is_intact()
        assert not view.block.values.flags.owndata
        assert not view.block.values.flags.writeable
        np.testing.assert_array_equal(view.block.values, np.arange(100.0))
        fill(writer, first=100, turns=1)
        assert not view.is_intact()
    assert view.block.values.shape == (100,), "memory that was handed out stays valid"


def test_a_block_that_is_overwritten_while_it_is_copied_is_not_delivered(writer, monkeypatch):
    """The writer comes round exactly between the copy and the check."""
    with RingReader(writer.path) as reader:
        writer.write(block(samples=100))
        read, laps = reader._arrays, iter([2])

        def overtaken(*arguments):
            found = read(*arguments)
            fill(writer, first=100, turns=next(laps, 0))
            return found

        monkeypatch.setattr(reader, "_arrays", overtaken)
        taken = reader.take()
        assert taken is not None
        assert taken.sequence > 0
        assert reader.statistics().overruns == 1
        np.testing.assert_array_equal(taken.values, taken.sequence + np.arange(100.0))


def test_the_newest_block_of_a_channel_is_found_without_reading_what_lies_between(writer):
    with RingReader(writer.path) as reader:
        assert reader.latest("stage") is None
        writer.write(block(first=3))
        writer.write(block("camera", 1, 1, (4,)))
        assert reader.latest("stage").sequence == 3
        writer.write(block("stage", 4, 1, (), "<f4"))
        assert reader.latest("stage").sequence == 4
        fill(writer, "camera", turns=2)
        assert reader.latest("stage") is None, "its last block was overwritten"
        assert reader.latest("camera") is not None


def test_a_channel_that_changes_its_shape_goes_on_under_its_name(writer):
    with RingReader(writer.path) as reader:
        writer.write(block("camera", 0, 1, (4, 4)))
        writer.write(block("camera", 1, 1, (2, 2)))
        assert [b.sample_shape for b in drain(reader)] == [(4, 4), (2, 2)]
        assert [c.shape for c in reader.channels()] == [(4, 4), (2, 2)]
        assert reader.channels()[0] == RingChannel("camera", "mm", "<f8", (4, 4))
        assert reader.channels()[0].sample_bytes == 128


def test_what_the_ring_cannot_hold_is_counted(writer):
    assert not writer.write(block("camera", 0, 1, (64, 128)))
    assert not writer.write(block("x" * 300))
    assert not writer.write(Measurement("t", np.arange(2), np.array(["a", "b"]), "", 0))
    writer.note_dropped(12)
    with RingReader(writer.path) as reader:
        assert reader._words[ring_layout.SKIPPED] == 4
        assert reader.statistics().dropped == 12
        assert reader.take() is None


def test_readers_are_told_of_the_end_and_a_new_daemon_replaces_the_file(tmp_path):
    path = tmp_path / "ring"
    first = RingWriter(path, 64 * KIB)
    with RingReader(path) as reader:
        first.write(block())
        assert not reader.has_ended()
        second = RingWriter(path, 64 * KIB)
        first.close()
        first.close()
        assert reader.has_ended()
        assert [b.sequence for b in reader.follow()] == [0], "what was written can still be read"
        assert path.exists(), "the second writer's file is not the first one's to remove"
    second.close()
    assert not path.exists()
    with pytest.raises(NotFoundError, match="there is no ring"):
        RingReader(path)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "ring"
    for content in (b"", b"\1" * (ring_layout.DATA_OFFSET + 100)):
        path.write_bytes(content)
        with pytest.raises(StorageError, match="not a ring"):
            RingReader(path)


def test_a_ring_without_room_for_it_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(StorageError, match="cannot be created"):
        RingWriter(tmp_path / "ring", 1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_blocks_come_as_arrow_batches(writer):
    with RingReader(writer.path) as reader:
        for first in (0, 2, 7):
            writer.write(block(first=first, samples=2))
        writer.write(block("camera", 0, 1, (2, 3), "<u2", "counts"))
        writer.close()
        batches = [from_arrow(batch) for batch in reader.batches()]
    assert [(b.stream, b.first, len(b.timestamps)) for b in batches] == [
        ("stage", 0, 4),
        ("stage", 7, 2),
        ("camera", 0, 1),
    ]
    assert batches[2].values["camera"].shape == (1, 2, 3)
    assert batches[2].columns[0].units == "counts"


def test_following_ends_when_nothing_comes(writer):
    with RingReader(writer.path) as reader:
        assert list(reader.follow(timeout_s=0)) == []
        assert repr(reader).startswith("<RingReader ")
    assert repr(reader).endswith("closed>")


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 700), st.booleans()), max_size=120
    )
)
def test_every_sample_is_delivered_or_counted_as_lost(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("ring") / "ring"
    written = {"a": 0, "b": 0}
    seen: dict[str, int] = {"a": 0, "b": 0}
    with RingWriter(path, 64 * KIB) as writer, RingReader(path) as reader:
        for channel, samples, is_read in sizes:
            writer.write(block(channel, written[channel], samples))
            written[channel] += samples
            if is_read and (taken := reader.take()) is not None:
                seen[taken.channel] += len(taken)
                np.testing.assert_array_equal(
                    taken.values, np.arange(taken.sequence, taken.sequence + len(taken))
                )
        for taken in drain(reader):
            seen[taken.channel] += len(taken)
        for channel in written:
            newest = reader.latest(channel)
            if newest is not None:
                assert seen[channel] + reader.lost(channel) == written[channel]


async def test_the_feed_puts_into_the_ring_what_the_bus_carries(tmp_path):
    bus = Bus()
    writer = RingWriter(tmp_path / "ring", 8 << 20)
    with RingReader(writer.path) as reader:
        async with trio.open_nursery() as nursery:
            await nursery.start(feed_ring, bus, writer)
            for first in range(200):
                await bus.publish(block(first=first))
            await bus.publish(block("camera", 0, 1, (600, 600), "<u2"))
            with trio.fail_after(10):
                while reader.latest("camera") is None:
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        blocks = drain(reader)
        stage = [b for b in blocks if b.channel == "stage"]
        assert [n for b in stage for n in range(b.sequence, b.sequence + len(b))] == list(
            range(200)
        )
        assert len(stage) < 20, "what waited together is one record"
        assert blocks[-1].sample_shape == (600, 600)
        assert reader.has_ended()
    assert not writer.path.exists()


async def test_the_feed_keeps_the_event_of_what_was_taken_for_one(tmp_path):
    bus = Bus()
    writer = RingWriter(tmp_path / "ring", 64 * KIB)
    with RingReader(writer.path) as reader:
        async with trio.open_nursery() as nursery:
            await nursery.start(feed_ring, bus, writer)
            for first in range(6):
                await bus.publish(block(first=first, event=None if first < 3 else first))
            await trio.testing.wait_all_tasks_blocked()
            found = [(b.sequence, len(b), b.event) for b in drain(reader)]
            nursery.cancel_scope.cancel()
    assert found == [(0, 1, None), (1, 2, None), (3, 1, 3), (4, 1, 4), (5, 1, 5)]


async def test_the_feed_says_how_much_it_could_not_keep(tmp_path, monkeypatch):
    monkeypatch.setattr("daq.bus.ring_feed._WAITING_BLOCKS", 4)
    bus = Bus()
    writer = RingWriter(tmp_path / "ring", 64 * KIB)
    with RingReader(writer.path) as reader:
        async with trio.open_nursery() as nursery:
            await nursery.start(feed_ring, bus, writer)
            for first in range(10):
                await bus.publish(block(first=first))
            await trio.testing.wait_all_tasks_blocked()
            assert reader.statistics().dropped == 6
            assert sum(len(found) for found in drain(reader)) == 4
            nursery.cancel_scope.cancel()


def test_readers_need_no_trio():
    code = (
        "import sys, daq.bus.ring\n"
        "assert not {'trio', 'asyncio', 'pyarrow', 'grpclib'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""Large samples are written once, straight into the HDF5 file, and are still never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import (
    Column,
    Event,
    Measurement,
    RunOutcome,
    RunStart,
    RunStop,
    RunSummary,
    StorageError,
)
from daq.storage.files.conversion import Conversion, convert_journal, discard_journal, placed_in
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import RunFile, partial_path
from daq.storage.journal import records
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import encode_record
from daq.storage.journal.journal import JournalWriter
from daq.storage.journal.placed import sample_check
from daq.storage.journal.run_journal import begin_journal
from daq.storage.journal_reader import read_journal

START = RunStart("abc", "frames", 1_700_000_000_000_000_000)
DONE = RunStop(RunOutcome.COMPLETED, START.started_ns + 1)
SHAPE = (200, 300)
COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("camera", "counts", "<u2", SHAPE, "camera"),
    Column("note", "", "O"),
)


def frame(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 65536, SHAPE, "<u2")


def event(i: int, columns: tuple[Column, ...] = COLUMNS) -> Event:
    values = {"stage": i / 2, "camera": frame(i), "note": f"µ{i}"}
    return Event("primary", i, START.started_ns + i, columns, values, {})


def stream(first: int, count: int) -> Measurement:
    """A block of frames as the bus carries it."""
    times = START.started_ns + np.arange(first, first + count, dtype=np.int64)
    frames = np.stack([frame(1000 + i) for i in range(first, first + count)])
    return Measurement("camera", times, frames, "counts", first)


class Recording:
    """A run without an event loop: encoder, journal and conversion put together."""

    def __init__(self, root: Path) -> None:
        self.directories = Directories(root)
        self.directories.create()
        self.journal = self.directories.journal(START.run_id)
        self.writer: JournalWriter = begin_journal(self.journal, START)
        self.conversion = Conversion(self.journal, self.directories)
        self.encoder = RunEncoder(self.conversion)

    def record(self, *items: Event | Measurement) -> None:
        for item in items:
            if isinstance(item, Event):
                self.writer.write(self.encoder.event(item))
            else:
                self.writer.write(self.encoder.blocks([item]))

    def finish(self) -> Path:
        while self.conversion.advance():
            pass
        self.writer.close()
        return Path(self.conversion.finish(DONE).path)

    def die(self) -> None:
        """Let go of the files as they are, without completing anything."""
        self.writer.close()
        self.conversion.abandon()

    def recover(self) -> RunSummary:
        done = convert_journal(self.journal, self.directories)
        assert done is not None
        discard_journal(self.journal, Path(done.path))
        return done


def check_file(path: Path, events: int, streamed: int) -> None:
    with h5py.File(path) as file:
        primary = file["entry/primary"]
        assert primary["camera"].shape == (events, *SHAPE)
        for i in range(events):
            np.testing.assert_array_equal(primary["camera"][i], frame(i))
        assert primary["note"].asstr()[:].tolist() == [f"µ{i}" for i in range(events)]
        if streamed:
            value = file["entry/monitors/camera/value"]
            assert value.shape == (streamed, *SHAPE)
            for i in range(streamed):
                np.testing.assert_array_equal(value[i], frame(1000 + i))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


MIXED = (event(0), stream(0, 2), event(1), event(2), stream(2, 1), stream(3, 3), event(3))


def test_frames_do_not_pass_through_the_journal(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    assert run.writer.size < frame(0).nbytes / 10
    check_file(run.finish(), events=4, streamed=6)


def test_frames_are_recovered_from_the_unfinished_file(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()
    done = run.recover()
    assert "4 points recovered" in done.reason
    check_file(Path(done.path), events=4, streamed=6)


def test_a_recovery_that_was_interrupted_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()

    def refuse(self: RunFile, stop: RunStop) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunFile, "finish", refuse)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left"):
                run.recover()
    check_file(Path(run.recover().path), events=4, streamed=6)


def test_a_file_that_was_complete_when_the_daemon_died_is_not_made_anew(tmp_path: Path) -> None:
    """Its frames are in it and nowhere else."""
    run = Recording(tmp_path)
    run.record(*MIXED)
    path = run.finish()
    done = run.recover()
    assert (done.path, done.outcome, done.points) == (str(path), RunOutcome.COMPLETED, 4)
    check_file(path, events=4, streamed=6)
    assert not run.journal.exists()


def test_a_recovery_that_died_before_the_journal_was_gone_can_be_repeated(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()
    assert convert_journal(run.journal, run.directories) is not None
    done = run.recover()
    assert done.outcome is RunOutcome.INTERRUPTED
    check_file(Path(done.path), events=4, streamed=6)


def test_a_complete_file_with_other_points_than_the_journal_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    path = run.finish()
    with run.journal.open("ab") as file:
        for buffer in run.encoder.event(Event("late", 0, 1, COLUMNS[:1], {"stage": 1.0}, {})):
            file.write(buffer)
    assert placed_in(path) == path
    done = run.recover()
    assert (done.points, done.other_points) == (4, {"late": 1})
    check_file(path, events=4, streamed=6)


def test_an_event_whose_frame_never_reached_the_disk_is_missing_and_no_other(
    tmp_path: Path,
) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()
    partial = partial_path(run.directories.run_file(START))
    data = partial.read_bytes()
    lost = data.index(frame(2).tobytes()) + 8192
    partial.write_bytes(data[:lost] + bytes(4096) + data[lost + 4096 :])
    done = run.recover()
    assert done.reason.endswith(
        "3 points recovered; 1 of 4 acknowledged events are missing: 1 large samples had not "
        "reached the disk"
    )
    with h5py.File(done.path) as file:
        assert file["entry/primary"].attrs["missing"].tolist() == [[2, 1]]
        for row, number in enumerate((0, 1, 3)):
            np.testing.assert_array_equal(file["entry/primary/camera"][row], frame(number))
        assert file["entry/monitors/camera/value"].shape == (6, *SHAPE)


def test_without_the_unfinished_file_the_run_ends_before_its_first_frame(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(event(0))
    run.die()
    partial_path(run.directories.run_file(START)).unlink()
    assert run.recover().points == 0


def test_frames_go_to_the_journal_once_hdf5_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recording(tmp_path)
    run.record(event(0), stream(0, 1))

    def refuse(self: RunFile, *_: Any) -> int:
        raise RuntimeError("HDF5 is tired")

    with monkeypatch.context() as patch:
        patch.setattr(RunFile, "place_value", refuse)
        run.record(event(1))
    run.record(stream(1, 1), event(2))
    assert not run.conversion.advance()
    run.die()
    check_file(Path(run.recover().path), events=3, streamed=2)


async def test_an_open_run_is_read_with_its_frames(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(*MIXED)
    partial = partial_path(run.directories.run_file(START))
    size = run.writer.size
    blocks = [b async for b in read_journal(run.journal, partial, "primary", COLUMNS[1:2], size)]
    frames = np.concatenate([block.values["camera"] for block in blocks])
    np.testing.assert_array_equal(frames, np.stack([frame(i) for i in range(4)]))
    run.finish()
    with pytest.raises(StorageError, match="completed while it was being read"):
        [block async for block in read_journal(run.journal, partial, "primary")]


def test_an_event_that_is_refused_leaves_no_frame_behind(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(event(0))
    bad = Event("primary", 1, 1, COLUMNS, {"camera": frame(9), "note": "no stage"}, {})
    with pytest.raises(StorageError, match="'stage' has no value"):
        run.encoder.event(bad)
    run.record(event(1))
    check_file(run.finish(), events=2, streamed=0)


def test_a_frame_whose_row_was_never_written_is_cut_off_at_the_end(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.record(event(0))
    run.encoder.event(event(1))  # placed, but the journal never heard of it
    check_file(run.finish(), events=1, streamed=0)


@pytest.mark.parametrize("kinds", ["u2 - f8", "u2 - u2 f8 -", "u2 f8 - u2", "- u2 f8"])
def test_frames_that_become_floats_are_nan_where_there_is_none(
    tmp_path: Path, kinds: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Recording(tmp_path)
    given_types = enumerate(kinds.split())
    frames = [None if kind == "-" else frame(i).astype(kind) for i, kind in given_types]
    for i, camera in enumerate(frames):
        dtype = "<f8" if camera is None else camera.dtype.str
        shape = () if camera is None else SHAPE
        column = Column("camera", "", dtype, shape, optional=camera is None)
        values = {"camera": camera}
        run.record(Event("primary", i, START.started_ns + i, (column,), values, {}))
    with h5py.File(run.finish()) as file:
        for found, camera in zip(file["entry/primary/camera"], frames, strict=True):
            wanted = np.full(SHAPE, np.nan) if camera is None else camera
            np.testing.assert_array_equal(found, wanted)
    assert not caplog.records  # as of a file that had to be made anew


def test_frames_without_a_placer_are_in_the_journal(tmp_path: Path) -> None:
    directories = Directories(tmp_path)
    directories.create()
    writer = begin_journal(directories.journal("abc"), START)
    encoder = RunEncoder()
    writer.write(encoder.event(event(0)))
    writer.write(encoder.blocks([stream(0, 2)]))
    writer.write(encode_record(records.Kind.STOP, records.encode_stop(DONE)))
    writer.close()
    done = convert_journal(writer.path, directories)
    assert done is not None
    assert (done.outcome, done.ended_ns) == (DONE.outcome, DONE.ended_ns)
    check_file(Path(done.path), events=1, streamed=2)


@given(st.integers(0, 20), st.integers(0, 4095), st.data())
def test_the_check_sees_a_page_that_is_missing(pages: int, rest: int, data: st.DataObject) -> None:
    sample = bytearray(
        np.random.default_rng(1).integers(1, 256, pages * 4096 + rest, "u1").tobytes()
    )
    whole = sample_check(memoryview(bytes(sample)))
    if pages:
        # Pages of the file need not begin where pages of the sample do.
        begin = data.draw(st.integers(0, (pages - 1) * 4096))
        sample[begin : begin + 4096] = bytes(4096)
        assert sample_check(memoryview(bytes(sample))) != whole


MANY = (*COLUMNS, *(Column(f"w{n}", "V", "<f8", (2,)) for n in range(200)))


def wide_event(i: int) -> Event:
    values = dict(event(i).values) | {f"w{n}": np.full(2, i + n / 8) for n in range(200)}
    return Event("primary", i, START.started_ns + i, MANY, values, {})


def test_a_large_sample_waits_for_no_other_datasets(tmp_path: Path) -> None:
    """It goes to the journal until the conversion has made them, and all are in the file."""
    directories = Directories(tmp_path)
    directories.create()
    path = directories.journal("abc")
    writer = begin_journal(path, START)
    conversion = Conversion(path, directories)
    encoder = RunEncoder(conversion)
    sizes = []
    for i in range(4):
        buffers = encoder.event(wide_event(i))
        sizes.append(sum(map(len, buffers)))
        writer.write(buffers)
        if i == 1:
            while conversion.advance(writer.size):
                pass
    assert min(sizes[:2]) > frame(0).nbytes > max(sizes[2:])
    conversion._turn.acquire()  # as while it makes datasets
    writer.write(encoder.event(wide_event(4)))
    conversion._turn.release()
    summary = conversion.complete(DONE, writer.size, 5)
    writer.close()
    with h5py.File(summary.path) as file:
        for i in range(5):
            assert np.array_equal(file["entry/primary/camera"][i], frame(i))
        assert file["entry/primary/w199"][:, 0].tolist() == [24.875 + i for i in range(5)]

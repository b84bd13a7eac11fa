"""Events, blocks and documents survive the way into the journal and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daq.core import (
    Column,
    Event,
    Measurement,
    Reading,
    RunOutcome,
    RunStart,
    RunStop,
    StorageError,
)
from daq.storage.journal import records
from daq.storage.journal.block_records import BlockBatch
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import encode_record, scan
from daq.storage.journal.records import Kind
from daq.storage.journal.replay import Batch, RecordDecoder
from daq.storage.journal.row_records import RowBatch

SCALAR_TYPES = ["<f8", "<f4", "<i8", "<i4", "<u2", "|u1", "|b1", ">f8", "<c16"]


def replayed(*encoded: list[Any]) -> list[Batch]:
    data = b"".join(bytes(b) for buffers in encoded for b in buffers)
    found = scan(memoryview(data))
    assert found.consumed == len(data)
    return list(RecordDecoder().decode(found.records))


def event(sequence: int, columns: tuple[Column, ...], **values: Any) -> Event:
    times = {name: 100 * sequence + i for i, name in enumerate(values)}
    return Event("primary", sequence, 1000 + sequence, columns, values, times)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Column, ...], dict[str, np.ndarray]]:
    rows = draw(st.integers(1, 5))
    columns, values = [], {}
    for number in range(draw(st.integers(1, 5))):
        name, dtype = f"c{number}", draw(st.sampled_from([*SCALAR_TYPES, "O"]))
        shape = () if dtype == "O" else draw(st.sampled_from([(), (3,), (2, 2)]))
        columns.append(Column(name, "V", dtype, shape, "device"))
        if dtype == "O":
            texts = draw(st.lists(st.text(), min_size=rows, max_size=rows))
            values[name] = np.array(texts, dtype=object)
        else:
            values[name] = draw(hnp.arrays(dtype, (rows, *shape)))
    return tuple(columns), values


@given(tables())
def test_any_table_of_events_comes_back(
    table: tuple[tuple[Column, ...], dict[str, np.ndarray]],
) -> None:
    columns, values = table
    encoder = RunEncoder()
    rows = len(next(iter(values.values())))
    encoded = [
        encoder.event(event(i, columns, **{n: v[i] for n, v in values.items()}))
        for i in range(rows)
    ]
    (batch,) = replayed(*encoded)
    assert isinstance(batch, RowBatch)
    assert batch.columns == columns
    assert batch.first == 0
    assert batch.timestamps.tolist() == [1000 + i for i in range(rows)]
    assert batch.column_times.tolist() == [
        [100 * i + k for k in range(len(columns))] for i in range(rows)
    ]
    for column in columns:
        expected = values[column.name]
        if column.dtype == "O":
            clean = [records.clean_text(text) for text in expected]
            assert batch.values[column.name].tolist() == clean
        else:
            assert batch.values[column.name].dtype == np.dtype(column.dtype)
            np.testing.assert_array_equal(batch.values[column.name], expected)


@given(hnp.arrays(st.sampled_from(["<f8", "<u2", "|b1"]), st.sampled_from([(1,), (4,), (2, 3, 2)])))
def test_any_block_comes_back(values: np.ndarray) -> None:
    times = np.arange(len(values), dtype=np.int64)
    encoder = RunEncoder()
    (batch,) = replayed(encoder.blocks([Measurement("camera", times, values, "counts", 5)]))
    assert isinstance(batch, BlockBatch)
    assert batch.channel.name == "camera"
    assert batch.channel.units == "counts"
    np.testing.assert_array_equal(batch.values, values)
    np.testing.assert_array_equal(batch.timestamps, times)


def test_blocks_of_a_channel_are_joined_and_channels_kept_apart() -> None:
    encoder = RunEncoder()
    blocks = [
        Measurement.single(name, Reading(float(i), i), "mm", i)
        for i, name in enumerate(["x", "x", "y", "x"])
    ]
    batches = replayed(encoder.blocks(blocks))
    assert [(b.channel.name, b.values.tolist()) for b in batches] == [  # type: ignore[union-attr]
        ("x", [0.0, 1.0, 3.0]),
        ("y", [2.0]),
    ]
    assert batches[0].timestamps.tolist() == [0, 1, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 3, 2), (4,)])
@pytest.mark.parametrize("dtype", ["<f8", ">i2", "|b1"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_blocks_of_any_size_are_joined_to_what_they_were(
    sizes: tuple[int, ...], dtype: str, shape: tuple[int, ...]
) -> None:
    blocks, first = [], 0
    for size in sizes:
        numbers = np.arange(first, first + size)
        values = np.broadcast_to(numbers.reshape(size, *(1 for _ in shape)), (size, *shape))
        blocks.append(Measurement("x", numbers * 10, values.astype(dtype), "mm", first))
        first += size
    (batch,) = replayed(RunEncoder().blocks(blocks))
    assert isinstance(batch, BlockBatch)
    np.testing.assert_array_equal(batch.timestamps, np.arange(first) * 10)
    np.testing.assert_array_equal(batch.values, np.concatenate([b.values for b in blocks]))


def test_large_samples_keep_their_order_behind_what_is_small_and_before_the_end() -> None:
    """What lies elsewhere may turn out to be lost, and what follows it with it."""
    encoder = RunEncoder()
    frame = np.zeros((200, 200))

    def large(number: int) -> Measurement:
        return Measurement.single("camera", Reading(frame, number), "", number)

    stop = encode_record(Kind.STOP, records.encode_stop(RunStop(RunOutcome.COMPLETED, 9)))
    batches = replayed(
        encoder.blocks([large(0)]),
        encoder.event(event(0, X, x=1)),
        encoder.blocks([large(1)]),
        encoder.event(event(1, X, x=2)),
        stop,
    )
    assert [type(b) for b in batches] == [RowBatch, BlockBatch, RunStop]
    assert [len(b.timestamps) for b in batches[:2]] == [2, 2]  # type: ignore[union-attr]


def test_a_channel_that_changes_its_shape_begins_another_log() -> None:
    encoder = RunEncoder()
    large = Measurement.single("camera", Reading(np.zeros((4, 4)), 1), "", 0)
    small = Measurement.single("camera", Reading(np.zeros((2, 2)), 2), "", 1)
    first, second = replayed(encoder.blocks([large, small, large]))
    assert first.index != second.index  # type: ignore[union-attr]
    assert (len(first.timestamps), len(second.timestamps)) == (2, 1)  # type: ignore[union-attr]


def test_a_run_start_comes_back_with_plain_metadata() -> None:
    start = RunStart(
        "id",
        "scan",
        5,
        metadata={
            "n": 1.5,
            "a": np.arange(3, dtype="u1"),
            "t": (1, 2),
            "d": {"deep": None},
            "c": 1j,
        },
        devices={"stage": {"position": 1.0, "moving": False}},
    )
    back = records.decode_start(records.encode_start(start))
    wave = back.metadata.pop("a")  # type: ignore[attr-defined]
    assert (wave.dtype, wave.tolist()) == (np.uint8, [0, 1, 2])
    assert back.metadata == {"n": 1.5, "t": [1, 2], "d": {"deep": None}, "c": 1j}
    assert back.devices == {"stage": {"position": 1.0, "moving": False}}
    assert (back.run_id, back.name, back.started_ns) == ("id", "scan", 5)


def test_a_run_stop_comes_back() -> None:
    stop = RunStop(RunOutcome.STOPPED, 7, "enough", "ada")
    assert records.decode_stop(records.encode_stop(stop)) == stop


def test_metadata_that_no_encoding_holds_is_a_storage_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(StorageError, match="cannot be stored"):
        records.encode_start(RunStart("id", "n", 1, metadata={"endless": endless}))


def test_integers_and_numpy_scalars_fit_a_column_of_floats() -> None:
    columns = (Column("x", "mm", "<f8"), Column("n", "", "<i8"))
    encoder = RunEncoder()
    (batch,) = replayed(encoder.event(event(0, columns, x=3, n=np.int32(4))))
    assert batch.values["x"].tolist() == [3.0]  # type: ignore[union-attr, call-overload]
    assert batch.values["n"].tolist() == [4]  # type: ignore[union-attr, call-overload]


X = (Column("x", "mm", "<i8"),)
WAVE = (Column("w", "V", "<f8", (3,)),)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (event(1, X, x=0.5), r"event 1: column 'x' began as <i8 and cannot hold 0\.5"),
        (event(1, X), "column 'x' has no value"),
        (event(1, (Column("y", "mm", "<f8"),)), "column 'y' has no value"),
        (event(2, X, x=1), "expects event 1, not 2"),
        (event(1, (Column("y", "mm", "<f8", (3,)),), y=1.0), r"column 'y'.* cannot hold"),
    ],
)
def test_an_event_that_does_not_fit_is_refused_and_leaves_no_trace(bad: Event, says: str) -> None:
    encoder = RunEncoder()
    first = encoder.event(event(0, X, x=1))
    with pytest.raises(StorageError, match=says):
        encoder.event(bad)
    second = encoder.event(event(1, X, x=2))
    (batch,) = replayed(first, second)
    assert batch.values["x"].tolist() == [1, 2]  # type: ignore[union-attr, call-overload]


@pytest.mark.parametrize("value", [np.zeros(4), np.zeros((3, 1)), np.zeros(3) * 1j, 1.0])
def test_an_array_of_another_shape_or_type_is_refused(value: Any) -> None:
    encoder = RunEncoder()
    encoder.event(event(0, WAVE, w=np.zeros(3)))
    with pytest.raises(StorageError, match=r"column 'w' began as <f8 of shape \(3,\)"):
        encoder.event(event(1, WAVE, w=value))


def test_a_first_event_that_does_not_fit_its_own_columns_fixes_nothing() -> None:
    encoder = RunEncoder()
    with pytest.raises(StorageError):
        encoder.event(event(0, WAVE, w=np.zeros(4)))
    assert encoder.streams() == {}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ((), "at least one column"),
        ((X[0], X[0]), r"\['x'\] occur twice"),
        ((Column("x", "", "<M8[ns]"),), "cannot be stored"),
        ((Column("x", "", "nonsense"),), "unknown type"),
    ],
)
def test_columns_that_make_no_table_are_refused(columns: tuple[Column, ...], says: str) -> None:
    with pytest.raises(StorageError, match=says):
        RunEncoder().event(event(0, columns, x=1))


def test_rows_and_blocks_that_alternate_come_as_few_batches() -> None:
    encoder = RunEncoder()
    block = [Measurement.single("t", Reading(1.0, 1), "K", 0)]
    batches = replayed(
        encoder.event(event(0, X, x=1)), encoder.blocks(block), encoder.event(event(1, X, x=2))
    )
    assert [type(b) for b in batches] == [RowBatch, BlockBatch]
    assert [len(b.timestamps) for b in batches] == [2, 1]

"""Events cross as Arrow record batches without losing anything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daq.core import Column, EventBlock
from daq.wire.arrow import column_values, from_arrow, to_arrow

TYPES = ["<f8", "<f4", "<i8", "<u2", "|u1", "|b1", "<c16", "<c8", ">f8", ">i2", "O"]


@st.composite
def blocks(draw: st.DrawFn) -> EventBlock:
    rows = draw(st.integers(1, 4))
    columns, values = [], {}
    for number in range(draw(st.integers(1, 4))):
        dtype = draw(st.sampled_from(TYPES))
        shape = () if dtype == "O" else draw(st.sampled_from([(), (3,), (2, 4)]))
        name = draw(st.sampled_from([f"c{number}", f"laser.{number}"]))
        columns.append(Column(name, "µW", dtype, shape, "laser", "positioner"))
        if dtype == "O":
            texts = st.text(st.characters(exclude_categories=["Cs"]))
            found = draw(st.lists(texts, min_size=rows, max_size=rows))
            values[name] = np.array(found, dtype=object)
        else:
            values[name] = draw(hnp.arrays(dtype, (rows, *shape)))
    times = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 2**62)))
    return EventBlock("primary", draw(st.integers(0, 10**12)), tuple(columns), times, values)


@given(blocks())
def test_any_block_comes_back_through_an_ipc_stream(block: EventBlock) -> None:
    batch = to_arrow(block)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pa.ipc.open_stream(sink.getvalue()) as reader:
        back = from_arrow(reader.read_next_batch())
    assert (back.stream, back.first, back.columns) == (block.stream, block.first, block.columns)
    np.testing.assert_array_equal(back.timestamps, block.timestamps)
    for name, values in block.values.items():
        assert back.values[name].dtype == values.dtype
        np.testing.assert_array_equal(back.values[name], values)


def block_of(**values: np.ndarray) -> EventBlock:
    columns = tuple(Column(n, "V", v.dtype.str, v.shape[1:], "dev") for n, v in values.items())
    rows = len(next(iter(values.values())))
    return EventBlock("primary", 0, columns, np.arange(rows, dtype=np.int64), values)


def test_time_is_utc_in_ns_and_arrays_are_tensors() -> None:
    batch = to_arrow(block_of(x=np.arange(2.0), camera=np.zeros((2, 3, 4), "<u2")))
    assert batch.schema.field("time").type == pa.timestamp("ns", "UTC")
    assert batch.schema.field("x").type == pa.float64()
    assert batch.schema.field("camera").type == pa.fixed_shape_tensor(pa.uint16(), (3, 4))
    assert batch.schema.field("x").metadata[b"units"] == b"V"


def test_a_column_called_time_keeps_its_name_in_the_metadata() -> None:
    block = block_of(time=np.arange(2.0))
    assert to_arrow(block).schema.names == ["time", "time_"]
    assert from_arrow(to_arrow(block)).columns == block.columns


@pytest.mark.parametrize("array", [pa.array([1.5, 2.5]), pa.array(["a", "b"])])
def test_a_batch_of_another_maker_can_be_read_too(array: pa.Array) -> None:
    values = column_values(array, pa.field("x", array.type))
    assert values.tolist() == array.to_pylist()

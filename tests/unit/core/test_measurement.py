import numpy as np
import pytest

from daq.core import Measurement, Reading


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        (1.5, (), "f8"),
        (3, (), "i8"),
        (True, (), "?"),
        (np.float32(2), (), "f4"),
        (np.zeros(5), (5,), "f8"),
        (np.zeros((3, 4), dtype="u2"), (3, 4), "u2"),
    ],
)
def test_one_reading_is_a_block_of_one_sample(value, shape, dtype):
    block = Measurement.single("camera", Reading(value, 7), "counts", 12)
    assert len(block) == 1
    assert block.sample_shape == shape
    assert block.values.dtype == np.dtype(dtype)
    assert block.timestamps.tolist() == [7]
    assert (block.channel, block.units, block.sequence, block.event) == (
        "camera",
        "counts",
        12,
        None,
    )
    np.testing.assert_array_equal(block.last(), value)


def test_a_frame_is_not_copied():
    frame = np.zeros((3, 4))
    assert np.shares_memory(Measurement.single("camera", Reading(frame, 0), "", 0).values, frame)


@pytest.mark.parametrize(
    ("timestamps", "values"),
    [
        (np.zeros(2, dtype=np.int64), np.zeros(3)),
        (np.zeros((2, 1), dtype=np.int64), np.zeros(2)),
        (np.zeros(0, dtype=np.int64), np.zeros(0)),
        (np.zeros(1, dtype=np.int64), np.array(1.0)),
    ],
)
def test_a_block_that_does_not_fit_together_is_refused(timestamps, values):
    with pytest.raises(ValueError, match="meter: "):
        Measurement("meter", timestamps, values, "W", 0)


def test_the_size_counts_values_and_timestamps():
    block = Measurement("meter", np.zeros(4, dtype=np.int64), np.zeros((4, 2)), "W", 0)
    assert block.nbytes == 4 * 2 * 8 + 4 * 8


def test_a_block_for_an_event_is_the_same_block_marked():
    block = Measurement.single("meter", Reading(1.0, 0), "W", 3)
    marked = block.in_event(5)
    assert (marked.event, block.event) == (5, None)
    assert marked.values is block.values

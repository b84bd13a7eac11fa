"""Frames come back from LZ4 as they were, and damage is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.wire.lz4 import compress_lz4, decompress_lz4


@given(st.binary(max_size=5000))
def test_data_comes_back_as_it_was(data: bytes) -> None:
    assert decompress_lz4(compress_lz4(data), len(data)) == data


def test_an_even_frame_gets_much_smaller() -> None:
    frame = np.zeros((1024, 1024), "<u2")
    packed = compress_lz4(frame.data)
    assert len(packed) < frame.nbytes / 100
    assert decompress_lz4(packed, frame.nbytes) == frame.tobytes()
    assert packed[:4] == frame.nbytes.to_bytes(4, "little")


@pytest.mark.parametrize("data", [b"", b"abc", bytes(4), (7).to_bytes(4, "little") + b"xxxxxxx"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"announced|damaged"):
        decompress_lz4(data, 7)


def test_a_block_that_is_cut_is_refused() -> None:
    packed = compress_lz4(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match="damaged"):
        decompress_lz4(packed[: len(packed) // 2], 5120)

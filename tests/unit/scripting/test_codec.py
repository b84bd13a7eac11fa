"""The codec's own bounds, each at its last value and one beyond; nothing else stands behind it."""

from __future__ import annotations

import struct

import msgpack
import numpy as np
import pytest

from daq.scripting import codec
from daq.scripting.codec import CodecError, pack, require_plain, require_sendable, unpack

MOST = codec._MAX_ITEMS
DEEPEST = codec._MAX_DEPTH


def nested(levels: int, kind: type = list) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value] if kind is list else {"k": value}
    return value


def array(dtype: bytes, shape: tuple[int, ...], content: bytes, size: int | None = None) -> bytes:
    """As the sender of an array makes it, with whatever it says of itself."""
    header = struct.pack("<B", len(dtype) if size is None else size) + dtype
    header += struct.pack(f"<B{len(shape)}Q", len(shape), *shape)
    return msgpack.packb(msgpack.ExtType(codec._ARRAY, header + content))


@pytest.mark.parametrize("wrap", [list, lambda n: {str(i): i for i in range(len(n))}])
def test_as_many_items_as_allowed_and_no_more(wrap):
    value = wrap(range(MOST))
    require_sendable(value)
    more = wrap(range(MOST + 1))
    with pytest.raises(CodecError, match=f"more than {MOST} items"):
        require_sendable(more)
    with pytest.raises(CodecError):
        unpack(msgpack.packb(more))


def test_items_are_counted_at_all_depths():
    half = list(range(MOST // 2))
    require_sendable([half, half[:-2]])
    with pytest.raises(CodecError, match="items"):
        require_sendable([half, half[:-1]])
    with pytest.raises(CodecError, match="items"):
        unpack(msgpack.packb([half, half]))


@pytest.mark.parametrize("kind", [list, dict])
def test_as_deep_as_allowed_and_no_deeper(kind):
    assert require_plain(nested(DEEPEST, kind)) == nested(DEEPEST, kind)
    with pytest.raises(CodecError, match="plain"):
        require_plain(nested(DEEPEST + 1, kind))
    require_sendable(nested(DEEPEST + codec._ENVELOPE, kind))
    with pytest.raises(CodecError, match="nested too deeply"):
        require_sendable(nested(DEEPEST + codec._ENVELOPE + 1, kind))


def test_a_text_of_a_message_has_a_length():
    long = "x" * codec.MAX_TEXT
    require_sendable([long])
    require_sendable([{long: 1}])
    for value in ([long + "x"], [{long + "x": 1}]):
        with pytest.raises(CodecError, match="is too long"):
            require_sendable(value)
    require_sendable([["x" * (codec.MAX_TEXT + 1)]])  # a value, of which frames bound the size


@pytest.mark.parametrize("key", [1, None, b"k", 1.0, (1,)])
def test_keys_are_texts(key):
    with pytest.raises(CodecError, match="texts"):
        require_sendable({key: 1})
    with pytest.raises(CodecError, match="not text"):
        require_plain({key: 1})


@pytest.mark.parametrize("number", [-(2**63), 2**64 - 1])
def test_whole_numbers_have_64_bits(number):
    assert unpack(pack(number)) == number
    beyond = number - 1 if number < 0 else number + 1
    with pytest.raises(CodecError, match="64 bits"):
        pack(beyond)


@pytest.mark.parametrize("dtype", sorted(codec._DTYPES))
def test_each_kind_of_number_arrives_as_it_was(dtype):
    sent = np.arange(6).astype(dtype).reshape(2, 3)
    came = unpack(pack(sent))
    assert (came.dtype, came.shape, came.tolist()) == (sent.dtype, sent.shape, sent.tolist())
    assert not came.flags.writeable
    turned = sent.astype(sent.dtype.newbyteorder(">"))
    assert unpack(pack(turned)).tolist() == sent.tolist()


def test_an_array_has_eight_dimensions_at_most():
    assert unpack(pack(np.zeros((1,) * 8))).shape == (1,) * 8
    with pytest.raises(CodecError, match="9 dimensions"):
        pack(np.zeros((1,) * 9))
    with pytest.raises(CodecError, match="9 dimensions"):
        unpack(array(b"<f8", (1,) * 9, bytes(8)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(array(b"<f8", (2,), bytes(15)), id="a byte too few"),
        pytest.param(array(b"<f8", (2,), bytes(17)), id="a byte too many"),
        pytest.param(array(b"<f8", (2**61,), b""), id="a size that wraps"),
        pytest.param(array(b"<f8", (2**63, 2), bytes(8)), id="a product that wraps"),
        pytest.param(array(b"|O8", (1,), bytes(8)), id="objects"),
        pytest.param(array(b"<M8[s]", (1,), bytes(8)), id="dates"),
        pytest.param(array(b"\xff\xfe", (1,), bytes(8)), id="no text"),
        pytest.param(array(b"", (1,), bytes(8)), id="no dtype"),
        pytest.param(array(b"<f8", (), b"", size=200), id="a header that ends early"),
        pytest.param(msgpack.packb(msgpack.ExtType(codec._ARRAY, b"")), id="nothing"),
        pytest.param(msgpack.packb(msgpack.ExtType(codec._ARRAY + 1, b"x")), id="another type"),
        pytest.param(pack([1]) + b"\x00", id="surplus bytes"),
        pytest.param(pack([1, 2])[:-1], id="cut short"),
        pytest.param(msgpack.packb({1: 2}), id="a key that is a number"),
        pytest.param(b"\xa2\xff\xfe", id="a text that is none"),
        pytest.param(b"\xc1", id="the byte that means nothing"),
        pytest.param(b"", id="no byte at all"),
    ],
)
def test_what_was_not_packed_here_is_refused(data):
    with pytest.raises(CodecError):
        unpack(data)


def test_a_time_stamp_which_the_decoder_makes_by_itself_is_not_plain():
    with pytest.raises(CodecError, match="Timestamp is not plain"):
        require_plain(unpack(msgpack.packb([msgpack.Timestamp(1)])))


@pytest.mark.parametrize("value", [{1}, object(), range(3), "\ud800", np.array(["x"])])
def test_what_cannot_leave_is_named(value):
    with pytest.raises(CodecError, match=r"cannot (leave|be sent)|half a character"):
        pack(value)

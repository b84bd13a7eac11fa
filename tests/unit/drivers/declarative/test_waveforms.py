"""Waveforms and images: comma-separated numbers, blocks of IEEE 488.2, arrays of a library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import DeviceError, InvalidReadingError
from daq.drivers.declarative import parse_description
from daq.drivers.declarative.replies import decode_points, points_of, scaled
from tests.unit.drivers.declarative.talker import HEAD, talking

FLOATS = np.array([1.5, -2], "<f4")


TRACE = """
[values.scale]
read = "S?"
[values.trace]
type = "waveform"
units = "V"
shape = {shape}
read = {{ send = "W?", {how} }}
[readable]
value = "trace"
[identify]
send = "ID?"
"""


@pytest.mark.parametrize(
    ("shape", "how", "said", "expected"),
    [
        ("3", "separator = ','", b"1.5,-2,3e-3\n", [1.5, -2, 3e-3]),
        ("3", "separator = ';', convert = 'value * scale'", b"1;2;3\n", [2, 4, 6]),
        ("2", r"reply = 'CURVE ([^ ]*) END'", b"CURVE 1,2 END\n", [1, 2]),
        ("[2, 2]", "separator = ' '", b"1 2 3 4\n", [[1, 2], [3, 4]]),
        ("2", "block = '>i2', convert = '(value - 1) * scale'", b"#14\x00\x0a\xff\xff\n", [18, -4]),
        ("2", "convert = '10 * log10(abs(value)) + sqrt(value ** 2)'", b"1,-100\n", [1, 120]),
        (
            "[1, 2]",
            "block = '<f4'",
            b"#18" + FLOATS.tobytes() + b"\n",
            [[1.5, -2]],
        ),
    ],
)
async def test_waveforms_and_images(shape, how, said, expected, tmp_path, autojump_clock):
    text = TRACE.format(shape=shape, how=how)
    answers = {b"W?": said, b"S?": b"2\n", b"ID?": b"me\n"}
    async with talking(tmp_path, text, answers) as (driver, _):
        reading = await driver.read()
        np.testing.assert_allclose(reading.value, expected)
        assert reading.value.shape == driver.description.channel.shape


@pytest.mark.parametrize(
    ("how", "said", "error", "told"),
    [
        ("separator = ','", b"1,2\n", DeviceError, "it has 2 points, not 3"),
        ("separator = ','", b"1,x,3\n", DeviceError, "its numbers cannot be read"),
        ("separator = ','", b"1,2,9e400\n", InvalidReadingError, "not finite"),
        ("convert = 'value / 0'", b"1,2,3\n", InvalidReadingError, "not finite"),
        ("convert = 'log(value)'", b"1,-2,3\n", InvalidReadingError, "not finite"),
        ("convert = 'max(value, 2)'", b"1,2,3\n", DeviceError, "failed with value"),
        ("separator = ',', no_value = 'NONE'", b"NONE\n", InvalidReadingError, "'NONE'"),
        ("block = 'u1'", b"-100,no trace\n", DeviceError, "it is no block"),
        ("block = 'u1'", b"#0abc\n", DeviceError, "indefinite length"),
        ("block = '<u2'", b"#13abc\n", DeviceError, "no whole number of <u2"),
        ("block = 'u1'", b"#10\n", InvalidReadingError, "it has no points"),
    ],
)
async def test_a_waveform_that_is_none_is_told(how, said, error, told, tmp_path, autojump_clock):
    text = TRACE.format(shape="3", how=how)
    async with talking(tmp_path, text, {b"W?": said, b"ID?": b"me\n"}) as (driver, _):
        with pytest.raises(error, match=told):
            await driver.read()


floats = st.floats(-1e6, 1e6)


@given(st.lists(floats, min_size=1, max_size=50), st.sampled_from([",", ";", " ", " , "]))
def test_numbers_between_separators_come_back(numbers, separator):
    value = _waveform(f"shape = {len(numbers)}", f'separator = "{separator}"')
    found = decode_points(value, separator.join(map(repr, numbers)))
    assert found.tolist() == numbers


@given(
    st.sampled_from(["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<f4", ">f8"]),
    st.binary(min_size=8, max_size=80),
)
def test_blocks_come_back_as_numpy_reads_them(kind, data):
    size = np.dtype(kind).itemsize
    data = data[: len(data) // size * size]
    value = _waveform(f"shape = {len(data) // size}", f"block = {kind!r}")
    found = decode_points(value, f"#2{len(data):02d}" + data.decode("latin-1"))
    np.testing.assert_array_equal(found, np.frombuffer(data, kind))


@pytest.mark.parametrize(
    ("raw", "shape", "told"),
    [
        (np.zeros(3), "3", ""),
        ([1, 2, 3, 4], "[2, 2]", ""),
        ((True, False), "2", ""),
        (np.array(["a", "b"]), "2", "it is no waveform"),
        (np.zeros(3), "4", "it has 3 points, not 4"),
        (1 + 2j, "1", "it is no waveform"),
    ],
)
def test_arrays_that_a_library_gives(raw, shape, told):
    """As of an EPICS process variable of many elements."""
    value = _waveform(f"shape = {shape}", "convert = 'value * 2'")
    if told:
        with pytest.raises(ValueError, match=told):
            points_of(value, raw)
    else:
        found = scaled(value, points_of(value, raw), {})
        assert found.ravel().tolist() == [2.0 * each for each in np.ravel(raw)]


def _waveform(shape, how):
    text = f'{HEAD}[values.w]\ntype = "waveform"\nunits = "V"\n{shape}\n'
    text += f'read = {{ send = "W?", {how} }}\n[readable]\nvalue = "w"\n[identify]\nsend = "I"\n'
    return parse_description(text, "w.toml").values["w"]

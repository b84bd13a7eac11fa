"""Checksums by name: against published check values, and against every byte that may change."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daq.transport import CHECKSUM_FORMS, CHECKSUMS, Checksum
from daq.transport.checksum import WrongChecksumError

CHECK = b"123456789"
"""What catalogues of checksums give their check values for."""
VALUES = {
    "sum8": 0xDD,
    "sum16": 0x01DD,
    "sum6_printable": 0x5D,
    "negative8": 0x23,
    "xor8": 0x31,
    "crc8": 0xF4,
    "crc16_modbus": 0x4B37,
    "crc16_ccitt": 0x29B1,
    "crc16_xmodem": 0x31C3,
    "crc32": 0xCBF43926,
}
kinds = st.sampled_from(sorted(CHECKSUMS))
forms = st.sampled_from(CHECKSUM_FORMS)
data = st.binary(max_size=40)


def test_every_checksum_has_its_published_value():
    assert {kind: compute(CHECK) for kind, (_, compute) in CHECKSUMS.items()} == VALUES


@pytest.mark.parametrize(
    ("checksum", "message", "sent"),
    [
        (Checksum("sum6_printable"), b"001M", b"001M^"),  # a Thyracont gauge
        (Checksum("sum8", "decimal"), b"0010030902=?", b"107"),  # a Pfeiffer gauge
        (Checksum("sum8", "hex", skip=1), b"@0253PR4?", b"DF"),
        (Checksum("crc16_modbus", "raw_little"), bytes.fromhex("010300000001"), b"\x84\x0a"),
        (Checksum("xor8", "hex"), b"#01RD", b"#01RD34"),
        (Checksum("crc32", "hex"), CHECK, CHECK + b"CBF43926"),
        (Checksum("xor8", in_commands=False), b"?", b"?"),
    ],
)
def test_messages_are_signed_as_instruments_expect(checksum, message, sent):
    assert checksum.sign(message).removeprefix(message) == sent.removeprefix(message)


@given(kinds, forms, st.integers(0, 3), data)
def test_what_was_signed_is_verified(kind, form, skip, message):
    checksum = Checksum(kind, form, skip)
    assert checksum.verified(checksum.sign(message)) == message


@given(kinds, forms, data, st.data())
def test_a_byte_that_was_changed_is_noticed(kind, form, message, draw):
    checksum = Checksum(kind, form)
    frame = bytearray(checksum.sign(message))
    place = draw.draw(st.integers(0, len(frame) - 1))
    change = draw.draw(st.integers(1, 255))
    if kind == "sum6_printable":
        assume(((frame[place] ^ change) - frame[place]) % 64)  # of that it cannot tell
    frame[place] ^= change
    if form == "hex" and place >= len(message):
        assume(bytes(frame).upper() != checksum.sign(message))  # case says nothing there
    with pytest.raises(WrongChecksumError, match=f"computed is .*{kind}"):
        checksum.verified(bytes(frame))


@given(kinds, forms, st.binary(max_size=3))
def test_what_is_too_short_for_one_is_wrong(kind, form, frame):
    checksum = Checksum(kind, form)
    assume(len(frame) < len(checksum.sign(b"")))
    with pytest.raises(WrongChecksumError):
        checksum.verified(frame)


def test_hexadecimal_digits_may_be_small():
    assert Checksum("crc16_ccitt", "hex").verified(CHECK + b"29b1") == CHECK


def test_replies_without_one_are_taken_as_they_are():
    assert Checksum("sum8", in_replies=False).verified(b"1.5") == b"1.5"

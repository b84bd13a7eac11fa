"""What a description can say of how an instrument talks, each on an instrument that talks so."""

from __future__ import annotations

import pytest
import trio

from daq.core import ConfigurationError, DeviceError, InvalidReadingError, OfflineError
from daq.drivers.declarative import parse_description
from daq.testing.moving import move
from tests.unit.drivers.declarative.talker import HEAD, VALUE, talking


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "23.5 °C".encode()),
        ("latin-1", b"23.5 \xb0C"),
        ("cp1252", "23.5 °C".encode("cp1252")),
    ],
)
async def test_text_is_of_the_encoding_that_is_described(encoding, said, tmp_path, autojump_clock):
    text = f"""
[line]
encoding = "{encoding}"
[values.x]
units = "degC"
read = {{ send = "T°?", reply = '(.*) °C' }}
[readable]
value = "x"
"""
    question = "T°?".encode(encoding)
    async with talking(tmp_path, text, {question: said + b"\n"}) as (driver, instrument):
        assert (await driver.read()).value == 23.5
        assert instrument.log == [question]


async def test_bytes_that_are_no_text_are_a_garbled_answer(tmp_path, autojump_clock):
    text = '[line]\nencoding = "utf-8"' + VALUE
    async with talking(tmp_path, text, {b"X?": b"\xff1.5\n"}) as (driver, instrument):
        with pytest.raises(DeviceError, match="is not a number") as caught:
            await driver.read()
        assert not isinstance(caught.value, OfflineError)
        assert len(instrument.log) == 3  # asked again


async def test_nothing_is_stripped_unless_asked(tmp_path, autojump_clock):
    text = """
[values.status]
type = "int"
read = { send = "S?", reply = '(.)..', convert = "ord(text)" }
parameter = true
poll = true
[values.word]
type = "str"
read = { send = "S?", strip = true }
parameter = true
"""
    async with talking(tmp_path, text, {b"S?": b" \x81 \n"}) as (driver, _):
        assert await driver.get_parameter("status") == 0x20
        assert await driver.get_parameter("word") == "\x81"


BUSY = (
    """
[line]
acknowledge = "OK"
[errors]
busy = "BUSY"
busy_timeout = 2.0
"""
    + VALUE
)


async def test_who_is_busy_is_asked_and_told_again(tmp_path, autojump_clock):
    free_at = 0.0

    def unless_busy(answer):
        return lambda _: answer if trio.current_time() >= free_at else b"BUSY\n"

    answers = {b"X?": unless_busy(b"1.5\n"), b"X": unless_busy(b"OK\n")}
    async with talking(tmp_path, BUSY, answers) as (driver, _):
        free_at = trio.current_time() + 1.0
        assert (await driver.read()).value == 1.5
        free_at = trio.current_time() + 1.0
        await driver.set_parameter("x", 1.5)
        free_at = trio.current_time() + 60.0
        began = trio.current_time()
        with pytest.raises(
            DeviceError, match=r"'X[?]' on loopback is answered with 'BUSY' for 2 s"
        ):
            await driver.read()
        assert trio.current_time() - began < 3 * 2.5


async def test_the_password_comes_before_the_identity(tmp_path, autojump_clock):
    known = False

    def log_in(rest):
        nonlocal known
        known = rest == b"1234"
        return b"OK\n" if known else b"ERROR wrong password\n"

    text = (
        """
[options.password]
[line]
acknowledge = "OK"
[errors]
reply = 'ERROR (?P<message>.*)'
[[login]]
send = "PASS {password}"
[identify]
send = "*IDN?"
reply = 'ACME,.*'
[[init]]
send = "MODE 1"
"""
        + VALUE
    )
    answers = {
        b"PASS": log_in,
        b"*IDN?": lambda _: b"ACME,1\n" if known else b"ERROR not logged in\n",
        b"MODE": b"OK\n",
    }
    async with talking(tmp_path, text, answers, password="1234") as (_, instrument):
        assert instrument.log == [b"PASS 1234", b"*IDN?", b"MODE 1"]
    with pytest.RaisesGroup(
        pytest.RaisesExc(DeviceError, match="wrong password"), flatten_subgroups=True
    ):
        async with talking(tmp_path, text, answers, password="guess"):
            pytest.fail("it let us in")


@pytest.mark.parametrize(
    ("pattern", "said", "meaning"),
    [
        (r"(?P<code>ERROR)", b"ERROR\n", ""),
        (r"ERROR: (?P<message>.*)", b"ERROR: the door is open\n", "the door is open"),
        (r"%SYS-E, (?P<message>.*)", b"%SYS-E, syntax\r\n", "syntax"),
        (r"\?(?P<code>\d)", b"?3\n", "the slit is blocked"),
        (r".*Wrong parameter\r?\nERROR", b"Wrong parameter\r\nERROR\r\n", ""),
    ],
)
async def test_a_refusal_is_told_at_once_in_the_instruments_words(
    pattern, said, meaning, tmp_path, autojump_clock
):
    text = f"""
[line]
acknowledge = "OK"
{'reply_end = ["OK", "ERROR"]' if b"Wrong" in said else ""}
[errors]
reply = '{pattern}'
codes = {{ "3" = "the slit is blocked" }}
{VALUE}"""
    async with talking(tmp_path, text, {b"X": said, b"X?": said}) as (driver, instrument):
        began = trio.current_time()
        with pytest.raises(DeviceError, match=f"'X 1.00' on loopback got the error .*{meaning}"):
            await driver.set_parameter("x", 1.0)
        assert instrument.log == [b"X 1.00"]  # never sent twice
        with pytest.raises(DeviceError, match=r"'X[?]' on loopback got the error"):
            await driver.read()
        assert trio.current_time() - began < 0.5


async def test_a_refusal_without_the_end_of_an_answer_is_no_silence(tmp_path, autojump_clock):
    text = """
[line]
reply_end = "OK\\r\\n"
acknowledge = '.*'
[errors]
reply = '(?P<message>.*)\\s+ERROR\\s*'
"""
    answers = {b"X": b"Wrong parameter\r\nERROR\r\n", b"X?": b"1.5\r\nOK\r\n"}
    value = VALUE.replace('"X?"', "{ send = 'X?', strip = true }")
    async with talking(tmp_path, text + value, answers) as (driver, _):
        with pytest.raises(DeviceError, match=r"got the error .*Wrong parameter") as caught:
            await driver.set_parameter("x", 2.0)
        assert not isinstance(caught.value, OfflineError)
        assert (await driver.read()).value == 1.5


WHEEL = """
[line]
send_end = "\\n"
reply_end = "> "
[values.slot]
units = "1"
type = "int"
limits = [1, 6]
read = { send = "pos?", reply = 'pos\\?\\r(\\d+)\\r?' }
write = { send = "pos={value}", acknowledge = 'pos=\\d+\\r?' }
[movable]
position = "slot"
tolerance = 0.1
hold = true
home = 1
"""


async def test_a_filter_wheel_echoes_prompts_and_stands_at_whole_numbers(tmp_path, autojump_clock):
    answers = {b"pos?": b"pos?\r2\r> "}
    answers |= {f"pos={n}".encode(): f"pos={n}\r> ".encode() for n in (1, 2, 5)}
    async with talking(tmp_path, WHEEL, answers) as (driver, instrument):
        assert (await driver.position()).value == 2
        assert await move(driver, 2.0) == 2.0
        answers[b"pos?"] = b"pos?\r5\r> "
        assert await move(driver, 5.0) == 5.0
        assert b"pos=5" in instrument.log
        with pytest.raises(DeviceError, match=r"takes whole numbers, not 2\.5"):
            await driver.move_abs(2.5)


async def test_an_answer_that_ends_otherwise_is_one_too(tmp_path, autojump_clock):
    text = """
[line]
reply_end = ["OK\\r\\n", "ERROR\\r\\n"]
acknowledge = '\\s*OK'
[errors]
reply = '(?P<message>.*)\\s*ERROR'
[values.f]
units = "Hz"
limits = [0.0, 2000.0]
read = { send = "getf", reply = 'frequency = (.*) Hz\\s*OK' }
write = "setf {value:.0f}"
parameter = true
[readable]
value = "f"
"""
    answers = {
        b"getf": b"frequency = 111 Hz\r\nOK\r\n",
        b"setf": lambda rest: b"OK\r\n" if rest == b"111" else b"Wrong parameter\r\nERROR\r\n",
    }
    async with talking(tmp_path, text, answers) as (driver, _):
        await driver.set_parameter("f", 111.0)
        with pytest.raises(DeviceError, match="Wrong parameter"):
            await driver.set_parameter("f", 1500.0)
        assert (await driver.read()).value == 111.0


async def test_several_commands_set_one_value_until_one_is_refused(tmp_path, autojump_clock):
    text = """
[line]
acknowledge = "OK"
[errors]
reply = "NO"
[values.x]
units = "V"
limits = [0.0, 10.0]
write = { send = ["UNLOCK", "SET {value:.0f}", "LOCK"], convert = "value * 100" }
parameter = true
[values.y]
read = "Y?"
poll = true
"""
    answers = {
        b"UNLOCK": b"OK\n",
        b"LOCK": b"OK\n",
        b"SET": lambda rest: b"OK\n" if rest == b"150" else b"NO\n",
    }
    async with talking(tmp_path, text, answers) as (driver, instrument):
        await driver.set_parameter("x", 1.5)
        assert instrument.log == [b"UNLOCK", b"SET 150", b"LOCK"]
        instrument.log.clear()
        with pytest.raises(DeviceError, match="'SET 700' on loopback got the error 'NO'"):
            await driver.set_parameter("x", 7.0)
        assert instrument.log == [b"UNLOCK", b"SET 700"]


async def test_a_text_is_built_of_values_and_a_command_holds_them(tmp_path, autojump_clock):
    text = """
[values.maker]
type = "str"
read = { send = "ID?", field = 1 }
[values.model]
type = "str"
read = { send = "ID?", field = 2, strip = true }
[values.gain]
type = "int"
read = "G?"
[values.name]
type = "str"
text = "{maker} {model} x{gain:03d}"
parameter = true
poll = true
[values.x]
limits = [0, 9]
read = "X?"
write = "X {value:.0f},{gain}"
parameter = true
"""
    answers = {b"ID?": b"Acme, Z 1\n", b"G?": b"7\n", b"X?": b"3\n"}
    async with talking(tmp_path, text, answers) as (driver, instrument):
        assert await driver.get_parameter("name") == "Acme Z 1 x007"
        assert instrument.log.count(b"ID?") == 1
        await driver.set_parameter("x", 3)
        assert b"X 3,7" in instrument.log


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("float", b"+1.50000E+00", 1.5),
        ("int", b"7", 7),
        ("int", b"+7.0E0", 7),
        ("int", b"+9.9e37", None),
        ("float", b"nan", None),
        ("float", b"inf", None),
        ("float", b"-1e999", None),
    ],
)
async def test_a_number_that_is_none_has_no_value(kind, said, value, tmp_path, autojump_clock):
    text = VALUE.replace('units = "V"', f'units = "V"\ntype = "{kind}"').replace(".2f", "")
    text = text.replace("X {value:}", "X {value}")
    async with talking(tmp_path, text, {b"X?": said + b"\n"}) as (driver, _):
        if value is None:
            with pytest.raises(InvalidReadingError):
                await driver.read()
        else:
            read = (await driver.read()).value
            assert read == value
            assert type(read).__name__ == kind


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('encoding = "utf-88"', "line.encoding: 'utf-88' is not an encoding of text; did you"),
        ('encoding = "hex"', "line.encoding: 'hex' is not an encoding of text; such as latin-1"),
        ('encoding = "utf-16"', "line.encoding: 'utf-16' puts something before or behind each"),
        ('encoding = "utf-8-sig"', "line.encoding: 'utf-8-sig' puts something before or behind"),
        ("reply_end = []", "line.reply_end: is empty"),
        ("reply_length = 3\nreply_gap = 0.1", "line.reply_gap: a reply ends in one way"),
        ('checksum = "crc17"', "line.checksum: 'crc17' is not one of 'sum8'"),
        ('checksum = { kind = "sum8", form = "octal" }', "line.checksum.form: 'octal' is not"),
        ('send_end = "\\u03a9"', "line.send_end: 'Ω' has characters that latin-1 cannot carry"),
        ("timeout = 601", "line.timeout: 601 s is longer than an exchange may take"),
    ],
)
def test_a_line_that_cannot_be_is_refused(line, told):
    with pytest.raises(ConfigurationError) as caught:
        parse_description(f"{HEAD}[line]\n{line}\n{VALUE}", "acme.toml")
    assert told in caught.value.message

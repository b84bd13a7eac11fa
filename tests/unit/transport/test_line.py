"""Exchanges over a loopback, in virtual time: late, lost, partial, foreign and echoed replies."""

from __future__ import annotations

import contextlib
import logging
import random
from contextlib import asynccontextmanager

import pytest
import trio

from daq.core import ConfigurationError, OfflineError
from daq.transport import (
    ConnectionLostError,
    Dialect,
    FixedLength,
    IdleGap,
    Line,
    Ports,
    PortSettings,
    loopback_pair,
    trace_device,
)


class Instrument:
    """Answers `x?` with `<x>` after `delay(command)` seconds, in the order of the commands."""

    def __init__(self, nursery, delays=None, answer=None):
        self.nursery = nursery
        self.delays = delays or {}
        self.answer = answer or (lambda command: f"<{command}>\r\n".encode())
        self.heard = []
        self.opened = 0
        self.ports = Ports(self.open)
        self.far = None

    async def open(self, settings):
        await trio.lowlevel.checkpoint()
        self.opened += 1
        mine, self.far = loopback_pair()
        self.nursery.start_soon(self.live, self.far)
        return mine

    async def live(self, stream):
        buffer = b""
        try:
            while True:
                buffer += await stream.receive()
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    self.heard.append(line.decode())
                    await trio.sleep(self.delays.get(line.decode(), 0.001))
                    await stream.send(self.answer(line.decode()))
        except ConnectionLostError:
            return

    def line(self, device="stage", dialect=None, **settings):
        return Line(self.ports.port(PortSettings("loop", **settings)), device, dialect)


@asynccontextmanager
async def instrument(**options):
    async with trio.open_nursery() as nursery:
        yield Instrument(nursery, **options)
        nursery.cancel_scope.cancel()


async def test_a_question_gets_its_reply(autojump_clock):
    async with instrument() as far:
        line = far.line()
        await line.open()
        assert await line.query("a?") == "<a?>"


@pytest.mark.parametrize("late", [1.01, 1.06, 1.5, 1.95])
async def test_a_late_reply_is_never_taken_for_the_next_one(late, autojump_clock):
    async with instrument(delays={"slow?": late}) as far:
        line = far.line()
        await line.open()
        with pytest.raises(OfflineError, match=r"stage: no reply to 'slow\?' within 1 s on loop"):
            await line.query("slow?")
        for name in "abc":
            assert await line.query(f"{name}?") == f"<{name}?>"


async def hold_up(clock, after_s, seconds):
    """The whole process gets no CPU for a while."""
    await trio.sleep(after_s)
    clock.jump(seconds)


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(framing=IdleGap(0.1))])
async def test_an_instrument_is_not_silent_when_this_process_was_held_up(dialect, autojump_clock):
    async with instrument(delays={"a?": 0.9}) as far, trio.open_nursery() as nursery:
        line = far.line(dialect=dialect)
        await line.open()
        nursery.start_soon(hold_up, autojump_clock, 0.5, 10.0)
        assert (await line.query("a?")).strip() == "<a?>"


async def test_a_reply_in_pieces_stays_whole_when_this_process_was_held_up(autojump_clock):
    async with instrument(answer=lambda _: b"1.2") as far, trio.open_nursery() as nursery:
        line = far.line(dialect=Dialect(framing=IdleGap(0.1)))
        await line.open()
        nursery.start_soon(hold_up, autojump_clock, 0.05, 1.0)
        nursery.start_soon(send_later, far, 0.06, b"5\r\n")
        assert (await line.query("a?")).strip() == "1.25"


async def send_later(far, after_s, data):
    await trio.sleep(after_s)
    await far.far.send(data)


async def test_a_late_reply_is_told_from_the_next_one_when_this_process_was_held_up(autojump_clock):
    async with instrument(delays={"slow?": 1.9, "b?": 0.5}) as far, trio.open_nursery() as nursery:
        line = far.line()
        await line.open()
        with pytest.raises(OfflineError):
            await line.query("slow?")
        nursery.start_soon(hold_up, autojump_clock, 1.0, 10.0)
        assert await line.query("b?") == "<b?>"


async def test_who_is_silent_is_missed_also_by_a_process_that_was_held_up(autojump_clock):
    async with instrument(answer=lambda _: b"") as far, trio.open_nursery() as nursery:
        line = far.line()
        await line.open()
        nursery.start_soon(hold_up, autojump_clock, 0.5, 10.0)
        began = trio.current_time()
        with pytest.raises(OfflineError, match=r"no reply to 'a\?' within 1 s"):
            await line.query("a?")
        assert trio.current_time() - began == pytest.approx(0.5 + 10.0 + 1.0)


async def test_an_instrument_that_is_always_late_never_answers_for_another_question(autojump_clock):
    delays = {f"{name}?": 1.6 for name in "abcdef"}
    async with instrument(delays=delays) as far:
        line = far.line()
        await line.open()
        for name in "abcdef":
            with contextlib.suppress(OfflineError):
                assert await line.query(f"{name}?") == f"<{name}?>"


async def test_a_reply_that_never_comes_costs_one_wait_and_is_forgotten(autojump_clock):
    async with instrument(answer=lambda c: b"" if c == "none?" else f"{c}\n".encode()) as far:
        line = far.line()
        await line.open()
        with pytest.raises(OfflineError):
            await line.query("none?")
        assert await line.query("a?") == "a?"
        before = trio.current_time()
        assert await line.query("b?") == "b?"
        assert trio.current_time() - before < 0.1


@pytest.mark.parametrize("after", [0.0, 0.0005, 0.1, 0.29])
async def test_a_cancelled_question_leaves_nothing_behind(after, autojump_clock):
    async with instrument(delays={"slow?": 0.3}) as far:
        line = far.line()
        await line.open()
        with trio.move_on_after(after):
            await line.query("slow?")
        assert await line.query("a?") == "<a?>"
        assert await line.query("b?") == "<b?>"


async def test_a_partial_reply_is_in_the_error(autojump_clock):
    async with instrument(answer=lambda command: b"12.3") as far:
        line = far.line()
        await line.open()
        with pytest.raises(OfflineError, match=r"an incomplete reply came: b'12\.3'"):
            await line.query("1TP?")


async def test_what_was_not_asked_for_is_discarded(autojump_clock):
    async with instrument() as far:
        line = far.line()
        await line.open()
        await far.far.send(b"power on\r\n")
        await trio.sleep(0.1)
        assert await line.query("a?") == "<a?>"


async def test_devices_on_one_port_share_it_and_take_turns(autojump_clock):
    async with instrument(delays={"a?": 0.2}) as far:
        one, other = far.line("one"), far.line("other")
        await one.open()
        await other.open()
        answers = {}

        async def ask(line, command):
            answers[command] = await line.query(command)

        async with trio.open_nursery() as nursery:
            for line, command in ((one, "a?"), (other, "b?"), (one, "c?")):
                nursery.start_soon(ask, line, command)
        assert answers == {"a?": "<a?>", "b?": "<b?>", "c?": "<c?>"}
        assert far.opened == 1
        await one.close()
        assert await other.query("d?") == "<d?>"
        with pytest.raises(OfflineError, match=r"one: 'e\?' was not sent: it is not connected"):
            await one.query("e?")


async def test_replies_of_others_on_the_bus_are_passed_over(autojump_clock):
    def answer(command):
        return b"3PO0000\n2GS00\n" + f"{command[0]}PO1234\n".encode()

    async with instrument(answer=answer) as far:
        line = far.line()
        await line.open()
        reply = await line.query("2gp", accepts=lambda text: text.startswith("2PO"))
        assert reply == "2PO1234"


async def test_a_silent_unit_does_not_spoil_the_others(autojump_clock):
    async with instrument(answer=lambda c: b"" if c[0] == "2" else f"{c}!\n".encode()) as far:
        two, three = far.line("two"), far.line("three")
        await two.open()
        await three.open()
        with pytest.raises(OfflineError):
            await two.query("2gp", accepts=lambda text: text.startswith("2"))
        before = trio.current_time()
        assert await three.query("3gp", accepts=lambda text: text.startswith("3")) == "3gp!"
        assert trio.current_time() - before < 0.1


async def test_a_lost_connection_is_told_and_has_to_be_opened_again(autojump_clock):
    async with instrument(delays={"slow?": 0.5}) as far:
        one, other = far.line("one"), far.line("other")
        await one.open()
        await other.open()
        far.nursery.start_soon(cut_after, far, 0.1)
        with pytest.raises(OfflineError, match=r"one: the connection to loop was lost in 'slow\?'"):
            await one.query("slow?")
        with pytest.raises(OfflineError, match=r"other: 'a\?' was not sent: .* lost"):
            await other.query("a?")
        await one.open()
        assert await one.query("a?") == "<a?>"
        with pytest.raises(OfflineError):  # it has to check who is there first
            await other.query("a?")
        await other.open()
        assert await other.query("b?") == "<b?>"
        assert far.opened == 2


async def cut_after(far, seconds):
    await trio.sleep(seconds)
    await far.far.close()


async def test_echoes_are_passed_over(autojump_clock):
    def answer(command):
        return f"{command}\r\n".encode() + (b"5.0\r\n" if "?" in command else b"")

    async with instrument(answer=answer) as far:
        line = far.line(dialect=Dialect(echoes=True))
        await line.open()
        assert await line.query("a?") == "5.0"
        await line.command("b")
        assert await line.query("c?") == "5.0"


@pytest.mark.parametrize("cancelled_at", [0.0005, 0.0015, 0.005])
async def test_a_cancelled_question_on_a_line_with_echo_does_not_delay_a_stop(
    cancelled_at, autojump_clock
):
    """The echo of it that came already is not waited for once more."""

    async def answer_in_two(stream):
        while True:
            command = (await stream.receive()).decode().strip()
            await trio.sleep(0.001)
            await stream.send(f"{command}\r\n".encode())
            await trio.sleep(0.001)
            await stream.send(f"<{command}>\r\n".encode())

    async with instrument() as far:
        far.live = answer_in_two
        line = far.line(dialect=Dialect(echoes=True))
        await line.open()
        with trio.move_on_after(cancelled_at):
            await line.query("S?")
        before = trio.current_time()
        assert await line.query("X") == "<X>"
        assert trio.current_time() - before < 0.01


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("echoes", [True, False])
async def test_whatever_was_given_up_no_answer_is_a_strangers(seed, echoes, autojump_clock):
    """The instrument is slow now and then, in order; whoever asks gives up at any moment."""
    chance = random.Random(seed)

    async def answer_in_order(stream):
        heard = b""
        while True:
            heard += await stream.receive()
            while b"\n" in heard:
                line, _, heard = heard.partition(b"\n")
                command = line.decode().strip()
                if "?" in command or echoes:  # what is told is done at once
                    await trio.sleep(chance.choice([0.001, 0.003, 0.02, 0.2]))
                if echoes:
                    await stream.send(f"{command}\r\n".encode())
                if "?" in command:
                    await trio.sleep(chance.choice([0.001, 0.003, 0.05, 0.3]))
                    await stream.send(f"<{command}>\r\n".encode())

    async with instrument() as far:
        far.live = answer_in_order
        line = far.line(dialect=Dialect(echoes=echoes, timeout_s=0.5))
        await line.open()
        for _ in range(100):
            command = chance.choice(["a?", "b?", "S?", "GO"])
            with (
                trio.move_on_after(chance.choice([0.0005, 0.002, 0.01, 0.1, 5])),
                contextlib.suppress(OfflineError),
            ):
                if "?" in command:
                    assert await line.query(command) == f"<{command}>"
                else:
                    await line.command(command)


async def test_a_late_echo_of_a_command_is_not_the_reply_to_the_next_question(autojump_clock):
    def answer(command):
        return f"{command}\r\n".encode() + (b"5.0\r\n" if "?" in command else b"")

    async with instrument(answer=answer, delays={"b": 0.1}) as far:
        line = far.line(dialect=Dialect(echoes=True))
        await line.open()
        with trio.move_on_after(0.05):
            await line.command("b")
        assert await line.query("c?") == "5.0"


async def test_replies_without_marks_end_by_length_or_by_silence(autojump_clock):
    async with instrument(answer=lambda command: b"abcd") as far:
        line = far.line(dialect=Dialect(FixedLength(4)))
        await line.open()
        assert await line.query("x") == "abcd"
    async with instrument(answer=lambda command: b"whatever") as far:
        line = far.line(dialect=Dialect(IdleGap(0.02)))
        await line.open()
        assert await line.query("x") == "whatever"


async def test_the_pause_between_exchanges_is_kept(autojump_clock):
    async with instrument() as far:
        line = far.line(dialect=Dialect(pause_s=0.5))
        await line.open()
        began = trio.current_time()
        for _ in range(3):
            await line.query("a?")
        assert trio.current_time() - began > 1.0


async def test_a_port_cannot_have_two_settings(autojump_clock):
    async with instrument() as far:
        line = far.line(baudrate=9600)
        with pytest.raises(ConfigurationError, match="disagree: baudrate 9600 and 19200"):
            far.line(baudrate=19200)
        del line
        far.line(baudrate=19200)  # nobody uses the old one any more


async def test_the_trace_shows_every_byte_with_its_time(autojump_clock, caplog):
    trace_device("traced")
    async with instrument() as far:
        line, silent = far.line("traced"), far.line("silent")
        await line.open()
        await silent.open()
        with caplog.at_level(logging.DEBUG):
            await line.query("a?")
            await silent.query("b?")
    texts = [r.getMessage() for r in caplog.records if r.name.startswith("daq.trace")]
    assert texts == ["loop - open", "loop > b'a?\\n'", "loop < b'<a?>\\r\\n' (after 1.00 ms)"]


@pytest.mark.parametrize(
    ("address", "tcp"),
    [
        ("/dev/ttyUSB0", None),
        ("/dev/serial/by-id/usb-a:b", None),
        ("socket://lab:4001", ("lab", 4001)),
        ("tcp://lab:4001", ("lab", 4001)),
        ("10.0.0.5:23", ("10.0.0.5", 23)),
        ("[::1]:5000", ("::1", 5000)),
    ],
)
def test_addresses(address, tcp):
    assert PortSettings(address).tcp == tcp


@pytest.mark.parametrize("address", ["lab:0", "lab:99999", "socket://lab", "tcp://lab", ":7"])
def test_wrong_addresses_are_refused_when_configured(address):
    with pytest.raises(ConfigurationError, match="host:port"):
        Ports().port(PortSettings(address))

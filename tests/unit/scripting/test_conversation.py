"""The daemon's side against a process that may say anything."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
import trio

from daq.core import Call, Ending, LimitError, Log, Pause, Record, StopRequested
from daq.scripting.codec import pack, unpack
from daq.scripting.limits import SandboxLimits
from daq.scripting.parent.background import BackgroundCall
from daq.scripting.parent.conversation import UNDER_WAY_BYTES, Conversation
from daq.scripting.parent.running_clock import RunningClock
from daq.scripting.protocol import FrameBuffer, ProtocolError


class FakeProcess:
    def __init__(self, *messages) -> None:
        self.messages = [m if isinstance(m, bytes) else pack(m) for m in messages]
        self.answers = []
        self.behind = 0

    async def receive(self):
        await trio.lowlevel.checkpoint()
        if not self.messages:
            return None
        message = self.messages.pop(0)
        if message == b"too large":
            raise ProtocolError("a frame too large")
        return message

    def backlog(self) -> int:
        return sum(map(len, self.messages[: self.behind]))

    async def send(self, data) -> bool:
        self.answers += [unpack(payload) for payload in FrameBuffer(1 << 30).feed(data)]
        return True


class FakeInterpreter:
    def __init__(self, answer=None) -> None:
        self.answer = answer
        self.seen = []

    async def perform(self, request, *, stopping=False):
        await trio.lowlevel.checkpoint()
        self.seen.append((request, stopping))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def talking(process, interpreter, nursery, kill, **limits):
    background = BackgroundCall(nursery, interpreter)
    return Conversation(
        process, interpreter, SandboxLimits(**limits), RunningClock(), background, kill
    )


async def talk(process, interpreter, *, stop=False, **limits):
    reasons: list[str] = []
    async with trio.open_nursery() as nursery:
        conversation = talking(process, interpreter, nursery, reasons.append, **limits)
        if stop:
            conversation.stop_was_requested()
        end = await conversation.run()
    return end, reasons


async def test_a_request_is_performed_and_answered() -> None:
    process = FakeProcess(
        ["call", 5, False, "stage", "read", []], ["end", "completed", "", "", 3, [1], ""]
    )
    interpreter = FakeInterpreter(1.5)
    end, reasons = await talk(process, interpreter)
    assert process.answers == [[5, "ok", 1.5]]
    assert interpreter.seen == [(Call("stage", "read", []), False)]
    assert (end.ending, end.line, end.result, reasons) == (Ending.COMPLETED, 3, [1], [])


async def test_errors_and_stops_are_answered_as_such() -> None:
    ask = ["record", 1, False, [], {}, "primary", False, {}]
    process = FakeProcess(ask)
    await talk(process, FakeInterpreter(LimitError("too far", advice="less")))
    assert process.answers == [[1, "error", "limit", "too far", "less"]]
    process = FakeProcess(ask, ["end", "stopped", "", "", 0, None, ""])
    end, _ = await talk(process, FakeInterpreter(StopRequested()))
    assert process.answers == [[1, "stop"]]
    assert end.ending is Ending.STOPPED


async def test_cleanup_is_only_believed_after_a_stop() -> None:
    ask = ["record", 1, True, [], {}, "primary", False, {}]
    interpreter = FakeInterpreter({})
    await talk(FakeProcess(ask), interpreter)
    await talk(FakeProcess(ask), interpreter, stop=True)
    assert interpreter.seen == [(Record([], {}), False), (Record([], {}), True)]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"too large",
        b"\x91" * 5000,
        ["launch", 1],
        ["call", 1, False],
        ["end", "stopped", "", "", 0, None, ""],
        ["checked", [], [], ""],
        msgpack.packb(["end", "completed", "", "", 0, b"bytes", ""]),
    ],
)
async def test_a_malformed_frame_ends_the_program_with_a_clear_message(message) -> None:
    interpreter = FakeInterpreter()
    end, reasons = await talk(FakeProcess(message), interpreter)
    assert end is None
    assert "broke the protocol and was ended" in reasons[0]
    assert interpreter.seen == []


async def test_an_answer_that_is_too_large_is_refused_not_sent() -> None:
    process = FakeProcess(["call", 1, False, "camera", "frames", [99]])
    await talk(process, FakeInterpreter(np.zeros(70 << 20, np.uint8)))
    assert process.answers[0][1:3] == ["error", "overload"]
    assert "take fewer frames" in process.answers[0][4]


async def test_output_is_slowed_down_to_its_rate(autojump_clock) -> None:
    process = FakeProcess(*[["log", 0, False, "x" * 100, "output", 1]] * 50)
    start = trio.current_time()
    await talk(process, FakeInterpreter(), output_bytes_per_s=1000.0)
    assert trio.current_time() - start == pytest.approx(3.0)


async def test_a_stop_does_not_wait_for_the_output_before_it(autojump_clock) -> None:
    process = FakeProcess(*[["log", 0, False, "x" * 1000, "output", 1]] * 1000)
    process.behind = 900  # in the socket when the stop comes; the others fit into one more frame
    start = trio.current_time()

    async with trio.open_nursery() as nursery:
        conversation = talking(
            process, FakeInterpreter(), nursery, print, output_bytes_per_s=1000.0
        )
        nursery.start_soon(conversation.run)
        await trio.sleep(0.1)
        conversation.stop_was_requested()
    assert trio.current_time() - start == pytest.approx(0.1)


async def test_too_much_output_ends_the_program() -> None:
    process = FakeProcess(*[["log", 0, False, "x" * 100, "output", 1]] * 3)
    interpreter = FakeInterpreter()
    _, reasons = await talk(process, interpreter, max_output_mb=250 / (1 << 20))
    assert interpreter.seen == [(Log("x" * 100, "output", 1), False)] * 2
    assert "max_output_mb" in reasons[0]


@pytest.mark.parametrize(
    ("asked", "limits", "message"),
    [
        (
            ["log", 0, False, "a\n" * 10, "output", 1],
            {"max_output_lines": 15},
            "15 lines of output",
        ),
        (["record", 1, False, ["meter"], {}, "primary", False, {}], {"max_records": 1}, "1 events"),
        (
            ["point", 1, False, {}, ["meter"], 0.0, {}, "primary", {}],
            {"max_records": 1},
            "1 events",
        ),
        (["open_run", 1, False, "x", {}, "process"], {"max_runs": 1}, "1 runs"),
    ],
)
async def test_one_more_than_a_limit_allows_ends_the_program(asked, limits, message) -> None:
    interpreter = FakeInterpreter()
    _, reasons = await talk(FakeProcess(asked, asked), interpreter, **limits)
    assert len(interpreter.seen) == 1
    (name,) = limits
    assert reasons[0].startswith(f"the limit of {message} was reached ({name}); to allow more, ")


async def test_every_line_of_a_text_is_slowed_down(autojump_clock) -> None:
    process = FakeProcess(*[["log", 0, False, "a\n" * 100, "output", 1]] * 4)
    start = trio.current_time()
    await talk(process, FakeInterpreter(), output_lines_per_s=100.0)
    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_flood_of_progress_is_slowed_down(autojump_clock) -> None:
    process = FakeProcess(*[["progress", 0, False, "x"]] * 400)
    start = trio.current_time()
    await talk(process, FakeInterpreter(), output_lines_per_s=100.0)
    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_flood_is_slowed_down_during_the_cleanup_too(autojump_clock) -> None:
    frame = ["log", 0, True, "x" * 1000, "output", 1]
    under_way = UNDER_WAY_BYTES // len(pack(frame))
    process = FakeProcess(*[frame] * (under_way + 400))
    start = trio.current_time()
    await talk(process, FakeInterpreter(), stop=True, output_lines_per_s=100.0)
    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_pause_does_not_count_as_run_time(autojump_clock) -> None:
    class Slow(FakeInterpreter):
        async def perform(self, request, *, stopping=False):
            assert isinstance(request, Pause)
            await trio.sleep(60)

    clock = RunningClock()
    clock.elapsed()
    async with trio.open_nursery() as nursery:
        slow = Slow()
        background = BackgroundCall(nursery, slow)
        process = FakeProcess(["pause", 1, False, 7])
        await Conversation(process, slow, SandboxLimits(), clock, background, print).run()
    assert process.answers == [[1, "ok", None]]
    assert clock.elapsed() == 0


async def test_a_process_without_confinement_is_not_used() -> None:
    _, reasons = await talk(
        FakeProcess(["confined", {"seccomp": "no table", "landlock": "active"}]), FakeInterpreter()
    )
    assert "does not confine scripts here (seccomp: no table)" in reasons[0]


async def test_only_one_call_goes_on_in_the_background(autojump_clock) -> None:
    class Slow(FakeInterpreter):
        async def perform(self, request, *, stopping=False):
            await trio.sleep(1)

    move = ["start", 1, False, "stage", "move_abs", [1.0]]
    process = FakeProcess(
        move, move, ["join", 3, False, 0.5], ["join", 4, False, 5.0], ["join", 5, False, 0.0]
    )
    await talk(process, Slow())
    assert [answer[1:] if answer[1] == "ok" else answer[2] for answer in process.answers] == [
        ["ok", None],
        "state",
        ["ok", False],
        ["ok", True],
        ["ok", True],
    ]

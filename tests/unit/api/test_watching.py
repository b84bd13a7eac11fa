from __future__ import annotations

from dataclasses import replace

import trio

from daq.api.streams.watching import watch_execution
from daq.core import (
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    NotFoundError,
    OutputLine,
    Script,
    Transition,
)
from daq.wire.generated import daq as pb


class Queue:
    """One execution."""

    def __init__(self) -> None:
        record = ExecutionRecord(
            "e1", "s1", "knife", {}, "", (Transition(ExecutionState.RUNNING, 1),)
        )
        self.now = ExecutionView(record, version=1)
        self.lines = [OutputLine(1, "output", "before")]
        self.exact_line = 0
        self.asked = 0
        self._changed = trio.Event()

    def become(self, *, silently=False, line=None, state=None, output=None) -> None:
        record = self.now.record
        if line is not None:
            record = replace(record, line=line)
        if state is not None:
            record = replace(record, transitions=(*record.transitions, Transition(state, 9)))
        if output is not None:
            self.lines.append(OutputLine(2, "output", output))
        self.now = replace(self.now, record=record, version=self.now.version + (not silently))
        if not silently:
            self._changed.set()
            self._changed = trio.Event()

    def view(self, ref: str = "") -> ExecutionView:
        if ref not in ("", "e1"):
            raise NotFoundError(ref)
        return self.now

    async def view_with_result(self, ref: str = "") -> ExecutionView:
        await trio.lowlevel.checkpoint()
        return self.view(ref)

    async def output(self, execution_id: str, after: int = 0):
        await trio.lowlevel.checkpoint()
        return self.lines[after:], len(self.lines)

    async def locate(self, ref: str = "") -> int:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.exact_line

    def script(self, ref: str) -> Script:
        return Script(ref, "knife", "a = 1\nb = 2\nsum(range(a))\n", "", 0, {}, (), "")

    async def wait_changed(self, execution_id: str, version: int) -> int:
        while self.now.version <= version:
            await self._changed.wait()
        return self.now.version


class Watcher:
    def __init__(self) -> None:
        self.updates: list[tuple[float, pb.ExecutionUpdate]] = []

    async def __call__(self, update: pb.ExecutionUpdate) -> None:
        await trio.lowlevel.checkpoint()
        self.updates.append((trio.current_time(), update))

    @property
    def lines(self) -> list[str]:
        return [entry.text for _, update in self.updates for entry in update.output]


async def watched(queue, watcher, **request):
    with trio.fail_after(60):
        await watch_execution(queue, pb.WatchRequest(**request), watcher)


async def test_the_first_update_is_how_it_is_now(autojump_clock):
    queue, watcher = Queue(), Watcher()
    queue.become(state=ExecutionState.COMPLETED)
    await watched(queue, watcher, include_output=True)
    assert len(watcher.updates) == 1
    assert watcher.updates[0][1].status.state == "COMPLETED"
    assert watcher.lines == ["before"]


async def test_output_from_before_is_left_out_unless_asked_for(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched, queue, watcher)
        await trio.sleep(1)
        queue.become(output="after")
        queue.become(state=ExecutionState.COMPLETED)
    assert watcher.lines == ["after"]


async def test_a_change_of_state_comes_at_once_whatever_the_rate(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watched(queue, watcher, max_rate_hz=0.1))
        await trio.sleep(1)
        paused_at = trio.current_time()
        queue.become(state=ExecutionState.PAUSED)
        await trio.sleep(1)
        queue.become(state=ExecutionState.COMPLETED)
    at, update = watcher.updates[1]
    assert update.status.state == "PAUSED"
    assert at - paused_at < 0.02


async def test_lines_come_at_the_rate_that_was_asked_for(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watched(queue, watcher, max_rate_hz=5))
        for number in range(200):
            queue.become(silently=True, line=number + 1)
            await trio.sleep(0.01)
        queue.become(state=ExecutionState.COMPLETED)
    assert 9 <= len(watcher.updates) <= 13
    assert watcher.updates[-1][1].status.line == 200


async def test_nothing_is_sent_while_nothing_changes(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched, queue, watcher)
        await trio.sleep(30)
        queue.become(state=ExecutionState.COMPLETED)
    assert len(watcher.updates) == 2


async def test_a_script_that_prints_without_end_is_sent_in_batches_and_completely(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched, queue, watcher)
        await trio.sleep(0.1)
        for number in range(1000):
            queue.become(output=str(number))
            await trio.sleep(0.0001)
        queue.become(output="last", state=ExecutionState.COMPLETED)
    assert watcher.lines == [*map(str, range(1000)), "last"]
    assert len(watcher.updates) < 20


async def test_the_line_inside_of_a_long_call_is_seen_without_any_change(autojump_clock):
    queue, watcher = Queue(), Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watched(queue, watcher, max_rate_hz=5))
        await trio.sleep(1)
        queue.exact_line = 3
        await trio.sleep(1)
        queue.become(state=ExecutionState.COMPLETED)
    seen = [(u.status.line, u.status.source_line) for _, u in watcher.updates]
    assert (3, "sum(range(a))") in seen
    assert queue.asked <= 12


async def test_a_paused_execution_is_not_asked_for_its_line(autojump_clock):
    queue, watcher = Queue(), Watcher()
    queue.become(state=ExecutionState.PAUSED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watched(queue, watcher))
        await trio.sleep(1)
        assert queue.asked == 0
        queue.become(state=ExecutionState.KILLED)


async def test_much_output_comes_in_messages_that_clients_take(autojump_clock):
    queue, watcher = Queue(), Watcher()
    for number in range(1000):
        queue.become(output=f"{number} " + "x" * 16000)
    queue.become(state=ExecutionState.COMPLETED)
    await watched(queue, watcher, include_output=True)
    assert len(watcher.lines) == 1001
    assert max(sum(len(e.text) for e in u.output) for _, u in watcher.updates) <= 1 << 20

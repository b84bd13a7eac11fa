"""Executions on record, also when the database cannot be written for a while."""

import trio

from daq.core import ExecutionState, Log, Script, StorageError
from daq.experiment.execution import Execution
from daq.experiment.record_keeper import RETRY_S, RecordKeeper

from .fakes import FakeLedger


class FullDisk(FakeLedger):
    full = True

    async def save_execution(self, record, result=None):
        if self.full:
            await trio.lowlevel.checkpoint()
            raise StorageError("/data/catalogue.sqlite: database or disk is full")
        await super().save_execution(record, result)


def an_execution(keeper):
    return Execution("e1", Script("s", "x", "", "", 0), {}, "ada", lambda: 1, keeper.note)


async def test_the_newest_state_and_every_line_are_written(autojump_clock):
    ledger = FakeLedger()
    keeper = RecordKeeper(ledger)
    execution = an_execution(keeper)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for number in range(3):
            execution.on_output(Log(str(number)))
            await trio.sleep(1)
        execution.enter(ExecutionState.RUNNING)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert ledger.executions["e1"].state is ExecutionState.RUNNING
    assert [line.text for line in ledger.output["e1"]] == ["0", "1", "2"]


async def test_what_cannot_be_written_is_tried_again_and_nothing_is_lost(autojump_clock, caplog):
    ledger = FullDisk()
    keeper = RecordKeeper(ledger)
    execution = an_execution(keeper)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        execution.on_output(Log("kept"))
        await trio.sleep(3 * RETRY_S)
        assert ledger.executions == {}
        assert "is not on record yet" in caplog.text
        ledger.full = False
        await trio.sleep(RETRY_S)
        nursery.cancel_scope.cancel()
    assert [line.text for line in ledger.output["e1"]] == ["kept"]


async def test_the_end_writes_what_is_left_even_when_cancelled(autojump_clock):
    ledger = FakeLedger()
    keeper = RecordKeeper(ledger)
    execution = an_execution(keeper)
    with trio.CancelScope() as scope:
        scope.cancel()
        execution.enter(ExecutionState.RUNNING)
        await keeper.finish()
    assert ledger.executions["e1"].state is ExecutionState.RUNNING

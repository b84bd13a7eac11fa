"""In which order things reach the disk: what a power cut or a death leaves is never too little."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from daq.core import RunOutcome, RunStop, StorageError
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.conversion import convert_journal
from daq.storage.files.directories import Directories
from daq.storage.files.summaries import close_summary, summarize
from daq.storage.journal.journal import JournalWriter
from daq.storage.journal.run_journal import RunJournal, begin_journal
from tests.unit.storage.damaged_journals import START, whole_journal, write_journal
from tests.unit.storage.test_placed import MIXED, Recording
from tests.unit.storage.test_placed import event as with_frame
from tests.unit.storage.test_storage import event, start, storing

DONE = RunStop(RunOutcome.COMPLETED, 2)


class Operations(list[tuple[str, str]]):
    """What is done on disk, in its order: a word, and the name of the file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._noting_descriptor(getattr(os, name)))
        for name in ("rename", "replace", "unlink"):
            monkeypatch.setattr(Path, name, self._noting_path(name, getattr(Path, name)))
        real_put = Catalogue.put

        async def put(catalogue: Catalogue, summary: Any) -> None:
            await real_put(catalogue, summary)
            if summary.path.endswith(".h5"):
                self.append(("listed", Path(summary.path).name))

        monkeypatch.setattr(Catalogue, "put", put)

    def _noting_descriptor(self, real: Any) -> Any:
        def sync(fd: int) -> None:
            name = Path(os.readlink(f"/proc/self/fd/{fd}")).name  # noqa: PTH115
            real(fd)
            self.append(("synced", name))

        return sync

    def _noting_path(self, word: str, real: Any) -> Any:
        def deed(path: Path, *arguments: Any, **options: Any) -> Any:
            existed = path.exists()
            done = real(path, *arguments, **options)
            if existed:
                self.append((word, path.name))
            return done

        return deed

    def require_in_order(self, *expected: tuple[str, str]) -> None:
        """Each word, of a file whose name ends so, for the last time behind the one before."""
        places = []
        for word, ending in expected:
            found = [
                index
                for index, (done, name) in enumerate(self)
                if done == word and name.endswith(ending)
            ]
            assert found, (word, ending, self)
            places.append(found[-1])
        assert places == sorted(places), self


async def test_a_file_is_on_disk_named_and_listed_before_its_journal_goes(tmp_path, monkeypatch):
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start("abc"))
        await run.append(event(0))
        done = Operations(monkeypatch)
        summary = await run.close(DONE)
    month = Path(summary.path).parent.name
    done.require_in_order(
        ("synced", ".h5.partial"), ("replace", ".h5.partial"), ("synced", month),
        ("listed", ".h5"), ("unlink", "abc.journal"),
    )  # fmt: skip


async def test_so_it_is_in_a_recovery_and_what_was_set_aside_goes_last(tmp_path, monkeypatch):
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()
    done = Operations(monkeypatch)
    async with storing(tmp_path) as storage:
        (recovered,) = storage.recovered
    month = Path(recovered.path).parent.name
    done.require_in_order(
        ("rename", ".h5.partial"), ("synced", ".h5.partial"), ("replace", ".h5.partial"),
        ("synced", month), ("listed", ".h5"), ("unlink", "abc.journal"), ("unlink", ".h5.placed"),
    )  # fmt: skip


@pytest.mark.parametrize("recovering", [False, True], ids=["closing", "recovery"])
async def test_a_run_that_could_not_be_listed_keeps_its_journal(
    tmp_path, monkeypatch, recovering, caplog
):
    """And the next start lists it, with all its points, from the file that is complete."""
    real = Catalogue.put

    async def refusing(catalogue: Catalogue, summary: Any) -> None:
        if summary.path.endswith(".h5"):
            raise StorageError("the catalogue takes nothing")
        await real(catalogue, summary)

    if recovering:
        run = Recording(tmp_path)
        run.record(*MIXED)
        run.die()
    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "put", refusing)
        async with storing(tmp_path) as storage:
            if not recovering:
                open_run = await storage.open_run(start("abc"))
                await open_run.append(event(0))
                with pytest.raises(StorageError, match="takes nothing"):
                    await open_run.close(DONE)
    assert (tmp_path / "journal" / "abc.journal").exists()
    complete = list(tmp_path.rglob("*.h5"))
    async with storing(tmp_path) as storage:
        (summary,) = storage.recovered
        assert summary.points == (4 if recovering else 1)
        assert (await storage.find_run("abc")).path == summary.path == str(complete[0])
    assert not list((tmp_path / "journal").iterdir())


def test_what_comes_while_the_disk_is_forced_is_not_called_durable(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path / "x.journal")
    real, before = os.fdatasync, writer.size

    def slow(fd: int) -> None:
        real(fd)
        writer.write([b"came meanwhile"])

    monkeypatch.setattr(os, "fdatasync", slow)
    writer.sync()
    assert writer.synced == before
    assert writer.dirty
    writer.close()


def test_a_sample_is_on_disk_before_the_record_that_promises_it(tmp_path, monkeypatch):
    run = Recording(tmp_path)
    run.record(with_frame(0))
    done = Operations(monkeypatch)
    journal = RunJournal(run.writer, run.conversion, START)
    journal._sync()
    assert done == [("synced", run.conversion._file.partial.name), ("synced", "abc.journal")]
    run.record(with_frame(1))
    journal._sync()  # and again, for what was placed since
    assert done[2:] == done[:2]
    run.die()


def test_a_disk_that_refuses_a_sample_lets_no_record_promise_it(tmp_path, monkeypatch):
    run = Recording(tmp_path)
    run.record(with_frame(0))
    synced = run.writer.synced
    monkeypatch.setattr(
        run.conversion, "sync", lambda: (_ for _ in ()).throw(StorageError("refused"))
    )
    with pytest.raises(StorageError, match="refused"):
        RunJournal(run.writer, run.conversion, START)._sync()
    assert run.writer.synced == synced
    run.die()


def test_a_new_journal_and_its_name_are_on_disk_before_anything_is_acknowledged(
    tmp_path, monkeypatch
):
    done = Operations(monkeypatch)
    begin_journal(tmp_path / "x.journal", START).close()
    assert done == [("synced", "x.journal"), ("synced", tmp_path.name)]


@pytest.mark.parametrize("outcome", [RunOutcome.STOPPED, RunOutcome.FAILED, RunOutcome.KILLED])
def test_an_end_that_only_the_catalogue_knows_is_the_runs_end(tmp_path, outcome):
    journal = write_journal(tmp_path, whole_journal(stopped=False).data)
    stop = RunStop(outcome, START.started_ns + 77, "the laser was off", "ada")
    known = close_summary(summarize(START), stop, {"primary": 20, "darks": 20}, journal)
    done = convert_journal(journal, Directories(tmp_path), known=known)
    assert done is not None
    assert (done.outcome, done.ended_ns, done.by) == (outcome, START.started_ns + 77, "ada")
    assert done.reason == "the laser was off"
    with h5py.File(done.path) as file:
        assert file["entry"].attrs["outcome"] == outcome.value


def test_an_end_in_the_journal_counts_before_the_catalogues(tmp_path):
    journal = write_journal(tmp_path, whole_journal(stopped=True).data)
    stop = RunStop(RunOutcome.FAILED, START.started_ns + 77, "stale")
    known = close_summary(summarize(START), stop, {"primary": 20, "darks": 20}, journal)
    done = convert_journal(journal, Directories(tmp_path), known=known)
    assert done is not None
    assert (done.outcome, done.reason) == (RunOutcome.COMPLETED, "the script ended")


async def test_what_is_no_journal_is_kept_by_another_name_once_and_for_all(tmp_path, caplog):
    junk = b"not a journal of anything, and longer than a header"
    async with storing(tmp_path):
        pass
    (tmp_path / "journal" / "odd.journal").write_bytes(junk)
    aside = tmp_path / "journal" / "odd.unreadable"
    with caplog.at_level(logging.WARNING):
        async with storing(tmp_path):
            pass
    assert [path.name for path in aside.parent.iterdir()] == ["odd.unreadable"]
    assert aside.read_bytes() == junk
    assert str(aside) in caplog.text
    caplog.clear()
    async with storing(tmp_path) as storage:  # it is told once, and left alone from then on
        assert storage.recovered == ()
    assert aside.read_bytes() == junk
    assert caplog.text == ""


async def test_a_run_whose_journal_became_unreadable_names_a_file_that_exists(tmp_path):
    async with storing(tmp_path) as storage:
        await storage._catalogue.put(
            replace(summarize(start("odd")), path=str(tmp_path / "journal" / "odd.journal"))
        )
        (tmp_path / "journal" / "odd.journal").write_bytes(b"x" * 100)
    async with storing(tmp_path) as storage:
        run = await storage.find_run("odd")
    assert Path(run.path).read_bytes() == b"x" * 100
    assert run.outcome is RunOutcome.INTERRUPTED
    assert "could not be recovered from" in run.reason


@pytest.mark.parametrize("noted", [True, False], ids=["of today", "of a version without notes"])
def test_a_complete_file_with_less_than_the_journal_is_not_taken_for_it(
    tmp_path, monkeypatch, noted
):
    """It is of an earlier try; the journal has come on since."""
    if not noted:
        monkeypatch.setattr("daq.storage.files.conversion.read_converted", lambda _: None)
    run = Recording(tmp_path)
    run.record(event(0), event(1))
    copy = tmp_path / "copy"
    shutil.copy(run.journal, copy)
    run.record(event(2))
    path = run.finish()
    journal = path.read_bytes()
    short = Recording(tmp_path / "short")
    short.record(event(0), event(1))
    earlier = short.finish()
    shutil.copy(earlier, path)
    assert path.read_bytes() != journal
    done = convert_journal(run.journal, run.directories)
    assert done is not None
    assert done.points == 3


def test_a_file_with_less_than_was_acknowledged_is_no_file_of_the_run(tmp_path):
    run = Recording(tmp_path)
    run.record(event(0), event(1), event(2))
    with pytest.raises(StorageError, match="4 events were acknowledged, 3 are in the file"):
        run.conversion.complete(DONE, run.writer.size, 4)
    assert run.journal.exists()
    run.writer.close()

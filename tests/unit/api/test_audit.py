"""Who changed what: a line each, written by a task of its own, read back newest first."""

from __future__ import annotations

import json

import pytest
import trio

from daq.api import audit as module
from daq.api.audit import Audit, describe_call
from daq.core import AuditEntry, LimitError
from daq.wire.generated import daq as pb


@pytest.fixture
def audit(tmp_path):
    return Audit(tmp_path / "audit")


def call(audit, request, *, error=None, user="maria"):
    try:
        with audit.noting("MoveAbsolute", user=user, token=user, peer="127.0.0.1:5 (maria)"):
            describe_call(request)
            if error is not None:
                raise error
    except LimitError:
        pass


async def test_a_call_leaves_who_what_on_what_and_how_it_ended(audit):
    call(audit, pb.MoveRequest("stage", 1.5))
    call(audit, pb.MoveRequest("stage", 99.0), error=LimitError("stage: too far"))
    failed, moved = await audit.read()
    assert (moved.user, moved.method, moved.target, moved.outcome) == (
        "maria", "MoveAbsolute", "stage", "ok",
    )  # fmt: skip
    assert "value=1.5" in moved.details
    assert (failed.outcome, failed.message) == ("limit", "stage: too far")
    assert failed.timestamp_ns > moved.timestamp_ns


async def test_what_is_large_or_secret_is_not_in_it(audit):
    metadata = {str(n): "y" * 10_000 for n in range(100)}
    call(audit, pb.UploadRequest("secret = 1\n" * 10_000, "scan.py", metadata))
    (entry,) = await audit.read()
    assert entry.target == "scan.py"
    assert "secret" not in entry.details
    assert len(entry.details) < 3000


async def test_it_is_asked_by_time_and_number(audit):
    for number in range(10):
        audit.note(AuditEntry(number + 1, "jo", "", "", "StartScript", str(number)))
    assert [e.target for e in await audit.read(since_ns=4, until_ns=8)] == ["6", "5", "4", "3"]
    assert [e.target for e in await audit.read(limit=2)] == ["9", "8"]


async def test_files_are_rotated_and_only_appended_to(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE_BYTES", 2000)
    monkeypatch.setattr(module, "FILES", 3)
    for number in range(100):
        audit.note(AuditEntry(number + 1, "jo", "", "", "StartScript", str(number)))
        await audit.read(limit=1)
    files = sorted(path.name for path in (tmp_path / "audit").iterdir())
    assert files == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    kept = [entry.target for entry in await audit.read()]
    assert kept[0] == "99"
    assert kept == [str(number) for number in range(99, 99 - len(kept), -1)]
    assert all(path.stat().st_size <= 2000 for path in (tmp_path / "audit").iterdir())


async def test_half_a_line_after_a_power_cut_is_passed_over(audit, tmp_path):
    audit.note(AuditEntry(1, "jo", "", "", "StartScript"))
    await audit.read()
    with (tmp_path / "audit" / "audit.jsonl").open("a") as file:
        file.write('{"timestamp_ns": 2, "us\n')
    audit.note(AuditEntry(3, "jo", "", "", "StopScript"))
    assert [entry.timestamp_ns for entry in await audit.read()] == [3, 1]


async def test_a_disk_that_stalls_delays_nobody_and_lines_that_do_not_fit_are_counted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "WAITING", 5)
    audit = Audit(tmp_path / "audit")
    for number in range(12):
        audit.note(AuditEntry(number + 1, "jo", "", "", "StartScript"))
    newest, *others = await audit.read()
    assert (newest.outcome, newest.message) == ("lost", "7 lines")
    assert len(others) == 5
    await audit.read()
    assert len(await audit.read()) == 6


async def test_a_link_is_not_followed(tmp_path, caplog):
    audit = Audit(tmp_path)
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "other")
    audit.note(AuditEntry(1, "jo", "", "", "StartScript"))
    await audit.read()
    assert not (tmp_path / "other").exists()
    assert "the audit cannot be written" in caplog.text


async def test_what_waits_at_the_end_is_written(tmp_path):
    audit = Audit(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(audit.run)
        audit.note(AuditEntry(1, "jo", "", "", "StartScript"))
        nursery.cancel_scope.cancel()
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["method"] == "StartScript"

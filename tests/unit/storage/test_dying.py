"""A recovery that dies between any two of its steps loses nothing: the next one completes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daq.core import StorageError
from tests.unit.storage.test_placed import MIXED, Recording, check_file


class DiedError(StorageError):
    """Nothing more was done on disk; what was open is closed, as the kernel does."""


class Steps:
    """Counts the changes of the file tree, and dies before the one of this number."""

    def __init__(self, monkeypatch, last):
        self.done, self._last = 0, last
        for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (os, "fsync")):
            monkeypatch.setattr(owner, name, self._counting(getattr(owner, name)))

    def _counting(self, real):
        def step(*args, **kwargs):
            if self.done == self._last:
                raise DiedError("killed")
            self.done += 1
            return real(*args, **kwargs)

        return step


@pytest.mark.parametrize("last", range(8))
def test_what_was_acknowledged_survives_a_death_before_any_step(tmp_path, monkeypatch, last):
    run = Recording(tmp_path)
    run.record(*MIXED)
    run.die()
    with monkeypatch.context() as patch:
        Steps(patch, last)
        try:
            done = run.recover()
        except DiedError:
            done = None
    if run.journal.exists():
        done = run.recover()
    path = run.directories.run_file(run.conversion._file.start)
    assert done is None or done.points == 4
    path.with_name(path.name + ".placed").unlink(missing_ok=True)  # the last step of all
    check_file(path, events=4, streamed=6)

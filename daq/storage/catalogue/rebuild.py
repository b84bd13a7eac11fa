"""The catalogue rebuilt from the files: they hold all that it says, and more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from daq.core import RunSummary, StorageError
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_reader import summarize_file

__all__ = ["Rebuilding", "rebuild_catalogue"]

_BATCH = 20
"""Files that are read at once: some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """How far the catalogue is rebuilt."""

    done: int
    """Files looked at so far."""
    files: int
    added: int
    """Runs so far that it did not know."""
    problems: tuple[str, ...] = ()
    """What was found since the last message: files that are damaged, or not there."""


async def rebuild_catalogue(
    directories: Directories, catalogue: Catalogue
) -> AsyncGenerator[Rebuilding, None]:
    """List every run that has a file, the newest first; goes on while runs are recorded.

    A damaged file is told of and left out. A run whose file is not there is told of and kept: its
    file may be on a disk that is not mounted.
    """
    paths = await trio.to_thread.run_sync(directories.run_files)
    added = 0
    places: dict[str, Path] = {}
    for first in range(0, len(paths), _BATCH):
        batch = paths[first : first + _BATCH]
        found, problems = await trio.to_thread.run_sync(_summarize, batch, places)
        added += await catalogue.put_all(found)
        yield Rebuilding(first + len(batch), len(paths), added, tuple(problems))
    listed = await catalogue.list_files()
    missing = await trio.to_thread.run_sync(_missing, listed)
    yield Rebuilding(len(paths), len(paths), added, tuple(missing))


def _summarize(
    paths: Sequence[Path], places: dict[str, Path]
) -> tuple[list[RunSummary], list[str]]:
    found, problems = [], []
    for path in paths:
        try:
            run = summarize_file(path)
        except StorageError as error:
            problems.append(error.message)
            continue
        if (first := places.setdefault(run.run_id, path)) != path:
            problems.append(f"{path}: holds the same run as {first}, which is the one listed")
        else:
            found.append(run)
    return found, problems


def _missing(listed: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{path}: the file of run {run_id} is not there"
        for run_id, path in listed
        if not Path(path).exists()
    ]

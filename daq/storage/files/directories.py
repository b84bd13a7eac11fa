"""Where storage keeps what."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from daq.core import RunStart, StorageError

__all__ = ["Directories", "iso_time"]

_SLUG_LENGTH = 48
_SHORT_ID = 8


class Directories:
    """The tree under one storage directory. Making one touches nothing on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journals = root / "journal"
        self.runs = root / "runs"
        self.database = root / "catalogue.sqlite"

    def create(self) -> None:
        """Make what does not exist; raises StorageError when that is refused."""
        try:
            self.journals.mkdir(parents=True, exist_ok=True)
            self.runs.mkdir(exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.root}: cannot be used as the storage directory: {error.strerror}",
            advice="choose a directory that the daemon may write to",
        )

    def journal(self, run_id: str) -> Path:
        """The journal of an open run."""
        return self.journals / f"{run_id}.journal"

    def run_file(self, start: RunStart) -> Path:
        """The final HDF5 file: the same for the same run, whenever it is asked for."""
        when = datetime.fromtimestamp(start.started_ns / 1e9, UTC)
        slug = re.sub(r"[^A-Za-z0-9]+", "_", start.name).strip("_")[:_SLUG_LENGTH] or "run"
        short = re.sub(r"[^A-Za-z0-9]", "", start.run_id)[:_SHORT_ID]
        name = f"{when:%Y%m%d-%H%M%S}_{slug}_{short}.h5"
        return self.runs / f"{when:%Y}" / f"{when:%m}" / name

    def run_files(self) -> list[Path]:
        """Every complete file, the newest first: the paths begin with the time."""
        return sorted(self.runs.rglob("*.h5"), reverse=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second daemon out: it would take this one's open journals for orphans.

        The lock goes with the process, however that ends.
        """
        path = self.root / "daq.lock"
        try:
            # A link here would have the daemon write its number into another file.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StorageError(
                    f"{path} is a symbolic link, which the daemon does not follow",
                    advice="remove it; nobody needs it",
                ) from error
            raise self._unusable(error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise StorageError(
                    f"{path} is not the daemon's own: it is no plain file, or has another name too",
                    advice="remove it; nobody needs it",
                )
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    raise StorageError(
                        f"{self.root}: its file system keeps no locks ({error.strerror}), so that "
                        "two daemons could store their data here",
                        advice="choose a directory on a local disk",
                    ) from error
                holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
                raise StorageError(
                    f"{self.root}: another daemon (process {holder}) stores its data here",
                    advice="stop that daemon, or give this one another storage directory",
                ) from error
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(fd)


def iso_time(ns: int) -> str:
    """ISO 8601 in UTC with the nanoseconds cut to microseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000).isoformat()

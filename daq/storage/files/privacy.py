"""Who may read what the daemon writes: its user, and a group where one is configured."""

from __future__ import annotations

import grp
import logging
import os
import stat
from pathlib import Path

from daq.config import StorageConfig
from daq.core import StorageError

__all__ = ["keep_private"]

log = logging.getLogger(__name__)

PRIVATE = 0o700
SHARED = 0o2750
"""With the bit that gives the group to what is made in it."""


def keep_private(storage: StorageConfig) -> None:
    """Make the data directory, or close it to others: it keeps what is in it.

    Raises ConfigurationError for a group that does not exist or that the daemon is no member of,
    StorageError where the directory cannot be made.
    """
    root = storage.directory
    try:
        root.mkdir(parents=True, exist_ok=True)
        if storage.group is not None:
            _give_to(root, storage)
        _restrict(root, PRIVATE if storage.group is None else SHARED)
    except OSError as error:
        raise StorageError(
            f"{root}: cannot be used as the storage directory: {error.strerror}",
            advice="choose a directory that the daemon may write to",
        ) from error


def _give_to(root: Path, storage: StorageConfig) -> None:
    try:
        number = grp.getgrnam(storage.group or "").gr_gid
        os.chown(root, -1, number)
    except KeyError:
        raise storage.mistake(f"there is no group {storage.group!r} on this machine") from None
    except PermissionError:
        raise storage.mistake(
            f"the daemon's user is no member of the group {storage.group!r}",
            advice=f"usermod -a -G {storage.group} USER, and log in again",
        ) from None


def _restrict(root: Path, wanted: int) -> None:
    status = root.stat()
    mode = status.st_mode & 0o7777
    # Not what was meant for many: `--data-dir /tmp`, or a home directory.
    is_of_many = mode & stat.S_ISVTX or root.samefile(Path.home()) or root.is_mount()
    if mode == wanted or status.st_uid != os.geteuid() or is_of_many:
        return
    if mode & 0o007:
        log.info("%s is closed to other users of this machine from now on", root)
    root.chmod(wanted)

"""What the guard writes down: its report, and the last wills, should it die with the daemon."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from .line import Json

VERSION = 1
"""Of the kept wills."""
KEPT = "wills.json"


def keep(orders: Json) -> None:
    """Keep last wills on disk until they are carried out, or nobody needs them. Raises OSError."""
    born = started_at(orders["pid"])
    document = {"version": VERSION, "boot": boot(), "born": born, "orders": orders}
    _write(Path(orders["directory"]), KEPT, document)


def forget(directory: Path) -> None:
    """Nothing is left to do."""
    (directory / KEPT).unlink(missing_ok=True)
    _sync(directory)


def write_report(orders: Json, report: Json) -> Path:
    """Raises OSError."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(report["timestamp_ns"] / 1e9))
    name = f"report-{stamp}-{orders['pid']}.json"
    return _write(Path(orders["directory"]), name, report)


def boot() -> str:
    """What tells one start of the machine from all others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started_at(pid: int) -> int | None:
    """When a living process was started: no other with its number was at the same tick."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _write(directory: Path, name: str, document: Json) -> Path:
    """On disk before it is there under its name: nobody ever reads half of it."""
    draft = directory / f".{name}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    path = draft.rename(directory / name)
    _sync(directory)
    return path


def _sync(directory: Path) -> None:
    """A name is on disk when its folder is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

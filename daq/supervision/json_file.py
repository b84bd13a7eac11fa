"""Small documents on disk: whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from daq.core import StorageError

__all__ = ["read_json", "read_kept", "set_aside_in", "write_json"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ASIDE = "damaged-"


def write_json(path: Path, document: Any) -> None:
    """On disk before it is there under its name, which is on disk too. Raises StorageError."""
    # A draft of its own: others may be writing the same document.
    draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_names(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _sync_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """Raises FileNotFoundError, or StorageError for a file that is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{path} cannot be read: {reason}", advice="repair the file, or delete it"
        ) from error


def read_kept(path: Path, version: int, parse: Callable[[Any], T]) -> tuple[T | None, str]:
    """Read what a daemon before this one has kept; a file that cannot be read stops no start.

    Args:
        path: It is set aside if it is damaged, or was written by a later daq.
        version: The latest that can be read; a document without one is older than versions.
        parse: Makes something of the document; raises what it likes.

    Returns:
        What it holds, None when there is no such file or it could not be read; and in words what is
        wrong with it, empty when nothing is.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document.get("version", 1)
        if isinstance(found, int) and found > version:
            raise ValueError(f"it is of version {found}, which a later daq wrote")
        return parse(document), ""
    except FileNotFoundError:
        return None, ""
    except Exception as error:  # noqa: BLE001 - whatever stands in it
        why = getattr(error, "strerror", None) or error
        why = f"there is no {why} in it" if isinstance(error, KeyError) else why
        damage = f"{path} cannot be read: {why}; it is kept as {_set_aside(path)}"
        logger.error("%s", damage)  # noqa: TRY400
        return None, damage


def set_aside_in(directory: Path) -> tuple[str, ...]:
    """A sentence for each file there that no start could read, until somebody takes it away."""
    return tuple(
        f"{path} could not be read when the daemon started: repair it and put it back, or delete it"
        for path in sorted(directory.glob(f"{_ASIDE}*"))
    )


def _set_aside(path: Path) -> str:
    """Under a name of its own, where nothing is written over it."""
    aside = path.with_name(f"{_ASIDE}{uuid.uuid4().hex[:8]}-{path.name}")
    with suppress(OSError):
        path.rename(aside)
        return aside.name
    return path.name

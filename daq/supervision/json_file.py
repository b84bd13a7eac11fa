"""Small documents on disk: whole or not at all."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from daq.core import StorageError

__all__ = ["read_json", "write_json"]


def write_json(path: Path, document: Any) -> None:
    """Raises StorageError."""
    # A draft of its own: others may be writing the same document.
    draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


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

"""Reads the files that commands are given."""

from __future__ import annotations

from pathlib import Path

from daq.core import ConfigurationError

__all__ = ["read_source"]


def read_source(path: Path) -> str:
    """The text of a script. Raises ConfigurationError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not a text file in UTF-8: {error.reason}") from error

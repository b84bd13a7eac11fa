"""The names that things of a run have inside of its HDF5 file."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["BLOCKS", "ENTRY_PARTS", "STREAM_PARTS", "dataset_name"]

ENTRY_PARTS = (
    "data", "devices", "duration", "end_time", "entry_identifier", "instrument", "metadata",
    "monitors", "program_name", "sample", "script", "start_time", "title", "user", "versions",
)  # fmt: skip
"""What `/entry` holds besides the streams, none of which is ever called so."""

BLOCKS = "column_blocks"
"""The columns of a stream that has many, side by side."""

STREAM_PARTS = ("time", "timestamps", "valid", "lengths", BLOCKS)
"""What a stream holds besides its columns, none of which is ever called so."""


def dataset_name(name: str, taken: Container[str] = ()) -> str:
    """A name that HDF5 can take for a column, device or channel called `name`."""
    safe = name.replace("/", "_").replace("\0", "_").strip() or "unnamed"
    safe = "_" if safe in {".", ".."} else safe
    while safe in taken:
        safe += "_"
    return safe

"""Writes the batches of a run to a file that other programs read: CSV, Parquet or Arrow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from daq.core import NotFoundError, ParameterError, StorageError
from daq.wire.arrow import column_values

if TYPE_CHECKING:
    from io import IOBase

__all__ = ["FORMATS", "write_batches"]

_MOST_CSV_COLUMNS = 64

_WORDS = {"csv": "comma-separated text", "parquet": "Apache Parquet", "arrow": "Arrow IPC file"}

FORMATS = tuple(_WORDS)
"""What `write_batches` can write."""


class _BatchWriter(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def write_batches(
    batches: Iterable[pa.RecordBatch], file_format: str, target: Path | BinaryIO
) -> tuple[str, ...]:
    """Write batches of one schema, holding one at a time; returns what was left out.

    CSV has no arrays: a waveform of up to 64 samples becomes columns `name[0]`, `name[1]`, ...; a
    longer one, or a frame, is left out and the answer says so. Parquet and Arrow hold everything.
    A file appears when it is complete; to a stream Arrow is written in its stream format, not its
    file format. Raises NotFoundError when there is no batch, ParameterError for another format,
    StorageError when the disk refuses.
    """
    if file_format not in _WORDS:
        raise ParameterError(
            f"there is no format {file_format!r}",
            advice=f"choose one of {', '.join(FORMATS)}",
        )
    source = iter(batches)
    first = next(source, None)
    if first is None:
        raise NotFoundError("there are no events to write", advice="is it the right stream?")
    everything = chain([first], source)
    if not isinstance(target, Path):
        return _write(file_format, first.schema, everything, target)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as file:
            notes = _write(file_format, first.schema, everything, file)
        partial.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return notes


def _write(
    file_format: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: BinaryIO
) -> tuple[str, ...]:
    if file_format == "csv":
        return _write_csv(schema, batches, sink)
    _write_binary(file_format, schema, batches, sink)
    return ()


def _write_csv(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: BinaryIO
) -> tuple[str, ...]:
    left_out = [field.name for field in schema if _width(field) > _MOST_CSV_COLUMNS]
    flat = (_flatten(batch) for batch in batches)
    first = next(flat)
    with pa.csv.CSVWriter(sink, first.schema) as writer:
        for batch in chain([first], flat):
            writer.write_batch(batch)
    return tuple(
        f"column {name!r} is not in the file: CSV cannot hold arrays of shape "
        f"{list(schema.field(name).type.shape)}"
        for name in left_out
    )


def _write_binary(
    file_format: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: BinaryIO
) -> None:
    writer: _BatchWriter
    if file_format == "parquet":
        writer = pa.parquet.ParquetWriter(sink, schema)
    elif sink.seekable():
        writer = pa.ipc.new_file(cast("IOBase", sink), schema)
    else:
        writer = pa.ipc.new_stream(cast("IOBase", sink), schema)
    with contextlib.closing(writer):
        for batch in batches:
            writer.write_batch(batch)


def _width(field: pa.Field[Any]) -> int:
    """How many CSV columns a field takes."""
    if not isinstance(field.type, pa.FixedShapeTensorType):
        return 1
    return math.prod(field.type.shape)


def _flatten(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same batch with small arrays spread over columns and large ones left out."""
    columns: dict[str, Any] = {}
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if not isinstance(field.type, pa.FixedShapeTensorType):
            columns[field.name] = array
        elif _width(field) <= _MOST_CSV_COLUMNS:
            columns.update(_spread(field, array))
    return pa.record_batch(columns)


def _spread(field: pa.Field[Any], array: pa.Array[Any]) -> Iterator[tuple[str, pa.Array[Any]]]:
    values = column_values(array, field)
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    flat = native.reshape(len(values), -1)
    if flat.dtype.kind == "c":
        parts = {"re": flat.real, "im": flat.imag}
        for index in range(flat.shape[1]):
            for part, numbers in parts.items():
                yield f"{field.name}[{index}].{part}", pa.array(numbers[:, index])
        return
    for index in range(flat.shape[1]):
        yield f"{field.name}[{index}]", pa.array(flat[:, index])

"""Writes the batches of a run to a file that other programs read: CSV, Parquet or Arrow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from daq.core import NotFoundError, ParameterError, StorageError, axis_label
from daq.core.columns import rows_missing
from daq.core.values import to_json
from daq.wire.arrow import column_of, column_values, is_time_of

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
    batches: Iterable[pa.RecordBatch],
    file_format: str,
    target: Path | BinaryIO,
    *,
    units: bool = True,
) -> tuple[str, ...]:
    """Write batches of one schema, holding one at a time.

    CSV has no arrays: a waveform of up to 64 samples becomes columns `name[0]`, `name[1]`, ...; a
    longer one, or a frame, is left out and the answer says so. Arrays of different lengths stand in
    one cell each, as a JSON list. A complex number is two columns, `name.re` and `name.im`; what is
    missing is an empty cell. With `units` the header tells them: `stage (mm)`. Parquet and Arrow
    hold everything.
    A file appears when it is complete; to a stream Arrow is written in its stream format, not its
    file format.

    Returns:
        A sentence for each column that was left out or renamed.

    Raises:
        NotFoundError: There is no batch.
        ParameterError: There is no such format.
        StorageError: The disk refuses.
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
        return _write(file_format, first.schema, everything, target, units=units)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as file:
            notes = _write(file_format, first.schema, everything, file, units=units)
        partial.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return notes


def _write(
    file_format: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    sink: BinaryIO,
    *,
    units: bool,
) -> tuple[str, ...]:
    if file_format == "csv":
        return _write_csv(schema, batches, sink, units=units)
    _write_binary(file_format, schema, batches, sink)
    return ()


def _write_csv(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: BinaryIO, *, units: bool
) -> tuple[str, ...]:
    left_out = [field.name for field in schema if _width(field) > _MOST_CSV_COLUMNS]
    renamed = [
        f"column {column_of(field).name!r} is called {field.name!r} in the file: that name is taken"
        for field in schema
        if field.metadata and is_time_of(field) is None and field.name != column_of(field).name
    ]
    flat = (_flatten(batch, units=units) for batch in batches)
    first = next(flat)
    with pa.csv.CSVWriter(sink, first.schema) as writer:
        for batch in chain([first], flat):
            writer.write_batch(batch)
    return (
        *renamed,
        *(
            f"column {name!r} is not in the file: CSV cannot hold arrays of shape "
            f"{list(column_of(schema.field(name)).shape)}"
            for name in left_out
        ),
    )


def _write_binary(
    file_format: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: BinaryIO
) -> None:
    writer: _BatchWriter
    if file_format == "parquet":
        writer = pq.ParquetWriter(sink, schema)
    elif sink.seekable():
        writer = pa.ipc.new_file(cast("IOBase", sink), schema)
    else:
        writer = pa.ipc.new_stream(cast("IOBase", sink), schema)
    with contextlib.closing(writer):
        for batch in batches:
            writer.write_batch(batch)


def _width(field: pa.Field[Any]) -> int:
    """How many CSV columns a field takes."""
    return 1 if _is_list(field) else math.prod(column_of(field).shape)


def _is_list(field: pa.Field[Any]) -> bool:
    return pa.types.is_list(field.type)


def _flatten(batch: pa.RecordBatch, *, units: bool) -> pa.RecordBatch:
    """The same batch with small arrays spread over columns and large ones left out."""
    parts: list[tuple[str, pa.Array[Any]]] = []
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if _width(field) > _MOST_CSV_COLUMNS:
            continue
        unit = column_of(field).units if units and field.metadata else ""
        parts += [(axis_label(name, unit), part) for name, part in _spread(field, array)]
    names: list[str] = []
    for name, _ in parts:
        free = name
        while free in names:  # `w[0]` of a waveform `w`, beside a column of that name
            free += "_"
        names.append(free)
    return pa.record_batch([part for _, part in parts], names=names)


def _spread(field: pa.Field[Any], array: pa.Array[Any]) -> Iterator[tuple[str, pa.Array[Any]]]:
    column = column_of(field)
    if _is_list(field):
        yield field.name, pa.array(map(_as_text, column_values(array, field)), pa.string())
        return
    if not column.shape and column.dtype[1:2] != "c":
        yield field.name, array
        return
    values = column_values(array, field)
    gone = rows_missing(values)
    numbers = np.ma.getdata(values)
    flat = numbers.astype(numbers.dtype.newbyteorder("="), copy=False).reshape(len(values), -1)
    for index in range(flat.shape[1]):
        name = f"{field.name}[{index}]" if column.shape else field.name
        if flat.dtype.kind == "c":
            yield f"{name}.re", pa.array(flat[:, index].real, mask=gone)
            yield f"{name}.im", pa.array(flat[:, index].imag, mask=gone)
        else:
            yield name, pa.array(flat[:, index], mask=gone)


def _as_text(sample: Any) -> str | None:
    return None if sample is None else to_json(sample, typed=False)

"""Events as Arrow record batches, and back.

Column `time` is timestamp[ns, UTC]; arrays are fixed-shape tensors; what Arrow has no word for (the
units, the numpy type, the role of a column) is in the fields' metadata, so that nothing is lost on
the way there and back.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daq.core import Column, EventBlock, Measurement

__all__ = ["TIME", "column_values", "from_arrow", "measurement_to_arrow", "to_arrow"]

TIME = "time"
"""The name of the first column: when each event was taken."""

Array = npt.NDArray[Any]


def to_arrow(block: EventBlock) -> pa.RecordBatch:
    """The block as a record batch, `time` first.

    A column that is itself called `time` becomes `time_`; its own name is in the metadata.
    """
    fields = [pa.field(TIME, pa.timestamp("ns", "UTC"))]
    arrays = [_plain(block.timestamps).view(fields[0].type)]
    for column in block.columns:
        array = _encode(block.values[column.name])
        fields.append(_field(_free_name(column.name, fields), array.type, column))
        arrays.append(array)
    metadata: dict[bytes | str, bytes | str] = {"stream": block.stream, "first": str(block.first)}
    return pa.record_batch(arrays, schema=pa.schema(fields, metadata=metadata))


def measurement_to_arrow(block: Measurement) -> pa.RecordBatch:
    """The samples as the rows of a table with one column, which bears the channel's name.

    The schema's metadata hold the channel as `stream` and the first sample's number as `first`.
    """
    channel = block.channel
    column = Column(channel, block.units, block.values.dtype.str, block.sample_shape)
    values = {channel: block.values}
    return to_arrow(EventBlock(channel, block.sequence, (column,), block.timestamps, values))


def from_arrow(batch: pa.RecordBatch) -> EventBlock:
    """The inverse of `to_arrow`."""
    metadata = batch.schema.metadata or {}
    columns = tuple(_column(field) for field in batch.schema if field.name != TIME)
    names = [field.name for field in batch.schema if field.name != TIME]
    values = {
        column.name: column_values(batch.column(name), batch.schema.field(name))
        for column, name in zip(columns, names, strict=True)
    }
    return EventBlock(
        metadata.get(b"stream", b"primary").decode(),
        int(metadata.get(b"first", b"0")),
        columns,
        np.asarray(batch.column(TIME).view(pa.int64())),
        values,
    )


def column_values(array: pa.Array[Any], field: pa.Field[Any]) -> Array:
    """A column of a batch as a numpy array of shape (n, *sample shape), of its original type."""
    column = _column(field)
    dtype = np.dtype(column.dtype)
    if pa.types.is_string(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=object)
    if isinstance(array, pa.FixedShapeTensorArray):
        values = np.asarray(array.to_numpy_ndarray())
    else:
        values = np.asarray(array.to_numpy(zero_copy_only=False))
    return _restore(values, dtype).reshape((len(array), *column.shape))


@functools.lru_cache(maxsize=256)  # a channel's field is the same in batch after batch
def _field(name: str, kind: pa.DataType, column: Column) -> pa.Field[Any]:
    return pa.field(name, kind, metadata=_note(column))


def _note(column: Column) -> dict[str, str]:
    return {
        "column": column.name,
        "units": column.units,
        "dtype": column.dtype,
        "shape": json.dumps(column.shape),
        "source": column.source,
        "role": column.role,
    }


def _column(field: pa.Field[Any]) -> Column:
    note = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Column(
        note.get("column", field.name),
        note.get("units", ""),
        note.get("dtype") or np.dtype(field.type.to_pandas_dtype()).str,
        tuple(json.loads(note.get("shape", "[]"))),
        note.get("source", ""),
        note.get("role", "detector"),
    )


def _free_name(name: str, fields: Iterable[pa.Field[Any]]) -> str:
    taken = {field.name for field in fields}
    while name in taken:
        name += "_"
    return name


def _encode(values: Array) -> pa.Array[Any]:
    if values.dtype.hasobject:
        return pa.array(values.tolist(), pa.string())
    native = _native(values)
    if native.ndim == 1 and values.dtype.kind == "b":
        return pa.array(values)
    if native.ndim == 1:
        return _plain(native)
    flat: Any = _plain(native.reshape(-1))
    kind: Any = pa.fixed_shape_tensor(flat.type, native.shape[1:])
    rows = pa.FixedSizeListArray.from_arrays(flat, type=cast("Any", kind.storage_type))
    return pa.ExtensionArray.from_storage(kind, rows)


def _plain(values: Array) -> pa.Array[Any]:
    """Numbers as they lie in memory. `pa.array` would import pandas for it, half a second long."""
    memory: Any = np.ascontiguousarray(values)
    buffer = pa.py_buffer(memory)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def _native(values: Array) -> Array:
    """The same numbers in a type that Arrow has: complex as (re, im), booleans as bytes."""
    if values.dtype.kind == "b":
        return values.view(np.uint8) if values.ndim > 1 else values
    ordered = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "c":
        parts = np.ascontiguousarray(ordered)[..., np.newaxis]
        return parts.view(np.float64 if values.dtype.itemsize > 8 else np.float32)
    return ordered


def _restore(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "c":
        complex_type = np.complex128 if dtype.itemsize > 8 else np.complex64
        values = np.ascontiguousarray(values).view(complex_type)[..., 0]
    return values.astype(dtype, copy=False)

"""Events as Arrow record batches, and back.

Column `time` is timestamp[ns, UTC]; arrays are fixed-shape tensors, those of different lengths
lists; complex numbers are structs of `re` and `im`; what is missing is null. What Arrow has no word
for (the units, the numpy type, the role of a column, its own name where that was taken) is in the
fields' metadata, so that nothing is lost on the way there and back.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daq.core import Column, EventBlock, Measurement
from daq.core.columns import nothing, rows_missing
from daq.core.names import TIME, table_names, unique_names

__all__ = [
    "TIME",
    "column_of",
    "column_values",
    "from_arrow",
    "is_time_of",
    "measurement_to_arrow",
    "to_arrow",
]

_TIME_OF = "time of"

Array = npt.NDArray[Any]


def to_arrow(block: EventBlock, *, times: bool = False) -> pa.RecordBatch:
    """The block as a record batch, `time` first.

    A column that is itself called `time` becomes `time_`; its own name is in the metadata. With
    `times` a column `time of NAME` follows each, which tells when each of its values was read.
    """
    fields = [pa.field(TIME, pa.timestamp("ns", "UTC"))]
    arrays = [_memory(block.timestamps).view(fields[0].type)]
    names = table_names(column.name for column in block.columns)
    taken = set(names.values())
    for column in block.columns:
        array = _encode(block.values[column.name], column)
        fields.append(_field(names[column.name], array.type, column))
        arrays.append(array)
        if times:
            read = block.column_times.get(column.name, block.timestamps)
            gone = rows_missing(block.values[column.name])
            name = unique_names([f"{_TIME_OF} {column.name}"], taken)[f"{_TIME_OF} {column.name}"]
            taken.add(name)
            note = {_TIME_OF: column.name}
            fields.append(pa.field(name, fields[0].type, metadata=note))
            arrays.append(pa.array(read, pa.int64(), mask=gone).view(fields[0].type))
    metadata: dict[bytes | str, bytes | str] = {"stream": block.stream, "first": str(block.first)}
    return pa.record_batch(arrays, schema=pa.schema(fields, metadata=metadata))


def is_time_of(field: pa.Field[Any]) -> str | None:
    """The column of which a field tells when its values were read; None for any other field."""
    name = (field.metadata or {}).get(_TIME_OF.encode())
    return None if name is None else name.decode()


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
    fields = [f for f in batch.schema if f.name != TIME and is_time_of(f) is None]
    columns = tuple(column_of(field) for field in fields)
    values = {
        column.name: column_values(batch.column(field.name), field)
        for column, field in zip(columns, fields, strict=True)
    }
    times = {
        of: np.asarray(batch.column(field.name).view(pa.int64()).fill_null(0))
        for field in batch.schema
        if (of := is_time_of(field)) is not None
    }
    return EventBlock(
        metadata.get(b"stream", b"primary").decode(),
        int(metadata.get(b"first", b"0")),
        columns,
        np.asarray(batch.column(TIME).view(pa.int64())),
        values,
        times,
    )


def column_values(array: pa.Array[Any], field: pa.Field[Any]) -> Array:
    """A column of a batch as an `EventBlock` holds it: of its original type and shape."""
    column = column_of(field)
    if column.varies or pa.types.is_string(array.type):
        return _objects(array, column)
    gone = np.asarray(array.is_null())
    values = _numbers(array, column)
    if not (column.optional or gone.any()):
        return values
    mask = np.broadcast_to(gone.reshape(-1, *(1,) * len(column.shape)), values.shape)
    clean = np.where(mask, np.asarray(nothing(column.dtype), column.dtype), values)
    return np.ma.array(clean, mask=mask.copy())


def _objects(array: pa.Array[Any], column: Column) -> Array:
    """Texts, or arrays of different lengths; None where nothing is."""
    if not column.varies:
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=object)
    samples = np.empty(len(array), object)
    for row in range(len(array)):
        sample: Any = array[row]
        if sample.is_valid:
            samples[row] = _sample(sample.values, column)
    return samples


def _sample(values: pa.Array[Any], column: Column) -> Array:
    """One array of different lengths, which comes as a list of lists."""
    shape = [len(values)]
    while pa.types.is_list(values.type):
        nested: Any = values
        shape.append(len(nested.flatten()) // len(nested) if len(nested) else 0)
        values = nested.flatten()
    return _restore(values, np.dtype(column.dtype)).reshape(shape)


def _numbers(array: pa.Array[Any], column: Column) -> Array:
    """Numbers and arrays of a fixed shape; what is null is anything."""
    flat: Any = array
    if isinstance(flat, pa.ExtensionArray):
        flat = flat.storage
    if pa.types.is_fixed_size_list(flat.type):
        width = flat.type.list_size
        flat = flat.values.slice(flat.offset * width, len(flat) * width)
    return _restore(flat, np.dtype(column.dtype)).reshape((len(array), *column.shape))


def _restore(flat: Any, dtype: np.dtype[Any]) -> Array:
    """The numbers in their own type."""
    if pa.types.is_struct(flat.type):
        parts = [_restore(flat.field(n), np.dtype(np.float64)) for n in ("re", "im")]
        values = np.empty(len(flat), np.complex128)
        values.real, values.imag = parts
        return values.astype(dtype, copy=False)
    if flat.null_count:
        flat = flat.fill_null(False if pa.types.is_boolean(flat.type) else 0)
    return np.asarray(flat.to_numpy(zero_copy_only=False)).astype(dtype, copy=False)


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
        "optional": "true" if column.optional else "false",
        "note": column.note,
    }


def column_of(field: pa.Field[Any]) -> Column:
    """The column that a field holds."""
    note = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Column(
        note.get("column", field.name),
        note.get("units", ""),
        note.get("dtype") or _dtype_of(field.type),
        tuple(json.loads(note.get("shape", "[]"))),
        note.get("source", ""),
        note.get("role", "detector"),
        note.get("optional") == "true",
        note.get("note", ""),
    )


def _dtype_of(kind: pa.DataType) -> str:
    """Of a field that does not say it, such as `time`."""
    is_time = pa.types.is_timestamp(kind)
    return "<M8[ns]" if is_time else np.dtype(kind.to_pandas_dtype()).str


def _encode(values: Array, column: Column) -> Any:
    if column.dtype == "O":
        return pa.array(values.tolist(), pa.string())
    if column.varies:
        return _encode_ragged(values, column)
    gone = rows_missing(values) if column.optional else None
    numbers = np.ma.getdata(values)
    if not column.shape:
        return _flat(numbers, gone)
    flat = _flat(_as_bytes(numbers).reshape(-1))
    width = int(np.prod(column.shape, dtype=np.int64))
    rows: Any = pa.FixedSizeListArray.from_arrays(
        flat, width, mask=None if gone is None else pa.array(gone)
    )
    if pa.types.is_struct(flat.type):
        return rows  # Arrow knows no tensor of structs
    kind: Any = pa.fixed_shape_tensor(flat.type, column.shape)
    return pa.ExtensionArray.from_storage(kind, rows)


def _encode_ragged(samples: Array, column: Column) -> Any:
    """Arrays of different lengths as lists, or lists of lists."""
    there = [np.asarray(sample) for sample in samples if sample is not None]
    parts = [_as_bytes(sample).reshape(-1) for sample in there]
    empty = np.empty(0, _as_bytes(np.empty(0, column.dtype)).dtype)
    array: Any = _flat(np.concatenate(parts) if parts else empty)
    for depth in reversed(range(1, len(column.shape))):
        lengths = [np.full(int(np.prod(s.shape[:depth])), s.shape[depth]) for s in there]
        array = pa.ListArray.from_arrays(_offsets(lengths), array)
    sizes = [0 if sample is None else len(sample) for sample in samples]
    gone = pa.array([sample is None for sample in samples], pa.bool_())
    return pa.ListArray.from_arrays(_offsets([np.array(sizes, np.int64)]), array, mask=gone)


def _offsets(lengths: list[Array]) -> Any:
    joined = np.concatenate(lengths) if lengths else np.empty(0, np.int64)
    return pa.array(np.concatenate([[0], np.cumsum(joined)]).astype(np.int32))


def _flat(values: Array, gone: Array | None = None) -> Any:
    """Numbers in a row; complex ones as structs."""
    ordered = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "c":
        parts = [_memory(ordered.real), _memory(ordered.imag)]
        mask = None if gone is None else pa.array(gone)
        return pa.StructArray.from_arrays(parts, ["re", "im"], mask=mask)
    if gone is not None or values.dtype.kind == "b":
        return pa.array(ordered, mask=gone)
    return _memory(ordered)


def _as_bytes(values: Array) -> Array:
    """Truth values inside of arrays travel as bytes."""
    return values.view(np.uint8) if values.dtype.kind == "b" else values


def _memory(values: Array) -> pa.Array[Any]:
    """Numbers as they lie in memory. `pa.array` would import pandas for it, half a second long."""
    memory: Any = np.ascontiguousarray(values)
    buffer = pa.py_buffer(memory)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])

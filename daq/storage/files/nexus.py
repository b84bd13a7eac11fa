"""The parts of a run's file that do not grow, in the words of NeXus.

Everything that `RunStart` and `RunStop` hold is here in a form for people and can be read back from
here without loss, so the file needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from daq.core import RunOutcome, RunStart, RunStop
from daq.core.values import from_json, strict_json, to_jsonable
from daq.storage.files.directories import iso_time
from daq.storage.files.hdf5_columns import text_type
from daq.storage.journal.losses import Gap
from daq.storage.journal.records import clean_text
from daq.wire.hdf5_names import dataset_name

__all__ = [
    "Converted",
    "nexus_group",
    "read_start",
    "read_stop",
    "write_converted",
    "write_start",
    "write_stop",
]


_ROOM = 4096
"""Bytes that a list of texts may waste for a fixed length."""
_MOST_KEYS = 128
"""Of a mapping whose values have a dataset each."""


def nexus_group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    """A new group of a NeXus class."""
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def write_start(entry: h5py.Group, start: RunStart) -> None:
    """All that is known when the run opens."""
    _text(entry, "title", start.name)
    _text(entry, "entry_identifier", start.run_id)
    _text(entry, "start_time", iso_time(start.started_ns))
    entry["start_time"].attrs["ns"] = start.started_ns
    entry["start_time"].attrs["order_ns"] = start.order_ns
    _text(entry, "program_name", "daq")
    entry["program_name"].attrs["version"] = start.versions.get("daq", "")
    _text(nexus_group(entry, "user", "NXuser"), "name", start.user)
    _write_script(nexus_group(entry, "script", "NXnote"), start)
    _mapping(entry, "metadata", start.metadata)
    _mapping(entry, "versions", start.versions)
    entry.attrs["durability"] = start.durability
    devices = nexus_group(entry, "devices", "NXcollection")
    for device, settings in start.devices.items():
        _mapping(devices, device, settings, start.units.get(device, {}))
    if isinstance(start.metadata.get("sample"), str):
        _text(nexus_group(entry, "sample", "NXsample"), "name", start.metadata["sample"])


def _write_script(group: h5py.Group, start: RunStart) -> None:
    _text(group, "file_name", start.script_name)
    _text(group, "type", "text/x-python")
    _text(group, "data", start.script_source)
    _text(group, "sha256", start.script_sha256)
    _text(group, "identifier", start.script_id)
    _text(group, "execution", start.execution_id)
    _text(group, "host", start.host)
    _mapping(group, "parameters", start.parameters)


def write_stop(entry: h5py.Group, stop: RunStop, points: int) -> None:
    """How it ended, when, why and by whom."""
    _text(entry, "end_time", iso_time(stop.ended_ns))
    entry["end_time"].attrs["ns"] = stop.ended_ns
    started = int(entry["start_time"].attrs["ns"])
    duration = entry.create_dataset("duration", data=(stop.ended_ns - started) / 1e9)
    duration.attrs["units"] = "s"
    entry.attrs["outcome"] = str(stop.outcome)
    entry.attrs["reason"] = clean_text(stop.reason)
    entry.attrs["stopped_by"] = clean_text(stop.by)
    entry.attrs["points"] = points


@dataclass(frozen=True, slots=True)
class Converted:
    """What the file says of the journal that it was made from."""

    bytes: int
    """Its length."""
    damage: str = ""
    """What could not be read of it, in words."""
    gaps: Mapping[str, Sequence[Gap]] = field(default_factory=dict)
    """By stream: the numbers of the events that are missing."""


def write_converted(entry: h5py.Group, converted: Converted) -> None:
    """The journal's length, and what is missing."""
    entry.attrs["journal_bytes"] = converted.bytes
    if converted.damage:
        entry.attrs["journal_damage"] = clean_text(converted.damage)


def read_start(entry: h5py.Group) -> RunStart:
    """The inverse of `write_start`."""
    script = entry["script"]
    devices = {str(group.attrs["key"]): group for group in entry["devices"].values()}
    return RunStart(
        run_id=_string(entry["entry_identifier"]),
        name=_string(entry["title"]),
        started_ns=int(entry["start_time"].attrs["ns"]),
        user=_string(entry["user/name"]),
        metadata=_read_mapping(entry["metadata"]),
        execution_id=_string(script["execution"]),
        script_id=_string(script["identifier"]),
        script_name=_string(script["file_name"]),
        script_source=_string(script["data"]),
        script_sha256=_string(script["sha256"]),
        parameters=_read_mapping(script["parameters"]),
        devices={name: _read_mapping(group) for name, group in devices.items()},
        units={name: units for name, group in devices.items() if (units := _read_units(group))},
        versions=_read_mapping(entry["versions"]),
        host=_string(script["host"]),
        durability=str(entry.attrs.get("durability", "process")),
        order_ns=int(entry["start_time"].attrs.get("order_ns", 0)),
    )


def read_stop(entry: h5py.Group) -> RunStop:
    """The inverse of `write_stop`."""
    return RunStop(
        outcome=RunOutcome(entry.attrs["outcome"]),
        ended_ns=int(entry["end_time"].attrs["ns"]),
        reason=str(entry.attrs["reason"]),
        by=str(entry.attrs["stopped_by"]),
    )


def _text(group: h5py.Group, name: str, text: str | list[str]) -> h5py.Dataset:
    """A text or a list of texts, ASCII of a fixed length where it can be.

    Octave loads no file that has another kind of text anywhere. A list with a few long ones among
    many would take too much room so.
    """
    texts = [clean_text(text)] if isinstance(text, str) else [clean_text(item) for item in text]
    encoded = [item.encode() for item in texts]
    length = max(map(len, encoded), default=0) or 1
    if length * len(encoded) > 4 * sum(map(len, encoded)) + _ROOM:
        return group.create_dataset(name, data=texts, dtype=text_type())
    data = encoded[0] if isinstance(text, str) else encoded
    kind = h5py.string_dtype("ascii" if all(map(str.isascii, texts)) else "utf-8", length)
    return group.create_dataset(name, data=np.array(data, kind), dtype=kind)


def _string(dataset: h5py.Dataset) -> str:
    return str(dataset.asstr()[()])


def _mapping(
    parent: h5py.Group,
    name: str,
    values: Mapping[str, Any],
    units: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A group with a dataset for each value, and its units; what is one of very many has none."""
    group = nexus_group(parent, dataset_name(name, parent), "NXcollection")
    group.attrs["key"] = clean_text(name)
    apart = values
    if len(values) > _MOST_KEYS:
        apart = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
        _table(group, {key: value for key, value in values.items() if key not in apart})
    for key, value in apart.items():
        dataset = _value(group, dataset_name(str(key), group), value)
        dataset.attrs["key"] = clean_text(str(key))
        if key in units:
            dataset.attrs["units"] = units[key]


def _table(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Many values in two datasets, as JSON: one each takes a millisecond to write and to read."""
    texts = {clean_text(str(key)): strict_json(to_jsonable(v)) for key, v in values.items()}
    group.attrs["encoding"] = "table"
    group.create_dataset("key", data=list(texts), dtype=text_type())
    group.create_dataset("value", data=list(texts.values()), dtype=text_type())


def _value(group: h5py.Group, name: str, value: Any) -> h5py.Dataset:
    """A number, text, flat list or array natively; anything else as JSON, and marked as such.

    `dtype` of the dataset says what it was: truth values are stored as 0 and 1, since what h5py
    makes of them few other programs can read, and an array is told from a list.
    """
    is_texts = isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
    if isinstance(value, str) or is_texts:
        return _text(group, name, value)
    if isinstance(value, np.ndarray) or _is_scalar(value) or _is_flat(value):
        array = np.asarray(value)
        dataset = group.create_dataset(name, data=_numbers(array))
        if isinstance(value, np.ndarray):
            dataset.attrs["encoding"] = "array"
        if array.dtype.kind == "b":
            dataset.attrs["dtype"] = array.dtype.str
        return dataset
    dataset = _text(group, name, strict_json(to_jsonable(value)))
    dataset.attrs["encoding"] = "json"
    return dataset


def _numbers(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _is_scalar(value: Any) -> bool:
    is_word = isinstance(value, int) and -(2**63) <= value < 2**63
    return is_word or isinstance(value, float | complex)


def _is_flat(value: Any) -> bool:
    """Whether it is a list that HDF5 can hold and give back with the same types."""
    if not isinstance(value, list) or not value:
        return False
    kinds = {type(item) for item in value}
    small = all(not isinstance(v, int) or -(2**63) <= v < 2**63 for v in value)
    return len(kinds) == 1 and kinds <= {float, int, bool, complex} and small


def _read_mapping(group: h5py.Group) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if group.attrs.get("encoding", "") == "table":
        texts = (group[name].asstr()[:].tolist() for name in ("key", "value"))
        values = {key: from_json(text) for key, text in zip(*texts, strict=True)}
    for dataset in group.values():
        if "key" in dataset.attrs:
            values[str(dataset.attrs["key"])] = _read_value(dataset)
    return values


def _read_units(group: h5py.Group) -> dict[str, str]:
    return {
        str(dataset.attrs["key"]): str(dataset.attrs["units"])
        for dataset in group.values()
        if "units" in dataset.attrs
    }


def _read_value(dataset: h5py.Dataset) -> Any:
    encoding = dataset.attrs.get("encoding", "")
    if h5py.check_string_dtype(dataset.dtype) is None:
        array = np.asarray(dataset[()]).astype(dataset.attrs.get("dtype", dataset.dtype))
        return array if encoding == "array" else array.tolist()
    text = dataset.asstr()[()]
    if encoding == "json":
        return from_json(text)
    return text if isinstance(text, str) else list(text)

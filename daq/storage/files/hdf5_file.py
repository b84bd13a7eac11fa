"""A run's HDF5 file, written from a journal's batches.

It is written under `<name>.h5.partial` and takes its final name when it is complete and on disk:
whoever finds a `.h5` can read it with plain h5py, and nobody meets one that is half written. A run
that is still open is read through the daemon, which has the journal. (SWMR would let readers in
earlier, but such a file opens only with a special flag after a crash, allows no new columns and no
strings.) After the rename nothing ever opens the file for writing again.

    /entry                      NXentry: title, times, outcome, who
    /entry/data                 NXdata: links that make a plot of the run
    /entry/<stream>             NXdata: columns, `time` of each event, `timestamps/<column>`
    /entry/monitors/<channel>   NXlog: what the bus carried outside of events
    /entry/instrument/<device>  links to what it delivered
    /entry/devices/<device>     its settings when the run opened
    /entry/script               NXnote: the text, its SHA-256, the parameters
    /entry/metadata, /entry/user, /entry/versions

All calls block: they belong into a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np

from daq.core import Column, RunStart, RunStop, StorageError
from daq.storage.files.compression import Filters
from daq.storage.files.hdf5_columns import GrowingDataset
from daq.storage.files.hdf5_plots import link_plot, mark_plot
from daq.storage.files.hdf5_sink import Hdf5Sink
from daq.storage.files.hdf5_stream import StreamGroup, time_dataset
from daq.storage.files.nexus import Converted, nexus_group, write_converted, write_start, write_stop
from daq.storage.journal.block_records import BlockBatch
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.journal import sync_directory
from daq.storage.journal.row_records import RowBatch
from daq.wire.hdf5_names import ENTRY_PARTS, dataset_name

__all__ = ["RunFile", "partial_path"]

_POSITIONER = "positioner"

_MOST_AT_ONCE = 128
"""Datasets that are made, or made anew, before a large sample can be written."""


def partial_path(path: Path) -> Path:
    """Where a file lies until it is complete."""
    return path.with_name(path.name + ".partial")


@dataclass(slots=True)
class _Monitor:
    time: GrowingDataset
    value: GrowingDataset


class RunFile:
    """Writes one file, from the run's start to its end."""

    def __init__(
        self, path: Path, start: RunStart, filters: Filters = MappingProxyType({})
    ) -> None:
        self._filters = filters
        self.path = path
        """Where the complete file will be."""
        self.partial = partial_path(path)
        """Where it is until then."""
        self.start = start
        self._streams: dict[str, StreamGroup] = {}
        self._links = 0
        self._monitors: dict[int, _Monitor] = {}
        for folder in reversed(path.parents[:3]):  # never the storage directory itself
            folder.mkdir(exist_ok=True)
        # Private until it is renamed, so no lock is needed; some network file systems have none.
        self._sink = Hdf5Sink(self.partial)
        self._file = h5py.File(self._sink, "w", libver=("v110", "v110"), locking=False)
        self._file.attrs["default"] = "entry"
        self._file.attrs["NX_class"] = "NXroot"
        self._file.attrs["creator"] = "daq"
        self._entry = nexus_group(self._file, "entry", "NXentry")
        write_start(self._entry, start)
        self._log = nexus_group(self._entry, "monitors", "NXcollection")
        self._instrument = nexus_group(self._entry, "instrument", "NXinstrument")
        self._data = nexus_group(self._entry, "data", "NXdata")

    @property
    def progress(self) -> tuple[int, int]:
        """Something moves while this changes: writes that the disk has taken, and datasets made."""
        made = sum(stream.progress for stream in tuple(self._streams.values()))
        return self._sink.writes, made + self._links

    @property
    def points(self) -> int:
        """Events of all streams."""
        return sum(stream.rows for stream in self._streams.values())

    @property
    def counts(self) -> dict[str, int]:
        """Events by stream."""
        return {name: stream.rows for name, stream in self._streams.items()}

    def write_rows(self, batch: RowBatch) -> None:
        """Append rows to their stream."""
        self._stream(batch.stream).append(batch)
        self._check()

    def write_block(self, batch: BlockBatch) -> None:
        """Append samples to their channel's log."""
        monitor = self._monitor(batch.index, batch.channel)
        monitor.time.append(batch.timestamps)
        monitor.value.append(batch.values)
        self._check()

    def place_value(
        self, stream: str, columns: tuple[Column, ...], column: int, row: int, sample: memoryview
    ) -> int | None:
        """Write one large sample of an event ahead of its row; returns where it lies.

        None where many datasets would have to be made first: whoever records does not wait for it.
        """
        group = self._stream(stream)
        if columns != group.columns and len(columns) > _MOST_AT_ONCE:
            return None
        group.widen(columns)
        place = group.put(columns[column].name, row, sample)
        self._check()
        return place

    def place_block(self, index: int, channel: ChannelInfo, row: int, sample: memoryview) -> int:
        """Write one large sample of a channel ahead of its block; returns where it lies."""
        place = self._monitor(index, channel).value.put(row, sample)
        self._check()
        return place

    def _stream(self, name: str) -> StreamGroup:
        return self._streams.get(name) or self._add_stream(name)

    def _monitor(self, index: int, channel: ChannelInfo) -> _Monitor:
        return self._monitors.get(index) or self._add_monitor(index, channel)

    def _add_stream(self, name: str) -> StreamGroup:
        taken = [*ENTRY_PARTS, *self._entry]
        group = nexus_group(self._entry, dataset_name(name, taken), "NXcollection")
        stream = StreamGroup(group, name, len(self._streams), self._filters)
        self._streams[name] = stream
        return stream

    def _add_monitor(self, index: int, channel: ChannelInfo) -> _Monitor:
        group = nexus_group(self._log, dataset_name(channel.name, self._log), "NXlog")
        group.attrs["channel"] = channel.name
        value = GrowingDataset(group, "value", channel.dtype, channel.shape, self._filters)
        value.dataset.attrs["units"] = channel.units
        monitor = _Monitor(time_dataset(group, "time"), value)
        self._monitors[index] = monitor
        return monitor

    def tell(self, converted: Converted) -> None:
        """Say from what the file was made, and which events of a stream are missing."""
        write_converted(self._entry, converted)
        for name, gaps in converted.gaps.items():
            if name in self._streams:
                self._streams[name].group.attrs["missing"] = np.array(gaps, np.int64)

    def finish(self, stop: RunStop) -> None:
        """Complete the file, force it to disk, and give it its final name."""
        write_stop(self._entry, stop, self.points)
        for stream in self._streams.values():
            stream.finish()
        for monitor in self._monitors.values():
            monitor.value.finish()
        self._link_devices()
        self._mark_plots()
        self._file.close()
        try:
            self._sink.sync()
            self._sink.close()
            self.partial.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be completed: {error.strerror}") from error

    def _check(self) -> None:
        """Raise the OSError that the disk met, if it did: HDF5 does not know of it."""
        if self._sink.failure is not None:
            raise self._sink.failure

    def abandon(self) -> None:
        """Close whatever is there; large samples may lie in it, so it is not removed here."""
        self._file.close()
        self._sink.close()

    def _link_devices(self) -> None:
        for stream in self._streams.values():
            for column in stream.columns:
                if column.source:
                    self._link_device(stream, column)

    def _link_device(self, stream: StreamGroup, column: Column) -> None:
        name = dataset_name(column.source)
        moved = column.role == _POSITIONER
        if name not in self._instrument:
            kind = "NXpositioner" if moved else "NXdetector"
            nexus_group(self._instrument, name, kind).attrs["device"] = column.source
        device = self._instrument[name]
        own = "value" if moved else "data"
        link = own if column.name == column.source else dataset_name(column.name)
        if link not in device:
            device[link] = h5py.SoftLink(self._target(stream, column))
        self._links += 1

    def _mark_plots(self) -> None:
        for stream in self._streams.values():
            mark_plot(stream)
            self._links += 1
        main = self._streams.get("primary") or next(iter(self._streams.values()), None)
        if main is not None:
            link_plot(self._entry, self._data, main, self.start.started_ns)

    def _target(self, stream: StreamGroup, column: Column) -> str:
        return f"{stream.group.name}/{stream.name_of(column.name)}"

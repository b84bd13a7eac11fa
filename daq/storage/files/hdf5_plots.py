"""What a viewer finds to plot in a run's file, and the names of its dimensions.

Each stream is an NXdata: the first detector against what was moved, or against time. `/entry/data`,
the default, is that of the main stream, against seconds where nothing was moved. The axis is a
dimension scale of the columns, so that whatever reads netCDF has it as their coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from daq.core import Column
from daq.storage.files.hdf5_stream import StreamGroup
from daq.wire.hdf5_names import dataset_name

__all__ = ["link_plot", "mark_plot"]

_DETECTOR = "detector"
_POSITIONER = "positioner"
_MOST_AXES = 2
_MOST_SIGNALS = 16
"""In the plot of the run; a viewer draws them all at once."""
_MOST_NAMED = 256
"""Columns with named dimensions: the scale has a reference to each, and rewrites them all."""
_SAMPLE_WORDS = {1: ("sample",), 2: ("row", "column")}
_INTERPRETATIONS = {1: "spectrum", 2: "image"}


@dataclass(frozen=True, slots=True)
class _Plot:
    """What is shown of a stream."""

    signals: tuple[Column, ...]
    """The first is the one that matters; the others have its shape."""
    axes: tuple[Column, ...]


def _plot_of(columns: Sequence[Column]) -> _Plot | None:
    numeric = [column for column in columns if not np.dtype(column.dtype).hasobject]
    signals = [column for column in numeric if column.role == _DETECTOR] or numeric[-1:]
    if not signals:
        return None
    axes = [c for c in numeric if c.role == _POSITIONER and not c.shape and c not in signals]
    # One-dimensional data over three or more axes cannot be drawn by any viewer.
    axes = axes if len(axes) <= _MOST_AXES and not signals[0].shape else axes[:1]
    alike = [column for column in signals if column.shape == signals[0].shape]
    return _Plot(tuple(alike[:_MOST_SIGNALS]), tuple(axes))


def mark_plot(stream: StreamGroup) -> None:
    """Make the group of a stream an NXdata, and name its dimensions."""
    plot = _plot_of(stream.columns)
    if plot is not None:
        stream.group.attrs["NX_class"] = "NXdata"
        _describe(stream.group, stream, plot, ["time"])
        signal = plot.signals[0]
        if len(signal.shape) in _INTERPRETATIONS:
            dataset = stream.group[stream.name_of(signal.name)]
            dataset.attrs["interpretation"] = _INTERPRETATIONS[len(signal.shape)]
    _name_dimensions(stream, plot)


def link_plot(entry: h5py.Group, data: h5py.Group, stream: StreamGroup, started_ns: int) -> None:
    """Fill `data` with links that make a plot of the stream, the default of the file."""
    plot = _plot_of(stream.columns)
    if plot is None:
        return
    for column in (*plot.axes, *plot.signals):
        name = stream.name_of(column.name)
        data[name] = h5py.SoftLink(f"{stream.group.name}/{name}")
    elapsed = []
    if not plot.axes:
        elapsed = [dataset_name("elapsed", data)]
        seconds = (stream.group["time"][:] - started_ns) / 1e9
        data.create_dataset(elapsed[0], data=seconds).attrs["units"] = "s"
    scale = _scale_of(stream, plot)
    if scale not in data:
        data[scale] = h5py.SoftLink(f"{stream.group.name}/{scale}")
    _describe(data, stream, plot, elapsed)
    entry.attrs["default"] = "data"


def _describe(group: h5py.Group, stream: StreamGroup, plot: _Plot, otherwise: list[str]) -> None:
    """What the group shows against what; `otherwise` is the axis where nothing was moved."""
    names = [stream.name_of(column.name) for column in plot.axes] or otherwise
    signal, *beside = (stream.name_of(column.name) for column in plot.signals)
    group.attrs["signal"] = signal
    if beside:
        group.attrs["auxiliary_signals"] = beside
    group.attrs["axes"] = [*names, *["."] * len(plot.signals[0].shape)]


def _scale_of(stream: StreamGroup, plot: _Plot | None) -> str:
    """The dataset that tells where an event lies: the one thing that was moved, or the time."""
    if plot is not None and len(plot.axes) == 1:
        return stream.name_of(plot.axes[0].name)
    return "time"


def _name_dimensions(stream: StreamGroup, plot: _Plot | None) -> None:
    name = _scale_of(stream, plot)
    scale = stream.group[name]
    if scale.is_virtual:  # one of thousands of columns that stand side by side
        name, scale = "time", stream.group["time"]
    scale.make_scale(name)
    for dataset in stream.block_datasets:
        dataset.dims[0].attach_scale(scale)
    others = [stream.group[other] for other in ("time", *stream.own_datasets) if other != name]
    for dataset in others[:_MOST_NAMED]:
        dataset.dims[0].attach_scale(scale)
        _name_sample(stream.group, dataset)


def _name_sample(group: h5py.Group, dataset: h5py.Dataset) -> None:
    """Number the samples of waveforms, the rows and columns of frames: all dimensions, or none."""
    own = dataset.shape[1:]
    words = _SAMPLE_WORDS.get(len(own)) or tuple(map(str, range(len(own))))
    for number, (word, length) in enumerate(zip(words, own, strict=True), 1):
        name = dataset_name(f"{dataset.name.rpartition('/')[2]}_{word}", group)
        scale = group.create_dataset(name, data=np.arange(length, dtype=np.int32))
        scale.make_scale(name)
        dataset.dims[number].attach_scale(scale)

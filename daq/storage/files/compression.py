"""Compression of frames and long waveforms, by HDF5's filters.

It happens where the file is written, in a worker thread that lets go of the interpreter meanwhile.
A compressed sample has no place of its own in the file before it is written, so samples go through
the journal then, as they are: what is saved on the disk is paid with writing twice.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from daq.core import ConfigurationError

__all__ = ["Filters", "compression_filters", "load_filters"]

Filters = Mapping[str, Any]
"""What `create_dataset` takes to compress; empty for no compression."""

_BUILT_IN: dict[str, Filters] = {
    "": {},
    # Shuffled, and at the lowest level: images hardly get smaller at higher ones, only slower.
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
}
_PLUGINS = {
    "bitshuffle": "Bitshuffle",
    "blosc2": "Blosc2",
    "lz4": "LZ4",
    "zstd": "Zstd",
}


def compression_filters(name: str) -> Filters:
    """The filters of `[storage] compression = name`.

    Raises ConfigurationError for another name, and when it needs hdf5plugin, which is not there.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name not in _PLUGINS:
        known = [*filter(None, _BUILT_IN), *_PLUGINS]
        raise ConfigurationError(
            f"[storage] compression = {name!r} is not known",
            advice=f"choose one of {', '.join(known)}, or leave it out",
        )
    if not load_filters():
        raise ConfigurationError(
            f"[storage] compression = {name!r} needs hdf5plugin, which is not installed",
            advice="pip install hdf5plugin, or choose gzip or lzf",
        )
    plugin = importlib.import_module("hdf5plugin")
    return dict(getattr(plugin, _PLUGINS[name])())


def load_filters() -> bool:
    """Make the filters of hdf5plugin known to HDF5, where it is installed."""
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return True

"""Arrays as files: PNG, NPY, CSV, HDF5, by the ending of the path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import StorageError, axis_label

__all__ = ["Taken", "save_arrays"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """Images or samples of one device."""

    device: str
    units: str
    values: Array
    """Shape (count, ...)."""
    times: Array
    """When each was taken, ns since the epoch, shape (count,)."""

    @property
    def content(self) -> Array:
        """The values; of a single image without its first axis."""
        return self.values[0] if len(self.values) == 1 and self.values.ndim == 3 else self.values


def save_arrays(path: Path, taken: Taken) -> None:
    """Write a file as the ending of its path says.

    It blocks, and its libraries load slowly: to be called in a thread.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        _WRITERS[path.suffix.lower()](path, taken)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{path}: cannot be written: {reason}") from error


def _png(path: Path, taken: Taken) -> None:
    from matplotlib.image import imsave

    imsave(path, taken.content, cmap="gray")


def _npy(path: Path, taken: Taken) -> None:
    np.save(path, taken.content)


def _csv(path: Path, taken: Taken) -> None:
    columns = [taken.times, taken.values.reshape(len(taken.values), -1)]
    header = f"time (ns since 1970),{axis_label(taken.device, taken.units)}"
    # Nine digits tell every single float; Python's own text tells any other number.
    is_single = taken.values.dtype.kind == "f" and taken.values.dtype.itemsize <= 4
    formats = ["%d", *["%.9g" if is_single else "%s"] * columns[1].shape[1]]
    rows = np.column_stack([column.astype(object) for column in columns])
    np.savetxt(path, rows, fmt=formats, delimiter=",", header=header, comments="")


def _hdf5(path: Path, taken: Taken) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        values = file.create_dataset("values", data=taken.content)
        values.attrs.update({"device": taken.device, "units": taken.units})
        file.create_dataset("timestamps", data=taken.times).attrs["units"] = "ns since 1970 UTC"


_WRITERS: Mapping[str, Callable[[Path, Taken], None]] = {
    ".png": _png,
    ".npy": _npy,
    ".csv": _csv,
    ".h5": _hdf5,
}

"""The columns of a run in the form that somebody works with: dict, pandas, xarray, Arrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from daq.core import Column, NotFoundError, ParameterError
from daq.wire.convert import RecordedRun

__all__ = ["TABLE_KINDS", "Columns", "TableKind", "attributes", "check_kind", "make_table"]

Array = npt.NDArray[Any]
TableKind = Literal["dict", "pandas", "xarray", "arrow"]
TABLE_KINDS: tuple[TableKind, ...] = ("dict", "pandas", "xarray", "arrow")
TIME = "time"


class Columns(dict[str, Array]):
    """Arrays of shape (n, *sample_shape) by column; `attrs` as those of a DataFrame."""

    def __init__(self, columns: Mapping[str, Array], attrs: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self.attrs = dict(attrs)


def attributes(run: RecordedRun, stream: str) -> dict[str, Any]:
    """What goes with the numbers: the run's id, how it ended, the units."""
    summary = run.summary
    return {
        "run_id": summary.run_id,
        "name": summary.name,
        "outcome": str(summary.outcome or "open"),
        "units": {column.name: column.units for column in described(run, stream)},
        "metadata": dict(summary.metadata),
    }


def described(run: RecordedRun, stream: str) -> tuple[Column, ...]:
    """The columns of a stream. Raises NotFoundError when the run has no such stream."""
    for recorded in run.streams:
        if recorded.name == stream:
            return recorded.columns
    known = ", ".join(s.name for s in run.streams) or "none"
    raise NotFoundError(f"run {run.summary.run_id[:8]} has no stream {stream!r}; it has {known}")


def make_table(
    kind: TableKind | Literal["auto"], run: RecordedRun, stream: str, columns: Mapping[str, Array]
) -> Any:
    """The columns as `kind`; `auto` is xarray for a grid, else pandas, else dict, as installed.

    Raises ParameterError when what it needs is not installed.
    """
    attrs = attributes(run, stream)
    check_kind(kind)
    if kind == "auto":
        kind = _best(run)
    if kind == "dict":
        return Columns(columns, attrs)
    if kind == "pandas":
        return _to_pandas(columns, attrs)
    return _to_xarray(run, described(run, stream), columns, attrs)


def check_kind(kind: str) -> None:
    """Raise ParameterError for a kind of table that does not exist or cannot be made here."""
    if kind not in (*TABLE_KINDS, "auto"):
        raise ParameterError(
            f"there is no table {kind!r}", advice=f"choose one of {', '.join(TABLE_KINDS)}"
        )
    if kind in ("pandas", "xarray"):
        _need(kind)


def _best(run: RecordedRun) -> TableKind:
    if _grid(run) is not None and _installed("xarray"):
        return "xarray"
    return "pandas" if _installed("pandas") else "dict"


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _need(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ParameterError(
            f"{package} is not installed", advice="pip install 'daq[analysis]', or take a dict"
        ) from error


def _to_pandas(columns: Mapping[str, Array], attrs: dict[str, Any]) -> Any:
    pandas = _need("pandas")
    flat = {name: list(values) if values.ndim > 1 else values for name, values in columns.items()}
    frame = pandas.DataFrame(flat)
    frame.attrs.update(attrs)
    return frame


# ------------------------------------------------------------------------------------------ xarray


def _to_xarray(
    run: RecordedRun,
    described_columns: Sequence[Column],
    columns: Mapping[str, Array],
    attrs: dict[str, Any],
) -> Any:
    xarray = _need("xarray")
    flat = {k: v for k, v in {**attrs, **attrs["metadata"]}.items() if _is_plain(v)}
    grid = _grid(run)
    if grid is not None:
        variables, coordinates = _on_grid(columns, *grid)
    else:
        axes = {c.name for c in described_columns if c.role == "positioner" and not c.shape}
        axes.add(TIME)
        spread = {n: (("event", *_own_dims(n, v)), v) for n, v in columns.items()}
        variables = {name: spread[name] for name in spread if name not in axes}
        coordinates = {name: spread[name] for name in spread if name in axes}
    dataset = xarray.Dataset(variables, coordinates, flat)
    for name in dataset.variables:
        if unit := attrs["units"].get(str(name).removesuffix("_readback"), ""):
            dataset[name].attrs["units"] = unit
    return dataset


def _own_dims(name: str, values: Array) -> tuple[str, ...]:
    """Of a sample of the column."""
    return tuple(f"{name}_{i}" for i in range(values.ndim - 1))


def _grid(run: RecordedRun) -> tuple[list[str], list[int], bool] | None:
    """Motors, points of each and whether it snaked, of a run that a grid scan recorded."""
    metadata = run.summary.metadata
    motors, shape = metadata.get("motors"), metadata.get("shape")
    if metadata.get("plan_name") != "grid_scan" or not isinstance(motors, list):
        return None
    if not isinstance(shape, list) or len(shape) != len(motors):
        return None
    return motors, [int(length) for length in shape], bool(metadata.get("snake"))


def _on_grid(
    columns: Mapping[str, Array], motors: list[str], shape: list[int], snake: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and coordinates on the grid; what was not measured is filled with nothing."""
    size = int(np.prod(shape))
    places = _path(shape, snake)[: len(columns[TIME])]
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name, values in columns.items():
        full = np.full((size, *values.shape[1:]), _nothing(values.dtype), _roomy(values.dtype))
        full[places] = values[: len(places)]
        spread = full.reshape(*shape, *values.shape[1:])
        if name in motors:
            axis = motors.index(name)
            others = tuple(i for i in range(len(shape)) if i != axis)
            coordinates[name] = ((name,), _mean(spread, others))
            coordinates[f"{name}_readback"] = (tuple(motors), spread)
        elif name == TIME:
            coordinates[name] = (tuple(motors), spread)
        else:
            variables[name] = ((*motors, *_own_dims(name, values)), spread)
    return variables, coordinates


def _path(shape: Sequence[int], snake: bool) -> npt.NDArray[np.intp]:
    """For each event, in the order of the scan, its place in the flat grid."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    if not snake:
        return places.reshape(-1)
    return _snaked(places)


def _snaked(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    if places.ndim == 1:
        return places
    lines = [_snaked(line) for line in places]
    turned = [line if i % 2 == 0 else line[::-1] for i, line in enumerate(lines)]
    return np.concatenate(turned)


def _mean(values: Array, axes: tuple[int, ...]) -> Array:
    if not axes:
        return values
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0.0).sum(axis=axes)
    count = seen.sum(axis=axes)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _roomy(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that also has a value for nothing."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


def _nothing(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "M":
        return np.datetime64("NaT", "ns")
    return None if dtype.kind == "O" else np.nan


def _is_plain(value: object) -> bool:
    """Whether netCDF could take it as an attribute."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)

"""The columns of a run in the form that somebody works with: dict, pandas, xarray, Arrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy.typing as npt

from daq.core import Column, Grid, NotFoundError, ParameterError, find_grid
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
    plan = str(run.summary.metadata.get("plan_name", ""))
    if plan.endswith("grid_scan") and _installed("xarray"):
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
    moved = [c.name for c in described_columns if c.role == "positioner" and not c.shape]
    grid = find_grid(run.summary.metadata, columns, moved)
    if grid is not None:
        variables, coordinates = _on_grid(columns, grid)
    else:
        axes = {*moved, TIME}
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


def _on_grid(columns: Mapping[str, Array], grid: Grid) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and coordinates on the grid; what was not measured is filled with nothing."""
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name, values in columns.items():
        spread = grid.spread(values)
        if name in grid.axes:
            coordinates[name] = ((name,), grid.positions[grid.axes.index(name)])
            coordinates[f"{name}_readback"] = (grid.axes, spread)
        elif name == TIME:
            coordinates[name] = (grid.axes, spread)
        else:
            variables[name] = ((*grid.axes, *_own_dims(name, values)), spread)
    return variables, coordinates


def _is_plain(value: object) -> bool:
    """Whether netCDF could take it as an attribute."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)

"""The columns of a run in the form that somebody works with: dict, pandas, xarray, Arrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from daq.core import Column, Grid, NotFoundError, ParameterError, find_grid
from daq.core.columns import filled_up, is_ragged, rows_missing, with_nan
from daq.core.names import TIME, table_names, unique_names
from daq.wire.convert import RecordedRun

__all__ = ["TABLE_KINDS", "Columns", "TableKind", "attributes", "check_kind", "make_table"]

Array = npt.NDArray[Any]
TableKind = Literal["dict", "pandas", "xarray", "arrow"]
TABLE_KINDS: tuple[TableKind, ...] = ("dict", "pandas", "xarray", "arrow")


class Columns(dict[str, Array]):
    """Arrays of shape (n, *sample_shape) by column; `attrs` as those of a DataFrame."""

    def __init__(self, columns: Mapping[str, Array], attrs: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self.attrs = dict(attrs)


def attributes(run: RecordedRun, stream: str) -> dict[str, Any]:
    """What goes with the numbers: the run's id, how it ended, the units.

    `names` tells what was recorded under another name than the table has; `notes` why a column is
    there where that is not obvious.

    Returns:
        What becomes `attrs`.
    """
    summary = run.summary
    shown = shown_columns(run, stream)
    return {
        "run_id": summary.run_id,
        "name": summary.name,
        "outcome": str(summary.outcome or "open"),
        "units": {name: column.units for name, column in shown.items()},
        "names": {name: column.name for name, column in shown.items() if name != column.name},
        "notes": {name: column.note for name, column in shown.items() if column.note},
        "metadata": dict(summary.metadata),
    }


def shown_columns(run: RecordedRun, stream: str) -> dict[str, Column]:
    """The columns of a stream by the names that they have in its table."""
    columns = described(run, stream)
    names = table_names(column.name for column in columns)
    return {names[column.name]: column for column in columns}


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

    Returns:
        A DataFrame, a Dataset, a Table or a dict.

    Raises:
        ParameterError: What it needs is not installed.
    """
    attrs = attributes(run, stream)
    check_kind(kind)
    if kind == "auto":
        kind = _best(run)
    if kind == "dict":
        return Columns(columns, attrs)
    if kind == "pandas":
        return _to_pandas(columns, attrs)
    return _to_xarray(run, shown_columns(run, stream), columns, attrs)


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
    frame = pandas.DataFrame({name: _series(pandas, v) for name, v in columns.items()})
    frame.attrs.update(attrs)
    return frame


def _series(pandas: Any, values: Array) -> Any:
    """One column; what is missing is pandas' NA, or None among texts and arrays."""
    if not isinstance(values, np.ma.MaskedArray):
        return list(values) if values.ndim > 1 else values
    gone = rows_missing(values)
    if values.ndim > 1 or values.dtype.kind == "c":
        rows = zip(np.ma.getdata(values), gone, strict=True)
        return pandas.Series([None if is_gone else value for value, is_gone in rows], dtype=object)
    kinds = {"b": "BooleanArray", "i": "IntegerArray", "u": "IntegerArray", "f": "FloatingArray"}
    dtype = values.dtype.newbyteorder("=")
    native = np.ma.getdata(values).astype(np.float32 if dtype == np.float16 else dtype)
    return getattr(pandas.arrays, kinds[dtype.kind])(native, gone)


# ------------------------------------------------------------------------------------------ xarray


class _Naming:
    """Names of dimensions and further variables, none of which is that of a column."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _to_xarray(
    run: RecordedRun,
    shown: Mapping[str, Column],
    columns: Mapping[str, Array],
    attrs: dict[str, Any],
) -> Any:
    xarray = _need("xarray")
    naming = _Naming(columns)
    regular, dims = _regular(columns, naming)
    moved = [n for n, c in shown.items() if c.role == "positioner" and not c.shape and n in columns]
    grid = find_grid(run.summary.metadata, regular, moved)
    if grid is not None:
        variables, coordinates = _on_grid(regular, dims, grid, naming)
    else:
        axes, event = {*moved, TIME}, naming.new("event")
        spread = {name: ((event, *dims[name]), values) for name, values in regular.items()}
        variables = {name: spread[name] for name in spread if name not in axes}
        coordinates = {name: spread[name] for name in spread if name in axes}
    dataset = xarray.Dataset(variables, coordinates, _facts(attrs))
    for name in dataset.variables:
        known = shown.get(str(name).removesuffix("_readback"))
        if known is not None:
            about = {k: v for k, v in _about(str(name), known).items() if v}
            dataset.variables[name].attrs.update(about)  # `dataset[name]` looks at all the others
    return dataset


def _regular(
    columns: Mapping[str, Array], naming: _Naming
) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """The columns as arrays of one shape, and the names of their own dimensions.

    What is missing is NaN, NaT or None. Arrays of different lengths are filled up with nothing, and
    a further variable tells their lengths.

    Returns:
        Both, by column.
    """
    regular: dict[str, Array] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for name, values in columns.items():
        if is_ragged(values):
            regular[name], lengths = filled_up(values, exact=True)
            length = naming.new(f"{name}_length")
            regular[length] = lengths[:, 0] if lengths.shape[1] == 1 else lengths
            dims[length] = () if lengths.shape[1] == 1 else (naming.new(f"{name}_axis"),)
        else:
            regular[name] = with_nan(values, exact=True)
        own = range(regular[name].ndim - 1)
        dims[name] = tuple(naming.new(f"{name}_{i}") for i in own)
    return regular, dims


def _on_grid(
    columns: Mapping[str, Array], dims: Mapping[str, tuple[str, ...]], grid: Grid, naming: _Naming
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and coordinates on the grid; what was not measured is filled with nothing."""
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name, values in columns.items():
        spread = grid.spread(values)
        if name in grid.axes:
            coordinates[name] = ((name,), grid.positions[grid.axes.index(name)])
            coordinates[naming.new(f"{name}_readback")] = (grid.axes, spread)
        elif name == TIME:
            coordinates[name] = (grid.axes, spread)
        else:
            variables[name] = ((*grid.axes, *dims[name]), spread)
    return variables, coordinates


def _facts(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the run, and the user's metadata under names that hide none of it."""
    own = unique_names(attrs["metadata"], attrs)
    named = {own[key]: value for key, value in attrs["metadata"].items()}
    return {key: value for key, value in {**attrs, **named}.items() if _is_plain(value)}


def _about(name: str, column: Column) -> dict[str, str]:
    recorded = column.name if column.name != name.removesuffix("_readback") else ""
    return {"units": column.units, "column": recorded, "note": column.note}


def _is_plain(value: object) -> bool:
    """Whether netCDF could take it as an attribute."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)

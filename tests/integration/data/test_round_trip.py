"""Awkward values by every form of a run: each holds every event, with the value that was recorded.

One daemon, and each value three times in one run: the table is about what becomes of values.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from matplotlib.figure import Figure

from daq.client import Bench, Run, connect
from daq.client.figures.choice import choose
from daq.client.figures.plot import draw_run
from daq.client.recorded.export import write_batches
from daq.core import NotFoundError, ParameterError
from daq.core.values import plain_mapping, recordable
from tests.system.daemon_process import DaemonProcess

EVENTS = 3
IMAGE = np.arange(256 * 256, dtype="u1").reshape(256, 256)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    OPEN = "open"


NAN, INF = math.nan, math.inf
CASES: dict[str, tuple[Any, Any, Any]] = {
    # numbers
    "int": (0, -1, 2**53 + 1),
    "int64_ends": (-(2**63), 2**63 - 1, 0),
    "uint64": (2**63, 2**64 - 1, 2**63),
    "u1": (np.uint8(0), np.uint8(255), np.uint8(7)),
    "i1": (np.int8(-128), np.int8(127), np.int8(0)),
    "u2": (np.uint16(0), np.uint16(65535), np.uint16(1)),
    "i4": (np.int32(-(2**31)), np.int32(1), np.int32(0)),
    "f2": (np.float16(0.5), np.float16(65504), np.float16(-0.0)),
    "f4": (np.float32(0.1), np.float32(3e38), np.float32(NAN)),
    "float": (0.1, -1e-300, 1.5),
    "float_ends": (5e-324, 1.7976931348623157e308, -1.7976931348623157e308),
    "not_finite": (NAN, INF, -INF),
    "all_nan": (NAN, NAN, NAN),
    "negative_zero": (-0.0, 0.0, -0.0),
    "bool": (True, False, True),
    "np_bool": (np.True_, np.False_, np.True_),
    "complex": (1 + 2j, complex(NAN, INF), -1j),
    "c8": (np.complex64(1j), np.complex64(2), np.complex64(0)),
    "longdouble": (np.longdouble("1.1"), np.longdouble(0), np.longdouble(INF)),
    "decimal": (Decimal("0.1"), Decimal("NaN"), Decimal("-1e300")),
    "fraction": (Fraction(1, 3), Fraction(0), Fraction(-7)),
    "timedelta": (dt.timedelta(seconds=1.5), dt.timedelta(0), -dt.timedelta(1)),
    "timedelta64": (np.timedelta64(1500, "ms"), np.timedelta64(0, "s"), np.timedelta64(-1, "s")),
    "int_enum": (Level.HIGH, Level.HIGH, Level.HIGH),
    "zero_d": (np.array(1.5), np.array(2.5), np.array(NAN)),
    # texts
    "text": ("knife", "", "a, \"b\"\n'c'; d\te"),
    "unicode": ("µm", "零点 🙂", "\u202eabc"),
    "nul_and_half": ("a\0b", "\ud800", "\\"),
    "like_numbers": ("1", "nan", "true"),
    "datetime": (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.time(3)),
    "datetime64": (np.datetime64("2026-01-02T03:04"), np.datetime64("NaT"), np.datetime64("2026")),
    "path": (Path("/a/b"), Path(), Path("c")),
    "uuid": (UUID(int=1), UUID(int=2), UUID(int=3)),
    "enum": (Colour.RED, Word.OPEN, Colour.RED),
    # missing
    "none_among_ints": (1, None, 3),
    "none_among_big_ints": (2**62 + 1, None, 3),
    "none_among_floats": (None, 0.5, None),
    "none_and_nan": (None, NAN, 0.5),
    "none_among_bools": (True, None, False),
    "none_among_texts": ("", None, "c"),
    "none_among_complex": (1j, None, 2),
    "none_among_arrays": (np.arange(3.0), None, np.arange(3.0)),
    "all_none": (None, None, None),
    # a column that changes its mind
    "int_then_float": (1, 0.5, 2),
    "bool_then_int": (True, 2, 3),
    "small_then_large": (np.uint8(1), np.int64(-5), np.float32(0.5)),
    "float_then_complex": (0.5, 1j, 2),
    # arrays
    "bytes": (b"raw", b"\0\xff\0", b"abc"),
    "bytearray": (bytearray(b"ab"), memoryview(b"cd"), b"ef"),
    "set": ({3, 1}, frozenset({2, 1}), {5, 4}),
    "tuple": ((1, 2), range(2), [3, 4]),
    "list_with_none": ([1, None], [None, None], [1, 2]),
    "list_of_mixed": ([1, 0.5], [True, 2.0], [1j, 2]),
    "array_u1": tuple(np.array([k, 255], "u1") for k in range(3)),
    "array_f4": tuple(np.array([k, NAN, -INF], "f4") for k in range(3)),
    "array_f2": tuple(np.array([k, 0.5], "f2") for k in range(3)),
    "array_bool": tuple(np.array([True, False, bool(k)]) for k in range(3)),
    "array_complex": tuple(np.array([1j * k, complex(NAN, 1)]) for k in range(3)),
    "array_c8": tuple(np.array([1j * k, 2], "c8") for k in range(3)),
    "array_big_endian": tuple(np.array([k, 258], ">i4") for k in range(3)),
    "array_strided": tuple(np.arange(10)[:: k + 1][:3] for k in range(3)),
    "array_fortran": tuple(np.asfortranarray(np.arange(6.0).reshape(2, 3) + k) for k in range(3)),
    "array_masked": tuple(np.ma.array([1, 2, 3], mask=[0, k == 1, 0]) for k in range(3)),
    "array_longdouble": tuple(np.array([k, 1.1], np.longdouble) for k in range(3)),
    "array_empty": tuple(np.empty(0) for _ in range(3)),
    "array_3d": tuple(np.arange(8, dtype="i2").reshape(2, 2, 2) + k for k in range(3)),
    "lengths_differ": (np.arange(2.0), np.arange(5.0), np.empty(0)),
    "lengths_and_none": (np.arange(2), None, np.arange(3)),
    "images_differ": (np.ones((2, 3), "u2"), np.ones((3, 1), "u2"), np.zeros((1, 1), "u2")),
    "lengths_of_big_ints": (np.array([2**62 + 1]), np.array([1, 2]), None),
    "big_arrays_and_none": (np.array([2**62 + 1]), None, np.array([3])),
    "complex_ragged": (np.array([1j]), np.array([1j, 2]), np.array([0j, 1, 2])),
    "waveform": tuple(np.linspace(0, k, 100) for k in range(3)),
    "image": (IMAGE, IMAGE.T, IMAGE + np.uint8(1)),
}
APART = {"int_then_text": (1, "a", 2), "scalar_then_array": (1.5, np.arange(2.0), 2.5)}
"""What has no common form stands in columns of its own, with a note."""
APART_IN_FILE = {
    "int_then_text": (1, None, 2), "int_then_text (text)": (None, "a", None),
    "scalar_then_array": (1.5, None, 2.5), "scalar_then_array (1-d)": (None, [0.0, 1.0], None),
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "object": object(),
    "function": len,
    "integer": 2**64,
    "decimal": Decimal("1e400"),
    "longdouble": np.longdouble("1e4000"),
    "ragged list": [[1], [2, 3]],
    "texts": ["a", "b"],
    "mapping": {"a": 1},
    "dates": np.array(["2026"], "M8[D]"),
    "objects": np.array([1, "a"], object),
    "records": np.zeros(2, "i4,f8"),
    "inexact": [2**53 + 1, 0.5],
}


def known(value: Any) -> Any:
    """A value of whatever kind as Python's own, None where there is none."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.ma.MaskedArray) and value.size and np.all(value.mask):
        return None
    if isinstance(value, dict):
        return complex(value["re"], value["im"])
    if isinstance(value, np.ndarray | list | tuple):
        return [known(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def recorded(value: Any) -> Any:
    """What of a value is on record, by the rule."""
    value = recordable(value, "value")
    return clean(value) if isinstance(value, str) else known(value)


def clean(text: str) -> str:
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="backslashreplace").decode()


def same(value: Any, wanted: Any, *, no_missing: bool = False) -> bool:
    """Equal, NaN too, and numbers whatever their types; `no_missing`: NaN stands for None."""
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(same(*pair, no_missing=no_missing) for pair in zip(value, wanted, strict=True))
        )
    if wanted is None:
        return value is None or (no_missing and _is_nothing(value))
    if isinstance(wanted, str) or isinstance(value, str | list) or value is None:
        return type(value) is type(wanted) and value == wanted
    if isinstance(wanted, complex) or isinstance(value, complex):
        value, wanted = complex(value), complex(wanted)
        return same([value.real, value.imag], [wanted.real, wanted.imag])
    return bool(value == wanted or (value != value and wanted != wanted))


def _is_nothing(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_nothing, value))
    return value is None or value != value


TABLE = {name: [recorded(v) for v in values] for name, values in CASES.items()} | {
    name: [known(v) for v in values] for name, values in APART_IN_FILE.items()
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("values") / "data"
    with DaemonProcess(directory) as daemon, connect(daemon.address) as bench:
        yield bench


@pytest.fixture(scope="module")
def run(bench: Bench) -> Run:
    """The run with all values, recorded by a client; what is refused leaves nothing behind."""
    with bench.run("values") as manual:
        for number in range(EVENTS):
            for name, value in REFUSED.items():
                with pytest.raises(
                    ParameterError, match=rf"^record\({name}=\.\.\.\): .* cannot be"
                ):
                    manual.record(**{name: value})
            manual.record(**{name: values[number] for name, values in (CASES | APART).items()})
    return bench.runs[-1]


# -------------------------------------------------------------------- one reader for each form


def from_hdf5(run: Run) -> dict[str, list[Any]]:
    with h5py.File(run.summary.path) as file:
        stream = file["entry/primary"]
        found = {}
        for block in stream.get("column_blocks", {}).values():
            found |= _from_block(block)
        for name, dataset in stream.items():
            if "column" in dataset.attrs and str(dataset.attrs["column"]) not in found:
                found[str(dataset.attrs["column"])] = _from_dataset(stream, name, dataset)
        return found


def _from_block(block: h5py.Group) -> dict[str, list[Any]]:
    """The columns that stand side by side in one table."""
    values, missing = block["values"], block["missing"][:]
    is_text = h5py.check_string_dtype(values.dtype)
    rows = np.asarray(values.asstr()[:] if is_text else values[:])
    return {
        name: [None if missing[row, place] else known(rows[row, place]) for row in range(EVENTS)]
        for place, name in enumerate(block["column"].asstr()[:])
        if name
    }


def _from_dataset(stream: h5py.Group, name: str, dataset: h5py.Dataset) -> list[Any]:
    values = dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]
    valid = stream["valid"][name][:] if name in stream.get("valid", ()) else [1] * EVENTS
    if name in stream.get("lengths", ()):
        lengths = stream["lengths"][name][:]
        values = [v[tuple(map(slice, n))] for v, n in zip(values, lengths, strict=True)]
    return [known(v) if there else None for v, there in zip(values, valid, strict=True)]


def _from_arrow(table: pa.Table) -> dict[str, list[Any]]:
    found = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        shape = json.loads((field.metadata or {}).get(b"shape", b"[]"))
        values = column.combine_chunks()
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        rows = [known(value) for value in values.to_pylist()]
        if len(shape) > 1 and 0 not in shape:  # a tensor, flat
            rows = [np.array(row).reshape(shape).tolist() for row in rows]
        found[field.metadata[b"column"].decode() if field.metadata else field.name] = rows
    return found


def from_arrow(run: Run) -> dict[str, list[Any]]:
    return _from_arrow(run.to_arrow())


def from_parquet(run: Run) -> dict[str, list[Any]]:
    sink = io.BytesIO()
    assert write_batches(run.to_arrow().to_batches(), "parquet", sink) == ()
    return _from_arrow(pa.parquet.read_table(io.BytesIO(sink.getvalue())))


def from_csv(run: Run) -> dict[str, list[Any]]:
    sink = io.BytesIO()
    notes = write_batches(run.to_arrow().to_batches(), "csv", sink)
    assert [note.split("'")[1] for note in notes] == ["waveform", "image"]
    header, *rows = csv.reader(io.StringIO(sink.getvalue().decode(), newline=""))
    assert len(rows) == EVENTS
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    found = {
        name: [_from_cells(cells, name, row, values[row]) for row in range(EVENTS)]
        for name, values in TABLE.items()
        if name not in ("waveform", "image")
    }
    return found | {"f4": [float(np.float32(value)) for value in found["f4"]]}


def _from_cells(cells: dict[str, Any], name: str, row: int, wanted: Any) -> Any:
    """What stands in the cells of a value, read as a number, a text or a list as it is wanted."""
    if name in cells:
        text = cells[name][row]
        if isinstance(wanted, str):
            return text
        return _from_json(json.loads(text)) if text[:1] == "[" else _number(text)
    if f"{name}.re" in cells:
        re, im = (_number(cells[f"{name}.{part}"][row]) for part in ("re", "im"))
        return None if re is None else complex(re, im)
    parts = [key for key in cells if key.startswith((f"{name}[0]", f"{name}[1]", f"{name}[2]"))]
    count = math.prod(np.shape(next(v for v in TABLE[name] if v is not None)))
    flat = [_from_cells(cells, f"{name}[{i}]", row, 0.0) for i in range(count)]
    if None in flat:
        return None
    assert parts or not flat
    return np.array(flat, object).reshape(np.shape(wanted)).tolist()


def _number(text: str) -> Any:
    """None for an empty cell."""
    words = {"": None, "true": True, "false": False}
    if text in words:
        return words[text]
    try:
        return int(text)
    except ValueError:
        return float(text)


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return complex(value["re"], value["im"])
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return NAN if value is None else value


def from_pandas(run: Run) -> dict[str, list[Any]]:
    frame = run.to_pandas()
    texts = frame.select_dtypes("str").columns  # in which pandas has NaN for what is missing
    frame[texts] = frame[texts].astype(object).where(frame[texts].notna(), None)
    return {str(name): [known(value) for value in frame[name]] for name in frame.columns}


def from_xarray(run: Run) -> dict[str, list[Any]]:
    dataset = run.to_xarray()
    found = {}
    for name in dataset.data_vars:
        values = list(dataset[name].values)
        if f"{name}_length" in dataset:
            lengths = dataset[f"{name}_length"].values.reshape(EVENTS, -1)
            values = [v[tuple(map(slice, n))] for v, n in zip(values, lengths, strict=True)]
        found[str(name)] = [known(value) for value in values]
    return found


def from_documents(run: Run) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    names: dict[str, str] = {}
    for name, document in run.documents():
        if name == "descriptor":
            names = {key: facts["column"] for key, facts in document["data_keys"].items()}
        elif name == "event":
            for key, value in document["data"].items():
                found.setdefault(names[key], []).append(known(value))
    return found


READERS: dict[str, Callable[[Run], dict[str, list[Any]]]] = {
    "HDF5": from_hdf5, "Arrow": from_arrow, "Parquet": from_parquet, "CSV": from_csv,
    "pandas": from_pandas, "xarray": from_xarray, "documents": from_documents,
}  # fmt: skip
NO_MISSING = ("xarray", "documents")
"""Where NaN stands for what is missing."""


def drawn(figure: Figure) -> tuple[list[float], str]:
    """The numbers in the panel of a figure, of a curve, waveforms or an image, and what is said."""
    axes = figure.axes[0]
    lines = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) > 0]
    images = [image.get_array().ravel() for image in (*axes.images, *axes.collections)]
    words = " ".join([axes.get_title(), *(text.get_text() for text in axes.texts)])
    return np.concatenate([[], *lines, *images]).tolist(), words


def test_a_plot_draws_every_number_or_says_why_not(run: Run) -> None:
    columns, wrong = run.columns(), {}
    for name, values in TABLE.items():
        there = [value for value in values if value is not None]
        if there and isinstance(there[0], str):
            with pytest.raises(NotFoundError, match="holds no numbers"):
                choose(run.detail, columns, [name])
            continue
        figure = draw_run(run.detail, columns, columns=[name])
        numbers, words = drawn(figure)
        if not numbers:
            assert "finite" in words or "large" in words, name
            continue
        wanted = [np.ravel(np.array(value)) for value in there]
        if np.ndim(there[-1]) > 1:  # of images the last one, of a stack its last plane
            wanted = [np.ravel(np.array(there[-1]).reshape(-1, *np.shape(there[-1])[-2:])[-1])]
            assert ("plane 2 of 2" in words) is (name == "array_3d")
        shown = np.sort(np.array(numbers)[np.isfinite(numbers)])
        flat = np.hstack(wanted)
        real = np.abs(flat) if np.iscomplexobj(flat) else flat
        if not np.array_equal(shown, np.sort(real[np.isfinite(real)].astype(float))):
            wrong[name] = (shown, real, words)
    assert not wrong


@pytest.mark.parametrize("form", READERS)
def test_every_form_holds_every_value(run: Run, form: str) -> None:
    found = READERS[form](run)
    left_out = ("waveform", "image") if form == "CSV" else ()
    assert {*TABLE} - {*found} == {*left_out}
    wrong = {
        name: (found[name], values)
        for name, values in TABLE.items()
        if name not in left_out and not same(found[name], values, no_missing=form in NO_MISSING)
    }
    assert not wrong


METADATA = {
    "array": np.array([[1, 2]], "u1"), "nan": NAN, "infinite": -INF, "complex": 1 + 2j,
    "raw": b"ab", "when": dt.date(2026, 1, 2), "place": Path("/x"), "set": {3, 1},
    "colour": Colour.RED, "third": Fraction(1, 3), "none": None,
    "nested": {"a": [1, NAN, None, np.array([True, False])]},
    "like a tag": {"$float": "nan"}, "many": np.arange(2000.0),
}  # fmt: skip


SCRIPT = """
def main(values, fails: bool):
    laser = device("laser")
    with open_run("scripted", **values):
        record("power_meter", w=laser.get("wavelength"), v=laser.wavelength())
        record("power_meter", w=1.0, v=2.0)
    return laser if fails else values
"""


def test_one_rule_from_a_client_from_a_script_and_back_as_a_result(bench: Bench) -> None:
    wanted = plain_mapping(METADATA)

    result = bench.start(SCRIPT, {"values": METADATA, "fails": False}).result()
    with bench.run("by hand", **METADATA) as manual:
        manual.record("power_meter", bench.laser("laser").wavelength, w=bench["laser"].wavelength)
    bench.count(["power_meter"], 1, metadata=METADATA)
    counted, by_hand, scripted = bench.runs[-1], bench.runs[-2], bench.runs[-3]
    for metadata in (result, scripted.metadata, by_hand.metadata, dict(counted.metadata)):
        for name, value in wanted.items():
            found = metadata[name]
            assert type(found) is type(value), name
            assert getattr(found, "dtype", None) == getattr(value, "dtype", None)
            assert repr(found) == repr(value)
    assert scripted.units == {"power_meter": "W", "w": "nm", "v": "nm"}
    assert by_hand.units == {"power_meter": "W", "laser.wavelength": "nm", "w": "nm"}
    with pytest.raises(ParameterError, match=r"result of main: a value of type .* cannot be kept"):
        bench.start(SCRIPT, {"values": {}, "fails": True}).result()

"""The file of a run, as plain h5py and a NeXus viewer see it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from daq.core import Column, RunOutcome, RunStart, RunStop
from daq.storage.files.hdf5_file import RunFile
from daq.storage.files.hdf5_reader import describe_file, read_block
from daq.storage.journal.row_records import RowBatch
from daq.wire.hdf5_names import dataset_name

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
START = RunStart(
    run_id="abc",
    name="knife edge",
    started_ns=T0,
    user="Ada Lovelace",
    metadata={
        "sample": "gold é",
        "angles": [1.5, 2.5],
        "tags": ["a", "b"],
        "count": 3,
        "dark": True,
        "mixed": [1, "a", None],
        "nested": {"a": {"b": [1]}},
        "empty": [],
        "nothing": None,
        "a/b": "slash",
        "huge": 2**70,
    },
    execution_id="e1",
    script_id="s1",
    script_name="knife.py",
    script_source='print("hello")\n',
    script_sha256="f" * 64,
    parameters={"start": -2.0, "points": 41, "name": "x"},
    devices={"stage": {"position": 1.5, "moving": False}, "laser.1": {"mode": "cw"}},
    units={"stage": {"position": "mm"}},
    versions={"daq": "0.1", "python": "3.11"},
    host="bench1",
)
STOP = RunStop(RunOutcome.STOPPED, T0 + 90 * SECOND, "lunch", "bob")


def setpoint(name: str) -> Column:
    return Column(name, "mm", "<f8", (), name, "positioner")


def detector(name: str, shape: tuple[int, ...] = (), dtype: str = "<f8") -> Column:
    return Column(name, "V", dtype, shape, name.partition(".")[0])


def batch(*columns: Column, rows: int = 4, stream: str = "primary") -> RowBatch:
    times = T0 + np.arange(rows, dtype=np.int64) * SECOND
    values: dict[str, Any] = {}
    for number, column in enumerate(columns):
        if column.dtype == "O":
            values[column.name] = np.array([f"text {i}" for i in range(rows)], dtype=object)
        else:
            size = rows * int(np.prod(column.shape, dtype=int))
            data = np.arange(size).astype(column.dtype) + np.dtype(column.dtype).type(number)
            values[column.name] = data.reshape((rows, *column.shape))
    stamps = np.stack([times + i for i in range(len(columns))], axis=1)
    return RowBatch(stream, columns, 0, times, stamps, values)


def write(directory: Path, *batches: RowBatch, start: RunStart = START) -> Path:
    file = RunFile(directory / "run.h5", start)
    for one in batches:
        file.write_rows(one)
    file.finish(STOP)
    return file.path


def test_everything_about_the_run_can_be_read_back(tmp_path: Path) -> None:
    path = write(tmp_path, batch(setpoint("stage"), detector("meter")))
    start, stop, streams = describe_file(path)
    assert start == START.__class__(
        **{n: getattr(START, n) for n in START.__dataclass_fields__}
        | {"metadata": dict(START.metadata)}
    )
    assert stop == STOP
    assert [(s.name, s.points, s.columns) for s in streams] == [
        ("primary", 4, (setpoint("stage"), detector("meter")))
    ]


def test_plain_h5py_finds_the_fields_of_nexus(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path, batch(setpoint("stage"), detector("meter")))) as file:
        entry = file[file.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        assert entry["title"].asstr()[()] == "knife edge"
        assert entry["start_time"].asstr()[()] == "2023-11-14T22:13:20+00:00"
        assert entry["end_time"].asstr()[()] == "2023-11-14T22:14:50+00:00"
        assert entry["duration"][()] == 90.0
        assert entry["entry_identifier"].asstr()[()] == "abc"
        assert entry["program_name"].asstr()[()] == "daq"
        assert entry["user"].attrs["NX_class"] == "NXuser"
        assert entry["user/name"].asstr()[()] == "Ada Lovelace"
        assert entry["sample/name"].asstr()[()] == "gold é"
        assert entry["script/data"].asstr()[()] == START.script_source
        assert entry["script/parameters/points"][()] == 41
        assert entry["devices/stage/position"][()] == 1.5
        assert entry["metadata/angles"][:].tolist() == [1.5, 2.5]
        assert (entry.attrs["outcome"], entry.attrs["reason"]) == ("stopped", "lunch")
        assert entry.attrs["stopped_by"] == "bob"


def test_columns_carry_units_times_and_source(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path, batch(setpoint("stage"), detector("meter")))) as file:
        stream = file["entry/primary"]
        assert stream["stage"].attrs["units"] == "mm"
        assert stream["time"][:].tolist() == [T0 + i * SECOND for i in range(4)]
        assert stream["time"].attrs["units"] == "nanoseconds since 1970-01-01T00:00:00"
        assert stream["timestamps/meter"][1] == T0 + SECOND + 1
        assert file["entry/instrument/stage"].attrs["NX_class"] == "NXpositioner"
        assert file["entry/instrument/stage/value"][:].tolist() == [0.0, 1.0, 2.0, 3.0]
        assert file["entry/instrument/meter"].attrs["NX_class"] == "NXdetector"
        assert file["entry/instrument/meter/data"][0] == 1.0


@pytest.mark.parametrize(
    ("columns", "signal", "axes"),
    [
        ([setpoint("x"), detector("a"), detector("b")], "a", ["x"]),
        ([setpoint("y"), setpoint("x"), detector("a")], "a", ["y", "x"]),
        ([setpoint("z"), setpoint("y"), setpoint("x"), detector("a")], "a", ["z"]),
        ([setpoint("x"), detector("a", (5,))], "a", ["x", "."]),
        ([setpoint("y"), setpoint("x"), detector("a", (4, 5))], "a", ["y", ".", "."]),
        ([detector("a")], "a", ["elapsed"]),
        ([setpoint("x")], "x", ["elapsed"]),
        ([detector("note", dtype="O"), setpoint("x"), detector("a")], "a", ["x"]),
    ],
)
def test_the_default_plot_is_the_first_detector_against_what_moved(
    tmp_path: Path, columns: list[Column], signal: str, axes: list[str]
) -> None:
    with h5py.File(write(tmp_path, batch(*columns))) as file:
        entry = file[file.attrs["default"]]
        data = entry[entry.attrs["default"]]
        assert data.attrs["NX_class"] == "NXdata"
        assert data.attrs["signal"] == signal
        assert list(data.attrs["axes"]) == axes
        assert data[signal].ndim == len(axes) or len(axes) == 2
        for axis in axes:
            if axis != ".":
                assert data[axis].shape == data[signal].shape[:1]


def test_further_detectors_of_the_same_shape_are_auxiliary_signals(tmp_path: Path) -> None:
    columns = [setpoint("x"), detector("a"), detector("w", (5,)), detector("b")]
    with h5py.File(write(tmp_path, batch(*columns))) as file:
        assert list(file["entry/data"].attrs["auxiliary_signals"]) == ["b"]
        assert "w" not in file["entry/data"]


def test_a_run_without_numbers_has_no_plot(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path, batch(detector("note", dtype="O")))) as file:
        assert "signal" not in file["entry/data"].attrs
        assert file["entry/primary/note"].asstr()[1] == "text 1"
    with h5py.File(write(tmp_path)) as file:
        assert len(file["entry/data"]) == 0


def test_frames_get_a_chunk_each_and_come_back(tmp_path: Path) -> None:
    frames = batch(setpoint("x"), detector("camera", (128, 96), "<u2"), rows=5)
    path = write(tmp_path, frames)
    with h5py.File(path) as file:
        dataset = file["entry/primary/camera"]
        assert dataset.chunks == (1, 128, 96)
        assert dataset.attrs["interpretation"] == "image"
        assert dataset.id.get_num_chunks() == 5
        np.testing.assert_array_equal(dataset[:], frames.values["camera"])


@pytest.mark.parametrize("dtype", ["<f8", "<u2", "|b1", "<c16", ">f4", "|i1"])
@pytest.mark.parametrize("shape", [(), (3,), (200, 100)])
def test_every_type_and_shape_comes_back(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    wanted = batch(detector("a", shape, dtype))
    block = read_block(write(tmp_path, wanted, wanted), "primary", ["a"], 2)
    assert block is not None
    assert block.values["a"].dtype == np.dtype(dtype)
    assert block.columns == wanted.columns
    expected = np.concatenate([wanted.values["a"], wanted.values["a"]])[
        2 : 2 + len(block.timestamps)
    ]
    np.testing.assert_array_equal(block.values["a"], expected)


def test_names_that_collide_or_are_none_are_kept_apart(tmp_path: Path) -> None:
    odd = [
        detector("time"),
        detector("timestamps"),
        detector("a/b"),
        detector("a_b"),
        detector("."),
    ]
    path = write(tmp_path, batch(*odd, stream="data"), batch(detector("a"), stream="x/y"))
    _, _, streams = describe_file(path)
    assert [s.name for s in streams] == ["data", "x/y"]
    assert streams[0].columns == tuple(odd)
    block = read_block(path, "data", ["a_b", "time"], 0)
    assert block is not None
    assert block.values["time"][0] == 0.0
    assert block.values["a_b"][0] == 3.0
    assert dataset_name("..") == "_"


def test_nobody_sees_a_file_before_it_is_complete(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.h5", START)
    file.write_rows(batch(detector("a")))
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5.partial"]
    file.finish(STOP)
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_an_abandoned_file_stays_incomplete(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.h5", START)
    file.write_rows(batch(detector("a")))
    file.abandon()
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5.partial"]


def test_every_stream_is_a_plot_and_every_dimension_has_a_name(tmp_path: Path) -> None:
    columns = (
        setpoint("stage"),
        detector("meter"),
        detector("trace", (3,)),
        detector("cam", (2, 4)),
    )
    beside = batch(detector("lamp"), stream="baseline")
    with h5py.File(write(tmp_path, batch(*columns), beside)) as file:
        stream, other = file["entry/primary"], file["entry/baseline"]
        assert (stream.attrs["NX_class"], stream.attrs["signal"]) == ("NXdata", "meter")
        assert list(stream.attrs["axes"]) == ["stage"]
        assert (other.attrs["signal"], list(other.attrs["axes"])) == ("lamp", ["time"])
        names = {
            name: [dimension[0].name.rpartition("/")[2] for dimension in stream[name].dims]
            for name in ("meter", "time", "trace", "cam")
        }
        assert names == {
            "meter": ["stage"],
            "time": ["stage"],
            "trace": ["stage", "trace_sample"],
            "cam": ["stage", "cam_row", "cam_column"],
        }
        assert stream["cam_column"][:].tolist() == [0, 1, 2, 3]
        assert file["entry/devices/stage/position"].attrs["units"] == "mm"
        assert file["entry/devices/stage/moving"].dtype == np.uint8


def test_xarray_has_the_position_as_coordinate_and_times_as_times(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    path = write(tmp_path, batch(setpoint("stage"), detector("meter"), detector("trace", (3,))))
    for group in ("entry/primary", "entry/data"):
        with xarray.open_dataset(path, group=group, engine="h5netcdf") as data:
            assert data["meter"].dims == ("stage",)
            assert data["stage"].values.tolist() == [0, 1, 2, 3]
            assert data["meter"].attrs["units"] == "V"
    with xarray.open_dataset(path, group="entry/primary", engine="h5netcdf") as data:
        assert data["time"].values[0] == np.datetime64(T0, "ns")
        assert data["trace"].dims == ("stage", "trace_sample")


def test_many_keys_of_metadata_are_read_back_from_one_table(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {f"k{i}": [i, 1.5, None, "x", {"a": i}][i % 5] for i in range(300)}
    metadata |= {"key": "its own", "value": float("inf"), "a/b": True, "wave": np.arange(3)}
    start = RunStart("abc", "many", T0, metadata=metadata)
    file = RunFile(tmp_path / "run.h5", start)
    file.write_rows(batch(detector("meter")))
    file.finish(STOP)
    found = dict(describe_file(file.path)[0].metadata)
    assert found.pop("wave").tolist() == metadata.pop("wave").tolist()
    assert found == metadata
    with h5py.File(file.path) as opened:
        assert sorted(opened["entry/metadata"]) == ["key", "value", "wave"]


PLAIN = replace(
    START, metadata={"sample": "gold", "tags": ["a", "bcd"], "none": "", "deep": [1, {}]}
)


def test_no_text_of_an_ordinary_run_is_of_variable_length(tmp_path: Path) -> None:
    """Octave gives up a whole file at the first one that is, or that is not ASCII."""
    path = write(tmp_path, batch(setpoint("stage"), detector("meter")), start=PLAIN)
    kinds: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: kinds.update({name: getattr(item, "dtype", None)}))
        texts = {n: h5py.check_string_dtype(kind) for n, kind in kinds.items() if kind is not None}
    found = {name: text for name, text in texts.items() if text is not None}
    assert len(found) > 10
    assert {(text.encoding, text.length is None) for text in found.values()} == {("ascii", False)}


@pytest.mark.skipif(shutil.which("octave") is None, reason="Octave is not installed")
def test_octave_loads_a_run(tmp_path: Path) -> None:
    path = write(tmp_path, batch(setpoint("stage"), detector("meter")), start=PLAIN)
    program = f"run = load('{path}'); printf('%g ', run.entry.primary.meter); disp(run.entry.title)"
    command = ["octave", "--no-gui", "--quiet", "--eval", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "2", "3", "4", "knife", "edge"], done.stderr

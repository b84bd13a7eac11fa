"""`client open`, `home`, `stop`, `call`, `trigger`, `frames`, `acquire`, `live`: every device."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from click.testing import Result

from daq.cli.client.array_files import Taken, save_arrays
from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceAction,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    InvalidReadingError,
    Measurement,
    UnknownDeviceError,
    standard,
)
from daq.wire.arrow import measurement_to_arrow
from daq.wire.convert import device_to_wire, parameter_to_wire
from daq.wire.generated import daq as pb
from tests.unit.cli.asking import ask
from tests.unit.client.fake_daemon import FakeDaemon


def describe(name: str, units: str, *capabilities: Capability, **fields: Any) -> DeviceDescription:
    return DeviceDescription(
        name, "simulated", Category.OTHER, frozenset(capabilities), Channel(name, units),
        units=units, **fields,
    )  # fmt: skip


RAMP = DeviceAction(
    "ramp",
    arguments=(
        DeviceParameter("target", "float", units="K"),
        DeviceParameter("seconds", "float", units="s"),
    ),
)
BENCH = [
    describe("stage", "mm", Capability.MOVABLE),
    describe("meter", "W", Capability.READABLE),
    describe("camera", "counts", Capability.FRAME_PRODUCER, Capability.TRIGGERABLE),
    describe("digitizer", "V", Capability.SAMPLE_PRODUCER),
    describe("cryostat", "K", actions=(RAMP,)),
    describe(
        "laser", "W", parameters=(standard("shutter"), DeviceParameter("power", "float", "", "W"))
    ),
]


def listing(_: object) -> pb.ListDevicesResponse:
    snapshots = [DeviceSnapshot(d.id, DeviceState.READY, 1, 1) for d in BENCH]
    return pb.ListDevicesResponse(list(map(device_to_wire, BENCH, snapshots)))


def answered(command: str, answers: dict[str, Any]) -> Result:
    with FakeDaemon({"ListDevices": listing, **answers}) as daemon:
        return ask(daemon, *command.split())


def command(request: pb.DeviceCommandRequest) -> pb.DeviceCommandResponse:
    results = {"home": None, "position": 0.25, "frames": [1], "ask": {"value": 0.5, "units": "W"}}
    answer = results.get(request.command, json.loads(request.args)["args"])
    return pb.DeviceCommandResponse(True, results=json.dumps({"result": answer}))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("open laser", "laser is open\n"),
        ("close laser", "laser is closed\n"),
        ("home stage", "stage is at 0.25 mm\n"),
        ("move stage 1500um", "stage is at 1.5 mm\n"),
        ("move stage 1.5 mm", "stage is at 1.5 mm\n"),
        ("call meter ask", "meter.ask: 500 mW\n"),
        ("call meter zero", "meter.zero: []\n"),
        ("call meter take 1.5 true -2 knife", 'meter.take: [1.5, true, -2, "knife"]\n'),
        ("call stage home", "stage.home: done\n"),
        ("call cryostat ramp 77 5min", "cryostat.ramp: [77.0, 300.0]\n"),
        ("call cryostat ramp seconds=1e3ms target=-10degC", "cryostat.ramp: [263.15, 1.0]\n"),
        ("live meter --count 1", "00:00:00.000  meter             2 mW\n"),
    ],
)
def test_a_device_does_what_it_is_told(
    typed: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    answers: dict[str, Any] = {
        "SetParameter": lambda r: pb.SetParameterResponse(True, actual_value=r.value),
        "MoveAbsolute": lambda r: pb.MoveResponse(True, final_position=r.value),
        "ExecuteDeviceCommand": command,
        "StreamValues": lambda r: [pb.ValueUpdate("meter", 0.002, "W", 5)],
    }
    result = answered(typed, answers)
    assert result.output[-len(shown) :].partition(" ")[2] == shown.partition(" ")[2], result.output
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("label", "-5", "-5"),
        ("label", "-.5 -6 x", "-.5 -6 x"),
        ("counts", "-5", "-5"),
        ("counts", "9007199254740993", "9007199254740993"),
        ("counts", "-0x10", "-16"),
        ("counts", "1e3", "1000"),
    ],
)
def test_what_is_set_is_what_was_typed(name: str, typed: str, sent: str) -> None:
    rows = [DeviceParameter("label", "str"), DeviceParameter("counts", "int")]
    got: list[str] = []

    def set_parameter(request: pb.SetParameterRequest) -> pb.SetParameterResponse:
        got.append(request.value)
        return pb.SetParameterResponse(True, actual_value=request.value)

    answers = {
        "ListParameters": lambda r: pb.ListParametersResponse(
            [parameter_to_wire("meter", row) for row in rows]
        ),
        "SetParameter": set_parameter,
    }
    result = answered(f"set meter {name} {typed}", answers)
    assert result.output == f"meter.{name} is {sent}\n"
    assert got == [sent]


def test_a_wrong_call_of_an_action_names_the_argument() -> None:
    missing = answered("call cryostat ramp 77", {})
    assert (
        missing.stderr == "error: ramp(target, seconds): missing a required argument: 'seconds'\n"
    )
    unfit = answered("call cryostat ramp 77 5K", {})
    assert "ramp: seconds is in s: '5K' does not fit" in unfit.stderr


def test_what_has_no_position_is_not_moved_and_says_what_it_offers() -> None:
    result = answered("move meter 3mm", {})
    assert result.stderr == "error: meter cannot be moved\nit offers read, stop\n"


def test_nothing_is_sent_that_does_not_fit() -> None:
    result = answered("move stage 2s", {})
    assert result.exit_code == 1
    assert result.stderr == (
        "error: stage: the position is in mm: '2s' does not fit; nothing was sent\nsuch as 2 mm\n"
    )


def test_a_device_that_is_not_there_is_told_by_the_daemon() -> None:
    def refuse(_: object) -> None:
        raise UnknownDeviceError("there is no device 'stge'", advice="did you mean 'stage'?")

    result = answered("move stge 1", {"GetDeviceState": refuse})
    assert result.stderr == "error: there is no device 'stge'\ndid you mean 'stage'?\n"


def test_a_misspelt_option_is_not_taken_for_a_position() -> None:
    result = answered("move stage 1 --forse", {})
    assert result.exit_code == 2
    assert "No such option: --forse" in result.stderr or "No such option '--forse'" in result.stderr


def test_stop_takes_a_device_and_tells_no_position_of_what_has_none() -> None:
    answers = {
        "StopMotion": lambda r: pb.StopMotionResponse(
            True, 1.25 if r.device_id == "stage" else float("nan"), outcome="stopped"
        ),
        "ListExecutions": lambda r: pb.ListExecutionsResponse(),
    }
    stage = answered("stop stage", answers).output.splitlines()[1].split()
    camera = answered("stop camera", answers).output.splitlines()[1].split()
    assert stage[:2] == ["stage", "stopped"]
    assert stage[-3:] == ["at", "1.25", "mm"]
    assert camera[:2] == ["camera", "stopped"]
    assert "at" not in camera


IMAGE = np.arange(12, dtype="<u2").reshape(3, 4)


def frames(_: object) -> list[pb.FrameData]:
    return [
        pb.FrameData(
            "camera", 4, 3, 16, IMAGE.tobytes(), number, 1000 + number, 10.0,
            metadata={"units": "counts"},
        )
        for number in (1, 2)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_frames_are_kept_as_they_came(tmp_path: Path, suffix: str, count: int) -> None:
    path = tmp_path / f"x{suffix}"
    result = answered(f"frames camera -n {count} --output {path}", {"StreamFrames": frames})
    assert result.exit_code == 0
    first, *_, last = result.output.splitlines()
    assert first == "camera #1: 4 x 3 pixels, 11 counts at x=3 y=2, mean 5.5 counts"
    assert last == f"wrote {path}"
    expected = IMAGE if count == 1 else np.stack([IMAGE, IMAGE])
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(path), expected)
        return
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["values"][()], expected)
        assert dict(file["values"].attrs) == {"device": "camera", "units": "counts"}
        assert list(file["timestamps"]) == [1001, 1002][:count]


def test_one_image_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert answered(f"frames camera -o {path}", {"StreamFrames": frames}).exit_code == 0
    from matplotlib.image import imread

    assert imread(path).shape[:2] == IMAGE.shape
    several = answered(f"frames camera -n 2 -o {path}", {})
    assert several.exit_code == 2
    assert "one image" in several.stderr


def test_images_that_do_not_come_are_told() -> None:
    result = answered("frames camera -n 3", {"StreamFrames": frames})
    assert result.stderr == "error: camera: the stream ended after 2 images\n"
    assert result.exit_code == 1


def test_an_ending_that_nobody_writes_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    result = answered(f"frames camera -o {tmp_path / 'x.tif'}", {})
    assert result.exit_code == 2
    assert "x.tif: ends in none of .png, .npy, .h5" in result.stderr


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.npy"
    result = answered(f"frames camera -o {path}", {"StreamFrames": frames})
    assert result.stderr == f"error: {path}: cannot be written: No such file or directory\n"


def test_samples_are_acquired_and_kept(tmp_path: Path) -> None:
    values = np.array([0.5, 1.5, 2.5], dtype="f4")
    times = np.array([1000, 2000, 3000])
    batch = measurement_to_arrow(Measurement("digitizer.samples", times, values, "V", 0))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    ipc = sink.getvalue().to_pybytes()
    answers = {
        "StartStream": lambda r: pb.StartStreamResponse(True),
        "StopStream": lambda r: pb.StopStreamResponse(True),
        "StreamBlocks": lambda r: [
            pb.MeasurementBlock(channel="digitizer.samples", samples=3, ipc=ipc)
        ],
    }
    path = tmp_path / "d.csv"
    result = answered(f"acquire digitizer -n 2 -o {path}", answers)
    assert result.output.splitlines() == [
        "digitizer: 2 samples in 1 µs",
        "mean 1 V, rms 500 mV, from 500 mV to 1.5 V",
        f"wrote {path}",
    ]
    with path.open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["time (ns since 1970)", "digitizer (V)"], ["1000", "0.5"], ["2000", "1.5"],
        ]  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.1, 1 / 3, 16_777_215], "f4"),
        np.array([0.1, 1 / 3, 1e300]),
        np.array([-(2**62) + 1, 0, 2**53 + 1]),
        np.array([2**64 - 1], "u8"),
    ],
)
def test_numbers_in_a_table_are_the_ones_that_were_taken(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "x.csv"
    save_arrays(path, Taken("counter", "", values, np.arange(len(values)) + 2**60))
    with path.open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    assert [int(time) for time, _ in rows] == list(range(2**60, 2**60 + len(values)))
    assert np.array([number for _, number in rows]).astype(values.dtype).tolist() == values.tolist()


def test_a_trigger_shows_what_it_took_and_leaves_the_device_disarmed() -> None:
    answers = {
        "Arm": lambda r: pb.ArmResponse(True),
        "Trigger": lambda r: pb.TriggerResponse(True),
        "ReadValue": lambda r: pb.ReadValueResponse(True, value=0.5, units="V"),
        "UnstageDevice": lambda r: pb.UnstageDeviceResponse(True),
        "ListDevices": listing,
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, "trigger", "camera").output == "camera 500 mV\n"
        assert [name for name, _ in daemon.requests][-4:] == [
            "Arm", "Trigger", "ReadValue", "UnstageDevice",
        ]  # fmt: skip


def test_polling_shows_what_nobody_takes_and_only_once() -> None:
    async def published(_: object) -> Any:
        yield pb.DataPoint("meter", 0.5, 1, "W")

    answers = {
        "StreamMeasurements": published,
        "StreamValues": lambda r: [pb.ValueUpdate("meter", 0.5, "W", 1)],
        "StreamPosition": lambda r: [pb.PositionUpdate("stage", 1.0, 7)] * 2,
    }
    shown = answered("stream --poll", answers).output.splitlines()
    assert sorted(line.split()[1] for line in shown) == ["meter", "stage"]


def test_live_goes_on_through_an_overload() -> None:
    asked: list[int] = []

    def values(_: object) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise InvalidReadingError("meter: overload")
        return [pb.ValueUpdate("meter", 0.002, "W", 5)]

    shown = answered("live meter --rate 50", {"StreamValues": values}).output.splitlines()
    assert [line.split()[2] for line in shown] == ["nan", "2"]

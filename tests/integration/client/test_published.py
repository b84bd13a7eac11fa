"""The published examples of the API's own client, as they are written, on a bench of theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pandas as pd
import pytest

from daq.client import Device, Laser, connect
from daq.core import CapabilityError, ParameterError, StateError, UnknownDeviceError
from tests.system.daemon_process import DaemonProcess

BENCH = """
[devices.stage]
driver = "simulated.stage"
limits = [0.0, 100.0]
velocity = 5000.0
acceleration = 1e6

[devices.power_meter]
driver = "simulated.power_meter"
"""

MOVE = """
from daq.client import connect, Motor, Status

with connect():
    motor = Motor("stage")
    motor.position = 10.0
    print(motor.position)
    print(motor.limits)
    print(motor.units)
    status = motor.move(20.0, wait=False)
    assert isinstance(status, Status)
    status.wait()
"""

READ = """
from daq.client import connect, Detector

with connect("{host}:{port}", timeout=5.0):
    detector = Detector("power_meter")
    print(f"{{detector.read()}} {{detector.units}}")
"""

SCAN = """
from daq.client import connect, run, scan, Motor, Detector

with connect():
    motor = Motor("stage")
    det = Detector("power_meter")
    with run(name="test", metadata={"sample": "A"}):
        pass
    data = scan(detectors=[det], motor=motor, start=0, stop=100, steps=11, dwell_time=0.01)
    as_dict = scan(detectors=[det], motor=motor, start=0, stop=1, steps=2, return_dict=True)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("published")
    config = directory / "bench.toml"
    config.write_text(BENCH)
    with DaemonProcess(directory / "data", "--config", str(config)) as process:
        yield process.address


@pytest.fixture(autouse=True)
def here(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAQ_ADDRESS", address)


def test_a_motor_is_moved(capsys: pytest.CaptureFixture[str]) -> None:
    exec(MOVE, {})
    position, limits, units = capsys.readouterr().out.splitlines()
    assert float(position) == pytest.approx(10.0, abs=0.01)
    assert (limits, units) == ("[0, 100]", "mm")


def test_a_reading_is_a_number_and_the_unit_once(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = address.partition(":")
    exec(READ.format(host=host, port=port), {})
    number, unit = capsys.readouterr().out.split()
    assert float(number) == float(number)
    assert unit == "W"


def test_a_scan_gives_a_frame() -> None:
    names: dict[str, object] = {}
    exec(SCAN, names)
    data = names["data"]
    assert isinstance(data, pd.DataFrame)
    assert data["stage"].to_numpy() == pytest.approx(range(0, 101, 10), abs=0.01)
    assert set(names["as_dict"]) == {"time", "stage", "power_meter"}  # type: ignore[call-overload]


def test_each_thread_and_each_block_has_its_own_bench(address: str) -> None:
    with connect() as outer:
        assert Device("stage") is outer["stage"]
        with connect() as inner:
            assert Device("stage") is inner["stage"]
        assert Device("stage") is outer["stage"]
        seen: list[object] = []

        def elsewhere() -> None:
            try:
                Device("stage")
            except StateError as error:
                seen.append(error.message)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == ["no active connection"]
    with pytest.raises(StateError, match="no active connection"):
        Device("stage")


def test_a_wrong_call_is_answered_in_the_users_terms() -> None:
    with connect():
        with pytest.raises(CapabilityError, match="stage"):
            Laser("stage")
        with pytest.raises(UnknownDeviceError, match="did you mean 'stage'"):
            Device("stagee")
        for arguments in ((), (3,), ("stage", "x")):
            with pytest.raises(ParameterError, match="takes the id of a device"):
                Device(*arguments)  # type: ignore[call-arg, arg-type]

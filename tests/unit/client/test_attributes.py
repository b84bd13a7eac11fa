"""Parameters of a device are its attributes, whatever driver offers them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from daq.client import AsyncClient
from daq.client.bench.device import Device, MissingCapabilityError
from daq.client.bench.device_classes import class_for
from daq.client.bench.parameters import AxisValue, MissingParameterError
from daq.client.blocking.portal import Portal
from daq.client.calls.models import DeviceInfo
from daq.core import (
    STANDARD,
    Category,
    Channel,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    Limits,
    ParameterError,
    standard,
)
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon

GAIN = DeviceParameter("gain", "float", "Of the amplifier", "dB", limits=Limits(0.0, 40.0))
RANGE = DeviceParameter("range", "int", "Of eight", choices=("1", "2"))
SERIAL = DeviceParameter("serial", "str", "On its plate", writable=False)
NAME = DeviceParameter("name", "str", "What the instrument calls itself")


def describe(*rows: DeviceParameter) -> DeviceDescription:
    channel = Channel("dut", "V")
    return DeviceDescription("dut", "acme", Category.OTHER, frozenset(), channel, parameters=rows)


@pytest.fixture
def values() -> dict[str, str]:
    kept = {name: "true" if row.dtype == "bool" else "0.5" for name, row in STANDARD.items()}
    return kept | {"gain": "3.5", "range": "2", "serial": "A-17", "name": "lock-in"}


@pytest.fixture
def device(values: dict[str, str]) -> Iterator[Any]:
    def set_parameter(request: pb.SetParameterRequest) -> pb.SetParameterResponse:
        values[request.parameter_name] = request.value
        return pb.SetParameterResponse(True, actual_value=request.value)

    answers = {
        "GetParameter": lambda r: pb.ParameterValue(value=values[r.parameter_name]),
        "SetParameter": set_parameter,
    }
    rows = [standard(name) for name in STANDARD]
    description = describe(*rows, GAIN, RANGE, SERIAL, NAME)
    info = DeviceInfo(description, DeviceSnapshot("dut", DeviceState.READY, 1, 0))
    with FakeDaemon(answers) as daemon:
        portal = Portal(lambda: AsyncClient(daemon.address))
        yield class_for(description.capabilities)(portal, info, daemon.address)
        portal.close()


def test_each_is_got_and_set_by_its_name_with_its_type(device, values) -> None:
    for name, row in STANDARD.items():
        setattr(device, name, row.dtype != "bool" and 0.25)
        assert getattr(device, name) == (False if row.dtype == "bool" else 0.25)
    assert (device.gain, device.range, device.serial) == (3.5, 2, "A-17")
    device.gain = 6
    assert values["gain"] == "6"


def test_words_set_one_value_or_ask(device, values) -> None:
    device.open()
    assert (values["shutter"], device.is_open) == ("true", True)
    device.close()
    assert (values["shutter"], device.is_open) == ("false", False)
    with pytest.raises(AttributeError, match="is_open"):
        device.is_open = True


def test_a_number_is_an_axis_and_a_counted_one_on_request(device) -> None:
    assert isinstance(device.gain, AxisValue)
    assert (device.gain.axis, device.gain_limits) == ("dut.gain", Limits(0.0, 40.0))
    assert type(device.range) is int
    assert device.parameters.axis("range").axis == "dut.range"
    with pytest.raises(ParameterError, match=r"dut\.serial is no number"):
        device.parameters.axis("serial")


def test_a_name_that_is_taken_is_found_among_the_parameters(device) -> None:
    assert (device.name, device.parameters.name) == ("dut", "lock-in")
    assert {"gain", "open", "temperature"} <= set(dir(device))


def test_what_it_has_not_is_no_attribute() -> None:
    description = describe(GAIN)
    info = DeviceInfo(description, DeviceSnapshot("dut", DeviceState.READY, 1, 0))
    portal = Portal(lambda: pytest.fail("nothing here asks the daemon"))
    device: Any = Device(portal, info, "bench:1")
    for name in ("wavelength", "open", "temperature", "gian"):
        assert not hasattr(device, name)
    with pytest.raises(MissingCapabilityError, match="WavelengthTunable"):
        device.wavelength = 800
    with pytest.raises(AttributeError, match="did you mean 'gain'"):
        device.gian = 1.0
    with pytest.raises(MissingParameterError, match="it has gain"):
        _ = device.parameters.gian
    portal.close()

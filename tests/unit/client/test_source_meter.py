"""What both moves and measures: `read` is the reading, `position` the setpoint's readback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daq.client.bench.detector import Detector
from daq.client.bench.device_classes import class_for
from daq.client.bench.motor import Motor
from daq.client.bench.readings import Readings
from daq.client.bench.source_meter import SourceMeter
from daq.client.blocking.portal import Portal
from daq.client.calls.models import DeviceInfo
from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
)

SMU = DeviceDescription(
    "smu",
    "declarative",
    Category.OTHER,
    frozenset({Capability.MOVABLE, Capability.READABLE}),
    Channel("smu", "V"),
    reading=Channel("smu.current", "A"),
    units="V",
)


@pytest.fixture
def smu(monkeypatch) -> Iterator[SourceMeter]:
    monkeypatch.setattr(Motor, "position", 2.0)
    monkeypatch.setattr(Detector, "read", lambda _: Readings("smu", 0.001, 5, "A"))
    info = DeviceInfo(SMU, DeviceSnapshot("smu", DeviceState.READY, 1, 0))
    portal = Portal(lambda: pytest.fail("nothing here asks the daemon"))
    device = class_for(SMU.capabilities)(portal, info, "bench:1")
    assert isinstance(device, SourceMeter)
    yield device
    portal.close()


def test_a_device_that_moves_and_measures_gets_the_class_that_does_both() -> None:
    assert issubclass(class_for(SMU.capabilities), SourceMeter)
    assert not issubclass(class_for(frozenset({Capability.MOVABLE})), SourceMeter)


def test_a_reading_is_what_it_measures_and_never_where_it_stands(smu) -> None:
    reading = smu.read()
    assert (reading.name, reading.value, reading.units) == ("smu.current", 0.001, "A")
    assert {name: entry["value"] for name, entry in reading.items()} == {
        "smu": 2.0,
        "smu.current": 0.001,
    }


def test_what_is_described_is_what_is_read(smu) -> None:
    described = smu.describe()
    assert {name: key["units"] for name, key in described.items()} == {
        "smu": "V",
        "smu.current": "A",
    }
    assert list(described) == [name for name in ("smu", "smu.current") if name in smu.read()]

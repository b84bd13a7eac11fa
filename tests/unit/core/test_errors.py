import copy
import pickle

import pytest

from daq import core
from daq.core import DaqError, DeviceError, LimitError, UnknownDeviceError, error_class

CLASSES = [
    value
    for value in vars(core).values()
    if isinstance(value, type) and issubclass(value, DaqError)
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_rebuilt_from_its_kind_message_and_advice(cls):
    error = cls("what, where, why", advice="do this")
    rebuilt = error_class(error.kind)(error.message, advice=error.advice)
    assert type(rebuilt) is cls
    assert str(rebuilt) == "what, where, why\ndo this"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_survive_copying_and_pickling(cls):
    error = cls("message", advice="advice")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), twin.message, twin.advice) == (cls, "message", "advice")


def test_kinds_are_told_apart():
    assert len({cls.kind for cls in CLASSES}) == len(CLASSES)


def test_a_kind_from_a_newer_daemon_is_still_an_error():
    assert error_class("quantum") is DaqError


def test_a_drivers_own_error_does_not_stand_for_its_parents_kind():
    class ReplyError(DeviceError):
        """Without a kind of its own."""

    assert error_class("device") is DeviceError
    assert ReplyError("x").kind == "device"


def test_an_error_without_advice_is_its_message():
    assert str(UnknownDeviceError("no device 'x'")) == "no device 'x'"


def test_a_limit_error_states_value_limits_and_units():
    assert str(LimitError.outside("stage", "position", 11, -10, 10, "mm")) == (
        "stage: position 11 mm is outside the limits [-10, 10] mm; nothing was changed"
    )
    assert "10.0000001 mm is outside" in str(
        LimitError.outside("stage", "position", 10.0000001, -10, 10, "mm")
    )
    assert "gain 3 is outside the limits [0, 2]; nothing" in str(
        LimitError.outside("meter", "gain", 3, 0, 2, "")
    )

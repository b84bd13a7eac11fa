from __future__ import annotations

import math

import pytest
import trio

from daq.api.hardware.commands import parse_arguments
from daq.api.hardware.device_service import deadline, period_s
from daq.api.hardware.state import Deadband
from daq.core import DeviceError
from daq.core import TimeoutError as DeadlineError


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        ("  ", []),
        ("[]", []),
        ("{}", []),
        ('{"args": [1.5, "x"]}', [1.5, "x"]),
        ("[1, 2]", [1, 2]),
        ("3", [3]),
        ('"fast"', ["fast"]),
        ("null", [None]),
    ],
)
def test_arguments_of_a_command_are_read_from_json(text, arguments):
    assert parse_arguments("stage", "move_abs", text) == arguments


@pytest.mark.parametrize("text", ["{", '{"position": 1}', '{"args": 3}', "move!"])
def test_arguments_that_make_no_sense_are_refused_with_an_example(text):
    with pytest.raises(DeviceError, match="stage: move_abs") as caught:
        parse_arguments("stage", "move_abs", text)
    assert '{"args": [1.5]}' in caught.value.advice


def test_a_deadband_holds_back_what_hardly_changed():
    deadband = Deadband(0.5)
    values = [0.0, 0.3, 0.5, 0.6, 0.2, -0.1]
    assert [v for v in values if deadband.is_left_by("stage.position", v)] == [0.0, 0.6, -0.1]


def test_without_a_deadband_every_change_is_sent_and_nothing_twice():
    deadband = Deadband(0.0)
    values = [1.0, 1.0, 1.1, 1.0]
    assert [v for v in values if deadband.is_left_by("x", v)] == [1.0, 1.1, 1.0]


def test_names_do_not_share_a_deadband():
    deadband = Deadband(10.0)
    assert deadband.is_left_by("a", 1.0)
    assert deadband.is_left_by("b", 1.0)


async def test_a_deadline_names_what_did_not_end(autojump_clock):
    wanted = r"stage: move_abs\(3\) did not end within 250 ms"
    with pytest.raises(DeadlineError, match=wanted), deadline(250, "stage: move_abs(3)"):
        await trio.sleep(1)


@pytest.mark.parametrize("timeout_ms", [None, 0, 5000])
async def test_in_time_there_is_no_deadline(autojump_clock, timeout_ms):
    with deadline(timeout_ms, "it"):
        await trio.sleep(1)
    assert trio.current_time() == 1


def test_a_rate_has_a_default_and_a_bound():
    assert period_s(0) == 0.1
    assert period_s(50) == 0.02
    assert math.isclose(period_s(10**9), 0.001)

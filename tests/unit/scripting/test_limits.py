"""Limits: how one start lowers them, and how they are counted."""

from __future__ import annotations

import pytest

from daq.core import Call, ListDevices, Log, OpenRun, ParameterError, Point, Record
from daq.scripting.limits import SandboxLimits
from daq.scripting.parent.allowance import Allowance


def test_a_start_can_lower_limits() -> None:
    limits = SandboxLimits(memory_mb=256, max_runs=None).lowered(
        {"memory_mb": 100.0, "max_duration_s": 2, "max_records": 5.0, "max_runs": 3.0}
    )
    assert (limits.memory_mb, limits.max_duration_s) == (100, 2.0)
    assert (limits.max_records, limits.max_runs) == (5, 3)
    assert limits.max_output_mb == SandboxLimits().max_output_mb


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"memory_mb": 1000}, r"memory_mb can be lowered .* not raised: 1000 is more than 512"),
        ({"max_runs": 20_000}, "max_runs can be lowered"),
        ({"max_records": 0}, "max_records is a positive number, not 0"),
        ({"max_records": 1.5}, "max_records is a positive number, not 1.5"),
        ({"max_duration_s": float("nan")}, "max_duration_s is a positive number, not nan"),
        ({"max_records": float("inf")}, "max_records is a positive number, not inf"),
        ({"max_duration_s": -1}, "not -1"),
        ({"allow_unconfined": 1}, "no limit 'allow_unconfined'"),
        ({"max_recrods": 1}, "no limit 'max_recrods'"),
    ],
)
def test_what_a_start_may_not_ask_for_is_told(wanted, message) -> None:
    with pytest.raises(ParameterError, match=message):
        SandboxLimits().lowered(wanted)


def test_only_what_has_a_limit_is_counted() -> None:
    allowance = Allowance(SandboxLimits(max_records=2, max_runs=1))
    for _ in range(10):
        assert allowance.spend(Call("stage", "position")) == ""
        assert allowance.spend(ListDevices()) == ""
    assert allowance.spend(OpenRun("a")) == ""
    assert allowance.spend(Record(["meter"])) == ""
    assert allowance.spend(Point({}, ["meter"])) == ""
    assert allowance.spend(Record([])) == (
        "the limit of 2 events was reached (max_records); to allow more, raise max_records in "
        "[scripts] of the configuration, or where it was started"
    )
    assert "the limit of 1 runs was reached (max_runs)" in allowance.spend(OpenRun("b"))
    assert repr(allowance) == "<Allowance: 0 lines, 3 events, 2 runs>"


def test_empty_lines_count_as_lines() -> None:
    allowance = Allowance(SandboxLimits(max_output_lines=5))
    assert [allowance.spend(Log("")) for _ in range(5)] == [""] * 5
    assert "5 lines of output" in allowance.spend(Log(""))


def test_a_refill_forgets_the_flood_before_it() -> None:
    allowance = Allowance(SandboxLimits(output_lines_per_s=10.0))
    assert allowance.delay("x\n" * 100, 0.0) == pytest.approx(8.0)
    allowance.refill()
    assert allowance.delay("x", 0.0) == 0

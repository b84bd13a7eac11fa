"""The rule of an interlock, as data: times and values in, changes out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.supervision.interlocks.rule import Change, InterlockRule
from daq.supervision.settings.condition import Condition

T, C = Change.TRIPPED, Change.CLEARED


def played(condition, *events):
    """Changes as (time, change); an event is (time,) or (time, value)."""
    rule = InterlockRule(condition, 0.0)
    changes = []
    for time, *value in events:
        change = rule.sample(time, value[0], value[0], "W") if value else rule.tick(time)
        if change:
            changes.append((time, change))
    return rule, changes


def test_it_trips_above_and_clears_below():
    rule, changes = played(Condition(above=1.0), (1, 0.5), (2, 1.0), (3, 1.1), (4, 5.0), (5, 1.0))
    assert changes == [(3, T), (5, C)]
    assert (rule.tripped, rule.why) == (False, "")


def test_the_reason_tells_value_limit_and_units():
    assert played(Condition(above=1.0), (1, 1.25))[0].why == "1.25 W, above 1 W"
    assert played(Condition(below=1.0), (1, 0.25))[0].why == "0.25 W, below 1 W"
    assert played(Condition(stale_s=3), (5,))[0].why == "silent for 3 s"


def test_hysteresis_keeps_it_tripped_until_it_is_well_below():
    condition = Condition(above=1.0, clear_below=0.8)
    _, changes = played(condition, (1, 1.1), (2, 0.9), (3, 1.05), (4, 0.8))
    assert changes == [(1, T), (4, C)]


def test_a_spike_shorter_than_the_hold_time_does_not_trip():
    condition = Condition(above=1.0, hold_s=2.0)
    assert played(condition, (1, 2.0), (2, 0.5), (3, 2.0), (4.9, 2.0), (4.95, 0.0))[1] == []
    assert played(condition, (1, 2.0), (3,))[1] == [(3, T)]


def test_it_clears_only_when_nothing_was_wrong_for_the_clearing_time():
    condition = Condition(above=1.0, clear_s=5.0)
    _, changes = played(condition, (1, 2.0), (2, 0.0), (4, 2.0), (5, 0.0), (9.9,), (10,))
    assert changes == [(1, T), (10, C)]


def test_silence_trips_and_the_next_good_sample_clears():
    condition = Condition(stale_s=3.0)
    assert played(condition, (2.9,), (3.0,), (10,), (11, 0.0))[1] == [(3.0, T), (11, C)]


def test_silence_while_it_waits_to_clear_keeps_it_tripped():
    condition = Condition(above=1.0, stale_s=3.0, clear_s=5.0)
    _, changes = played(condition, (1, 2.0), (2, 0.5), (5,), (20,), (21, 0.5), (23, 0.5), (26, 0.5))
    assert changes == [(1, T), (26, C)]


def test_a_late_tick_finds_both_changes_one_after_the_other():
    condition = Condition(above=1.0, stale_s=10.0)
    rule, changes = played(Condition(above=1.0, clear_s=2.0, stale_s=5.0), (0, 9.0), (1, 0.0), (8,))
    assert changes == [(0, T), (8, C)]
    assert rule.tick(8) is T  # and silent since 6
    assert condition.describe("W") == "above 1 W or silent for 10 s"


def test_not_a_number_is_always_wrong():
    rule, changes = played(Condition(below=-1e300), (1, math.nan))
    assert changes == [(1, T)]
    assert rule.why == "not a number"


def test_a_latched_one_waits_for_its_reset():
    condition = Condition(above=1.0, latched=True)
    rule, changes = played(condition, (1, 2.0), (2, 0.0), (100,))
    assert changes == [(1, T)]
    assert rule.latched
    assert math.isinf(rule.deadline)
    assert rule.reset(101) is C
    assert not rule.tripped


def test_a_latched_one_whose_condition_is_true_is_not_reset():
    rule, _ = played(Condition(above=1.0, latched=True), (1, 2.0))
    assert rule.reset(2) is None
    assert rule.tripped


def test_outside_of_a_window_trips_on_both_sides():
    condition = Condition(below=-1.0, above=1.0)
    assert played(condition, (1, -2.0), (2, 0.0), (3, 2.0))[1] == [(1, T), (2, C), (3, T)]


def test_the_extremes_of_a_block_are_judged():
    rule = InterlockRule(Condition(above=1.0, below=-1.0), 0.0)
    assert rule.sample(1, -0.5, 0.5) is None
    assert rule.sample(2, -0.5, 7.0) is T
    assert rule.sample(3, -9.0, 0.5) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"above": 1.0, "below": 2.0},
        {"above": 1.0, "clear_below": 1.5},
        {"below": 1.0, "clear_above": 0.5},
        {"above": 2.0, "below": 1.0, "clear_below": 1.2, "clear_above": 1.8},
    ],
)
def test_conditions_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"clear|nothing"):
        Condition(**wrong)


VALUES = st.floats(-3, 3) | st.just(math.nan)
STEPS = st.lists(st.tuples(st.floats(0, 5), VALUES | st.none()), max_size=40)
CONDITIONS = st.builds(
    Condition,
    above=st.just(1.0),
    clear_below=st.sampled_from([1.0, 0.5, math.inf]),
    stale_s=st.sampled_from([3.0, math.inf]),
    hold_s=st.sampled_from([0.0, 1.5]),
    clear_s=st.sampled_from([0.0, 2.5]),
)


@given(CONDITIONS, STEPS)
def test_changes_alternate_and_follow_the_state(condition, steps):
    rule = InterlockRule(condition, 0.0)
    now, before = 0.0, False
    for wait, value in steps:
        now += wait
        change = rule.tick(now) if value is None else rule.sample(now, value, value)
        assert (change is T) == (rule.tripped and not before)
        assert (change is C) == (before and not rule.tripped)
        assert bool(rule.why) or not rule.tripped
        before = rule.tripped


@given(CONDITIONS, STEPS)
def test_nothing_changes_before_its_deadline(condition, steps):
    rule = InterlockRule(condition, 0.0)
    now = 0.0
    for wait, value in steps:
        due = rule.deadline
        now += wait
        if value is None:
            changed = rule.tick(now) is not None
            assert not (changed and now < due)
        else:
            rule.sample(now, value, value)


@given(CONDITIONS, STEPS)
def test_bad_values_for_longer_than_the_hold_time_always_trip(condition, steps):
    rule = InterlockRule(condition, 0.0)
    now = 0.0
    for wait, value in steps:
        now += wait
        if value is not None:
            rule.sample(now, value, value)
    rule.sample(now + 1, 2.0, 2.0)
    rule.sample(now + 2.6, 2.0, 2.0)
    rule.tick(now + 2.6)
    assert rule.tripped

"""The life of an execution, as data."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import ExecutionState, StateError
from daq.experiment import TRANSITIONS, Lifecycle


def ticking_clock(step_ns=10):
    ticks = itertools.count(0, step_ns)
    return lambda: next(ticks)


def test_every_state_has_a_row_in_the_table():
    assert set(TRANSITIONS) == set(ExecutionState)


def test_a_final_state_has_no_way_out_and_every_other_has_one():
    for state, successors in TRANSITIONS.items():
        assert state.is_final == (not successors)


def test_every_state_can_be_reached_from_pending():
    reached, frontier = set(), {ExecutionState.PENDING}
    while frontier:
        reached |= frontier
        frontier = {after for state in frontier for after in TRANSITIONS[state]} - reached
    assert reached == set(ExecutionState)


def test_a_new_life_is_pending_with_a_reason_and_a_time():
    (first,) = Lifecycle(lambda: 42).history
    assert (first.state, first.timestamp_ns) == (ExecutionState.PENDING, 42)
    assert first.reason


@given(st.lists(st.sampled_from(ExecutionState), max_size=12))
def test_whatever_is_tried_the_history_follows_the_table(attempts):
    life = Lifecycle(ticking_clock())
    for state in attempts:
        before = life.history
        try:
            life.enter(state, "tried")
        except StateError:
            assert life.history == before
    for earlier, later in itertools.pairwise(life.history):
        assert later.state in TRANSITIONS[earlier.state]
        assert later.timestamp_ns > earlier.timestamp_ns


def test_a_forbidden_change_names_both_states():
    life = Lifecycle(lambda: 0)
    with pytest.raises(StateError, match="from PENDING to PAUSED"):
        life.enter(ExecutionState.PAUSED)


def test_pauses_do_not_count_as_activity():
    now = 0
    life = Lifecycle(lambda: now)
    for at, state in [
        (100, ExecutionState.RUNNING),
        (150, ExecutionState.PAUSED),
        (950, ExecutionState.RUNNING),
        (1000, ExecutionState.COMPLETED),
    ]:
        now = at
        life.enter(state)
    now = 5000
    assert life.active_ns() == 100

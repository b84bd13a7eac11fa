import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.supervision import RestartPolicy


def test_the_delay_doubles_up_to_the_longest():
    policy = RestartPolicy(first_s=1, factor=2, longest_s=10, jitter=0)
    delays = [policy.delay(failures, random.Random()) for failures in range(1, 7)]
    assert delays == [1, 2, 4, 8, 10, 10]


def test_it_never_gives_up_and_never_overflows():
    policy = RestartPolicy(jitter=0)
    assert policy.delay(10**9, random.Random()) == policy.longest_s


@given(failures=st.integers(1, 100), seed=st.integers())
def test_jitter_stays_within_its_fraction(failures, seed):
    plain = RestartPolicy(jitter=0).delay(failures, random.Random(seed))
    varied = RestartPolicy(jitter=0.25).delay(failures, random.Random(seed))
    assert 0.75 * plain <= varied <= 1.25 * plain


def test_two_devices_do_not_come_back_in_the_same_instant():
    policy, rng = RestartPolicy(), random.Random(1)
    assert policy.delay(3, rng) != policy.delay(3, rng)


@pytest.mark.parametrize(
    "wrong",
    [{"first_s": 0}, {"first_s": 5, "longest_s": 1}, {"factor": 0.5}, {"jitter": 1.0}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"delays run|factor"):
        RestartPolicy(**wrong)

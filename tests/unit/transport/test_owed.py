"""A late reply is told from the one that is waited for."""

from __future__ import annotations

from daq.transport.late_replies import LateReplies


def anything(text):
    return True


def test_nothing_is_ambiguous_when_nothing_is_owed():
    owed = LateReplies()
    mine = owed.expect(anything, due=1.0, seconds=1.0)
    owed.settled([mine])
    assert not owed.is_ambiguous("5.0")
    assert owed.listen_until() is None
    assert len(owed) == 0


def test_a_reply_that_could_be_an_older_one_is_ambiguous():
    owed = LateReplies()
    owed.expect(lambda text: text.startswith("2PO"), due=1.0, seconds=1.0)
    assert owed.is_ambiguous("2PO00000000")
    assert not owed.is_ambiguous("3PO00000000")


def test_late_replies_settle_the_oldest_debt_that_they_fit():
    owed = LateReplies()
    owed.expect(lambda text: text == "a", due=1.0, seconds=1.0)
    owed.expect(anything, due=2.0, seconds=1.0)
    assert owed.settle("b")
    assert owed.settle("a")
    assert not owed.settle("a")


def test_it_is_listened_for_once_and_still_remembered():
    owed = LateReplies()
    owed.expect(anything, due=1.0, seconds=1.0)
    owed.expect(anything, due=3.0, seconds=1.0)
    assert owed.listen_until() == 3.0
    owed.give_up()
    assert owed.listen_until() is None
    assert owed.is_ambiguous("x")
    owed.forgive("x")
    assert not owed.is_ambiguous("x")


def test_a_silent_instrument_does_not_owe_without_bound():
    owed = LateReplies()
    for n in range(1000):
        owed.expect(anything, due=n, seconds=1.0)
    assert len(owed) == 16


def test_a_new_connection_may_still_bring_what_the_old_one_was_asked_for_but_not_for_ever():
    owed = LateReplies()
    owed.expect(anything, due=1.0, seconds=1.0)  # lost by 2.0
    owed.expect(anything, due=2.5, seconds=1.0)  # asked at 1.5, begun at 2.0 at the latest
    owed.give_up()
    owed.reopened(now=2.5)
    assert len(owed) == 1
    assert owed.listen_until() == 2.5
    assert owed.is_ambiguous("1")
    owed.reopened(now=4.0)
    assert not owed.is_ambiguous("1")

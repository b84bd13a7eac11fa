"""When a motion is over: late and blinking flags, other ends, and the stop that a failure owes."""

import json
import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.core import DeviceError, OfflineError, StopOutcome
from daq.drivers import MotionTiming, Timebase
from daq.supervision import Debts, set_aside_in
from daq.supervision.device.debts import Debt
from daq.supervision.device.motion import MotionJudge, Verdict
from tests.unit.supervision.fakes import FakeStage, failing, supervised

TIMING = MotionTiming(begin_s=1.0, rest_s=0.1, look_s=0.05, timeout_s=20.0)


def judge_of(target=5.0, start=0.0, timing=TIMING):
    return MotionJudge(timing, 0.01, target, 0.0, lambda a, b: abs(a - b), start)


def verdicts(judge, moving, position, until=30.0, step=0.05):
    """What is said at each look, and when the first end comes."""
    for number in range(int(until / step)):
        now = number * step
        verdict = judge.judge(moving(now), position(now), now)
        if verdict is not Verdict.GOING:
            return verdict, now
    return Verdict.GOING, until


@given(lag=st.floats(0.0, 0.9), length=st.floats(0.3, 10.0))
def test_a_flag_that_comes_late_never_ends_a_motion(lag, length):
    moving = lambda t: lag <= t < lag + length  # noqa: E731
    position = lambda t: 5.0 * min(max((t - lag) / length, 0.0), 1.0)  # noqa: E731
    verdict, at = verdicts(judge_of(), moving, position)
    assert verdict is Verdict.OVER
    assert at >= lag + length * 0.99


@given(blink=st.floats(0.5, 2.9), lasts=st.floats(0.01, 0.5))
def test_a_flag_that_blinks_never_ends_a_motion(blink, lasts):
    moving = lambda t: t < 3.0 and not blink <= t < blink + lasts  # noqa: E731
    verdict, at = verdicts(judge_of(), moving, lambda t: min(5.0 * t / 3.0, 5.0))
    assert verdict is Verdict.OVER
    assert at >= 2.99


@pytest.mark.parametrize(
    ("moving", "position", "verdict"),
    [
        (lambda t: False, lambda t: 0.0, Verdict.NOT_BEGUN),
        (lambda t: t < 2, lambda t: min(t, 2.0), Verdict.ELSEWHERE),
        (lambda t: True, lambda t: 0.1 * t, Verdict.LATE),
        (lambda t: False, lambda t: 5.0, Verdict.OVER),
    ],
)
def test_every_end_has_its_name(moving, position, verdict):
    assert verdicts(judge_of(), moving, position)[0] is verdict


def test_a_home_position_that_nobody_knows_is_not_believed_at_once():
    judge = judge_of(target=None, start=3.0)
    verdict, at = verdicts(judge, lambda t: 0.15 <= t < 2.0, lambda t: 3.0)
    assert verdict is Verdict.OVER
    assert at >= 2.0


class LateStage(FakeStage):
    """Takes the command and moves 150 ms later, while its flag says that it rests."""

    motion_timing = MotionTiming()
    lag = 0.15
    ignores_moves = False

    @property
    def place(self):
        here = self._began + self.lag
        gone = max(0.0, trio.current_time() - here) * self.speed
        distance = self._to - self._from
        return self._from + math.copysign(min(abs(distance), gone), distance)

    @property
    def moving(self):
        return trio.current_time() > self._began + self.lag and self.place != self._to

    async def move_abs(self, position):
        self.log.append(f"move {position:g}")
        await trio.lowlevel.checkpoint()
        if not self.ignores_moves:
            self._from, self._to, self._began = self.place, position, trio.current_time()


async def test_a_late_flag_is_waited_for_and_nothing_is_stopped(autojump_clock):
    stage = LateStage("stage", Timebase())
    async with supervised(stage) as bench:
        assert await bench.supervisor.device("stage").call("move_abs", 2) == 2.0
        assert "stop" not in stage.log


async def test_a_move_that_is_not_over_in_time_is_stopped_and_says_where(autojump_clock):
    stage = LateStage("stage", Timebase())
    stage.motion_timing = MotionTiming(timeout_s=2.0)
    async with supervised(stage) as bench:
        with pytest.raises(DeviceError, match=r"not over after 2 s: .*; it was stopped at [12]\."):
            await bench.supervisor.device("stage").call("move_abs", 9)
        assert stage.log[-1] == "stop"
        assert not stage.moving


async def test_noise_on_a_moving_stage_is_counted_and_the_move_goes_on(autojump_clock):
    stage = LateStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def disturb():
            await trio.sleep(1)
            honest = stage.is_moving
            stage.is_moving = failing(DeviceError("stage: 'MD?' was answered with '\xff'"))
            await trio.sleep(0.15)
            stage.is_moving = honest

        assert await device.call("move_abs", 3) == 3.0
        assert device.snapshot().failed_questions >= 1
        assert device.snapshot().state == "ready"
        assert "stop" not in stage.log


async def test_a_stage_that_nobody_understands_any_more_is_stopped(autojump_clock):
    stage = LateStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def disturb():
            await trio.sleep(1)
            stage.is_moving = failing(DeviceError("stage: nonsense"), times=50)

        with pytest.raises(DeviceError, match="nobody knows where it moves"):
            await device.call("move_abs", 9)
        assert "stop" in stage.log


async def test_a_moving_stage_that_was_lost_is_stopped_before_anybody_commands_it(
    autojump_clock, tmp_path
):
    stage = LateStage("stage", Timebase())
    path = tmp_path / "owed.json"
    async with supervised(stage) as bench:
        bench.supervisor._debts._path = path
        device = bench.supervisor.device("stage")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def move():
                with pytest.raises(OfflineError):
                    await device.call("move_abs", 9)

            await trio.sleep(1)
            stage.on_connect = failing(OfflineError("stage: no power"), times=1)
            stage.look_at_motion = failing(OfflineError("stage: silence"))
        assert device.snapshot().owed.startswith("a stop since")
        stop = await device.stop(safe=True)
        assert (stop.outcome, stop.owed) == (StopOutcome.UNREACHABLE, True)
        assert device.snapshot().owed.startswith("its safe state since")
        del stage.look_at_motion
        await trio.sleep(5)
        assert device.snapshot().owed == ""
        assert stage.log[stage.log.index("connect", 1) :] == ["connect", "connect", "stop"]
        assert await device.call("move_abs", 1) == 1.0


async def test_what_is_owed_outlives_the_daemon(tmp_path):
    path = tmp_path / "owed.json"
    debts = Debts(path, lambda: 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(debts.keep)
        await trio.testing.wait_all_tasks_blocked()
        debts.add("laser", safe=False, reason="laser: no power")
        debts.add("laser", safe=True, reason="laser: no power")
        debts.settle("laser", safe=False)  # a stop is less than its safe state
        while not path.exists():
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    found = Debts(path, lambda: 2).find("laser")
    assert str(found) == "its safe state since 1970-01-01 00:00:00 UTC: no power"
    assert json.loads(path.read_text())["version"] == 1
    path.write_text('{"laser": {"safe": false, "reason": "before versions", "since_ns": 7}}')
    assert Debts(path, lambda: 2).find("laser") == Debt(False, "before versions", 7)


async def test_what_is_owed_in_the_last_moment_outlives_the_daemon_too(tmp_path):
    path = tmp_path / "owed.json"
    debts = Debts(path, lambda: 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(debts.keep)
        await trio.testing.wait_all_tasks_blocked()
        debts.add("laser", safe=True, reason="no power")
        nursery.cancel_scope.cancel()
    assert Debts(path, lambda: 2).find("laser") == Debt(True, "no power", 1)


@pytest.mark.parametrize("damage", ["{", "[]", '{"laser": 1}', '{"version": 9}', '{"version": 1}'])
async def test_when_nobody_can_know_what_was_owed_it_is_the_safe_state(
    autojump_clock, tmp_path, damage
):
    path = tmp_path / "owed.json"
    path.write_text(damage)
    stage, debts = LateStage("stage", Timebase()), Debts(path, lambda: 1)
    async with supervised(stage, debts=debts) as bench:
        await trio.sleep(1)
        assert stage.log[:2] == ["connect", "stop"]
        assert bench.supervisor.device("stage").snapshot().owed == ""
        debts.watch("stage", lambda _: None)  # built anew: it owes nothing more
        assert debts.find("stage") is None
    assert json.loads(path.read_text()) == {"version": 1, "debts": {}}
    assert len(set_aside_in(tmp_path)) == 1

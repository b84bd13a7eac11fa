"""`python -m tests.benchmarks.bluesky_stop KIND`: how long bluesky's `RE.abort()` takes.

A process of its own, since what does not end can only be killed. Prints `begun`, then `ready`
before each abort and the seconds until the plan had ended with its motor stopped after it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks.peers import Motor, Status


class HungMotor(Motor):
    """Never arrives."""

    def __init__(self) -> None:
        super().__init__("motor")
        self.stopped_at = 0.0
        self.set_at = 0.0

    def set(self, value: float) -> Status:
        self.set_at = time.perf_counter()
        status = Status()
        status.done = False
        status.success = False
        status.add_callback = lambda callback: None
        return status

    def stop(self, *, success: bool = False) -> None:
        self.stopped_at = time.perf_counter()


class BlockingMotor(HungMotor):
    """Its driver waits inside of the call."""

    def set(self, value: float) -> Status:
        self.set_at = time.perf_counter()
        time.sleep(1e6)
        return Status()


def plans(motor: HungMotor, stubs: Any) -> dict[str, Callable[[], Iterator[Any]]]:
    def then(body: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        def plan() -> Iterator[Any]:
            yield from stubs.abs_set(motor, 1.0)
            yield from body()

        return plan

    def steps() -> Iterator[Any]:
        while True:
            yield from stubs.null()

    def busy() -> Iterator[Any]:
        while True:
            pass
        yield from stubs.null()

    def busy_in_c() -> Iterator[Any]:
        sum(range(10**12))
        yield from stubs.null()

    return {
        "normal": then(steps),
        "sleep": then(lambda: stubs.sleep(1e6)),
        "busy": then(busy),
        "busy in C": then(busy_in_c),
        "hung device": lambda: stubs.mv(motor, 1.0),
        "blocking driver": lambda: stubs.mv(motor, 1.0),
    }


def say(text: str) -> None:
    print(text, file=sys.__stdout__, flush=True)


def abort_once(engine: Any, motor: HungMotor, plan: Callable[[], Iterator[Any]]) -> float:
    motor.set_at = motor.stopped_at = 0.0
    errors: list[BaseException] = []

    def run() -> None:
        try:
            engine(plan())
        except Exception as error:  # an abort may be raised here
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not motor.set_at:
        time.sleep(0.001)
    time.sleep(0.02)
    say("ready")
    began = time.perf_counter()
    engine.abort()
    thread.join()
    return max(time.perf_counter(), motor.stopped_at) - began


def main(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky import RunEngine
        from bluesky import plan_stubs as stubs

        engine = RunEngine({}, context_managers=[])
    motor = BlockingMotor() if kind == "blocking driver" else HungMotor()
    plan = plans(motor, stubs)[kind]
    say("begun")
    while True:
        say(str(abort_once(engine, motor, plan)))


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # bluesky prints there
        main(sys.argv[1])

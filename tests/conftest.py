"""Runs every `async def` test under trio, on a virtual clock where the test asks for one."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    # Before grpclib: on 3.12 and later it finds the loop of a Trio thread only in this order.
    import trio_asyncio  # noqa: F401

import functools
import inspect
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

# A machine with other work to do misses deadlines. HYPOTHESIS_PROFILE=thorough looks further.
settings.register_profile(
    "quick", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A shell starts what it puts in the background with Ctrl-C ignored, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means: all cores for a whole suite such as `tests/unit`, else one process.

    That is quicker for a few tests, prints as they run, and stops where `breakpoint()` stands. What
    is slow (soak, chaos) needs the cores for itself.
    """
    suites = {TESTS, *(path for path in TESTS.iterdir() if path.is_dir())}
    is_whole = all(Path(argument).resolve() in suites for argument in config.args)
    chosen = config.option.keyword or config.option.markexpr != "not slow"
    return None if is_whole and not chosen else 0


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """Virtual time: the clock jumps to the next deadline whenever all tasks wait."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments: dict[str, Any] = {
        name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs
    }
    clock = next((v for v in arguments.values() if isinstance(v, trio.abc.Clock)), None)
    trio.run(functools.partial(pyfuncitem.obj, **arguments), clock=clock)
    return True

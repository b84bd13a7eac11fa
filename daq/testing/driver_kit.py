"""`check_driver`: runs every contract of `daq.core.capabilities` against any driver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import trio

from daq.testing.driver_checks import ALWAYS, Check
from daq.testing.driver_checks_acquire import ACQUIRING
from daq.testing.driver_checks_motion import MOVING
from daq.testing.driver_checks_parameters import SETTING
from daq.testing.driver_checks_trouble import TROUBLED
from daq.testing.driver_subject import ConformanceError, DriverFactory, Subject

__all__ = ["CheckResult", "ConformanceError", "check_driver", "run_checks"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check."""

    name: str
    promise: str
    """What holds for a driver that passes, in one sentence."""
    seconds: float
    problems: tuple[str, ...] = ()
    """Why it failed; empty for a driver that keeps the contract."""


async def check_driver(
    make: DriverFactory,
    options: Mapping[str, Any] | None = None,
    *,
    device_id: str = "device",
    driver_name: str = "under.test",
    timeout: float = 60.0,
) -> tuple[str, ...]:
    """Check a driver against every contract that its capabilities bring with them.

    Each check gets a fresh driver. They move, switch and expose within the declared limits, so run
    them against a simulator or an instrument that may do that.

    Args:
        make: The driver's class, or what makes one of a `DriverContext`.
        options: The device's table of the configuration.
        device_id: The id that the driver is given.
        driver_name: The driver name that it is given.
        timeout: Seconds that one check may take.

    Returns:
        The names of the checks that ran, so that a test can see that none was left out.

    Raises:
        ConformanceError: Some checks failed; the message lists all of them.
    """
    subject = Subject(make, options or {}, device_id, driver_name)
    async with aclosing(run_checks(subject, timeout)) as running:
        results = [result async for result in running]
    failures = [f"{each.name}: {problem}" for each in results for problem in each.problems]
    if failures:
        listed = "\n".join(f"  - {failure}" for failure in failures)
        raise ConformanceError(f"{driver_name} breaks {len(failures)} contracts:\n{listed}")
    return tuple(result.name for result in results)


async def run_checks(subject: Subject, timeout: float = 60.0) -> AsyncGenerator[CheckResult, None]:
    """Run the checks that the subject's capabilities ask for, one by one, whatever fails."""
    offered = subject.build().description.capabilities
    for capability, check in (*ALWAYS, *MOVING, *ACQUIRING, *SETTING, *TROUBLED):
        if capability is None or capability in offered:
            yield await _run(check, subject, timeout)


async def _run(check: Check, subject: Subject, timeout: float) -> CheckResult:
    problems: list[str] = []
    began = trio.current_time()
    try:
        with trio.fail_after(timeout):
            await check(subject)
    except trio.TooSlowError:
        problems.append(f"was not over after {timeout:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the others are checked
        problems += _reasons(error)
    promise = (check.__doc__ or "").partition("\n")[0]
    return CheckResult(check.__name__, promise, trio.current_time() - began, tuple(problems))


def _reasons(error: Exception) -> list[str]:
    """What failed, in words; an error out of a nursery holds several."""
    if isinstance(error, ExceptionGroup):
        return [reason for inner in error.exceptions for reason in _reasons(inner)]
    if isinstance(error, ConformanceError):
        return [str(error)]
    return [f"raised {type(error).__name__}: {error}"]

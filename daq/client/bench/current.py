"""The bench that one works on inside of `with connect():`, for code that does not name it.

    with connect():
        stage = Motor("stage")
        data = scan(detectors=[Detector("power_meter")], motor=stage, start=0, stop=1, steps=11)

Each thread and each context has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from daq.client.blocking.portal import Portal
from daq.core import ParameterError, StateError

if TYPE_CHECKING:
    from daq.client.bench.bench import Bench
    from daq.client.bench.device import Device
    from daq.client.bench.manual_run import ManualRun

__all__ = ["DeviceClass", "current_bench", "enter", "leave", "run", "scan"]

_entered: ContextVar[tuple[Bench, ...]] = ContextVar("daq benches", default=())


def current_bench() -> Bench:
    """The bench of the innermost `with connect():`. Raises StateError outside of one."""
    benches = _entered.get()
    if not benches:
        raise StateError(
            "no active connection",
            advice="work inside of `with connect():`, or begin with `bench = connect()` and use "
            "bench.motor(...), bench.scan(...)",
        )
    return benches[-1]


def enter(bench: Bench) -> None:
    """Make it the current one."""
    _entered.set((*_entered.get(), bench))


def leave(bench: Bench) -> None:
    """The one before it is the current one again."""
    _entered.set(tuple(other for other in _entered.get() if other is not bench))


class DeviceClass(type):
    """What `Motor("stage")` means: that device of the current bench."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        """The device of that id; of a portal and what the daemon lists, a new one."""
        if arguments and isinstance(arguments[0], Portal):
            return super().__call__(*arguments, **named)
        if len(arguments) != 1 or not isinstance(arguments[0], str) or named:
            raise ParameterError(
                f"{cls.__name__} takes the id of a device of the bench, as text",
                advice=f'such as {cls.__name__}("stage"); list(bench) shows all ids',
            )
        return current_bench().of_class(arguments[0], cast("type[Device]", cls))


def run(name: str, metadata: Mapping[str, Any] | None = None, **more: Any) -> ManualRun:
    """A run of the current bench for a `with` block, as `bench.run` opens it.

    Args:
        name: The run's name.
        metadata: What is stored with it.
        **more: The same, by name.

    Returns:
        The run, open inside of its `with` block.
    """
    return current_bench().run(name, **{**(metadata or {}), **more})


def scan(*arguments: Any, return_dict: bool = False, **named: Any) -> Any:
    """A scan on the current bench, as `bench.scan` runs it.

    Args:
        *arguments: The detectors, then motor, start, stop and the number of points.
        return_dict: Return a dict of arrays, instead of a DataFrame.
        **named: The same by name: `detectors motor start stop num dwell`; others become metadata.

    Returns:
        A DataFrame with a row for each point, in the units of `attrs`; or a dict of arrays.
    """
    if return_dict:
        named["to"] = "dict"
    return current_bench().scan(*arguments, **named)

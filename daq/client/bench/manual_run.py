"""A run that a person opens, works in, and closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from daq.client.bench.device import Device
from daq.client.bench.parameters import AxisValue
from daq.client.blocking.portal import Portal
from daq.client.calls.models import RecordedPoint
from daq.client.recorded.run_log import Run
from daq.client.sending.literals import target_name
from daq.core import Quantity, RunOutcome, RunSummary, StateError

__all__ = ["ManualRun"]

_LONGEST_REASON = 500


class ManualRun:
    """`with bench.run("alignment", sample="blade") as run:` is open on the daemon for the block.

    It ends as completed, as failed when an exception comes out of the block, or as stopped after
    Ctrl-C. What was recorded is stored in any case.
    """

    def __init__(self, portal: Portal, name: str, metadata: Mapping[str, Any]) -> None:
        self.name = name
        self.id = ""
        """Empty until it is open."""
        self.summary: RunSummary | None = None
        """How it ended; None while it is open."""
        self._metadata = dict(metadata)
        self._portal = portal

    def __repr__(self) -> str:
        state = self.summary.outcome if self.summary else "open" if self.id else "not open yet"
        return f"<ManualRun {self.name!r} {self.id[:8]} {state}>"

    def __enter__(self) -> Self:
        self.id = self._portal.call(lambda client: client.runs.start(self.name, self._metadata))
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        outcome, reason = RunOutcome.COMPLETED, ""
        if isinstance(error, Exception):
            outcome = RunOutcome.FAILED
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        elif error is not None:
            outcome, reason = RunOutcome.STOPPED, type(error).__name__
        self.summary = self._portal.call(
            lambda client: client.runs.stop(self.id, reason=reason, outcome=outcome)
        )

    def record(self, *devices: Device | AxisValue | str, **values: Any) -> RecordedPoint:
        """Read devices and parameters and store one event, with values of your own beside it.

            run.record(meter, laser.wavelength, note="ok")

        Returns when it is stored.

        Returns:
            The columns as they are stored, by name, and the number of the event.

        Raises:
            StateError: The run is not open.
        """
        if not self.id or self.summary is not None:
            raise StateError(f"run {self.name!r} is not open", advice="record inside of its block")
        names = [target_name(device) for device in devices]
        units = {
            name: value.units
            for name, value in values.items()
            if isinstance(value, AxisValue | Quantity)
        }
        return self._portal.call(lambda client: client.runs.record(self.id, names, values, units))

    @property
    def recorded(self) -> Run:
        """What is stored of it, also while it is open."""
        return Run(self._portal, self.id)

"""What a plan needs of the script that it runs in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["Columns", "PlanHost"]

Columns = dict[str, list[Any]]
"""What a plan returns: for each column the values that it recorded."""


class PlanHost(Protocol):
    """What a plan needs of the script that it runs in."""

    def name(self, device: object) -> str:
        """The id of a device proxy, or the id itself."""

    def call(self, device: str, operation: str, *arguments: Any) -> Any:
        """One operation of a device."""

    def point(
        self,
        moves: Mapping[str, float],
        devices: Sequence[str],
        dwell: float,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Move, settle, dwell, read and store in one request; the columns as stored."""

    def record(self, devices: Sequence[str]) -> dict[str, Any]:
        """Read and store where everything stands."""

    def run(
        self, name: str, metadata: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]
    ) -> AbstractContextManager[None]:
        """A run for the plan, unless one is open.

        Raises before that, when a motor cannot move or may not go so far as `ranges` says.
        """

    def aside(self) -> AbstractContextManager[None]:
        """What is recorded meanwhile goes to a stream of its own, unless it names one."""

    def track(self, points: Sequence[Any]) -> Iterable[Any]:
        """The same points; progress follows them."""

    def segment(self) -> AbstractContextManager[None]:
        """A plan whose points cannot be counted before."""

    def progress(self, fraction: float) -> None:
        """Where such a plan stands, 0 to 1."""

    def start_move(self, device: str, position: float) -> None:
        """Begin a move that goes on in the background."""

    def join_move(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the move in the background; has it ended?"""

    def sleep(self, seconds: float) -> None:
        """Wait; a stop or a pause is heeded at once."""

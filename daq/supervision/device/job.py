"""One thing that a driver is asked to do, from its start to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from daq.core import Capability, DaqError, DeviceParameter, OfflineError, Operation

__all__ = ["Job", "Setting", "intended"]

Setting = tuple[DeviceParameter, Any]
"""A parameter and the value that it is set to."""

_ACQUIRING = frozenset({"arm", "trigger", "frames", "stream"})


class Job:
    """Runs in a task of its device while the caller waits for the answer.

    Two tasks, so that they can part: a caller who is cancelled goes on in bounded time even when
    the driver is stuck where no cancellation reaches it, such as a blocking call in a thread.
    """

    __slots__ = (
        "_answered",
        "_ended",
        "arguments",
        "by",
        "completed",
        "ended",
        "error",
        "exclusive",
        "interrupted",
        "name",
        "operation",
        "result",
        "scope",
        "setting",
    )

    def __init__(
        self,
        name: str,
        arguments: Sequence[Any] = (),
        *,
        operation: Operation | None = None,
        setting: Setting | None = None,
        exclusive: bool = False,
        by: str = "",
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.operation = operation
        self.setting = setting
        self.exclusive = exclusive
        """It changes the device, so it is alone."""
        self.by = by
        self.scope = trio.CancelScope()
        self.result: Any = None
        self.error: DaqError | None = None
        self.interrupted = False
        self.completed = False
        """It did what it was asked to, with `result`."""
        self.ended = False
        """The driver let go of it, one way or another."""
        self._answered = trio.Event()
        self._ended: trio.Event | None = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.arguments))})"

    def __repr__(self) -> str:
        return f"<Job {self} {'ended' if self.ended else 'running'}>"

    @property
    def is_motion(self) -> bool:
        """It moves the device, so its position is worth following."""
        return (
            self.exclusive
            and self.operation is not None
            and self.operation.capability is Capability.MOVABLE
        )

    @property
    def is_acquisition(self) -> bool:
        """It needs the detector for itself."""
        return self.name in _ACQUIRING

    @property
    def is_stream(self) -> bool:
        """It publishes until it is stopped."""
        return self.name in ("stream", "live_view")

    @property
    def is_live_view(self) -> bool:
        """It uses the detector while nobody else wants it."""
        return self.name == "live_view"

    @property
    def is_cancellable(self) -> bool:
        """It may be broken off half way; the device must then be told to stop."""
        if self.operation is None:
            return self.is_stream
        if self.setting is not None:
            return self.setting[0].settles
        return self.exclusive and self.operation.cancellable

    def interrupt(self, error: DaqError) -> None:
        """Break it off; its caller gets `error`, now."""
        if self.ended:
            return
        if self.error is None:
            self.error = error
        self.interrupted = True
        self.scope.cancel()
        self._answered.set()

    def complete(self, result: Any) -> None:
        self.result = result
        self.completed = True

    def fail(self, error: DaqError) -> None:
        """The driver failed; an interruption that came first stays the reason."""
        if self.error is None:
            self.error = error

    def end(self) -> None:
        """The driver let go of it."""
        self.ended = True
        self._answered.set()
        if self._ended is not None:
            self._ended.set()

    async def wait_answer(self) -> None:
        """Until it ended or was interrupted."""
        await self._answered.wait()

    async def wait_ended(self) -> None:
        """Until the driver let go of it, which for one that is stuck may be never."""
        if not self.ended:
            if self._ended is None:
                self._ended = trio.Event()
            await self._ended.wait()

    def answer(self, device_id: str) -> Any:
        """The result; raises what went wrong."""
        if self.error is not None:
            raise self.error
        if not self.completed:
            raise OfflineError(f"{device_id}: {self} was cut off; the device is let go")
        return self.result


def intended(job: Job) -> Mapping[str, Any]:
    """What a command that is in progress will have set, by the names of the cached fields."""
    if job.setting is None:
        return {}
    row, value = job.setting
    return {row.setpoint or row.name: value}

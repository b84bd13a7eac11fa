"""One call that goes on while the script does other things: a move during a fly scan."""

from __future__ import annotations

import trio
from trio_util import wait_any

from daq.core import Call, CallBeside, DaqError, Interpreter, StateError, StopRequested

__all__ = ["BackgroundCall"]


class BackgroundCall:
    """At most one call at a time, in the nursery of its program."""

    def __init__(self, nursery: trio.Nursery, interpreter: Interpreter) -> None:
        self._nursery = nursery
        self._interpreter = interpreter
        self._ended: trio.Event | None = None
        self._error: DaqError | StopRequested | None = None

    async def start(self, call: Call, stopping: bool) -> None:
        """Begin the call; raises StateError while another one goes on."""
        if self._ended is not None and not self._ended.is_set():
            raise StateError(f"{call.device}.{call.operation}: another call is still in progress")
        self._ended = trio.Event()
        self._error = None
        beside = CallBeside(call.device, call.operation, call.arguments)
        self._nursery.start_soon(self._perform, beside, stopping, self._ended)
        await trio.lowlevel.checkpoint()

    async def join(self, timeout: float, interrupt: trio.Event) -> bool:
        """Wait up to `timeout` seconds, or until `interrupt`; has the call ended?

        Raises what the call raised.
        """
        if self._ended is None:
            await trio.lowlevel.checkpoint()
            return True
        with trio.move_on_after(max(0.0, timeout)):
            await wait_any(self._ended.wait, interrupt.wait)
        if self._ended.is_set() and self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._ended.is_set()

    async def _perform(self, call: CallBeside, stopping: bool, ended: trio.Event) -> None:
        try:
            await self._interpreter.perform(call, stopping=stopping)
        except (DaqError, StopRequested) as error:
            self._error = error
        finally:
            ended.set()

"""Calls of the hardware service: those that only ask, and those that an instrument carries out."""

from __future__ import annotations

from daq.client.connection import Answer, Connection, WireMessage
from daq.core import DeviceError

__all__ = ["HardwareCalls", "route"]


def route(method: str) -> str:
    """The path of a method of the hardware service."""
    return f"/daq.HardwareService/{method}"


class HardwareCalls:
    """The two ways to call the hardware service; the base of what `client.devices` is made of."""

    def __init__(self, connection: Connection, *, force: bool = False) -> None:
        self._connection = connection
        self._force = force

    async def _ask(self, method: str, request: WireMessage, answer: type[Answer]) -> Answer:
        """A call that the daemon answers from what it knows, within the client's timeout.

        These, and the stop of a device, do no harm when they are made twice.
        """
        return await self._connection.call(
            route(method), request, answer, timeout=self._connection.timeout, repeatable=True
        )

    async def _operate(
        self,
        method: str,
        request: WireMessage,
        answer: type[Answer],
        timeout: float | None = None,
        *,
        repeatable: bool = False,
    ) -> Answer:
        """A call that an instrument has to carry out; None waits as long as that takes."""
        message = await self._connection.call(
            route(method),
            request,
            answer,
            timeout=timeout,
            repeatable=repeatable,
            force=self._force,
        )
        if getattr(message, "success", True) is False:
            reason = getattr(message, "error_message", "")
            raise DeviceError(reason or f"{method} failed, and the daemon does not say why")
        return message

"""How the daemon's services are called: questions, operations, streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import ClassVar

from daq.client.rpc.connection import Answer, Connection, WireMessage
from daq.client.rpc.resuming import resuming
from daq.core import DeviceError

__all__ = ["HardwareCalls", "ServiceCalls"]


class ServiceCalls:
    """The ways to call one of the daemon's services; the base of whatever a client offers."""

    service: ClassVar[str]
    """Its name, without the package."""

    def __init__(self, connection: Connection, *, force: bool = False) -> None:
        self._connection = connection
        self._force = force

    async def _ask(self, method: str, request: WireMessage, answer: type[Answer]) -> Answer:
        """A call that the daemon answers from what it knows, within the client's timeout.

        These, and the stop of a device, do no harm when they are made twice.

        Returns:
            The answer.
        """
        return await self._connection.call(
            self._route(method), request, answer, timeout=self._connection.timeout, repeatable=True
        )

    async def _operate(
        self,
        method: str,
        request: WireMessage,
        answer: type[Answer],
        timeout: float | None = None,
        *,
        repeatable: bool = False,
        force: bool = False,
    ) -> Answer:
        """A call that has to be carried out; None waits as long as that takes."""
        message = await self._connection.call(
            self._route(method),
            request,
            answer,
            timeout=timeout,
            repeatable=repeatable,
            force=force or self._force,
        )
        if getattr(message, "success", True) is False:
            reason = getattr(message, "error_message", "")
            raise DeviceError(reason or f"{method} failed, and the daemon does not say why")
        return message

    def _resuming(
        self,
        method: str,
        request: WireMessage,
        answer: type[Answer],
        *,
        bulk: bool = True,
        service: str = "",
    ) -> AsyncGenerator[tuple[int, Answer], None]:
        """A stream that comes back after a lost connection; `service` is for that of another."""
        route = self._route(method, service)
        return resuming(
            self._connection, lambda: self._connection.stream(route, request, answer, bulk=bulk)
        )

    def _stream(
        self, method: str, request: WireMessage, answer: type[Answer]
    ) -> AsyncGenerator[Answer, None]:
        """A stream that ends when the connection is lost."""
        return self._connection.stream(self._route(method), request, answer)

    def _route(self, method: str, service: str = "") -> str:
        return f"/daq.{service or self.service}/{method}"


class HardwareCalls(ServiceCalls):
    """Calls of the service of devices."""

    service = "HardwareService"

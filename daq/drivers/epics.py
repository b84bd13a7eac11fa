"""`driver = "epics"`: process variables of EPICS, over Channel Access by caproto.

The tables of the configuration are those of a described instrument (`daq.drivers.declarative`).
What is read and written are names of process variables, with `prefix` before them; an action is a
name and a value, such as `"m1.STOP 1"`.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any

from daq.core import ConfigurationError, DeviceError, Limits, OfflineError, Scalar
from daq.drivers.declarative.library import LibraryConversation, build_driver, read_description
from daq.drivers.declarative.model import Description
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options

__all__ = ["epics"]


def epics(context: DriverContext) -> Driver:
    """Make the driver of a device of process variables.

    Options: `prefix` of all names, `timeout` (3 s), `label`, `limits` of a movable, and the tables
    of a described instrument. Where to look for servers is said as always with EPICS, by
    `EPICS_CA_ADDR_LIST` and its like.

    Raises ConfigurationError, also when caproto is not installed.
    """
    if find_spec("caproto") is None:
        raise ConfigurationError(
            f"{context.device_id}: the package caproto is not installed",
            advice='install it beside the daemon: pip install "daq[epics]"',
        )
    options = Options(context.device_id, context.options)
    prefix = options.text("prefix", "", "what all names of process variables begin with")
    timeout_s = options.number("timeout", 3.0, "s", Limits(0.01, 3600.0))
    description = read_description(options, f"{context.device_id} (EPICS)")
    network = context.shared.setdefault(_Network, _Network())
    conversation = _Epics(context.device_id, description, timeout_s, prefix, network)
    return build_driver(context, options, description, conversation)


class _Network:
    """The client of all EPICS devices of a daemon: there while one of them is connected.

    caproto has no client for Trio any more; this one has threads of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._context: Any = None

    def join(self) -> Any:
        """The client; blocks."""
        from caproto.threading.client import Context

        with self._lock:
            if self._context is None:
                self._context = Context()
            self._users += 1
            return self._context

    def leave(self) -> None:
        """The last one ends it; blocks."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                context, self._context = self._context, None
                context.disconnect()


class _Epics(LibraryConversation):
    def __init__(
        self,
        device_id: str,
        description: Description,
        timeout_s: float,
        prefix: str,
        network: _Network,
    ) -> None:
        super().__init__(device_id, description, timeout_s)
        self._prefix = prefix
        self._network = network
        self._variables: dict[str, Any] | None = None

    def open_blocking(self) -> None:
        names = sorted(self._names())
        network = self._network.join()
        self._variables = {}
        found = network.get_pvs(*(self._prefix + name for name in names))
        self._variables = dict(zip(names, found, strict=True))
        for variable in found:
            variable.wait_for_connection(timeout=self._timeout_s)

    def close_blocking(self) -> None:
        if self._variables is not None:
            self._variables = None
            self._network.leave()

    def check_blocking(self) -> None:
        lost = [name for name, each in (self._variables or {}).items() if not each.connected]
        if lost or self._variables is None:
            raise OfflineError(f"{self.device_id}: not connected: {', '.join(lost) or 'all'}")

    def get_blocking(self, source: str) -> Any:
        variable = self._variable(source)
        answer = variable.read(timeout=self._timeout_s, data_type="native")
        if len(answer.data) != 1:
            return answer.data
        value = answer.data[0]
        return value.decode("latin-1") if isinstance(value, bytes) else value

    def put_blocking(self, target: str, value: Scalar, sent: str) -> None:  # noqa: ARG002
        data = int(value) if isinstance(value, bool) else value
        self._variable(target).write([data], wait=True, timeout=self._timeout_s)

    def act_blocking(self, what: str, *arguments: Scalar) -> None:  # noqa: ARG002 - stand in it
        name, _, value = what.rpartition(" ")
        self._variable(name).write([_plain(value)], wait=True, timeout=self._timeout_s)

    def translate(self, what: str, error: Exception) -> Exception:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        if isinstance(error, ValueError | TypeError):
            return DeviceError(f"{what}: {reason}")
        # Of a network that goes away caproto tells by errors of many kinds.
        return OfflineError(f"{what}: {reason}", advice="is its server up, and can it be found?")

    def _names(self) -> set[str]:
        """All that are read, written or acted upon."""
        values = self._description.values.values()
        texts = {value.read.send.text for value in values if value.read is not None}
        texts |= {command.send.text for value in values for command in value.write}
        steps = [
            *self._description.init,
            *(command for act in self._description.actions.values() for command in act.commands),
        ]
        return texts | {command.send.text.rpartition(" ")[0] for command in steps}

    def _variable(self, name: str) -> Any:
        if self._variables is None:
            raise OfflineError(f"{self.device_id}: {name!r} was not asked for: it is not connected")
        return self._variables[name]


def _plain(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

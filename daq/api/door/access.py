"""Who may call the daemon, and what: TLS, tokens, and the two roles."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import stat
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from daq.api.door.tls import Tls, read_tls
from daq.config import ServerConfig, UserConfig, load_users
from daq.core import AuthenticationError, PermissionDeniedError

__all__ = ["READING", "Access", "read_access"]

logger = logging.getLogger(__name__)

_OPEN_SERVICES = ("/grpc.health.",)
"""What watches over the daemon asks this before it has any token."""

READING = frozenset(
    {
        "/daq.BenchService/ComparePreset",
        "/daq.BenchService/ListPresets",
        "/daq.ControlService/GetDaemonInfo",
        "/daq.ControlService/GetScript",
        "/daq.ControlService/GetScriptStatus",
        "/daq.ControlService/ListExecutions",
        "/daq.ControlService/ListScripts",
        "/daq.ControlService/StreamBlocks",
        "/daq.ControlService/StreamMeasurements",
        "/daq.ControlService/StreamStatus",
        "/daq.ControlService/ValidateScript",
        "/daq.ControlService/WatchExecution",
        "/daq.HardwareService/GetDeviceState",
        "/daq.HardwareService/GetEmission",
        "/daq.HardwareService/GetExposure",
        "/daq.HardwareService/GetParameter",
        "/daq.HardwareService/GetShutter",
        "/daq.HardwareService/GetWavelength",
        "/daq.HardwareService/ListDevices",
        "/daq.HardwareService/ListInterlocks",
        "/daq.HardwareService/ListParameters",
        "/daq.HardwareService/ReadValue",
        "/daq.HardwareService/StreamFrames",
        "/daq.HardwareService/StreamObservables",
        "/daq.HardwareService/StreamParameterChanges",
        "/daq.HardwareService/StreamPosition",
        "/daq.HardwareService/StreamValues",
        "/daq.HardwareService/SubscribeDeviceState",
        "/daq.HardwareService/WaitSettled",
        "/daq.RunService/GetRun",
        "/daq.RunService/ListRuns",
        "/daq.RunService/ReadRun",
        "/daq.RunService/ReadRunFile",
        "/daq.RunService/StreamDocuments",
    }
)
"""The methods that a read-only user may call. What is not here needs control."""


class Access:
    """What the daemon asks of its callers; by default nothing.

    With tokens, the token says who calls. Without, a client's certificate does where one is asked
    for, and else nobody does.

    Args:
        users: By name; empty when no token is asked for.
        tls: None to serve without.
    """

    def __init__(
        self, users: Mapping[str, UserConfig] = MappingProxyType({}), tls: Tls | None = None
    ) -> None:
        self._users = users
        self.tls = tls

    def __repr__(self) -> str:
        return f"<Access for {', '.join(self._users) or 'everybody'}, TLS: {self.tls is not None}>"

    def reconfigure(self, users: Mapping[str, UserConfig]) -> None:
        """These count for every call that comes from now on; what is open goes on to its end."""
        self._users = users

    def user(self, route: str, authorization: object, certificate: Mapping[str, Any] | None) -> str:
        """Who calls, as far as it is proved; empty when nothing is asked for.

        Args:
            route: `/package.Service/Method`.
            authorization: The metadata of that name, None without.
            certificate: Of the client, as `ssl` gives it.

        Raises:
            AuthenticationError: The token is missing or wrong.
            PermissionDeniedError: Its bearer may only read.
        """
        if route.startswith(_OPEN_SERVICES):
            return ""
        if not self._users:
            return _common_name(certificate or {})
        name = self._bearer(authorization)
        if self._users[name].role == "read-only" and route.startswith("/daq."):
            _require_reading(name, route)
        return name

    def _bearer(self, authorization: object) -> str:
        scheme, _, token = str(authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError(
                "the daemon asks for a token, and the call came without one",
                advice="give it with --token-file or DAQ_TOKEN, or as the metadata "
                "`authorization: Bearer TOKEN`",
            )
        shown, found = _digest(token.strip()), ""
        # All of them, and in constant time: how long it takes tells nothing about any token.
        for name, user in self._users.items():
            if hmac.compare_digest(shown, _digest(user.token)):
                found = name
        if not found:
            raise AuthenticationError(
                "the daemon does not know this token",
                advice="whoever runs the daemon has the list: the [server] token_file",
            )
        return found

    def warnings(self, host: str) -> list[str]:
        """What is careless about serving on this host."""
        if _is_loopback(host):
            return []
        proves = bool(self._users) or (self.tls is not None and self.tls.asks_clients)
        found = []
        if not proves:
            found.append(
                f"whoever reaches {host} over the network can move the instruments: "
                "set [server] token_file, or tls_client_ca"
            )
        if self.tls is None:
            found.append(
                f"what is sent to and from {host}{', tokens included,' if proves else ''} can be "
                "read in the network: set [server] tls_certificate and tls_key"
            )
        return found


def read_access(server: ServerConfig) -> Access:
    """What `[server]` asks of callers. Raises ConfigurationError for files that cannot be used."""
    users, file = load_users(server), server.token_file
    if file is not None and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("others can read the tokens: chmod 600 %s", file)
    return Access(users, read_tls(server))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _require_reading(name: str, route: str) -> None:
    if route not in READING:
        raise PermissionDeniedError(
            f"{name} may only read, and {route.rpartition('/')[2]} does more",
            advice="the [server] token_file gives each token its role",
        )


def _common_name(certificate: Mapping[str, Any]) -> str:
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

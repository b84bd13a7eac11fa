"""Who may call the daemon, and what: TLS, tokens, and the two roles."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from daq.api.door.local_peers import is_loopback, user_name
from daq.api.door.tls import Tls, read_tls
from daq.config import ServerConfig, UserConfig, load_users
from daq.core import AuthenticationError, PermissionDeniedError

__all__ = ["ANYBODY", "READING", "STOPPING", "Access", "Knock", "read_access"]

logger = logging.getLogger(__name__)

_OPEN_SERVICES = ("/grpc.health.",)
"""What watches over the daemon asks this before it has any token."""

READING = frozenset(
    {
        "/daq.BenchService/ComparePreset",
        "/daq.BenchService/ListPresets",
        "/daq.BenchService/ReadAudit",
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

STOPPING = frozenset({"/daq.ControlService/StopScript", "/daq.HardwareService/StopMotion"})
"""What every role may do: whoever sees that something goes wrong can end it."""


@dataclass(frozen=True, slots=True)
class Knock:
    """From where somebody calls, as the kernel tells."""

    is_near: bool = False
    """From this machine."""
    uid: int | None = None
    """To whom the calling process belongs, where that is known."""


ANYBODY = Knock()


class Access:
    """What the daemon asks of its callers; by default nothing.

    A token says who calls; without one a client's certificate does, where one is asked for. The
    daemon's own user and root need neither on this machine. Everybody else is refused, unless the
    daemon is open.

    Args:
        users: By name; they have tokens.
        tls: None to serve without.
        is_open: Whoever reaches the daemon may call; never where there are tokens.
        owners: Uids that have every right on this machine.
    """

    def __init__(
        self,
        users: Mapping[str, UserConfig] = MappingProxyType({}),
        tls: Tls | None = None,
        *,
        is_open: bool = True,
        owners: Collection[int] | None = None,
    ) -> None:
        self._users = users
        self.tls = tls
        self._is_open = is_open
        self._owners = frozenset((0, os.geteuid()) if owners is None else owners)

    def __repr__(self) -> str:
        whom = ", ".join(self._users) or ("everybody" if self._is_open else "its own user")
        return f"<Access for {whom}, TLS: {self.tls is not None}>"

    def reconfigure(self, users: Mapping[str, UserConfig]) -> None:
        """These count from now on; open streams of others end within a second or two."""
        self._users = users

    def user(
        self,
        route: str,
        authorization: object,
        certificate: Mapping[str, Any] | None,
        knock: Knock = ANYBODY,
    ) -> str:
        """Who calls, as far as it is proved; empty when nothing is asked for.

        Args:
            route: `/package.Service/Method`.
            authorization: The metadata of that name, None without.
            certificate: Of the client, as `ssl` gives it.
            knock: From where.

        Raises:
            AuthenticationError: The token is missing, wrong or expired.
            PermissionDeniedError: Its bearer may only read.
        """
        if route.startswith(_OPEN_SERVICES):
            return ""
        token = _shown_token(authorization)
        if self._users and token:
            name = self._bearer(token)
            if self._users[name].role == "read-only" and route.startswith("/daq."):
                _require_reading(name, route)
            return name
        name = _common_name(certificate or {})
        if name and not self._users:
            return name
        if self._is_owner(knock) or (self._is_open and not self._users):
            return ""
        raise self._stranger(knock)

    def is_valid(self, user: str) -> bool:
        """Whether who came in by a token may stay: it was neither taken away nor has it expired."""
        known = self._users.get(user)
        return known is not None and not known.has_expired(time.time())

    def knows(self, user: str) -> bool:
        """Whether that user has a token, and so came in by it."""
        return user in self._users

    def _is_owner(self, knock: Knock) -> bool:
        return knock.is_near and knock.uid in self._owners

    def _stranger(self, knock: Knock) -> AuthenticationError:
        if self._users:
            return AuthenticationError(
                "the daemon asks for a token, and the call came without one",
                advice="give it with --token-file or DAQ_TOKEN, or as the metadata "
                "`authorization: Bearer TOKEN`",
            )
        who = "another machine"
        if knock.is_near:
            who = "somebody whom the kernel does not name" if knock.uid is None else ""
            who = who or f"{user_name(knock.uid or 0)}, another user of this machine"
        return AuthenticationError(
            f"the daemon belongs to {user_name(os.geteuid())}, and the call comes from {who}",
            advice="whoever runs it can give you a token: [server] token_file in its "
            "configuration, and then --token-file or DAQ_TOKEN for the client",
        )

    def _bearer(self, token: str) -> str:
        shown, found = _digest(token), ""
        # All of them, and in constant time: how long it takes tells nothing about any token.
        for name, user in self._users.items():
            if hmac.compare_digest(shown, _digest(user.token)):
                found = name
        if not found:
            raise AuthenticationError(
                "the daemon does not know this token",
                advice="whoever runs the daemon has the list: the [server] token_file",
            )
        if not self.is_valid(found):
            raise AuthenticationError(
                f"the token of {found} has expired",
                advice="whoever runs the daemon can give a new one in the [server] token_file",
            )
        return found

    def warnings(self, host: str) -> list[str]:
        """What is careless about serving on this host."""
        if is_loopback(host):
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


def read_access(server: ServerConfig, *, owners: Collection[int] | None = None) -> Access:
    """What `[server]` asks of callers.

    Raises ConfigurationError for files that cannot be used, and for a daemon that everybody in the
    network could command.
    """
    users, file = load_users(server), server.token_file
    if file is not None and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise server.mistake("token_file", f"others can read the tokens: chmod 600 {file}")
    tls = read_tls(server)
    proves = bool(users) or (tls is not None and tls.asks_clients)
    if not (proves or server.insecure or is_loopback(server.host)):
        raise server.mistake(
            "host",
            f"whoever reaches {server.host} over the network could move the instruments",
            advice="give [server] token_file (or tls_client_ca), or serve on 127.0.0.1; "
            "--insecure serves everybody all the same",
        )
    return Access(users, tls, is_open=server.insecure, owners=owners)


def _shown_token(authorization: object) -> str:
    scheme, _, token = str(authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _require_reading(name: str, route: str) -> None:
    if route not in READING and route not in STOPPING:
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

"""What a client shows a daemon that does not talk to everybody."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from daq.core import CommunicationError, ConfigurationError

__all__ = ["Credentials", "refused_by_tls"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, and TLS with the certificates that it needs."""

    token: str = field(default="", repr=False)
    """Sent with every call as `authorization: Bearer TOKEN`."""
    certificate_authority: Path | None = None
    """The PEM file that the daemon's certificate is checked against; None for the system's."""
    certificate: Path | None = None
    """The client's own certificate, PEM."""
    key: Path | None = None
    """The key to it, PEM."""
    tls: bool = False
    """Use TLS also where no certificate is named."""

    @classmethod
    def from_environment(cls, given: Mapping[str, str | None] = os.environ) -> Self:
        """As the environment says.

        `DAQ_TOKEN` or `DAQ_TOKEN_FILE`, `DAQ_TLS_CA`, `DAQ_TLS_CERTIFICATE`, `DAQ_TLS_KEY`, and
        `DAQ_TLS` (1) for TLS with the system's authorities.

        Returns:
            The credentials; empty ones where nothing is said.

        Raises:
            ConfigurationError: The token's file cannot be used.
        """
        token_file = given.get("DAQ_TOKEN_FILE")
        token = given.get("DAQ_TOKEN") or (_read_token(Path(token_file)) if token_file else "")
        return cls(
            token,
            certificate_authority=_path(given.get("DAQ_TLS_CA")),
            certificate=_path(given.get("DAQ_TLS_CERTIFICATE")),
            key=_path(given.get("DAQ_TLS_KEY")),
            tls=given.get("DAQ_TLS") not in (None, "", "0"),
        )

    @property
    def uses_tls(self) -> bool:
        """Whether the daemon is spoken to through TLS."""
        return self.tls or bool(self.certificate_authority or self.certificate)

    def context(self) -> ssl.SSLContext | None:
        """The TLS that was asked for.

        Returns:
            What a channel is opened with; None without TLS.

        Raises:
            ConfigurationError: A file cannot be used.
        """
        if not self.uses_tls:
            return None
        used = self.certificate_authority
        try:
            context = ssl.create_default_context(cafile=used)
            if self.certificate is not None:
                used = self.certificate
                # An empty passphrase: OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as error:
            problem = error.strerror or "it is not what it should be, in PEM"
            raise ConfigurationError(
                f"a certificate cannot be used: {used}: {problem}",
                advice="a key stands in a file of its own, or below its certificate, and has no "
                "passphrase"
                if used == self.certificate
                else "",
            ) from error
        context.set_alpn_protocols(["h2"])
        return context

    def warn_in_clear(self, host: str) -> None:
        """Say so, once for each host, before a token is sent that the network can read."""
        if not self.token or self.uses_tls or _is_this_machine(host) or host in _WARNED:
            return
        _WARNED.add(host)
        log.warning(
            "the token is sent to %s in clear: whoever can listen in the network can use it. "
            "Let the daemon use TLS ([server] tls_certificate), and call it with --tls-ca",
            host,
        )

    def advice_for_silence(self) -> str:
        """What may be wrong when a daemon closes the connection at once."""
        if self.uses_tls:
            return "it may ask for a certificate: --tls-certificate and --tls-key"
        return "it may want TLS: --tls, or --tls-ca with the authority of its certificate"

    def metadata(self, user: str) -> dict[str, str]:
        """What travels with every call."""
        metadata = {}
        if user.isascii() and user.isprintable() and user:
            metadata["x-daq-user"] = user
        if self.token:
            metadata["authorization"] = f"Bearer {self.token}"
        return metadata


log = logging.getLogger(__name__)
_WARNED: set[str] = set()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def refused_by_tls(address: str, error: ssl.SSLError) -> CommunicationError:
    """What went wrong while a channel was opened."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CommunicationError(
            f"the certificate of the daemon on {address} is not trusted: {error.verify_message}",
            advice="--tls-ca (DAQ_TLS_CA) names the authority that made it; the address has to be "
            "one that stands in it",
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return CommunicationError(
            f"what listens on {address} does not speak TLS",
            advice="a daemon without [server] tls_certificate is called without --tls, --tls-ca "
            "and their like in the environment",
        )
    return CommunicationError(f"TLS with {address} failed: {error.reason or error}")


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _read_token(path: Path) -> str:
    """The one token that a client has; the daemon's list is another kind of file."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in ASCII"
        raise ConfigurationError(f"the token in {path} cannot be read: {reason}") from error
    if not token or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"{path} holds no token", advice="it holds the token and nothing else"
        )
    return token

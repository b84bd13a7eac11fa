"""What a client shows a daemon that does not talk to everybody."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from daq.core import ConfigurationError

__all__ = ["Credentials"]


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

    def context(self) -> ssl.SSLContext | None:
        """What a channel is opened with; None without TLS.

        Raises ConfigurationError for a file that cannot be used.
        """
        if not (self.tls or self.certificate_authority or self.certificate):
            return None
        try:
            context = ssl.create_default_context(cafile=self.certificate_authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise ConfigurationError(f"a certificate cannot be used: {error}") from error
        context.set_alpn_protocols(["h2"])
        return context

    def metadata(self, user: str) -> dict[str, str]:
        """What travels with every call."""
        metadata = {}
        if user.isascii() and user.isprintable() and user:
            metadata["x-daq-user"] = user
        if self.token:
            metadata["authorization"] = f"Bearer {self.token}"
        return metadata

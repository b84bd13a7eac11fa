"""The daemon's certificate, checked before anything is served with it."""

from __future__ import annotations

import logging
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from daq.config import ServerConfig

__all__ = ["Tls", "read_tls"]

logger = logging.getLogger(__name__)

_SOON_S = 14 * 86400
"""A certificate that ends within this time is warned about."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS as both servers need it."""

    context: ssl.SSLContext
    """For gRPC."""
    certificate: bytes
    """PEM, for the other stack under Arrow Flight; so are the two below."""
    key: bytes = field(repr=False)
    client_ca: bytes

    @property
    def asks_clients(self) -> bool:
        """Whether only clients with a certificate are let in."""
        return bool(self.client_ca)


def read_tls(server: ServerConfig) -> Tls | None:
    """TLS as `[server]` says; None without. Raises ConfigurationError for what cannot be used."""
    certificate, key = server.tls_certificate, server.tls_key
    if certificate is None or key is None:
        for given, wanted in (
            ("tls_certificate", "tls_key"),
            ("tls_key", "tls_certificate"),
            ("tls_client_ca", "tls_certificate and tls_key"),
        ):
            if getattr(server, given) is not None:
                raise server.mistake(given, f"it needs {wanted}, too")
        return None
    pems = {option: _read(server, option) for option in ("tls_certificate", "tls_key")}
    client_ca = _read(server, "tls_client_ca") if server.tls_client_ca else b""
    _check_certificate(server, "tls_certificate", certificate)
    context = _context(server, certificate, key)
    if server.tls_client_ca:
        _check_certificate(server, "tls_client_ca", server.tls_client_ca)
        context.load_verify_locations(server.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    _check_dates(server, certificate, key)
    return Tls(context, pems["tls_certificate"], pems["tls_key"], client_ca)


def _read(server: ServerConfig, option: str) -> bytes:
    path: Path = getattr(server, option)
    try:
        return path.read_bytes()
    except OSError as error:
        raise server.mistake(option, f"{path} cannot be read: {error.strerror}") from error


def _check_certificate(server: ServerConfig, option: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise server.mistake(option, f"{path} holds no certificate in PEM") from error


def _context(server: ServerConfig, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        # An empty passphrase: OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"{key} is not the key of the certificate in {certificate}"
        else:
            problem = f"{key} holds no private key in PEM, or one with a passphrase"
        raise server.mistake("tls_key", problem) from error
    return context


def _check_dates(server: ServerConfig, certificate: Path, key: Path) -> None:
    """`ssl` tells the dates only of a certificate that somebody shows: so we show it to ourselves.

    It stands for itself there; whether clients trust it is theirs to say.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key, password="")
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    asking.load_verify_locations(certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server)
    daemon = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, daemon, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            problem = f"{certificate} cannot be used: {error.verify_message}"
            raise server.mistake("tls_certificate", problem) from error
    shown = client.getpeercert() or {}
    left_s = ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()
    if left_s < _SOON_S:
        logger.warning("%s ends in %.0f days", certificate, left_s / 86400)

"""To whom the other end of a connection belongs, when that is on this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["is_loopback", "owner_of_peer", "user_name"]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = b"01"


def is_loopback(host: str) -> bool:
    """Whether an address or name is one that only this machine reaches."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def owner_of_peer(peer: tuple[Any, ...], ours: tuple[Any, ...]) -> int | None:
    """The uid that the peer's socket belongs to; None when the kernel does not tell.

    Only of a connection that stands and whose socket some process holds: of one that was left, the
    kernel gives root as the owner.

    Args:
        peer: Its address and port.
        ours: Those of our end.
    """
    wanted = [
        b" %s %s %s " % (one.encode(), other.encode(), _ESTABLISHED)
        for one, other in zip(_as_shown(peer), _as_shown(ours), strict=True)
    ]
    for table in _TABLES:
        try:
            lines = table.read_bytes()
        except OSError:
            continue
        for entry in wanted:
            start = lines.find(entry)
            if start >= 0:
                # Behind the state: queues, timer, retransmits, uid, timeout, inode.
                _, _, _, uid, _, inode = lines[start + len(entry) :].split(None, 6)[:6]
                return int(uid) if inode != b"0" else None
    return None


def _as_shown(address: tuple[Any, ...]) -> Iterator[str]:
    """How the kernel's tables show an address: as IPv4, and as IPv6."""
    host, port = str(address[0]).partition("%")[0], int(address[1])
    parsed = ipaddress.ip_address(host)
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    if isinstance(mapped, ipaddress.IPv4Address):
        yield f"{_words(mapped.packed)}:{port:04X}"
        parsed = ipaddress.IPv6Address(f"::ffff:{mapped}")
    else:
        yield "none"
    yield f"{_words(socket.inet_pton(socket.AF_INET6, str(parsed)))}:{port:04X}"


def _words(packed: bytes) -> str:
    """Four bytes at a time, as numbers of this machine's byte order."""
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))


def user_name(uid: int) -> str:
    """The name of a user of this machine; the number where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def is_ours(uid: int | None) -> bool:
    """Whether that is the daemon's own user, or root."""
    return uid is not None and uid in (0, os.geteuid())

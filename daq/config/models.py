"""What a configuration says, as frozen values: a class for each table, with its defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from daq.config.structure import Moment, Positive
from daq.core import ConfigurationError

__all__ = [
    "Config",
    "DeviceConfig",
    "GuardConfig",
    "InterlockConfig",
    "RingConfig",
    "ScriptsConfig",
    "ServerConfig",
    "StorageConfig",
    "UserConfig",
]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`[server]`: where clients reach the daemon."""

    host: str = "127.0.0.1"
    port: int = 50051
    """0 takes any free port."""
    flight_port: int | None = None
    """Arrow Flight is served there too; 0 takes any free port, absent for no Flight."""
    tls_certificate: Path | None = None
    """PEM, with the chain behind it; with it and its key, both gRPC and Flight use TLS."""
    tls_key: Path | None = None
    """PEM, without a passphrase."""
    tls_client_ca: Path | None = None
    """PEM: only clients with a certificate of this authority are let in."""
    token_file: Path | None = None
    """Who may call, as `load_users` reads it; absent for the daemon's own user alone."""
    insecure: bool = False
    """Everybody may call who reaches the daemon, also from other machines; `--insecure`."""
    keepalive_s: Positive = 10.0
    """A client with a call open that is silent so long is gone, s; what it moved is stopped."""
    max_connections: int = 1024
    """At the same time; fewer where the system does not allow so many files."""
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Option to the file and line on which it stands."""

    def mistake(self, option: str, problem: str, advice: str = "") -> ConfigurationError:
        """What is wrong with an option, which shows only when it is used."""
        place = self.places.get(option, "the command line")
        return ConfigurationError(f"{place}: server.{option}: {problem}", advice=advice)


@dataclass(frozen=True, slots=True)
class UserConfig:
    """`[NAME]` in a token file: what its bearer shows, and what that allows."""

    token: str = field(repr=False)
    role: str = "control"  # or read-only
    expires: Moment | None = None
    """A date, or a date and time; on that day the token is good no more."""

    def has_expired(self, now: float) -> bool:
        """Whether it is good no more at `now`, seconds since the epoch."""
        return self.expires is not None and now >= self.expires.timestamp()


def _default_directory() -> Path:
    """`DAQ_DATA_DIR`, or `daq-data` in the working directory."""
    return Path(os.environ.get("DAQ_DATA_DIR", "daq-data"))


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """`[storage]`: where runs, scripts and the journal are kept."""

    directory: Path = field(default_factory=_default_directory)
    compression: str = ""
    """Of frames and waveforms: `gzip`, `lzf` or a filter of hdf5plugin; empty for none."""
    buffer_mb: int = 256
    """What may wait for a disk that stalls before the instruments have to wait too."""
    group: str | None = None
    """A group of this machine whose members may read it all; absent for the daemon's user alone."""

    def mistake(self, problem: str, advice: str = "") -> ConfigurationError:
        """What is wrong with the group, which shows only when it is used."""
        return ConfigurationError(f"storage.group: {problem}", advice=advice)


@dataclass(frozen=True, slots=True)
class RingConfig:
    """`[ring]`: recent data for other processes of the machine, in a memory-mapped file."""

    enabled: bool = True
    size_mb: int = 64
    """How much history; the file has this size from the start."""
    path: Path | None = None
    """Such as `/dev/shm/daq-ring`; absent for `ring` in the storage directory."""


@dataclass(frozen=True, slots=True)
class ScriptsConfig:
    """`[scripts]`: what a script may use, and how long its cleanup may take."""

    grace_s: float = 5.0
    """A graceful stop becomes a force stop after this time."""
    memory_mb: int = 512
    """Beyond what the empty sandbox needs."""
    max_duration_s: float | None = None
    """Wall time without pauses; absent for no limit."""
    max_output_mb: float = 16.0
    """Of what one execution prints and logs."""
    max_output_lines: int = 1_000_000
    max_records: int | None = None
    """Events that one execution stores; absent for no limit."""
    max_runs: int = 10_000
    """Runs that one execution opens, one after the other."""
    max_source_bytes: int = 256 << 10
    check_timeout_s: float = 5.0
    """For checking a script at upload."""
    allow_unconfined: bool = False
    """Run scripts even where the kernel offers no confinement."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """`[guard]`: the process that makes instruments safe when the daemon dies or hangs."""

    enabled: bool = True
    heartbeat_s: Positive = 0.25
    timeout_s: Positive = 3.0
    """A daemon that gave no heartbeat and stood still for so long hangs: the last wills are carried
    out."""
    busy_s: Positive = 10.0
    """One that computes without a heartbeat hangs after so much processor time, and after six times
    as long if it does not get a processor."""
    kill_frozen: bool = True
    """Kill it then, if it stands between the guard and an instrument that has one line only."""


@dataclass(frozen=True, slots=True)
class InterlockConfig:
    """`[interlocks.NAME]`: a condition on a channel, and what happens when it is true."""

    name: str
    options: Mapping[str, Any]
    path: Path | None = None
    line: int = 0
    """Where its table begins."""


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """`[devices.ID]`: the driver of one device and the driver's own options."""

    id: str
    driver: str
    options: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    """The file in which it is configured; None for the built-in bench."""
    line: int = 0
    """Where its table begins."""
    supervision: Mapping[str, Any] = field(default_factory=dict)
    """Those of its options that are not the driver's: `on_pause`, `after`, ..."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `serve` needs to know."""

    server: ServerConfig = field(default_factory=ServerConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    ring: RingConfig = field(default_factory=RingConfig)
    scripts: ScriptsConfig = field(default_factory=ScriptsConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    interlocks: Mapping[str, InterlockConfig] = field(default_factory=dict)
    devices: Mapping[str, DeviceConfig] = field(default_factory=dict)
    source: Path | None = None

    @property
    def ring_path(self) -> Path | None:
        """The ring's file; None without a ring."""
        if not self.ring.enabled:
            return None
        return (self.ring.path or self.storage.directory / "ring").absolute()

    def with_overrides(
        self,
        host: str | None = None,
        port: int | None = None,
        directory: Path | None = None,
        *,
        insecure: bool = False,
    ) -> Config:
        """The same configuration with what the command line says instead."""
        server = replace(
            self.server,
            host=self.server.host if host is None else host,
            port=self.server.port if port is None else port,
            insecure=self.server.insecure or insecure,
        )
        storage = self.storage if directory is None else replace(self.storage, directory=directory)
        return replace(self, server=server, storage=storage)

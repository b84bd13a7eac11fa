"""Configuration: TOML in, frozen models out. Nobody else reads files or environment settings.

A mistake is reported with the file, the line, what stands there and what was expected.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

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
    "default_data_directory",
    "load_config",
    "load_users",
    "parse_config",
]

SUPERVISED = ("on_pause", "pause_reason", "last_will")
"""Options of a device that are not its driver's: what is done with it whatever its driver is."""

_DEVICE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ROLES = ("control", "read-only")
_MIN_TOKEN = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what `authorization: Bearer` may carry


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
    """Who may call, as `load_users` reads it; absent for everybody."""
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Option to the file and line on which it stands."""

    def mistake(self, option: str, problem: str, advice: str = "") -> ConfigurationError:
        """What is wrong with an option, which shows only when it is used."""
        place = self.places.get(option, "[server]")
        return ConfigurationError(f"{place}: {option}: {problem}", advice=advice)


@dataclass(frozen=True, slots=True)
class UserConfig:
    """`[NAME]` in a token file: what its bearer shows, and what that allows."""

    token: str = field(repr=False)
    role: str = "control"  # or read-only


def default_data_directory() -> Path:
    """`DAQ_DATA_DIR`, or `daq-data` in the working directory."""
    return Path(os.environ.get("DAQ_DATA_DIR", "daq-data"))


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """`[storage]`: where runs, scripts and the journal are kept."""

    directory: Path = field(default_factory=default_data_directory)
    compression: str = ""
    """Of frames and waveforms: `gzip`, `lzf` or a filter of hdf5plugin; empty for none."""
    buffer_mb: int = 256
    """What may wait for a disk that stalls before the instruments have to wait too."""


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
    heartbeat_s: float = 0.25
    timeout_s: float = 1.5
    """After so long without a heartbeat the daemon hangs, and the last wills are carried out."""
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
    """Those of its options that are not the driver's: `on_pause`, `last_will`."""


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

    def with_overrides(
        self, host: str | None = None, port: int | None = None, directory: Path | None = None
    ) -> Config:
        """The same configuration with what the command line says instead."""
        server = replace(
            self.server,
            host=self.server.host if host is None else host,
            port=self.server.port if port is None else port,
        )
        storage = self.storage if directory is None else replace(self.storage, directory=directory)
        return replace(self, server=server, storage=storage)


def load_config(path: Path | None = None) -> Config:
    """Read a configuration file; without one, the simulated bench. Raises ConfigurationError."""
    if path is None:
        bench = resources.files("daq.drivers.simulated").joinpath("bench.toml")
        return parse_config(bench.read_text(encoding="utf-8"), None)
    advice = "without --config, `daq serve` brings up the simulated bench"
    return parse_config(_read_text(path, advice), path)


def load_users(path: Path) -> dict[str, UserConfig]:
    """Read a token file: a table for each user, by name. Raises ConfigurationError."""
    advice = "it has a table for each user, such as [maria], with her token in it"
    document = _Document(_read_text(path, advice), path)
    users: dict[str, UserConfig] = {}
    for name in document.tables:
        user: UserConfig = document.section(name, UserConfig)
        if user.role not in _ROLES:
            document.fail((name, "role"), f"there is no role {user.role!r}", _ROLES)
        if len(user.token) < _MIN_TOKEN or not _TOKEN.fullmatch(user.token):
            document.fail(
                (name, "token"),
                f"a token has {_MIN_TOKEN} or more of letters, digits and -._~+/=: make one with "
                "`python -c 'import secrets; print(secrets.token_urlsafe())'`",
            )
        if user.token in [other.token for other in users.values()]:
            document.fail((name, "token"), "another user has the same token")
        users[name] = user
    if not users:
        raise ConfigurationError(f"{path}: there is no user in it", advice=advice)
    return users


def _read_text(path: Path, advice: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}", advice=advice
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not a text file in UTF-8 ({error.reason})") from error


def parse_config(text: str, path: Path | None) -> Config:
    """Read configuration text; `path` is only for messages and for relative directories."""
    document = _Document(text, path)
    sections = {
        "server": ServerConfig,
        "storage": StorageConfig,
        "ring": RingConfig,
        "scripts": ScriptsConfig,
        "guard": GuardConfig,
    }
    for name in document.tables:
        known = (*sections, "devices", "interlocks")
        if name not in known:
            document.fail((name,), f"unknown table [{name}]", known)
    models = {name: document.section(name, model) for name, model in sections.items()}
    models["server"] = replace(models["server"], places=document.places("server"))
    return Config(
        **models, interlocks=_interlocks(document), devices=_devices(document), source=path
    )


def _interlocks(document: _Document) -> dict[str, InterlockConfig]:
    tables = document.tables.get("interlocks", {})
    if not isinstance(tables, dict):
        document.fail(("interlocks",), "expected tables such as [interlocks.overheated]")
    interlocks = {}
    for name, table in tables.items():
        where = ("interlocks", name)
        if not isinstance(table, dict) or not _DEVICE_ID.fullmatch(name):
            document.fail(where, f"expected [interlocks.NAME] of letters, digits and _, not {name}")
        interlocks[name] = InterlockConfig(name, table, document.path, document.line(where))
    return interlocks


def _devices(document: _Document) -> dict[str, DeviceConfig]:
    tables = document.tables.get("devices", {})
    if not isinstance(tables, dict):
        document.fail(("devices",), "expected tables such as [devices.stage]")
    devices = {}
    for device_id, table in tables.items():
        where = ("devices", device_id)
        if not isinstance(table, dict):
            document.fail(where, f"expected a table [devices.{device_id}]")
        if not _DEVICE_ID.fullmatch(device_id):
            document.fail(where, f"a device id is letters, digits and _, not {device_id!r}")
        driver = table.get("driver")
        if not isinstance(driver, str):
            document.fail(where, 'expected driver = "...", the name of its driver')
        supervision = {key: table[key] for key in SUPERVISED if key in table}
        options = {k: v for k, v in table.items() if k != "driver" and k not in supervision}
        line = document.line(where)
        devices[device_id] = DeviceConfig(
            device_id, driver, options, document.path, line, supervision
        )
    return devices


class _Document:
    """Parsed TOML that still knows on which line a table or an option stands."""

    def __init__(self, text: str, path: Path | None) -> None:
        self.path = path
        self._lines = text.splitlines()
        try:
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{self._name}: {error}") from error

    @property
    def _name(self) -> str:
        return str(self.path) if self.path else "the built-in simulated bench"

    def line(self, where: tuple[str, ...]) -> int:
        """The line of a table, or of an option in it; 0 when it cannot be told."""
        name = r"\s*\.\s*".join(map(_key, where))
        header = re.compile(rf"\s*\[\s*{name}\s*\]")
        for number, line in enumerate(self._lines, 1):
            if header.match(line):
                return number
        if len(where) < 2:
            return 0
        option = re.compile(rf"\s*{_key(where[-1])}\s*=")
        begin = self.line(where[:-1])
        for number, line in enumerate(self._lines[begin:], begin + 1):
            if option.match(line):
                return number
            if line.lstrip().startswith("["):
                break
        return begin

    def places(self, section: str) -> dict[str, str]:
        """Where each option of a section stands."""
        return {
            option: f"{self._name}, line {self.line((section, option))}"
            for option in self.tables.get(section, {})
        }

    def fail(
        self, where: tuple[str, ...], problem: str, known: typing.Iterable[str] = ()
    ) -> typing.NoReturn:
        """Raise ConfigurationError for what stands at `where`, suggesting a `known` name."""
        line = self.line(where)
        place = f"{self._name}, line {line}" if line else self._name
        close = difflib.get_close_matches(where[-1], list(known), n=1)
        advice = f"did you mean {close[0]!r}?" if close else ""
        if known and not close:
            advice = f"known here: {', '.join(sorted(known))}"
        raise ConfigurationError(f"{place}: {problem}", advice=advice)

    def section(self, name: str, model: type[Any]) -> Any:
        """Build a section's model from its table, checking names and types."""
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            self.fail((name,), f"expected a table [{name}]")
        expected = typing.get_type_hints(model)
        options = [f for f in fields(model) if f.compare]
        names = {f.name for f in options}
        values = {}
        for key, value in table.items():
            if key not in names:
                self.fail((name, key), f"unknown option {key!r} in [{name}]", names)
            values[key] = self._convert((name, key), value, expected[key])
        missing = [f.name for f in options if f.name not in values and _required(f)]
        if missing:
            self.fail((name,), f"[{name}] needs {', '.join(missing)}")
        return model(**values)

    def _convert(self, where: tuple[str, ...], value: Any, expected: Any) -> Any:
        wanted = next(t for t in _alternatives(expected) if t is not type(None))
        if wanted is Path and isinstance(value, str):
            directory = Path(value).expanduser()
            return directory if self.path is None else self.path.parent / directory
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            self.fail(where, f"{where[-1]} takes {_NAMES[wanted]}, not {value!r}")
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            self.fail(where, f"{where[-1]} is not negative, but {value!r} stands there")
        return value


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
}


def _key(name: str) -> str:
    return rf"[\"']?{re.escape(name)}[\"']?"


def _required(model_field: Any) -> bool:
    return model_field.default is MISSING and model_field.default_factory is MISSING


def _alternatives(expected: Any) -> tuple[Any, ...]:
    is_union = isinstance(expected, types.UnionType)
    return typing.get_args(expected) if is_union else (expected,)

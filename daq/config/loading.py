"""Reads configuration and token files, and checks what the tables themselves cannot say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from daq.config.document import TomlDocument
from daq.config.models import (
    Config,
    DeviceConfig,
    GuardConfig,
    InterlockConfig,
    RingConfig,
    ScriptsConfig,
    ServerConfig,
    StorageConfig,
    UserConfig,
)
from daq.core import ConfigurationError

__all__ = ["load_config", "load_users", "parse_config"]

SUPERVISED = ("on_pause", "pause_reason", "last_will")
"""Options of a device that are not its driver's: what is done with it whatever its driver is."""

_SECTIONS = {
    "server": ServerConfig,
    "storage": StorageConfig,
    "ring": RingConfig,
    "scripts": ScriptsConfig,
    "guard": GuardConfig,
}
_DEVICE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ROLES = ("control", "read-only")
_MIN_TOKEN = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what `authorization: Bearer` may carry


def load_config(path: Path | None = None) -> Config:
    """Read a configuration file; without one, the simulated bench. Raises ConfigurationError."""
    if path is None:
        bench = resources.files("daq.drivers.simulated").joinpath("bench.toml")
        return parse_config(bench.read_text(encoding="utf-8"), None)
    advice = "without --config, `daq serve` brings up the simulated bench"
    return parse_config(_read_text(path, advice), path)


def load_users(server: ServerConfig) -> Mapping[str, UserConfig]:
    """Who may call, by name, from the token file; nobody in particular without one.

    Raises ConfigurationError, with the place of the option and that of the mistake.
    """
    if server.token_file is None:
        return {}
    try:
        return _parse_users(server.token_file)
    except ConfigurationError as error:
        raise server.mistake("token_file", error.message, error.advice) from error


def _parse_users(path: Path) -> dict[str, UserConfig]:
    """A table for each user."""
    advice = "it has a table for each user, such as [maria], with her token in it"
    document = TomlDocument(_read_text(path, advice), path)
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
    document = TomlDocument(text, path)
    known = (*_SECTIONS, "devices", "interlocks")
    for name in document.tables:
        if name not in known:
            document.fail((name,), f"unknown table [{name}]", known)
    models = {name: document.section(name, model) for name, model in _SECTIONS.items()}
    models["server"] = replace(models["server"], places=document.places("server"))
    return Config(
        **models, interlocks=_interlocks(document), devices=_devices(document), source=path
    )


def _interlocks(document: TomlDocument) -> dict[str, InterlockConfig]:
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


def _devices(document: TomlDocument) -> dict[str, DeviceConfig]:
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

"""Reads configuration and token files, and checks what the tables themselves cannot say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

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
from daq.config.structure import read_model
from daq.config.toml_file import Mistakes, Table, parse_toml, read_text
from daq.core import ConfigurationError, did_you_mean

__all__ = ["load_config", "load_users", "parse_config"]

T = TypeVar("T")

SUPERVISED = ("on_pause", "pause_reason", "last_will", "after", "lost_reference")
"""Options of a device that are not its driver's: what is done with it whatever its driver is."""

_SECTIONS: Mapping[str, type] = {
    "server": ServerConfig,
    "storage": StorageConfig,
    "ring": RingConfig,
    "scripts": ScriptsConfig,
    "guard": GuardConfig,
}
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ROLES = ("control", "read-only")
_MIN_TOKEN = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what `authorization: Bearer` may carry


def load_config(path: Path | None = None) -> Config:
    """Read a configuration file; without one, the simulated bench. Raises ConfigurationError."""
    if path is None:
        bench = resources.files("daq.drivers.simulated").joinpath("bench.toml")
        return parse_config(bench.read_text(encoding="utf-8"), None)
    advice = "without --config, `daq serve` brings up the simulated bench"
    return parse_config(read_text(path, advice), path)


def load_users(server: ServerConfig) -> Mapping[str, UserConfig]:
    """Who may call, by name, from the token file; nobody in particular without one.

    Raises ConfigurationError, with the place of the option and that of every mistake.
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
    document = parse_toml(read_text(path, advice), str(path))
    mistakes = Mistakes(document)
    users: dict[str, UserConfig] = {}
    for name in document:
        user = _section(document, name, UserConfig, mistakes)
        if "role" in _table(document, name) and user.role not in _ROLES:
            near = did_you_mean(user.role, _ROLES) or f"there are {', '.join(_ROLES)}"
            mistakes.note((name, "role"), f"there is no role {user.role!r}; {near}")
        if "token" in _table(document, name):
            _check_token(name, user, users, mistakes)
        users[name] = user
    mistakes.finish()
    if not users:
        raise ConfigurationError(f"{path}: there is no user in it", advice=advice)
    return users


def _check_token(
    name: str, user: UserConfig, users: Mapping[str, UserConfig], mistakes: Mistakes
) -> None:
    if len(user.token) < _MIN_TOKEN or not _TOKEN.fullmatch(user.token):
        mistakes.note(
            (name, "token"),
            f"a token has {_MIN_TOKEN} or more of letters, digits and -._~+/=: make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'`",
        )
    elif user.token in [other.token for other in users.values()]:
        mistakes.note((name, "token"), "another user has the same token")


def parse_config(text: str, path: Path | None) -> Config:
    """Read configuration text; `path` is only for messages and for relative directories."""
    document = parse_toml(text, str(path) if path else "the built-in simulated bench")
    mistakes = Mistakes(document)
    known = (*_SECTIONS, "devices", "interlocks")
    for name in document:
        if name not in known:
            mistakes.unknown((name,), known)
    sections: dict[str, Any] = {
        name: _absolute(_section(document, name, model, mistakes), document, name, path)
        for name, model in _SECTIONS.items()
    }
    _check_guard(sections["guard"], mistakes)
    interlocks = _interlocks(document, path, mistakes)
    devices = _devices(document, path, mistakes)
    mistakes.finish()
    places = {
        option: f"{document.places.name}:{document.places.line(('server', option))}"
        for option in _table(document, "server")
    }
    sections["server"] = replace(sections["server"], places=places)
    return Config(**sections, interlocks=interlocks, devices=devices, source=path)


def _check_guard(guard: GuardConfig, mistakes: Mistakes) -> None:
    """Heartbeats that come as rarely as they may be missing would kill every scan."""
    if guard.timeout_s < 2 * guard.heartbeat_s:
        mistakes.note(
            ("guard", "timeout_s"),
            f"{guard.timeout_s:g} s is less than two heartbeats of {guard.heartbeat_s:g} s",
        )


def _table(document: Table, name: str) -> Mapping[str, Any]:
    table = document.get(name)
    return table if isinstance(table, Table) else {}


def _section(document: Table, name: str, model: type[T], mistakes: Mistakes) -> T:
    if not isinstance(document.get(name, {}), Mapping):
        mistakes.note((name,), f"{document[name]!r} is not a table [{name}]")
    return read_model(_table(document, name), model, mistakes, (name,))


def _absolute(section: T, document: Table, name: str, path: Path | None) -> T:
    """Relative paths in a file begin at its folder."""
    given: Any = section
    if path is None:
        return section
    paths = {
        each.name: path.parent / getattr(given, each.name)
        for each in fields(given)
        if isinstance(getattr(given, each.name), Path) and each.name in _table(document, name)
    }
    found: T = replace(given, **paths) if paths else section
    return found


def _named(document: Table, kind: str, example: str, mistakes: Mistakes) -> dict[str, Table]:
    """The tables `[kind.NAME]`."""
    outer = document.get(kind, {})
    if not isinstance(outer, Mapping):
        mistakes.note((kind,), f"{outer!r} is not tables such as [{kind}.{example}]")
        return {}
    found = {}
    for name, table in outer.items():
        if not isinstance(table, Table):
            mistakes.note((kind, name), f"{table!r} is not a table [{kind}.{name}]")
        elif not _ID.fullmatch(name):
            mistakes.note((kind, name), f"a name is letters, digits and _, not {name!r}")
        else:
            found[name] = table
    return found


def _interlocks(
    document: Table, path: Path | None, mistakes: Mistakes
) -> dict[str, InterlockConfig]:
    return {
        name: InterlockConfig(name, table, path, document.places.line(table.path))
        for name, table in _named(document, "interlocks", "overheated", mistakes).items()
    }


def _devices(document: Table, path: Path | None, mistakes: Mistakes) -> dict[str, DeviceConfig]:
    devices = {}
    for device_id, table in _named(document, "devices", "stage", mistakes).items():
        driver = table.get("driver")
        if not isinstance(driver, str):
            what = "is missing" if driver is None else f"{driver!r} is not a text"
            mistakes.note(
                ("devices", device_id, "driver"),
                f'{what}; give it as driver = "...", the name of its driver',
            )
            continue
        devices[device_id] = DeviceConfig(
            id=device_id,
            driver=driver,
            options=table.only(key for key in table if key not in ("driver", *SUPERVISED)),
            path=path,
            line=document.places.line(table.path),
            supervision=table.only(SUPERVISED),
        )
    return devices

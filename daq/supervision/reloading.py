"""The configuration read again: devices come, go and change, and the others notice nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import trio

from daq.config import Config, DeviceConfig, UserConfig, load_config, load_users
from daq.core import ConfigurationError, StateError
from daq.drivers import Driver, Timebase, build_drivers
from daq.supervision.interlocks.interlocks import Interlocks
from daq.supervision.settings.safety_settings import SafetySettings, read_safety
from daq.supervision.supervisor import Supervisor

__all__ = ["ReloadReport", "Reloader"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What became of each device."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Let go, and connected anew with their new options."""
    unchanged: tuple[str, ...] = ()
    not_safe: Mapping[str, str] = field(default_factory=dict)
    """Devices that were let go and could not be made safe, with the reason."""
    applied: tuple[str, ...] = ()
    """Options of other tables, and interlocks, that have changed and count from now on."""
    needs_restart: tuple[str, ...] = ()
    """Options that have changed and count only for a daemon that is started anew, with why."""


class Reloader:
    """Knows the configuration that is in force, and replaces it by what the file says now.

    Args:
        config: In force.
        drivers: Of its devices.
        shared: What the drivers of this daemon share.
        supervisor: Of its devices.
        interlocks: At work.
        timebase: The daemon's timestamps.
        on_change: Told the new configuration, what it says about safety, and who may call.
    """

    def __init__(
        self,
        config: Config,
        drivers: Mapping[str, Driver],
        shared: dict[Any, Any],
        supervisor: Supervisor,
        interlocks: Interlocks,
        timebase: Timebase,
        *,
        on_change: Callable[[Config, SafetySettings, Mapping[str, UserConfig]], None],
    ) -> None:
        self._config = config
        self._file = load_config(config.source) if config.source else config
        """What the file said when it was read last, whatever the command line says instead."""
        self._started = self._file
        self._users = load_users(config.server)
        self._drivers = dict(drivers)
        self._shared = shared
        self._supervisor = supervisor
        self._interlocks = interlocks
        self._timebase = timebase
        self._on_change = on_change
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Reloader of {self._config.source}>"

    async def reload(self, *, by: str = "", force: bool = False) -> ReloadReport:
        """Read the file again and do what it says.

        All of it or nothing: a file with any mistake, also in a device's options, changes nothing.

        Args:
            by: Who asks.
            force: Let go of devices that are in use, and release interlocks that have tripped.

        Raises:
            ConfigurationError: The file is wrong.
            BusyError: A device that goes or changes is claimed by an execution.
            StateError: The daemon was started without a file, or an interlock that goes or changes
                has tripped.
        """
        source = self._config.source
        if source is None:
            raise StateError(
                "the daemon runs on the built-in bench: there is no file to be read again",
                advice="start it with --config FILE",
            )
        async with self._turn:
            config, users = await trio.to_thread.run_sync(self._read, source)
            return await self._apply(config, users, by, force=force)

    def _read(self, source: Path) -> tuple[Config, Mapping[str, UserConfig]]:
        """What the files say. The door itself stays as it is: only who has a key may change."""
        config = load_config(source)
        same = config.server.token_file == self._config.server.token_file
        return config, load_users(config.server) if same else self._users

    async def _apply(
        self, config: Config, users: Mapping[str, UserConfig], by: str, *, force: bool
    ) -> ReloadReport:
        fresh, safety = self._check(config)
        before, after = self._config.devices, config.devices
        removed = sorted(before.keys() - after.keys())
        added = sorted(after.keys() - before.keys())
        kept = sorted(before.keys() & after.keys())
        changed = [each for each in kept if self._differs(each, after[each], fresh.get(each))]
        if not force:
            what = "the configuration takes devices away that are in use"
            self._supervisor.require_unclaimed([*removed, *changed], what)
            self._interlocks.require_replaceable(safety.interlocks)
        not_safe: dict[str, str] = {}
        for device_id in (*removed, *changed):
            verb = "removed from" if device_id in removed else "changed in"
            who = f" by {by}" if by else ""
            await self._remove(device_id, f"it was {verb} the configuration{who}", not_safe)
        self._build({each: after[each] for each in (*added, *changed)})
        # The tables that are read only once stay as they are.
        self._config = replace(
            self._config, devices=after, interlocks=config.interlocks, scripts=config.scripts
        )
        self._on_change(self._config, read_safety(self._config, self._drivers), users)
        applied = [*_applied(self._file, config)]
        if users != self._users:
            applied.append("server.token_file")
        self._file, self._users = config, users
        report = ReloadReport(
            tuple(added),
            tuple(removed),
            tuple(changed),
            tuple(each for each in kept if each not in changed),
            not_safe,
            applied=tuple(applied),
            needs_restart=tuple(_waiting(self._started, config)),
        )
        logger.info("%s was read again: %s", config.source, report)
        return report

    def _check(self, config: Config) -> tuple[dict[str, Driver], SafetySettings]:
        """Build everything aside, which talks to nobody: no mistake is found half way."""
        drivers, failures = build_drivers(config.devices, self._timebase)
        known = {each: why for each, why in failures.items() if self._fails_already(each, config)}
        news = [why for each, why in failures.items() if each not in known]
        if news:
            raise ConfigurationError("\n".join(news), advice="nothing was changed")
        self._check_channels(config)
        return drivers, read_safety(config, drivers)

    def _check_channels(self, config: Config) -> None:
        """An interlock must not be left without the device that it watches."""
        for lock in config.interlocks.values():
            watched = str(lock.options.get("channel")).partition(".")[0]
            if watched in self._config.devices and watched not in config.devices:
                raise ConfigurationError(
                    f"{config.source}: {watched} is not there any more, and interlocks.{lock.name} "
                    f"watches it",
                    advice="nothing was changed; take the interlock away too",
                )

    def _fails_already(self, device_id: str, config: Config) -> bool:
        """It could not be built at the start either, and nobody has changed that."""
        before = self._config.devices.get(device_id)
        return device_id in self._supervisor.failures and _same(before, config.devices[device_id])

    def _differs(self, device_id: str, after: DeviceConfig, fresh: Driver | None) -> bool:
        if not _same(self._config.devices[device_id], after):
            return True
        running = self._drivers.get(device_id)
        if running is None or fresh is None:
            return running is not fresh
        return running.fingerprint() != fresh.fingerprint()

    async def _remove(self, device_id: str, reason: str, not_safe: dict[str, str]) -> None:
        stop = await self._supervisor.remove(device_id, reason)
        self._drivers.pop(device_id, None)
        if stop is not None and stop.message:
            not_safe[device_id] = f"{stop.outcome}: {stop.message}"
            logger.warning("device %s was not made safe: %s", device_id, stop.message)

    def _build(self, configs: Mapping[str, DeviceConfig]) -> None:
        drivers, failures = build_drivers(configs, self._timebase, self._shared)
        for device_id, driver in drivers.items():
            self._supervisor.add(device_id, driver)
        for device_id, reason in failures.items():
            self._supervisor.add_failed(device_id, reason)
        self._drivers |= drivers


_READ_ONCE = {
    "server": "clients are connected where and how it listens",
    "storage": "the journal and the catalogue are open as they are",
    "ring": "other processes have its file open",
    "guard": "the guard process was started with it",
}
"""Tables that count only for a daemon that is started anew, with the reason."""


def _applied(before: Config, after: Config) -> Iterator[str]:
    """What has changed and counts from now on, beside the devices."""
    for name in sorted(before.interlocks.keys() | after.interlocks.keys()):
        old, new = before.interlocks.get(name), after.interlocks.get(name)
        if old is None or new is None or old.options != new.options:
            yield f"interlocks.{name}"
    for option in _differences(before.scripts, after.scripts):
        yield f"scripts.{option}"


def _waiting(started: Config, after: Config) -> Iterator[str]:
    """What a restart would change."""
    for table, reason in _READ_ONCE.items():
        changed = _differences(getattr(started, table), getattr(after, table))
        yield from (f"{table}.{option}: {reason}" for option in changed)


def _differences(before: Any, after: Any) -> Iterator[str]:
    """The options of a table in which two configurations differ."""
    for option in fields(before):
        is_option = option.compare  # and no note about where it stands
        if is_option and getattr(before, option.name) != getattr(after, option.name):
            yield option.name


def _same(before: DeviceConfig | None, after: DeviceConfig) -> bool:
    """Whether two tables say the same, wherever they stand."""
    return before is not None and (before.driver, before.options, before.supervision) == (
        after.driver,
        after.options,
        after.supervision,
    )

"""The configuration read again: devices come, go and change, and the others notice nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import trio

from daq.config import Config, DeviceConfig, load_config
from daq.core import BusyError, ConfigurationError, StateError
from daq.drivers import Driver, Timebase, build_drivers
from daq.supervision.safety_settings import SafetySettings, read_safety
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
    needs_restart: tuple[str, ...] = ()
    """Tables that have changed and count only for a daemon that is started anew."""


class Reloader:
    """Knows the configuration that is in force, and replaces it by what the file says now.

    Args:
        config: In force.
        drivers: Of its devices.
        shared: What the drivers of this daemon share.
        supervisor: Of its devices.
        timebase: The daemon's timestamps.
        on_safety: Told what the new configuration says about safety.
    """

    def __init__(
        self,
        config: Config,
        drivers: Mapping[str, Driver],
        shared: dict[Any, Any],
        supervisor: Supervisor,
        timebase: Timebase,
        on_safety: Callable[[SafetySettings], None],
    ) -> None:
        self._config = config
        self._tables = _tables(load_config(config.source) if config.source else config)
        """What the file said at the start, whatever the command line said instead."""
        self._drivers = dict(drivers)
        self._shared = shared
        self._supervisor = supervisor
        self._timebase = timebase
        self._on_safety = on_safety
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Reloader of {self._config.source}>"

    async def reload(self, *, by: str = "", force: bool = False) -> ReloadReport:
        """Read the file again and do what it says.

        All of it or nothing: a file with any mistake, also in a device's options, changes nothing.

        Args:
            by: Who asks.
            force: Let go of devices that are in use, too.

        Raises:
            ConfigurationError: The file is wrong, or takes a device away that an interlock needs.
            BusyError: A device that goes or changes is claimed by an execution.
            StateError: The daemon was started without a file.
        """
        source = self._config.source
        if source is None:
            raise StateError(
                "the daemon runs on the built-in bench: there is no file to be read again",
                advice="start it with --config FILE",
            )
        async with self._turn:
            config = await trio.to_thread.run_sync(load_config, source)
            return await self._apply(config, source, by, force=force)

    async def _apply(self, config: Config, source: Path, by: str, *, force: bool) -> ReloadReport:
        fresh = self._check(config)
        before, after = self._config.devices, config.devices
        removed = sorted(before.keys() - after.keys())
        added = sorted(after.keys() - before.keys())
        kept = sorted(before.keys() & after.keys())
        changed = [each for each in kept if self._differs(each, after[each], fresh.get(each))]
        if not force:
            self._require_free([*removed, *changed])
        not_safe: dict[str, str] = {}
        for device_id in (*removed, *changed):
            verb = "removed from" if device_id in removed else "changed in"
            who = f" by {by}" if by else ""
            await self._let_go(device_id, f"it was {verb} the configuration{who}", not_safe)
        self._build({each: after[each] for each in (*added, *changed)})
        # The tables that are read only once stay as they are.
        self._config = replace(self._config, devices=after)
        self._on_safety(read_safety(self._config, self._drivers))
        report = ReloadReport(
            tuple(added),
            tuple(removed),
            tuple(changed),
            tuple(each for each in kept if each not in changed),
            not_safe,
            self._other_changes(config),
        )
        logger.info("%s was read again: %s", source, report)
        return report

    def _check(self, config: Config) -> dict[str, Driver]:
        """Build everything aside, which talks to nobody: no mistake is found half way."""
        drivers, failures = build_drivers(config.devices, self._timebase)
        known = {each: why for each, why in failures.items() if self._fails_already(each, config)}
        news = [why for each, why in failures.items() if each not in known]
        if news:
            raise ConfigurationError("\n".join(news), advice="nothing was changed")
        read_safety(config, drivers)
        self._check_interlocks(config)
        return drivers

    def _check_interlocks(self, config: Config) -> None:
        """Those that are at work stay as they are, so their devices stay too."""
        for lock in read_safety(self._config, self._drivers).interlocks:
            needed = {lock.channel.partition(".")[0], *lock.devices, *lock.refuse_moves}
            gone = sorted((needed & self._config.devices.keys()) - config.devices.keys())
            if gone:
                raise ConfigurationError(
                    f"{config.source}: {', '.join(gone)} is not there any more, and the interlock "
                    f"interlocks.{lock.name} that is at work needs it",
                    advice="nothing was changed; a restart of the daemon takes both away",
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

    def _require_free(self, device_ids: list[str]) -> None:
        claims = [(each, self._supervisor.device(each).gate.claim) for each in device_ids]
        in_use = [f"{each} by {claim.holder}" for each, claim in claims if claim is not None]
        if in_use:
            raise BusyError(
                f"the configuration takes devices away that are in use: {'; '.join(in_use)}",
                advice="stop it first, or repeat the command with force",
            )

    async def _let_go(self, device_id: str, reason: str, not_safe: dict[str, str]) -> None:
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

    def _other_changes(self, config: Config) -> tuple[str, ...]:
        """By their names in the file."""
        return tuple(name for name, table in _tables(config).items() if table != self._tables[name])


def _tables(config: Config) -> dict[str, Any]:
    """What is read only once, without the lines on which it stands."""
    tables = {f.name: getattr(config, f.name) for f in fields(Config)}
    del tables["devices"], tables["source"]
    return {**tables, "interlocks": {n: lock.options for n, lock in config.interlocks.items()}}


def _same(before: DeviceConfig | None, after: DeviceConfig) -> bool:
    """Whether two tables say the same, wherever they stand."""
    return before is not None and (before.driver, before.options, before.supervision) == (
        after.driver,
        after.options,
        after.supervision,
    )

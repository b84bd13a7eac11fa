"""The parts of the daemon, each introduced to those that it needs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

import daq
from daq.api import Access, Audit, DaemonInfo, Parts, limits_here
from daq.bus import Bus
from daq.config import Config, UserConfig
from daq.drivers import Timebase, build_drivers
from daq.experiment import ExecutionQueue, ManualRuns, software_versions
from daq.scripting import Sandbox, SandboxLimits
from daq.storage import Storage
from daq.supervision import (
    Debts,
    Guard,
    InterlockMemory,
    Interlocks,
    OutOfUse,
    Presets,
    References,
    Reloader,
    SafetySettings,
    Supervisor,
    read_safety,
    set_aside_in,
)

__all__ = ["assemble", "guard_directory"]

log = logging.getLogger(__name__)


def assemble(config: Config, access: Access) -> Parts:
    """Build everything that lives in the daemon; nothing runs yet.

    Raises ConfigurationError for what cannot be built as it is configured.
    """
    directory, timebase, bus = config.storage.directory, Timebase(), Bus()
    storage = Storage(
        directory,
        bus,
        compression=config.storage.compression,
        buffer_bytes=config.storage.buffer_mb << 20,
    )
    shared: dict[Any, Any] = {}
    drivers, failures = build_drivers(config.devices, timebase, shared)
    safety = read_safety(config, drivers)  # before a damaged file is set aside: it may refuse
    out_of_use = OutOfUse(directory / "disabled.json")
    debts = Debts(directory / "owed.json", timebase.now_ns)
    references = References(directory / "unreferenced.json", timebase.now_ns)
    references.policies = safety.references
    supervisor = Supervisor(
        drivers,
        bus,
        timebase,
        failures,
        out_of_use=out_of_use,
        debts=debts,
        references=references,
    )
    supervisor.after = safety.after
    _tell_doubts(safety)
    memory = InterlockMemory(directory / "interlocks.json")
    interlocks = Interlocks(safety.interlocks, supervisor, bus, timebase, memory)
    guard = Guard(safety.last_wills, guard_directory(config), supervisor, settings=config.guard)
    sandbox = Sandbox(_sandbox_limits(config))
    queue = ExecutionQueue(
        sandbox,
        supervisor,
        storage,
        timebase.now_ns,
        grace_s=config.scripts.grace_s,
        pause_rules=safety.pause_rules,
    )

    def reconfigure(
        config: Config, safety: SafetySettings, users: Mapping[str, UserConfig]
    ) -> None:
        """The configuration was read again: this is what it says now."""
        access.reconfigure(users)
        _tell_doubts(safety)
        supervisor.after, references.policies = safety.after, safety.references
        guard.reconfigure(safety.last_wills)
        interlocks.reconfigure(safety.interlocks)
        queue.reconfigure(safety.pause_rules, config.scripts.grace_s)
        sandbox.use_limits(_sandbox_limits(config))

    return Parts(
        info=_describe(config),
        limits=limits_here(config.server.keepalive_s, config.server.max_connections),
        audit=Audit(directory / "audit"),
        timebase=timebase,
        bus=bus,
        storage=storage,
        supervisor=supervisor,
        guard=guard,
        interlocks=interlocks,
        reloader=Reloader(
            config, drivers, shared, supervisor, interlocks, timebase, on_change=reconfigure
        ),
        presets=Presets(directory / "presets", supervisor, timebase),
        sandbox=sandbox,
        queue=queue,
        manual_runs=ManualRuns(supervisor, storage, timebase.now_ns),
    )


def guard_directory(config: Config) -> Path:
    """Where the guard keeps the last wills, and what it did."""
    return config.storage.directory / "guard"


def _tell_doubts(safety: SafetySettings) -> None:
    """What the guard will not do, and what is hardly meant, is said while all is well."""
    for why in (*safety.unguarded.values(), *safety.doubts):
        log.warning(why)


def _describe(config: Config) -> DaemonInfo:
    return DaemonInfo(
        version=daq.__version__,
        host=socket.gethostname(),
        started=trio.current_time(),
        data_directory=str(config.storage.directory),
        versions=software_versions(),
        ring_path=str(config.ring_path or ""),
        damages=set_aside_in(config.storage.directory),
    )


def _sandbox_limits(config: Config) -> SandboxLimits:
    scripts = config.scripts
    return SandboxLimits(
        memory_mb=scripts.memory_mb,
        max_duration_s=scripts.max_duration_s,
        max_output_mb=scripts.max_output_mb,
        max_output_lines=scripts.max_output_lines,
        max_records=scripts.max_records,
        max_runs=scripts.max_runs,
        max_source_bytes=scripts.max_source_bytes,
        check_timeout_s=scripts.check_timeout_s,
        allow_unconfined=scripts.allow_unconfined,
    )

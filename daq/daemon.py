"""The composition root: who lives in whom, on one page.

    storage ⊃ bus ⊃ devices ⊃ executions ⊃ api

The outermost lives longest. Start goes outside in, each part ready before the next begins; the end
goes inside out, so that whoever still produces data finds somebody to store it.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

import daq
from daq.api import Access, ApiServices, DaemonInfo, read_access, serve_api
from daq.bus import Bus, feed_ring
from daq.bus.ring_writer import RingWriter
from daq.config import Config
from daq.core import DaqError, DeviceState, StopOutcome, StorageError
from daq.drivers import Timebase, build_drivers
from daq.experiment import ExecutionQueue, ManualRuns, software_versions
from daq.scripting import Sandbox, SandboxLimits
from daq.storage import Storage
from daq.supervision import (
    Guard,
    Interlocks,
    OutOfUse,
    Presets,
    Reloader,
    SafetySettings,
    Supervisor,
    read_safety,
)
from daq.transport import open_serial_loop

__all__ = ["run_daemon", "serve"]

log = logging.getLogger(__name__)

DESCRIPTORS = 16384
"""Files, sockets and serial ports that may be open at the same time, where the system allows it."""
SAFE_S = 2.0
"""What each device gets to reach its safe state when the daemon ends."""


def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run a daemon until SIGINT or SIGTERM; `announce` is called once with the address."""
    _allow_many_descriptors()
    trio.run(run_daemon, config, announce)


def _allow_many_descriptors() -> None:
    """A serial port takes five: what most systems allow at first is 200 instruments' worth."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that lives in the daemon, built and not yet running."""

    access: Access
    bus: Bus
    storage: Storage
    supervisor: Supervisor
    guard: Guard
    interlocks: Interlocks
    reloader: Reloader
    sandbox: Sandbox
    queue: ExecutionQueue
    manual_runs: ManualRuns
    services: ApiServices


async def run_daemon(config: Config, announce: Callable[[str], None]) -> None:
    """The whole nursery tree."""
    config = config.with_overrides(directory=config.storage.directory.absolute())
    parts = _compose(config)
    # A signal that comes before all is ready ends the daemon as soon as it is.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as storing:
            await storing.start(parts.storage.run)
            await _open_ring(config, parts.bus, storing)
            async with open_serial_loop(), trio.open_nursery() as devices:
                await devices.start(parts.guard.run, parts.queue.interlocked)
                await devices.start(parts.supervisor.run)
                try:
                    async with trio.open_nursery() as executions:
                        await executions.start(parts.sandbox.run)
                        await executions.start(parts.queue.run)
                        await executions.start(parts.interlocks.run, parts.queue.interlocked)
                        await executions.start(_reload_on_hangup, parts.reloader)
                        async with trio.open_nursery() as api:
                            announce(await _start_api(config, parts, api))
                            await _serve_until(signals, parts.queue, parts.manual_runs)
                            api.cancel_scope.cancel()
                        executions.cancel_scope.cancel()
                finally:
                    await _leave_safe(parts.supervisor, parts.guard)
                devices.cancel_scope.cancel()
            storing.cancel_scope.cancel()
    log.info("ended cleanly")


def _compose(config: Config) -> _Parts:
    """Introduce everybody to those whom they need; nothing runs yet."""
    directory, timebase, bus = config.storage.directory, Timebase(), Bus()
    storage = Storage(
        directory,
        bus,
        compression=config.storage.compression,
        buffer_bytes=config.storage.buffer_mb << 20,
    )
    shared: dict[Any, Any] = {}
    drivers, failures = build_drivers(config.devices, timebase, shared)
    out_of_use = OutOfUse(directory / "disabled.json")
    supervisor = Supervisor(drivers, bus, timebase, failures, out_of_use=out_of_use)
    safety = read_safety(config, drivers)
    interlocks = Interlocks(safety.interlocks, supervisor, bus, timebase)
    guard = Guard(safety.last_wills, directory / "guard", supervisor, settings=config.guard)
    sandbox = Sandbox(_sandbox_limits(config))
    queue = ExecutionQueue(
        sandbox, supervisor, storage, timebase.now_ns, config.scripts.grace_s, safety.pause_rules
    )

    def take_over(config: Config, safety: SafetySettings) -> None:
        guard.take_over(safety.last_wills)
        interlocks.take_over(safety.interlocks)
        queue.take_over(safety.pause_rules, config.scripts.grace_s)
        sandbox.use_limits(_sandbox_limits(config))

    reloader = Reloader(
        config, drivers, shared, supervisor, interlocks, timebase, on_change=take_over
    )
    manual_runs = ManualRuns(supervisor, storage, timebase.now_ns)
    presets = Presets(directory / "presets", supervisor, timebase)
    services = ApiServices(
        queue,
        supervisor,
        storage,
        manual_runs,
        bus,
        sandbox,
        _describe(config),
        interlocks,
        guard,
        reloader,
        presets,
    )
    return _Parts(
        read_access(config.server),
        bus,
        storage,
        supervisor,
        guard,
        interlocks,
        reloader,
        sandbox,
        queue,
        manual_runs,
        services,
    )


def _describe(config: Config) -> DaemonInfo:
    return DaemonInfo(
        daq.__version__,
        socket.gethostname(),
        trio.current_time(),
        str(config.storage.directory),
        software_versions(),
        str(_ring_path(config) or ""),
    )


def _ring_path(config: Config) -> Path | None:
    if not config.ring.enabled:
        return None
    return (config.ring.path or config.storage.directory / "ring").absolute()


async def _open_ring(config: Config, bus: Bus, storing: trio.Nursery) -> None:
    """The ring is a courtesy to other processes: the daemon does not stay down for want of it."""
    path = _ring_path(config)
    if path is None:
        return
    try:
        ring = await trio.to_thread.run_sync(RingWriter, path, config.ring.size_mb << 20)
    except StorageError as error:
        log.error("there is no ring for other processes: %s", error.message)  # noqa: TRY400
        return
    await storing.start(feed_ring, bus, ring)


async def _start_api(config: Config, parts: _Parts, api: trio.Nursery) -> str:
    """Serve gRPC, and Arrow Flight beside it where that is configured; gives gRPC's address."""
    host, port, flight_port = config.server.host, config.server.port, config.server.flight_port
    services, access = parts.services, parts.access
    for warning in access.warnings(host):
        log.warning(warning)
    if flight_port is not None:
        from daq.api.flight import serve_flight  # loads another gRPC stack

        ring = _ring_path(config)
        address = await api.start(serve_flight, services.storage, ring, host, flight_port, access)
        services = replace(services, info=replace(services.info, flight_address=address))
    return str(await api.start(serve_api, services, host, port, access))


async def _reload_on_hangup(
    reloader: Reloader, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """SIGHUP reads the configuration again; what is wrong with it is logged and changes nothing.

    That of a terminal that was closed ends the daemon, as it ends every program in it.
    """
    had_terminal = _has_terminal()
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        task_status.started()
        async for _ in hangups:
            if had_terminal and not _has_terminal():
                signal.raise_signal(signal.SIGTERM)
                return
            try:
                await reloader.reload(by="SIGHUP")
            except DaqError as error:
                log.error("the configuration was not read again: %s", error)  # noqa: TRY400


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _leave_safe(supervisor: Supervisor, guard: Guard) -> None:
    """Nobody watches the bench any more: every device, touched or not, goes to its safe state."""
    ready = {d.id for d in supervisor.devices() if d.snapshot().state is DeviceState.READY}
    with trio.CancelScope(shield=True):  # bounded by what each device gets
        stops = await supervisor.stop_devices(timeout=SAFE_S, safe=True, by="the end of the daemon")
        failed = [s for s in stops if s.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE)]
        for stop in failed:
            log.error("device %s was not made safe: %s", stop.device, stop.message)
        # One that was offline all along is nothing new; one that failed now is the guard's.
        await guard.stand_down(ready & {stop.device for stop in failed})


async def _serve_until(
    signals: AsyncIterator[int], queue: ExecutionQueue, manual_runs: ManualRuns
) -> None:
    """Wait for a signal, then end gracefully; clients can watch. A second signal ends at once."""
    reason = f"the daemon received {signal.Signals(await anext(signals)).name}"
    log.info("%s, ending", reason)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_next, signals, nursery.cancel_scope)
        await queue.shutdown(reason)
        await manual_runs.shutdown(reason)
        nursery.cancel_scope.cancel()


async def _cancel_on_next(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    log.warning("second signal: what still runs is killed")
    scope.cancel()


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

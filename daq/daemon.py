"""The composition root: who lives in whom, on one page.

    storage ⊃ bus ⊃ devices ⊃ executions ⊃ api

The outermost lives longest. Start goes outside in, each part ready before the next begins; the end
goes inside out, so that whoever still produces data finds somebody to store it.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable

import trio

import daq
from daq.api import ApiServices, DaemonInfo, serve_api
from daq.bus import Bus
from daq.config import Config
from daq.drivers import Timebase, build_drivers
from daq.experiment import ExecutionQueue, ManualRuns, software_versions
from daq.scripting import Sandbox, SandboxLimits
from daq.storage import Storage
from daq.supervision import Supervisor

__all__ = ["run_daemon", "serve"]

log = logging.getLogger(__name__)


def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run a daemon until SIGINT or SIGTERM; `announce` is called once with the address."""
    trio.run(run_daemon, config, announce)


async def run_daemon(config: Config, announce: Callable[[str], None]) -> None:
    """The whole nursery tree."""
    timebase = Timebase()
    bus = Bus()
    storage = Storage(config.storage.directory, bus)
    drivers, failures = build_drivers(config.devices, timebase)
    supervisor = Supervisor(drivers, bus, timebase, failures)
    sandbox = Sandbox(_sandbox_limits(config))
    queue = ExecutionQueue(sandbox, supervisor, storage, timebase.now_ns, config.scripts.grace_s)
    manual_runs = ManualRuns(supervisor, storage, timebase.now_ns)
    info = DaemonInfo(
        daq.__version__,
        socket.gethostname(),
        trio.current_time(),
        str(config.storage.directory.absolute()),
        software_versions(),
    )
    services = ApiServices(queue, supervisor, storage, manual_runs, bus, sandbox, info)

    # A signal that comes before all is ready ends the daemon as soon as it is.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as storing:
            await storing.start(storage.run)
            async with trio.open_nursery() as devices:
                await devices.start(supervisor.run)
                async with trio.open_nursery() as executions:
                    await executions.start(sandbox.run)
                    await executions.start(queue.run)
                    async with trio.open_nursery() as api:
                        server = config.server
                        announce(await api.start(serve_api, services, server.host, server.port))
                        await _serve_until(signals, queue, manual_runs)
                        api.cancel_scope.cancel()
                    executions.cancel_scope.cancel()
                devices.cancel_scope.cancel()
            storing.cancel_scope.cancel()
    log.info("ended cleanly")


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
        max_output_bytes=round(scripts.max_output_mb * 2**20),
        allow_unconfined=scripts.allow_unconfined,
    )

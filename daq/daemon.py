"""The composition root: who lives in whom, on one page.

    storage ⊃ bus ⊃ devices ⊃ executions ⊃ api

The outermost lives longest. Start goes outside in, each part ready before the next begins; the end
goes inside out, so that whoever still produces data finds somebody to store it.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import trio

from daq.api import Access, Parts, read_access, require_free_address, serve_api
from daq.assembly import assemble, guard_directory
from daq.bus import feed_ring
from daq.bus.ring_writer import RingWriter
from daq.config import Config
from daq.core import StopOutcome, StorageError
from daq.storage import keep_memory_low, keep_private
from daq.supervision import Guard, Supervisor, carry_out_what_is_left, reload_on_hangup
from daq.supervision.last_resort import last_resort
from daq.transport import open_serial_loop

__all__ = ["run_daemon", "serve"]

log = logging.getLogger(__name__)

DESCRIPTORS = 16384
"""Files, sockets and serial ports that may be open at the same time, where the system allows it."""
SWITCH_S = 0.0005
"""How long a thread that computes keeps the loop waiting, some ten times in each call that comes;
Python's own 5 ms become 50."""
GARBAGE_OBJECTS = 10_000
"""So many new objects before Python looks for garbage among them: a message may bring 100,000."""
SAFE_S = 2.0
"""What each device gets to reach its safe state when the daemon ends."""
ENDING_S = 45.0
"""What an end may take beyond the grace of a script, closing a large file included."""
LET_GO_S = 8.0
"""What all drivers get to let go of their instruments."""
DRAIN_S = 20.0
"""What the storage gets after that; it has a deadline of its own before."""


async def run_daemon(config: Config, announce: Callable[[str], None]) -> None:
    """The whole nursery tree; `announce` is called once, with the address, when all is up."""
    config = config.with_overrides(directory=config.storage.directory.absolute())
    # Before anything that may fail or take its time: instruments may have been left as they were.
    await trio.to_thread.run_sync(carry_out_what_is_left, guard_directory(config))
    access = read_access(config.server)
    await require_free_address(config.server.host, config.server.port)
    await trio.to_thread.run_sync(keep_private, config.storage)
    parts = assemble(config, access)
    # A signal that comes before all is ready ends the daemon as soon as it is.
    with (
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        last_resort(config.scripts.grace_s + ENDING_S) as resort,
    ):
        async with trio.open_nursery() as storing:
            await storing.start(parts.storage.run)
            storing.start_soon(parts.timebase.follow_wall_clock, partial(_nothing_runs, parts))
            storing.start_soon(keep_memory_low)
            if ring := await _make_ring(config):
                await storing.start(feed_ring, parts.bus, ring)
            async with open_serial_loop(), trio.open_nursery() as devices:
                await devices.start(parts.guard.run, parts.queue.interlocked)
                await devices.start(parts.supervisor.run)
                try:
                    async with trio.open_nursery() as executions:
                        await executions.start(parts.sandbox.run)
                        await executions.start(parts.queue.run)
                        await executions.start(parts.interlocks.run, parts.queue.interlocked)
                        await executions.start(reload_on_hangup, parts.reloader)
                        await executions.start(parts.audit.run)
                        async with trio.open_nursery() as api:
                            announce(await _start_api(config, parts, access, api))
                            await _serve_until(signals, parts)
                            api.cancel_scope.cancel()
                        executions.cancel_scope.cancel()
                finally:
                    await _leave_safe(parts.supervisor, parts.guard)
                resort.leave_in(LET_GO_S)
                devices.cancel_scope.cancel()
            resort.leave_in(DRAIN_S)
            storing.cancel_scope.cancel()
    log.info("ended cleanly")


def _nothing_runs(parts: Parts) -> bool:
    return parts.storage.is_idle() and parts.queue.is_idle()


async def _make_ring(config: Config) -> RingWriter | None:
    """The ring is a courtesy to other processes: the daemon does not stay down for want of it."""
    if config.ring_path is None:
        return None
    size = config.ring.size_mb << 20
    try:
        return await trio.to_thread.run_sync(RingWriter, config.ring_path, size)
    except StorageError as error:
        log.error("there is no ring for other processes: %s", error.message)  # noqa: TRY400
        return None


async def _start_api(config: Config, parts: Parts, access: Access, api: trio.Nursery) -> str:
    """Serve gRPC, and Arrow Flight beside it where that is configured; gives gRPC's address."""
    server = config.server
    for warning in access.warnings(server.host):
        log.warning(warning)
    if server.flight_port is not None:
        from daq.api.flight.flight import serve_flight  # loads another gRPC stack

        address = await api.start(
            serve_flight, parts.storage, config.ring_path, server.host, server.flight_port, access
        )
        parts = replace(parts, info=replace(parts.info, flight_address=address))
    return str(await api.start(serve_api, parts, server.host, server.port, access))


async def _serve_until(signals: AsyncIterator[int], parts: Parts) -> None:
    """Wait for a signal, then end gracefully; clients can watch. A second signal ends at once."""
    reason = f"the daemon received {signal.Signals(await anext(signals)).name}"
    log.info("%s, ending", reason)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_next, signals, nursery.cancel_scope)
        # Beside the stop, which has begun before this task gets its turn: whatever moves or shines
        # does not wait for a script's cleanup. What that does is made safe again at the end.
        nursery.start_soon(_make_safe, parts.supervisor, reason)
        await parts.queue.shutdown(reason)
        await parts.manual_runs.shutdown(reason)
        nursery.cancel_scope.cancel()


async def _make_safe(supervisor: Supervisor, reason: str) -> None:
    await supervisor.stop_devices(timeout=SAFE_S, safe=True, by=reason)


async def _cancel_on_next(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    log.warning("second signal: what still runs is killed")
    scope.cancel()


async def _leave_safe(supervisor: Supervisor, guard: Guard) -> None:
    """Nobody watches the bench any more: every device, touched or not, goes to its safe state."""
    online = {d.id for d in supervisor.devices() if d.snapshot().state.is_online}
    with trio.CancelScope(shield=True):  # bounded by what each device gets
        stops = await supervisor.stop_devices(timeout=SAFE_S, safe=True, by="the end of the daemon")
        failed = [s for s in stops if s.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE)]
        for stop in failed:
            level = logging.ERROR if stop.device in online else logging.INFO
            log.log(level, "device %s was not made safe: %s", stop.device, stop.message)
        # One that was offline all along is nothing new; one that failed now is the guard's.
        await guard.stand_down(online & {stop.device for stop in failed})


def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Run a daemon until SIGINT or SIGTERM; `announce` is called once with the address."""
    _allow_many_descriptors()
    sys.setswitchinterval(SWITCH_S)

    def ready(address: str) -> None:
        # What is there now stays: 80,000 objects more to look through in each full collection held
        # the loop for 50 ms, and under load for 150.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS, 10, 20)
        announce(address)

    # What the daemon writes is its user's, and a group's where one is configured.
    os.umask(0o077 if config.storage.group is None else 0o027)
    trio.run(run_daemon, config, ready)


def _allow_many_descriptors() -> None:
    """A serial port takes five: what most systems allow at first is 200 instruments' worth."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))

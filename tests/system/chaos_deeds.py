"""What random clients do to a daemon: everything that it offers, in any order, at any time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.flight as fl

from daq.bus.ring import RingReader
from daq.client import AsyncClient
from daq.client.calls.models import FrameQuality
from daq.client.recorded.export import write_batches
from daq.core import DaqError, ParameterError, RunOutcome, ScriptSyntaxError, StopReport
from tests.hostile_scripts import HOSTILE, REFUSED

from .chaos_bench import DEVICES, ChaosDaemon, Instruments
from .chaos_material import NORMAL, ODD_NUMBERS, ODD_TEXTS

__all__ = ["Findings", "Vandal"]

PATIENCE_S = 45.0
"""No call may take longer, whatever happens meanwhile."""


@dataclass
class Findings:
    """What was seen: how often each deed came to what, and what must not be."""

    deeds: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worst_s: float = 0.0
    """The longest that the daemon took to say that it is well."""
    questions: int = 0

    def refusal(self, deed: str, error: DaqError) -> None:
        """An error as a client gets it has a kind, and says something."""
        self.errors[f"{deed}: {type(error).__name__}"] += 1
        text = str(error)
        is_told = error.kind != "internal" and len(error.message) > 8
        if not is_told or "internal" in text or "defect" in text or "no message" in text:
            self.wrong.append(f"{deed}: {type(error).__name__}: {text}")


class Vandal:
    """One client among several. All that it chooses comes from its own `chance`."""

    def __init__(
        self,
        daemon: ChaosDaemon,
        instruments: Instruments,
        directory: Path,
        findings: Findings,
        chance: random.Random,
    ) -> None:
        self.daemon = daemon
        self.instruments = instruments
        self.directory = directory
        self.findings = findings
        self.chance = chance
        self.manual: list[str] = []
        self._client: AsyncClient | None = None

    @property
    def client(self) -> AsyncClient:
        assert self._client is not None
        return self._client

    async def rage(self, until: float) -> None:
        """Do one thing after the other until then."""
        names = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
        async with AsyncClient(self.daemon.address, user=f"v{id(self) % 97}") as client:
            self._client = client
            while time.monotonic() < until:
                await self._do(self.chance.choice(names))

    async def _do(self, name: str) -> None:
        deed: Callable[[], Awaitable[None]] = getattr(self, name)
        self.findings.deeds[name] += 1
        impatient = self.chance.random() < 0.15
        limit = self.chance.uniform(0.0, 0.5) if impatient else PATIENCE_S
        try:
            async with asyncio.timeout(limit):
                await deed()
        except DaqError as error:
            self.findings.refusal(name, error)
        except TimeoutError:
            if not impatient:
                self.findings.wrong.append(f"{name}: no answer within {limit:g} s")
        except Exception as error:
            self.findings.wrong.append(f"{name}: {type(error).__name__}: {error}")

    def _device(self) -> str:
        return self.chance.choice(ODD_TEXTS if self.chance.random() < 0.1 else DEVICES)

    # ------------------------------------------------------------------------------------- scripts

    async def start_script(self) -> None:
        table = self.chance.choice((NORMAL, NORMAL, {k: h.source for k, h in HOSTILE.items()}))
        name = self.chance.choice(sorted(table))
        script = await self.client.scripts.upload(table[name], name=name)
        limits = {"max_runs": 20, "max_records": 2000} if self.chance.random() < 0.5 else None
        await self.client.scripts.start(script.id, limits=limits)

    async def upload_bad(self) -> None:
        source = self.chance.choice((*REFUSED.values(), "\x00", "def", "x = '\ud800'", "(" * 500))
        with suppress(ScriptSyntaxError, ParameterError):
            await self.client.scripts.upload(source, name=self.chance.choice(ODD_TEXTS))
            self.findings.wrong.append(f"upload: {source!r} was accepted")

    async def start_badly(self) -> None:
        parameters = {self.chance.choice(ODD_TEXTS): self.chance.choice(ODD_NUMBERS)}
        await self.client.scripts.start(self.chance.choice(("scan", *ODD_TEXTS)), parameters)

    async def stop_script(self) -> None:
        before = await self.client.scripts.status()
        force = self.chance.random() < 0.6
        grace = self.chance.choice((None, 0.0, 0.3))
        report = await self.client.scripts.stop(before.record.id, force=force, grace_s=grace)
        self._judge_stop(before.record.script_name, before.record.line, report)

    async def clear_queue(self) -> None:
        for view in await self.client.scripts.executions(limit=1000):
            if not view.record.state.is_final and self.chance.random() < 0.7:
                await self.client.scripts.stop(view.record.id, force=self.chance.random() < 0.8)

    def _judge_stop(self, script: str, line: int, report: StopReport) -> None:
        """It has ended, and each device that it had touched is named."""
        if not report.state.is_final:
            self.findings.wrong.append(f"stop: {script} is {report.state} after it")
        if "had already ended" in report.message or report.state == "COMPLETED":
            return
        named = {stop.device for stop in report.devices}
        if script in HOSTILE and line > 2 and "slow_stage" not in named:
            self.findings.wrong.append(f"stop: {script} at {line} names {named}: {report.message}")

    async def pause_script(self) -> None:
        await self.client.scripts.pause()

    async def resume_script(self) -> None:
        await self.client.scripts.resume()

    async def watch_script(self) -> None:
        await self._taste(self.client.scripts.watch())

    async def look_at_scripts(self) -> None:
        await self.client.scripts.list()
        await self.client.scripts.executions(limit=self.chance.choice((0, 3, 1000)))
        await self.client.scripts.status(self.chance.choice(("", "scan", *ODD_TEXTS)))

    # ------------------------------------------------------------------------------------- devices

    async def use_device(self) -> None:
        forced = self.chance.random() < 0.3
        devices = self.client.devices.forced if forced else self.client.devices
        device, number = self._device(), self.chance.choice(ODD_NUMBERS)
        operation = self.chance.choice(
            (
                lambda: devices.read(device),
                lambda: devices.move_abs(device, number, timeout=self.chance.choice((0.0, 0.5, 2))),
                lambda: devices.move_rel(device, number, timeout=0.5),
                lambda: devices.wait_settled(device, timeout=0.2),
                lambda: devices.open(device),
                lambda: devices.close(device),
                lambda: devices.wavelength(device, number),
                lambda: devices.emission(device, True),
                lambda: devices.exposure(device, min(number, 1.0)),
                lambda: devices.arm(device),
                lambda: devices.trigger(device),
                lambda: devices.stage(device),
                lambda: devices.unstage(device),
                lambda: devices.call(device, "frames", 3, timeout=5),
                lambda: devices.call(device, self.chance.choice(ODD_TEXTS), number, timeout=5),
                lambda: devices.stop(device),
                lambda: devices.state(device),
                devices.list,
            )
        )
        await operation()

    async def set_parameter(self) -> None:
        device = self.chance.choice(DEVICES)
        names = [p.name for p in await self.client.devices.parameters(device)]
        name = self.chance.choice([*names, self.chance.choice(ODD_TEXTS)])
        value = self.chance.choice((*ODD_NUMBERS, *ODD_TEXTS, True, 10**30))
        await self.client.devices.set(device, name, value)
        await self.client.devices.get(device, name)

    async def change_use(self) -> None:
        bench, device, force = self.client.bench, self._device(), self.chance.random() < 0.5
        match self.chance.randrange(4):
            case 0:
                await bench.disable(device, self.chance.choice(ODD_TEXTS), force=force)
            case 1:
                await bench.restart(device, force=force)
            case _:
                await bench.enable(device)

    async def pull_plug(self) -> None:
        name = self.chance.choice(("esp", "ell"))
        self.instruments.plug(name, is_in=False)
        try:
            await asyncio.sleep(self.chance.uniform(0.0, 0.5))
        finally:
            self.instruments.plug(name, is_in=True)

    async def reload(self) -> None:
        self.daemon.configure_somehow(self.chance)
        if self.chance.random() < 0.4:
            self.daemon.hang_up()
        else:
            await self.client.bench.reload(force=self.chance.random() < 0.5)

    async def trip(self) -> None:
        devices = self.client.devices.forced
        await devices.move_abs("slow_stage", self.chance.choice((55.0, 0.0)), timeout=1)

    async def reset_interlock(self) -> None:
        locks = await self.client.interlocks.list()
        await self.client.interlocks.reset(self.chance.choice([*(i.name for i in locks), "none"]))

    async def use_preset(self) -> None:
        presets, name = self.client.presets, self.chance.choice(("a", "b", *ODD_TEXTS))
        match self.chance.randrange(5):
            case 0 | 1:
                some = self.chance.sample(DEVICES, 2)
                await presets.save(name, some, replace=self.chance.random() < 0.5)
            case 2:
                await presets.load(name, force=self.chance.random() < 0.3)
            case 3:
                await presets.compare(name)
            case _:
                await presets.list()
                await presets.delete(name)

    async def kill_zygote(self) -> None:
        pid = int((await self.client.info()).counters["sandbox.zygote_pid"])
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -------------------------------------------------------------------------------- runs and data

    async def open_run(self) -> None:
        metadata = {self.chance.choice(ODD_TEXTS): self.chance.choice((*ODD_TEXTS, 1, None, [1]))}
        durability = self.chance.choice(("process", "process", "disk", "paper"))
        name = self.chance.choice(ODD_TEXTS)
        run = await self.client.runs.start(name, metadata, durability=durability)
        self.manual.append(run)
        if self.chance.random() < 0.2:
            await self.client.runs.stop(run)  # without a point

    async def record_point(self) -> None:
        values = {self.chance.choice(ODD_TEXTS): self.chance.choice((*ODD_NUMBERS, *ODD_TEXTS))}
        run = self.chance.choice([*self.manual, ""])
        for _ in range(self.chance.choice((1, 10))):
            await self.client.runs.record(run, [self._device()], values)

    async def stop_run(self) -> None:
        run = self.chance.choice([*self.manual, "", "nothing"])
        await self.client.runs.stop(run, outcome=self.chance.choice(tuple(RunOutcome)))

    async def read_runs(self) -> None:
        runs = self.client.runs
        page = await runs.list(limit=self.chance.choice((0, 5, 1000)), name=self._device())
        page = await runs.list(outcome=self.chance.choice(("", "", "open", "odd")))
        for run in self.chance.sample(page.runs, min(2, len(page.runs))):
            await runs.get(run.run_id)
            await self._taste(runs.read(run.run_id))
            await self._taste(runs.documents(run.run_id))
            await self._taste(runs.file(run.run_id))

    async def export_run(self) -> None:
        runs = (await self.client.runs.list()).runs
        if runs:
            batches = [b async for b in self.client.runs.read(self.chance.choice(runs).run_id)]
            kind = self.chance.choice(("csv", "parquet", "arrow"))
            path = self.directory / self.chance.choice((f"x.{kind}", "no/such/place"))
            await asyncio.to_thread(write_batches, batches, kind, path)

    async def stream(self) -> None:
        streams, device = self.client.streams, self._device()
        rate = self.chance.choice((0, 1, 50, 10**6))
        choice: Callable[[], AsyncGenerator[Any, None]] = self.chance.choice(
            (
                lambda: streams.measurements([device, "*"], max_rate_hz=rate),
                lambda: streams.measurements(max_rate_hz=10, average=True),
                lambda: streams.blocks(max_rate_hz=rate, lz4=True),
                lambda: streams.readings(device, rate),
                lambda: streams.positions(device, rate),
                lambda: streams.frames(device, max_fps=rate, quality=FrameQuality.FAST),
                lambda: streams.states(),
                lambda: streams.states(device),
                lambda: streams.observables(deadband=0.1),
                lambda: streams.parameter_changes(),
                lambda: self.client.live(),
            )
        )
        await self._taste(choice())

    async def lose_client(self) -> None:
        """Streams of a client that goes without a word, with answers on their way."""
        client = AsyncClient(self.daemon.address, resume_s=0.0)
        async with client, asyncio.TaskGroup() as streams:
            for stream in (client.streams.measurements(), client.scripts.watch()):
                streams.create_task(self._lost(stream))
            await asyncio.sleep(self.chance.uniform(0.0, 0.3))
            client._connection.close()

    async def _lost(self, stream: AsyncGenerator[Any, None]) -> None:
        with suppress(DaqError):
            await self._taste(stream, 2.0)

    async def kill_process(self) -> None:
        """A client process that is killed while it streams."""
        process = self.daemon.client_process("stream")
        try:
            await asyncio.sleep(self.chance.uniform(0.0, 3.0))
        finally:
            process.kill()
            process.communicate()

    async def control_stream(self) -> None:
        device = self.chance.choice(("camera", "digitizer", "meter"))
        await self.client.streams.start(device, self.chance.choice((None, 0, 5)))
        await asyncio.sleep(0.1)
        await self.client.streams.stop(device)

    async def _taste(self, stream: AsyncGenerator[Any, None], seconds: float | None = None) -> None:
        """Take something of a stream, slowly, and leave it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds or self.chance.uniform(0.05, 0.4)):
                async with aclosing(stream):
                    async for _ in stream:
                        await asyncio.sleep(self.chance.choice((0, 0, 0.01)))

    async def fly(self) -> None:
        await asyncio.to_thread(self._fly, (await self.client.info()).flight_address)

    def _fly(self, address: str) -> None:
        ticket: Any = self.chance.choice(
            (
                {"run": "", "follow": True},
                {"run": self.chance.choice((*NORMAL, "x"))},
                {"run": "", "columns": ["meter"]},
                {"channel": self._device(), "history": True},
                {"channel": "meter"},
                {"run": 7},
                {"channel": []},
                [],
            )
        )
        try:
            with fl.connect(f"grpc://{address}") as flight:
                list(flight.list_flights())
                brief = fl.FlightCallOptions(timeout=1.0)
                reader = flight.do_get(fl.Ticket(json.dumps(ticket)), brief)
                for _ in range(self.chance.choice((1, 3))):
                    reader.read_chunk()
                reader.cancel()
        except (StopIteration, fl.FlightTimedOutError):
            return  # its end, or a channel on which nothing comes
        except (fl.FlightUnavailableError, fl.FlightServerError) as error:
            self.findings.errors[f"fly: {type(error).__name__}"] += 1
            if "Traceback" in str(error):
                self.findings.wrong.append(f"fly: {error}")

    async def read_ring(self) -> None:
        await asyncio.to_thread(self._read_ring, (await self.client.info()).ring_path)

    def _read_ring(self, path: str) -> None:
        with RingReader(path, history=self.chance.random() < 0.5) as ring:
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                if ring.take() is None:
                    time.sleep(0.005)


WEIGHTS = {
    "start_script": 14, "upload_bad": 2, "start_badly": 2, "stop_script": 14, "clear_queue": 4,
    "pause_script": 4, "resume_script": 6, "watch_script": 4, "look_at_scripts": 2,
    "use_device": 14, "set_parameter": 5, "change_use": 4, "pull_plug": 2, "reload": 3, "trip": 2,
    "reset_interlock": 1, "use_preset": 4, "kill_zygote": 1,
    "open_run": 3, "record_point": 5, "stop_run": 3, "read_runs": 4, "export_run": 2,
    "stream": 8, "lose_client": 3, "kill_process": 1, "control_stream": 2, "fly": 3, "read_ring": 2,
}  # fmt: skip
"""Deed to how often it is done."""

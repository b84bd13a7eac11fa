"""The configuration read again: devices come, go and change, and the others notice nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from daq.bus import Bus
from daq.config import Config, UserConfig, load_config
from daq.core import (
    BusyError,
    ConfigurationError,
    DeviceState,
    InterlockError,
    OfflineError,
    StateError,
)
from daq.drivers import Timebase, build_drivers
from daq.supervision import (
    Claim,
    Interlocks,
    Reloader,
    SafetySettings,
    Supervisor,
    read_safety,
)
from tests.unit.supervision.fakes import FakePrograms

STAGE = '[devices.stage]\ndriver = "simulated.stage"\n'
METER = '[devices.meter]\ndriver = "simulated.power_meter"\n'
LASER = '[devices.laser]\ndriver = "simulated.laser"\n'


@dataclass
class Bench:
    file: Path
    supervisor: Supervisor
    reloader: Reloader
    interlocks: Interlocks
    programs: FakePrograms
    safety: list[SafetySettings] = field(default_factory=list)
    users: list[set[str]] = field(default_factory=list)

    def write(self, *tables: str) -> None:
        self.file.write_text("\n".join(tables))

    def state(self, device_id: str) -> DeviceState:
        return self.supervisor.device(device_id).snapshot().state


@asynccontextmanager
async def bench_of(folder: Path, *tables: str):
    file = folder / "bench.toml"
    file.write_text("\n".join(tables))
    config = load_config(file)
    timebase, shared = Timebase(), {}
    drivers, failures = build_drivers(config.devices, timebase, shared)
    bus = Bus()
    supervisor = Supervisor(drivers, bus, timebase, failures)
    safety: list[SafetySettings] = []
    users: list[set[str]] = []
    interlocks = Interlocks(read_safety(config, drivers).interlocks, supervisor, bus, timebase)

    def reconfigure(_: Config, now: SafetySettings, keys: Mapping[str, UserConfig]) -> None:
        interlocks.reconfigure(now.interlocks)
        safety.append(now)
        users.append(set(keys))

    reloader = Reloader(
        config, drivers, shared, supervisor, interlocks, timebase, on_change=reconfigure
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        programs = FakePrograms()
        await nursery.start(interlocks.run, programs)
        yield Bench(file, supervisor, reloader, interlocks, programs, safety, users)
        nursery.cancel_scope.cancel()


async def reaches(bench, device_id, state):
    while bench.state(device_id) is not state:
        await bench.supervisor.wait_changed(bench.supervisor.version)


async def test_devices_come_go_and_change_and_the_others_notice_nothing(tmp_path):
    async with bench_of(tmp_path, STAGE, METER, LASER) as bench:
        stage, laser = bench.supervisor.device("stage"), bench.supervisor.device("laser")
        before = bench.supervisor.device("meter")
        camera = '[devices.camera]\ndriver = "simulated.camera"\n'
        bench.write("# a line more", STAGE, METER + "averaging = 4\n", camera)
        report = await bench.reloader.reload(by="maria")
        assert report.added == ("camera",)
        assert report.removed == ("laser",)
        assert report.changed == ("meter",)
        assert report.unchanged == ("stage",)
        assert report.needs_restart == ()
        assert [device.id for device in bench.supervisor.devices()] == ["camera", "meter", "stage"]
        assert bench.supervisor.device("stage") is stage
        assert bench.supervisor.device("meter") is not before
        for device_id in ("camera", "meter"):
            await reaches(bench, device_id, DeviceState.READY)
        gone = "offline since .* it was removed from the configuration by maria"
        with pytest.raises(OfflineError, match=gone) as caught:
            await laser.call("open")
        assert "not configured any more" in caught.value.advice


async def test_what_is_in_progress_on_another_device_goes_on(tmp_path, autojump_clock):
    async with bench_of(tmp_path, STAGE, METER) as bench:
        moved = []

        async def move():
            moved.append(await bench.supervisor.device("stage").call("move_abs", 8.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(move)
            await trio.sleep(0.2)
            bench.write(STAGE)
            await bench.reloader.reload()
        assert moved == [pytest.approx(8.0, abs=0.01)]


async def test_a_device_is_safe_before_it_is_let_go(tmp_path):
    async with bench_of(tmp_path, LASER, STAGE) as bench:
        driver = bench.supervisor.device("laser")._instrument.driver
        assert driver._shutter.is_on()
        bench.write(STAGE)
        report = await bench.reloader.reload()
        assert not driver._shutter._after
        assert report.not_safe == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[devices.stage\n", "line 1"),
        (STAGE + "velocty = 1\n", "velocty: there is no such option"),
        (STAGE + '[devices.x]\ndriver = "nothing"\n', "there is no driver 'nothing'"),
        (METER + 'on_pause = "close_shutter"\n', "bench.toml:1"),
    ],
)
async def test_a_wrong_file_changes_nothing(tmp_path, text, problem):
    async with bench_of(tmp_path, STAGE, METER) as bench:
        devices = bench.supervisor.devices()
        bench.write(text)
        with pytest.raises(ConfigurationError) as caught:
            await bench.reloader.reload()
        assert problem in str(caught.value)
        assert bench.supervisor.devices() == devices
        assert bench.state("stage") is DeviceState.READY
        assert bench.safety == []


async def test_a_device_that_an_interlock_needs_cannot_be_taken_away(tmp_path):
    lock = '[interlocks.hot]\nchannel = "meter"\nabove = 1.0\naction = "none"\n'
    async with bench_of(tmp_path, STAGE, METER, lock) as bench:
        bench.write(STAGE, lock)
        with pytest.raises(ConfigurationError, match=r"meter is not there .* interlocks.hot"):
            await bench.reloader.reload()
        assert bench.state("meter") is DeviceState.READY
        bench.write(STAGE)
        assert (await bench.reloader.reload()).removed == ("meter",)


async def test_a_device_in_use_is_not_taken_away_without_force(tmp_path):
    async with bench_of(tmp_path, STAGE, METER) as bench:
        bench.supervisor.device("meter").gate.take(Claim("execution 3f2a of knife_edge"))
        bench.write(STAGE)
        with pytest.raises(BusyError, match="meter by execution 3f2a of knife_edge"):
            await bench.reloader.reload()
        assert bench.state("meter") is DeviceState.READY
        assert (await bench.reloader.reload(force=True)).removed == ("meter",)


async def test_what_cannot_count_at_once_is_told_with_the_reason_until_it_is_undone(tmp_path):
    tables = "[server]\nport = 1\n[guard]\ntimeout_s = {:g}\n[scripts]\nmemory_mb = {:d}\n"
    async with bench_of(tmp_path, tables.format(2, 100), STAGE) as bench:
        bench.write(tables.format(3, 200), STAGE)
        report = await bench.reloader.reload()
        waiting = ("guard.timeout_s: the guard process was started with it",)
        assert report.needs_restart == waiting
        assert report.applied == ("scripts.memory_mb",)
        assert report.unchanged == ("stage",)
        report = await bench.reloader.reload()
        assert (report.needs_restart, report.applied) == (waiting, ())
        bench.write(tables.format(2, 200), STAGE)
        assert (await bench.reloader.reload()).needs_restart == ()


async def test_a_line_more_above_a_table_is_no_change_of_it(tmp_path):
    server = "[server]\nport = 1\n"
    async with bench_of(tmp_path, server, STAGE) as bench:
        bench.write("# a line more", server, STAGE)
        report = await bench.reloader.reload()
        assert (report.needs_restart, report.applied) == ((), ())


async def test_tokens_come_and_go_and_the_door_itself_stays(tmp_path):
    tokens, server = tmp_path / "tokens.toml", '[server]\ntoken_file = "tokens.toml"\n'
    maria, jo = (f'[{name}]\ntoken = "0123456789abcdef-{name}"\n' for name in ("maria", "jo"))
    tokens.write_text(maria + jo)
    async with bench_of(tmp_path, server, STAGE) as bench:
        assert (await bench.reloader.reload()).applied == ()
        tokens.write_text(jo)
        assert (await bench.reloader.reload()).applied == ("server.token_file",)
        tokens.write_text(jo + "[maria]\n")
        bench.write(server, METER)
        with pytest.raises(ConfigurationError, match=r"bench.toml:2: server.token_file: .*:3: "):
            await bench.reloader.reload()
        assert bench.state("stage") is DeviceState.READY
        bench.write(STAGE)
        (waiting,) = (await bench.reloader.reload()).needs_restart
        assert waiting.startswith("server.token_file: ")
        assert bench.users == [{"maria", "jo"}, {"jo"}, {"jo"}]


HOT = '[interlocks.{}]\nchannel = "meter"\nabove = {:g}\nrefuse_moves = ["stage"]\n'


async def test_interlocks_come_go_and_change(tmp_path, autojump_clock):
    async with bench_of(tmp_path, STAGE, METER, HOT.format("kept", 1.0)) as bench:
        (kept,) = bench.interlocks.status()
        bench.write(STAGE, METER, HOT.format("kept", 1.0), HOT.format("hot", -1.0))
        assert (await bench.reloader.reload()).applied == ("interlocks.hot",)
        await bench.supervisor.device("meter").call("read")
        await trio.testing.wait_all_tasks_blocked()
        assert [(s.name, s.tripped) for s in bench.interlocks.status()] == [
            ("kept", False),
            ("hot", True),
        ]
        assert bench.interlocks.status()[0] == replace(
            kept, value=bench.interlocks.status()[1].value, units="W", condition="above 1 W"
        )
        with pytest.raises(InterlockError):
            await bench.supervisor.device("stage").call("move_abs", 1.0)

        bench.write(STAGE, METER, HOT.format("kept", 1.0), HOT.format("hot", 2.0))
        with pytest.raises(StateError, match=r"interlocks\.hot has tripped"):
            await bench.reloader.reload()
        await bench.reloader.reload(force=True)
        await trio.testing.wait_all_tasks_blocked()
        assert any(
            status.tripped for status in bench.interlocks.status()
        )  # until it hears otherwise
        with pytest.raises(InterlockError):
            await bench.supervisor.device("stage").call("move_abs", 1.0)
        await bench.supervisor.device("meter").call("read")
        await trio.testing.wait_all_tasks_blocked()
        assert bench.programs.log == [("release", "hot", False)]
        assert not any(status.tripped for status in bench.interlocks.status())
        await bench.supervisor.device("stage").call("move_abs", 1.0)
        bench.write(STAGE)
        assert (await bench.reloader.reload()).applied == ("interlocks.hot", "interlocks.kept")
        assert bench.interlocks.status() == ()


async def test_a_device_that_could_not_be_built_at_the_start_can_be_put_right(tmp_path):
    async with bench_of(tmp_path, STAGE + "velocty = 1\n", METER) as bench:
        assert bench.state("stage") is DeviceState.OFFLINE
        assert (await bench.reloader.reload()).unchanged == ("meter", "stage")
        bench.write(STAGE, METER)
        assert (await bench.reloader.reload()).changed == ("stage",)
        await reaches(bench, "stage", DeviceState.READY)
        assert bench.supervisor.failures == {}


async def test_a_description_that_was_changed_counts_as_a_change(tmp_path):
    text = (
        '[instrument]\nname = "m"\n[values.v]\nunits = "V"\nread = "V?"\n[readable]\nvalue = "v"\n'
    )
    (tmp_path / "m.toml").write_text(text)
    device = '[devices.m]\ndriver = "declarative"\ndescription = "m.toml"\nport = "127.0.0.1:1"\n'
    async with bench_of(tmp_path, device) as bench:
        assert (await bench.reloader.reload()).unchanged == ("m",)
        (tmp_path / "m.toml").write_text(text.replace('"V"', '"mV"'))
        assert (await bench.reloader.reload()).changed == ("m",)
        assert bench.supervisor.device("m").description.units == "mV"


async def test_what_is_said_about_safety_is_handed_on(tmp_path):
    async with bench_of(tmp_path, STAGE) as bench:
        bench.write(STAGE, LASER + 'on_pause = "close_shutter"\n')
        await bench.reloader.reload()
        assert set(bench.safety[-1].pause_rules) == {"laser"}


async def test_without_a_file_there_is_nothing_to_read_again(tmp_path):
    config = load_config(None)
    supervisor = Supervisor({}, Bus(), Timebase())
    interlocks = Interlocks((), supervisor, Bus(), Timebase())
    reloader = Reloader(config, {}, {}, supervisor, interlocks, Timebase(), on_change=print)
    with pytest.raises(StateError, match="built-in bench"):
        await reloader.reload()

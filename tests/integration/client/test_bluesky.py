"""An unmodified RunEngine drives the bench."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

mpl.use("Agg")

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from bluesky.callbacks import LiveTable
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.protocols import (
    Checkable,
    Configurable,
    HasHints,
    HasName,
    Locatable,
    Movable,
    Readable,
    Status,
    Stoppable,
    Subscribable,
    Triggerable,
)
from bluesky.run_engine import RunEngineInterrupted  # type: ignore[attr-defined]
from bluesky.suspenders import SuspendFloor
from event_model import DocumentNames, schema_validators

from daq.client import Bench, Motor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    engine = RunEngine({}, context_managers=[])
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join(5)
    engine.loop.close()


def documents_of(engine: RunEngine, plan: Any) -> list[tuple[str, dict[str, Any]]]:
    documents: list[tuple[str, dict[str, Any]]] = []
    engine(plan, lambda name, document: documents.append((name, document)))
    return documents


def events(documents: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [document["data"] for name, document in documents if name == "event"]


def test_devices_satisfy_the_protocols(bench: Bench) -> None:
    stage, meter = bench["stage"], bench["power_meter"]
    protocol: Any
    for protocol in (Movable, Locatable, Readable, Stoppable, HasHints, HasName, Checkable):
        assert isinstance(stage, protocol), protocol
    for protocol in (Readable, Triggerable, Stoppable, HasHints, Subscribable, Configurable):
        assert isinstance(meter, protocol), protocol
    for watched in (stage, meter, bench.laser("laser").wavelength):
        assert isinstance(watched, Subscribable)
    for protocol in (Movable, Locatable, Readable, Stoppable, HasHints, HasName, Checkable):
        assert isinstance(bench.laser("laser").wavelength, protocol), protocol
    assert not isinstance(meter, Movable)
    assert not isinstance(stage, Triggerable)
    assert isinstance(bench["camera"], Readable)
    status = stage.set(0.0)
    assert isinstance(status, Status)
    status.wait(10)


def test_a_run_engine_counts_and_scans(bench: Bench, engine: RunEngine) -> None:
    stage, meter = bench["stage"], bench["power_meter"]
    counted = documents_of(engine, bp.count([meter], num=2))
    assert [name for name, _ in counted] == ["start", "descriptor", "event", "event", "stop"]
    scanned = events(documents_of(engine, bp.scan([meter], stage, -0.2, 0.2, 3)))
    assert [row["stage"] for row in scanned] == pytest.approx([-0.2, 0.0, 0.2], abs=0.01)
    assert scanned[0]["power_meter"] < scanned[-1]["power_meter"]
    stage.position = 0.1
    relative = events(documents_of(engine, bp.rel_scan([meter], stage, -0.1, 0.1, 2)))
    assert [row["stage"] for row in relative] == pytest.approx([0.0, 0.2], abs=0.01)
    assert stage.position == pytest.approx(0.1, abs=0.01)


def test_a_run_engine_scans_grids_and_adaptively(bench: Bench, engine: RunEngine) -> None:
    stage, rotator, meter = bench["stage"], bench["rotator"], bench["power_meter"]
    grid = bp.grid_scan([meter], rotator, 0, 1, 2, stage, -0.1, 0.1, 2, snake_axes=True)
    rows = events(documents_of(engine, grid))
    assert [row["stage"] for row in rows] == pytest.approx([-0.1, 0.1, 0.1, -0.1], abs=0.01)
    plan = bp.adaptive_scan([meter], "power_meter", stage, -0.3, 0.3, 0.05, 0.3, 1e-3, True)
    assert len(events(documents_of(engine, plan))) >= 3


def test_callbacks_of_bluesky_take_it(
    bench: Bench, engine: RunEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, meter = bench["stage"], bench["power_meter"]
    best_effort = BestEffortCallback()
    engine(
        bp.scan([meter], stage, -0.1, 0.1, 2),
        [LiveTable(["stage", "power_meter"]), best_effort],
    )
    shown = capsys.readouterr().out
    assert "power_meter" in shown
    assert "generator scan" in shown
    import matplotlib.pyplot as plt

    plt.close("all")


def test_an_image_is_an_array_in_a_document(bench: Bench, engine: RunEngine) -> None:
    (row,) = events(documents_of(engine, bp.count([bench["camera"]])))
    assert row["camera"].shape == (480, 640)


@contextmanager
def paused_on_its_way(
    engine: RunEngine, stage: Motor, target: float, *, velocity: float
) -> Iterator[None]:
    """The engine, paused while the stage goes there slowly."""
    stage.parameters.velocity = velocity
    moving = threading.Event()
    engine.waiting_hook = lambda statuses: moving.set() if statuses else None  # type: ignore[assignment]

    def interrupt() -> None:
        assert moving.wait(10)
        engine.request_pause()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(RunEngineInterrupted):
            engine(bps.mv(stage, target))
        yield
    finally:
        interrupter.join()
        stage.parameters.velocity = 20.0


def test_an_abort_stops_the_motor(bench: Bench, engine: RunEngine) -> None:
    stage = bench.motor("stage")
    with paused_on_its_way(engine, stage, 9.0, velocity=0.5):
        engine.abort()
        assert stage.wait_settled(timeout=10) < 8.0
        assert not stage.is_moving


def test_a_pause_in_the_middle_of_a_move_rewinds_and_the_move_is_made_again(
    bench: Bench, engine: RunEngine
) -> None:
    stage = bench.motor("stage")
    with paused_on_its_way(engine, stage, 1.0, velocity=2.0):
        assert stage.position < 0.9
        engine.resume()
        assert stage.position == pytest.approx(1.0, abs=0.01)


def test_motors_and_parameters_are_monitored_and_configured(
    bench: Bench, engine: RunEngine
) -> None:
    stage, laser = bench.motor("stage"), bench.laser("laser")
    plan = bpp.monitor_during_wrapper(
        bpp.run_wrapper(bps.mv(stage, 0.2, laser.power, 0.004)), [stage, laser.power]
    )
    names = [
        document["name"] for name, document in documents_of(engine, plan) if name == "descriptor"
    ]
    assert sorted(names) == ["laser_power_monitor", "stage_monitor"]
    before, after = stage.configure({"velocity": 10.0, "stage_acceleration": 900.0})
    changed = ("stage_velocity", "stage_acceleration")
    assert [after[name]["value"] for name in changed] == [10.0, 900.0]
    stage.configure({name: before[name]["value"] for name in changed})
    laser.power = 0.005


def test_a_suspender_holds_the_engine_until_the_signal_is_back(
    bench: Bench, engine: RunEngine
) -> None:
    laser, meter = bench.laser("laser"), bench.detector("power_meter")
    bench.motor("stage").position = 2.0
    laser.close()
    suspender = SuspendFloor(meter.signal, 1e-3)
    engine.install_suspender(suspender)
    opened = threading.Timer(0.3, laser.open)
    opened.start()
    try:
        rows = events(documents_of(engine, bp.count([meter])))
    finally:
        opened.join()
        laser.open()
        engine.remove_suspender(suspender)
    assert rows[0]["power_meter"] > 1e-3


def test_documents_of_a_run_are_valid_and_feed_callbacks(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scan([bench["power_meter"]], bench["stage"], -0.1, 0.1, 3, sample="blade")
    run = bench.runs[-1]
    documents = list(run.documents())
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    assert [name for name, _ in documents] == ["start", "descriptor", *["event"] * 3, "stop"]
    start, stop = documents[0][1], documents[-1][1]
    assert (start["uid"], start["sample"], start["plan_name"]) == (run.id, "blade", "scan")
    assert (stop["exit_status"], stop["num_events"]) == ("success", {"primary": 3})
    for name, document in run.documents(pages=True):
        schema_validators[DocumentNames[name]].validate(document)
    table, best_effort = LiveTable(["stage", "power_meter"]), BestEffortCallback()
    best_effort.disable_plots()
    for name, document in documents:
        table(name, document)
        best_effort(name, document)
    shown = capsys.readouterr().out
    assert "Transient Scan ID" in shown
    assert shown.count("generator scan") == 2


@pytest.mark.filterwarnings("ignore")  # those of tiled's many parts are its own
def test_tiled_takes_runs_with_their_frames(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("tiled.server", reason="tiled's server is not installed")
    from bluesky.callbacks.tiled_writer import TiledWriter
    from tiled.catalog import in_memory
    from tiled.client import Context, from_context
    from tiled.server.app import build_app

    bench.scan(["power_meter", "camera"], "stage", -0.1, 0.1, 3, sample="blade")
    run = bench.runs[-1]
    storage = {"filesystem": str(tmp_path), "sql": f"duckdb:///{tmp_path}/tables.db"}
    catalogue = in_memory(writable_storage=storage, readable_storage=["/"])
    with Context.from_app(build_app(catalogue)) as context:
        client = from_context(context)
        writer = TiledWriter(client)
        for name, document in run.documents(files=True):
            writer(name, document)
        stored = client[run.id]
        assert stored.metadata["start"]["sample"] == "blade"
        data = stored["primary"].read()
    assert data["camera"].shape == (3, 480, 640)
    assert data["stage"].to_numpy() == pytest.approx([-0.1, 0.0, 0.1], abs=0.01)

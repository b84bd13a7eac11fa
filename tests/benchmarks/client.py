"""The Python client: what it takes to load, to ask, to scan, and to listen for an hour."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daq.client import Bench, connect
from daq.client.bench.progress import display_for_terminal
from daq.storage.memory import resident_mb
from tests.benchmarks.stream import generate_stubs
from tests.benchmarks.table import Row, summary

ROOT = Path(__file__).parents[2]
HOUR_HZ = 10
"""What `subscribe` takes by default: an hour of it is 36,000 readings."""

INSTANT = {"stage": "benchmark.stage", "meter": "benchmark.meter"}
ENTRY_POINTS = """
[daq.drivers]
benchmark.stage = tests.benchmarks.lab:InstantStage
benchmark.meter = tests.benchmarks.lab:InstantMeter
"""

LOADING = {
    "import": "from daq.client import connect",
    "import, connect, first position": (
        "from daq.client import connect\n"
        "with connect(address) as bench: bench.motor('stage').position"
    ),
}
PEER_LOADING = {
    "import": "import grpc",
    "import, connect, first position": (
        "import grpc, daq_pb2, daq_pb2_grpc\n"
        "with grpc.insecure_channel(address) as channel:\n"
        "    stub = daq_pb2_grpc.HardwareServiceStub(channel)\n"
        "    stub.ListDevices(daq_pb2.ListDevicesRequest())\n"
        "    stub.ExecuteDeviceCommand(daq_pb2.DeviceCommandRequest(\n"
        "        device_id='stage', command='position', args='{\"args\": []}'))"
    ),
}
TIMED = """
import sys, time
address = sys.argv[1]
began = time.perf_counter()
{}
print(time.perf_counter() - began)
"""


def measure(*, quick: bool) -> list[Row]:
    """All rows, against a real daemon whose instruments answer at once."""
    loads, reads, points, rounds = (3, 200, 200, 1) if quick else (15, 2000, 1000, 5)
    readings = 2_000 if quick else 3600 * HOUR_HZ
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate_stubs(folder)
        with daemon(folder) as address, connect(address) as bench:
            bench.display = display_for_terminal
            return [
                *_loading(folder, address, loads),
                _position(bench, address, rounds, reads),
                *_scans(bench, rounds, points),
                _listening(bench, readings),
            ]


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """`daq serve` as a process, with drivers that an installed package seems to offer."""
    package = folder / "benchmark-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmark\nVersion: 1\n")
    (package / "entry_points.txt").write_text(ENTRY_POINTS)
    config = folder / "lab.toml"
    config.write_text("".join(f'[devices.{d}]\ndriver = "{k}"\n' for d, k in INSTANT.items()))
    process = subprocess.Popen(
        [sys.executable, "-m", "daq", "serve", "--port", "0", "--data-dir", folder / "data",
         "--config", config],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    try:
        yield process.stdout.readline().rpartition(" ")[2].strip()
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def _loading(folder: Path, address: str, times: int) -> list[Row]:
    rows = []
    for what, code in LOADING.items():
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(times):
            for series, text in ((ours, code), (theirs, PEER_LOADING[what])):
                done = subprocess.run(
                    [sys.executable, "-c", TIMED.format(text), address],
                    cwd=ROOT, check=True, capture_output=True, text=True,
                    env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
                )  # fmt: skip
                series.append(float(done.stdout))
        rows.append(_compared(f"client: {what}", ours, "grpcio", theirs))
    return rows


def _compared(what: str, ours: list[float], peer: str, theirs: list[float]) -> Row:
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Row(what, summary(ours), f"{peer}: {summary(theirs)}", ratio)


def _position(bench: Bench, address: str, rounds: int, calls: int) -> Row:
    """A blocking read of a position, in turns with the same call by grpcio."""
    import grpc

    messages = importlib.import_module("daq_pb2")
    services = importlib.import_module("daq_pb2_grpc")
    motor = bench.motor("stage")
    spent: dict[str, list[float]] = {"ours": [], "grpcio": []}
    with grpc.insecure_channel(address) as channel:
        stub = services.HardwareServiceStub(channel)
        request = messages.DeviceCommandRequest(
            device_id="stage", command="position", args='{"args": []}'
        )
        reads: dict[str, Callable[[], object]] = {
            "ours": lambda: motor.position,
            "grpcio": lambda: stub.ExecuteDeviceCommand(request),
        }
        for _ in range(rounds):
            for name, read in reads.items():
                read()
                for _ in range(calls // rounds):
                    began = time.perf_counter()
                    read()
                    spent[name].append(time.perf_counter() - began)
    return _compared(
        "client: motor.position, blocking", spent["ours"], "grpcio, unary call", spent["grpcio"]
    )


def _scans(bench: Bench, rounds: int, points: int) -> list[Row]:
    """The same scan three ways, in turns: in the daemon, point by point, and by bluesky."""
    stage, meter = bench.motor("stage"), bench.detector("meter")

    def in_the_daemon() -> None:
        data = bench.scan([meter], stage, 0, 1, points, to="dict")
        assert len(data["meter"]) == points

    def point_by_point() -> None:
        with bench.run("by hand") as run:
            for n in range(points):
                stage.position = n / (points - 1)
                run.record(stage, meter)

    ours: list[float] = []
    by_hand: list[float] = []
    bluesky: list[float] = []
    in_the_daemon()  # what loads at first use is another row
    for _ in range(rounds):
        for series, scan in ((ours, in_the_daemon), (by_hand, point_by_point)):
            began = time.perf_counter()
            scan()
            series.append(time.perf_counter() - began)
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.client", str(points)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        bluesky.append(float(done.stdout))
    what = f"client: scan() of {points} points, started, stored, read back"
    return [
        _compared(what, ours, "point by point over the network", by_hand),
        _compared(what, ours, "bluesky, ophyd-async soft signals, not stored", bluesky),
    ]


def _listening(bench: Bench, readings: int) -> Row:
    """Readings to a callback, as fast as they come; memory after a tenth and at the end."""
    sizes: list[float] = []
    done = threading.Event()
    count = itertools.count(1)

    def listen(_: object) -> None:
        number = next(count)
        if number in (readings // 10, readings):
            sizes.append(resident_mb())
        if number == readings:
            done.set()

    began = time.perf_counter()
    subscription = bench.detector("meter").subscribe(listen, rate_hz=1000)
    assert done.wait(600), repr(subscription)
    rate = readings / (time.perf_counter() - began)
    subscription.close()
    return Row(
        f"client: memory over {readings} readings to a callback",
        f"{sizes[1] - sizes[0]:+.2f} MB at {rate:.0f} readings/s",
        f"an hour at {HOUR_HZ} Hz: {3600 * HOUR_HZ} readings",
        goal="flat",
    )


def bluesky_scan(points: int) -> float:
    """Seconds of `scan([meter], stage, 0, 1, points)` by a RunEngine, with nothing stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky import RunEngine
        from bluesky.plans import scan
        from ophyd_async.core import soft_signal_rw

        engine = RunEngine({}, context_managers=[])
        stage = soft_signal_rw(float, 0.0, "stage", units="mm")
        meter = soft_signal_rw(float, 1.0, "meter", units="W")
        for signal in (stage, meter):
            asyncio.run_coroutine_threadsafe(signal.connect(), engine.loop).result(10)
        engine(scan([meter], stage, 0, 1, 10))
        began = time.perf_counter()
        engine(scan([meter], stage, 0, 1, points))
        spent = time.perf_counter() - began
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    return spent


if __name__ == "__main__":  # a process of its own: bluesky and the daemon share nothing
    print(bluesky_scan(int(sys.argv[1])))

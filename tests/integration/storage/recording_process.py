"""A process that records without end and says what was acknowledged: to be killed."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import numpy as np
import trio

from daq.bus import Bus
from daq.core import Column, Event, Measurement, Reading, RunStart, StorageError
from daq.storage import RunRecorder, Storage

T0 = 1_700_000_000_000_000_000
STREAMS = {
    "primary": (
        Column("stage", "mm", "<f8", (), "stage", "positioner"),
        Column("power_meter", "W", "<f8", (), "power_meter"),
        Column("note", "", "O"),
    ),
    "waves": (Column("digitizer", "V", "<f4", (2000,), "digitizer"),),
    "frames": (Column("camera", "counts", "<u2", (256, 200), "camera"),),
}


def values(stream: str, i: int) -> dict[str, object]:
    """What event `i` holds: the test knows it too."""
    if stream == "primary":
        return {"stage": i / 8, "power_meter": float(-i), "note": f"point {i} µ"}
    if stream == "waves":
        return {"digitizer": np.full(2000, i, "<f4")}
    return {"camera": np.full((256, 200), i % 65536, "<u2")}


async def record(recorder: RunRecorder, bus: Bus) -> None:
    counts = dict.fromkeys(STREAMS, 0)
    while True:
        for stream in ("primary",) * 20 + ("waves",) * 4 + ("frames",):
            i = counts[stream]
            now = T0 + i
            event = Event(stream, i, now, STREAMS[stream], values(stream, i), {})
            await recorder.append(event)
            os.write(1, f"{stream} {i}\n".encode())
            counts[stream] = i + 1
        await bus.publish(Measurement.single("laser", Reading(1.0, T0), "W", 0))
        shown = Reading(np.ones((256, 200), "<u2"), T0)
        await bus.publish(Measurement.single("camera", shown, "counts", 0))
        await trio.lowlevel.checkpoint()


async def main(directory: Path, limit_bytes: int) -> None:
    bus = Bus()
    storage = Storage(directory, bus)
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        recorder = await storage.open_run(RunStart("victim", "kill me", T0))
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        try:
            await record(recorder, bus)
        except StorageError as error:
            os.write(1, f"refused {error.message}\n".encode())
            os.kill(os.getpid(), 9)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))

"""The peers that we are measured against, each as lean as its users would have it."""

from __future__ import annotations

import sys
import time
import warnings

__all__ = ["Motor", "Status", "bluesky_scan"]


class Status:
    """The least that bluesky asks of a status, done from the start."""

    done = True
    success = True

    def add_callback(self, callback):
        callback(self)

    def exception(self, timeout=None):
        return None


class Motor:
    def __init__(self, name: str) -> None:
        self.name, self.parent, self.at = name, None, 0.0

    def set(self, value: float) -> Status:
        self.at = value
        return Status()

    def read(self):
        return {self.name: {"value": self.at, "timestamp": time.time()}}

    def describe(self):
        return {self.name: {"source": "bare", "dtype": "number", "shape": []}}

    def read_configuration(self):
        return {}

    def describe_configuration(self):
        return {}

    @property
    def position(self) -> float:
        return self.at


class _Detector(Motor):
    def trigger(self) -> Status:
        return Status()


def bluesky_scan(points: int) -> float:
    """Seconds a point of `scan([det], motor, 0, 1, points)` with no callbacks at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky import RunEngine
        from bluesky.plans import scan

        engine = RunEngine({}, context_managers=[])
        motor, detector = Motor("motor"), _Detector("detector")
        engine(scan([detector], motor, 0, 1, 10))
        began = time.perf_counter()
        engine(scan([detector], motor, 0, 1, points))
        spent = time.perf_counter() - began
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    return spent / points


if __name__ == "__main__":  # a process of its own: bluesky needs asyncio's own event loops
    print(bluesky_scan(int(sys.argv[1])))

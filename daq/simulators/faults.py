"""What goes wrong between an instrument and its host: silence, noise, halves, a pulled plug."""

from __future__ import annotations

import heapq
import math
import re
from dataclasses import dataclass
from itertools import count

from daq.simulators.instrument import SimulatedInstrument

__all__ = ["FAULT_KINDS", "Fault", "Faults", "parse_fault"]

FAULT_KINDS = {
    "silence": "it does not answer",
    "garbage": "it answers with noise",
    "partial": "its replies break off half way",
    "delay": "its replies come so many seconds late",
    "stuck": "it answers, and nothing moves or switches any more",
    "unplug": "its plug is pulled",
}

_NOISE = b"\xff\x00#~\x81?"
_FAULT = re.compile(
    r"(?P<kind>[a-z]+)(?:=(?P<delay>[\d.]+))?(?:@(?P<after>[\d.]+))?(?:\+(?P<lasts>[\d.]+))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong and when."""

    kind: str
    """One of `FAULT_KINDS`."""
    after_s: float = 0.0
    """From the start of the simulator."""
    lasts_s: float = math.inf
    delay_s: float = 1.0
    """Of a reply, for `delay`."""

    def is_present(self, elapsed: float) -> bool:
        """Whether it is there so many seconds after the start."""
        return self.after_s <= elapsed < self.after_s + self.lasts_s


def parse_fault(text: str) -> Fault:
    """`unplug@10+3`: after 10 s, for 3 s; `delay=0.5`: by 0.5 s. Raises ValueError."""
    match = _FAULT.fullmatch(text)
    if match is None or match["kind"] not in FAULT_KINDS:
        raise ValueError(
            f"{text!r} is not KIND[=DELAY][@AFTER][+DURATION], in seconds, with KIND one of "
            + ", ".join(FAULT_KINDS)
        )
    return Fault(
        match["kind"],
        float(match["after"] or 0.0),
        float(match["lasts"] or math.inf),
        float(match["delay"] or 1.0),
    )


class Faults:
    """The line between an instrument and its host, with whatever is wrong with it now.

    It looks like the instrument: bytes in, bytes out at their time.
    """

    def __init__(self, instrument: SimulatedInstrument) -> None:
        self.instrument = instrument
        self.present: Fault | None = None
        """What is wrong now; `unplug` is not its business."""
        self._order = count()
        self._delayed: list[tuple[float, int, bytes]] = []

    def begin(self, fault: Fault | None) -> None:
        """From now on this is wrong, or nothing."""
        self.present = fault
        self.instrument.stuck = fault is not None and fault.kind == "stuck"

    def receive(self, data: bytes) -> None:
        self.instrument.receive(data)

    def plugged_in(self) -> None:
        self._delayed.clear()
        self.instrument.plugged_in()

    def next_due(self) -> float | None:
        """When there is something to be said, or to be swallowed, next."""
        dues = [due for due, _, _ in self._delayed[:1]]
        due = self.instrument.next_due()
        if due is not None:
            dues.append(due)
        return min(dues, default=None)

    def take_due(self) -> bytes:
        """What reaches the host now."""
        now = self.instrument.clock()
        fault, said = self.present, self.instrument.take_due()
        if said and fault is not None:
            if fault.kind == "delay":
                heapq.heappush(self._delayed, (now + fault.delay_s, next(self._order), said))
                said = b""
            else:
                said = _disturbed(fault.kind, said)
        passed = bytearray()
        while self._delayed and self._delayed[0][0] <= now:
            passed += heapq.heappop(self._delayed)[2]
        return bytes(passed) + said


def _disturbed(kind: str, said: bytes) -> bytes:
    if kind == "silence":
        return b""
    if kind == "partial":
        return said[: len(said) // 2]
    if kind == "garbage":
        body = said.rstrip(b"\r\n")
        noise = bytes(_NOISE[i % len(_NOISE)] for i in range(len(body)))
        return noise + said[len(body) :]
    return said

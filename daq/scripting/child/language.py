"""The namespace that a script finds: the names of `daq.scripting.vocabulary`, and its guards."""

from __future__ import annotations

import builtins
import math
import sys
import time
from types import MethodType
from typing import Any, SupportsFloat

from daq import core
from daq.core import PLANS, Progress
from daq.scripting.child.devices import Devices
from daq.scripting.child.facades import Facade
from daq.scripting.child.library import modules
from daq.scripting.child.output import Output
from daq.scripting.child.plans import Plans, linspace
from daq.scripting.child.progress import ProgressTracker
from daq.scripting.child.runs import Runs
from daq.scripting.child.runtime_checks import RuntimeChecks
from daq.scripting.child.session import ScriptStop, Session
from daq.scripting.shared_page import SharedPage
from daq.scripting.vocabulary import BUILTINS, ERRORS

__all__ = ["Language"]

_MAX_RANGE = 10_000_000


class Language:
    """Everything that a script can name, for one session."""

    def __init__(self, session: Session, page: SharedPage, *, numpy: bool = True) -> None:
        self._session = session
        self.tracker = ProgressTracker(page)
        self.output = Output(session)
        self._devices = Devices(session)
        self._runs = Runs(session)
        self._guards = RuntimeChecks()
        bound = {"time": {"sleep": session.sleep}} | self._guards.class_makers()
        self._modules = modules(bound, numpy=numpy)
        self._words = page.words

    @property
    def modules(self) -> dict[str, frozenset[str]]:
        """Module to the names that a script may import from it."""
        return {title: facade.names() for title, facade in self._modules.items()}

    def fill(self, namespace: dict[str, Any]) -> None:
        """Fill a script's global namespace."""
        namespace |= self._machinery()
        namespace |= {name: getattr(core, name) for name in ERRORS}
        namespace |= self._functions()
        plans = Plans(self._session, self._devices, self._runs, self.tracker)
        namespace |= {name: getattr(plans, name) for name in PLANS}

    def _functions(self) -> dict[str, Any]:
        session = self._session
        functions: dict[str, Any] = {
            "arange": arange,
            "checkpoint": session.checkpoint_here,
            "device": self._devices.device,
            "devices": self._devices.devices,
            "getattr": self._guards.getattr_or,
            "hasattr": self._guards.hasattr,
            "linspace": linspace,
            "log": self.output.log,
            "now": time.time,
            "open_run": self._runs.open_run,
            "print": self.output.print,
            "progress": self._progress,
            "record": self._runs.record,
            "sleep": session.sleep,
            "stop_requested": session.stop_requested,
        }
        for name, function in functions.items():
            if isinstance(function, MethodType):  # Python names it in errors as the script does
                function.__func__.__qualname__ = name
        return functions

    def _machinery(self) -> dict[str, Any]:
        names = {name: getattr(builtins, name) for name in BUILTINS}
        names["__build_class__"] = builtins.__build_class__
        names["__import__"] = _import_for_c
        return {
            "__builtins__": names,
            "__name__": "script",
            "__metaclass__": self._guards.make_class,
            "_ScriptStop_": ScriptStop,
            "_attributeplace_": self._guards.attribute_place,
            "_augment_": self._guards.augment,
            "_checkpoint_": self._session.checkpoint,
            "_getattr_": self._guards.getattr,
            "_import_": self._import,
            "_itemplace_": self._guards.item_place,
            "_track_": self.tracker.track,
            "_words_": self._words,
            "_write_": self._guards.write,
        }

    def _import(self, module: str, name: str | None = None) -> Any:
        facade: Facade = self._modules[module]
        return facade if name is None else facade.get(name, None)

    def _progress(self, fraction: float, message: str = "") -> None:
        self._session.checkpoint_here()
        if not isinstance(fraction, SupportsFloat):
            raise TypeError(f"progress() takes a fraction from 0 to 1, not {fraction!r:.60}")
        self.tracker.set(float(fraction))
        if message:
            self._session.tell(Progress(str(message)[:1000]))


def arange(start: float, stop: float | None = None, step: float = 1.0) -> list[float]:
    """From `start` up to but without `stop`, in steps."""
    if stop is None:
        start, stop = 0.0, start
    if step == 0 or not math.isfinite(count := (stop - start) / step) or count > _MAX_RANGE:
        raise ValueError(f"arange({start}, {stop}, {step}) has no end")
    return [start + i * step for i in range(max(0, math.ceil(count)))]


def _import_for_c(name: str, *arguments: Any, **named: Any) -> Any:
    """For code in C, which imports parts of itself late, through the calling frame's builtins.

    numpy does so, and from Python 3.12 on the arithmetic of very long integers. Scripts cannot call
    this: their own imports are rewritten, and the name cannot be written.
    """
    if (name.startswith("numpy.") or name == "_pylong") and name in sys.modules:
        return builtins.__import__(name, *arguments, **named)
    raise ImportError(f"module '{name}' is not available")

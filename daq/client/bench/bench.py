"""The bench as an object: devices, scans, runs, functions of one's own. Blocks; no `await`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar

from daq.client.bench import current
from daq.client.bench.camera import Camera, Digitizer
from daq.client.bench.detector import Detector
from daq.client.bench.device import Device, missing_capability
from daq.client.bench.device_classes import class_for
from daq.client.bench.light import Laser, Shutter
from daq.client.bench.manual_run import ManualRun
from daq.client.bench.motor import Motor
from daq.client.bench.progress import display_for_here
from daq.client.blocking.call import Action
from daq.client.blocking.portal import Portal
from daq.client.calls.async_client import AsyncClient
from daq.client.calls.models import DaemonInfo
from daq.client.recorded.run_log import RunLog
from daq.client.sending.execution import Execution, begin
from daq.client.sending.literals import literal
from daq.client.sending.program_text import ProgramText
from daq.client.sending.scans import Scans
from daq.client.showing.display import DisplayFactory
from daq.client.showing.html import devices_html
from daq.core import ParameterError, UnknownDeviceError, did_you_mean

__all__ = ["Bench", "RemoteFunction"]

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
DeviceType = TypeVar("DeviceType", bound=Device)


class Bench(Scans):
    """A connection to a daemon and all that it offers, for ordinary code and for prompts.

    `connect()` gives one. Any thread may use it, several at once; a forked process gets a
    connection of its own.
    """

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self.address = make_client().address
        """Where the daemon is, `HOST:PORT`."""
        self.portal = Portal(make_client)
        """The way to the asynchronous client, for streams and calls that go on meanwhile."""
        self.display: DisplayFactory = display_for_here(self.portal)
        """How scans show themselves; takes a name, gives a context manager with `update`."""
        self._devices: dict[str, Device] = {}
        self.runs = RunLog(self.portal)
        """What is on record: `runs[-1]`, `runs.search("knife_edge")`."""

    def __repr__(self) -> str:
        return f"<Bench {self.address}: {', '.join(self._devices)}>"

    def _repr_html_(self) -> str:
        listing = self.portal.call(lambda client: client.devices.list())
        return devices_html((info.description, info.snapshot) for info in listing.devices)

    def __enter__(self) -> Self:
        current.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        current.leave(self)
        self.close()

    def close(self) -> None:
        """End the connection; motions that this process began and still waits for are stopped."""
        self.portal.close()

    def call(self, action: Action[Result]) -> Result:
        """Anything that the asynchronous client can: `bench.call(lambda client: client.info())`."""
        return self.portal.call(action)

    def info(self) -> DaemonInfo:
        """The daemon itself: version, sandbox, counters."""
        return self.portal.call(lambda client: client.info())

    # ----------------------------------------------------------------------------------- devices

    def refresh(self) -> None:
        """Ask the daemon again which devices there are."""
        listing = self.portal.call(lambda client: client.devices.list())
        known = self._devices
        self._devices = {
            info.id: known[info.id]
            if info.id in known and known[info.id].description == info.description
            else class_for(info.description.capabilities)(self.portal, info, self.address)
            for info in listing.devices
        }

    @property
    def devices(self) -> Mapping[str, Device]:
        """All devices by id."""
        if not self._devices:
            self.refresh()
        return dict(self._devices)

    def __getitem__(self, name: str) -> Device:
        if name not in self._devices:
            self.refresh()
        try:
            return self._devices[name]
        except KeyError:
            raise UnknownDeviceError(
                f"there is no device {name!r}; there are {', '.join(self._devices) or 'none'}",
                advice=did_you_mean(name, self._devices),
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.devices

    def __iter__(self) -> Iterator[str]:
        return iter(self.devices)

    def __len__(self) -> int:
        return len(self.devices)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._devices)

    def motor(self, name: str) -> Motor:
        """A device that moves; CapabilityError for another, here and below."""
        return self.of_class(name, Motor)

    def detector(self, name: str) -> Detector:
        """A device that is read."""
        return self.of_class(name, Detector)

    def camera(self, name: str) -> Camera:
        """A device that delivers images."""
        return self.of_class(name, Camera)

    def shutter(self, name: str) -> Shutter:
        """A device that opens and closes."""
        return self.of_class(name, Shutter)

    def laser(self, name: str) -> Laser:
        """A source that can be switched and tuned."""
        return self.of_class(name, Laser)

    def digitizer(self, name: str) -> Digitizer:
        """A device with an unbroken series of samples."""
        return self.of_class(name, Digitizer)

    def of_class(self, name: str, wanted: type[DeviceType]) -> DeviceType:
        """The device of this name, which has to be of this class."""
        device = self[name]
        if not isinstance(device, wanted):
            assert wanted.capability is not None  # noqa: S101 - of every class that is asked for
            raise missing_capability(device.description, wanted.capability)
        return device

    # ------------------------------------------------------------------------------ runs, programs

    def run(self, name: str, **metadata: Any) -> ManualRun:
        """A run for a `with` block: opened on the daemon, recorded into, closed at the end."""
        return ManualRun(self.portal, name, metadata)

    def start(
        self, script: str | Path, parameters: Mapping[str, Any] | None = None, *, name: str = ""
    ) -> Execution:
        """Start a script: a file, or its source. Returns at once with the Execution."""
        path = Path(script) if isinstance(script, Path) or "\n" not in script else None
        source = str(script) if path is None else _source(path)
        title = name or (path.stem if path is not None else "script")
        return begin(self.portal, source, title, parameters)

    def execution(self, reference: str = "") -> Execution:
        """An execution that somebody started; by default the one that runs, or ran last."""
        view = self.portal.call(lambda client: client.scripts.status(reference))
        return Execution(self.portal, view.record.id, view.record.script_name)

    def submit(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Execution:
        """Run a function of yours in the daemon's sandbox; returns at once with the Execution.

        Its source is sent, with the functions and plain values that it uses. It speaks the script
        language: `device`, `record`, `scan`, ... are there without an import. Arguments are plain
        data or devices. Take `execution.result()`; of a generator, iterate over the execution.

        Returns:
            What runs: ask it for its result, its progress, or stop it.
        """
        text = ProgramText(f"{getattr(function, '__name__', function)}, sent by a client")
        name = text.add_function(function)
        given = [literal(a) for a in arguments]
        given += [f"{key}={literal(value)}" for key, value in named.items()]
        call = f"{name}({', '.join(given)})"
        if inspect.isgeneratorfunction(inspect.unwrap(function)):
            text.add(f"def main():\n    for value in {call}:\n        log([value], level='result')")
        else:
            text.add(f"def main():\n    return {call}")
        return begin(self.portal, text.source, name, relocate=text.relocate)

    def remote(self, function: Callable[Parameters, Result]) -> RemoteFunction[Parameters, Result]:
        """Decorate a function so that calling it runs it in the daemon and returns its result.

        @bench.remote
        def width(points=11):
            columns = scan(["power_meter"], "stage", -1, 1, points)
            return max(columns["power_meter"]) - min(columns["power_meter"])

        width(points=21)

        Returns:
            A function with the same parameters; its `submit` does not wait.
        """
        return RemoteFunction(self, function)


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"the script {str(path)!r} cannot be read: {getattr(error, 'strerror', '') or error}",
            advice="give a file, or a source text of more than one line",
        ) from error


class RemoteFunction(Generic[Parameters, Result]):
    """A local function that runs in the daemon when it is called."""

    def __init__(self, bench: Bench, function: Callable[Parameters, Result]) -> None:
        functools.update_wrapper(self, function)
        self._bench = bench
        self._function = function

    def __repr__(self) -> str:
        return f"<remote {self._function.__name__} on {self._bench.address}>"

    def __call__(self, *arguments: Parameters.args, **named: Parameters.kwargs) -> Any:
        """The result; of a generator, an iterator of the values as they come."""
        execution = self._bench.submit(self._function, *arguments, **named)
        if inspect.isgeneratorfunction(self._function):
            return execution.values(self._bench.display)
        return execution.result(self._bench.display)

    def submit(self, *arguments: Parameters.args, **named: Parameters.kwargs) -> Execution:
        """Begin, and return at once with the Execution."""
        return self._bench.submit(self._function, *arguments, **named)

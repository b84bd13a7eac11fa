"""The magics: a cell as a script, and moving, reading and stopping in one line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from daq.client.bench.bench import Bench
from daq.client.bench.camera import Camera
from daq.client.bench.connecting import connect
from daq.client.bench.detector import Detector
from daq.client.bench.device import Device
from daq.client.bench.motor import Motor
from daq.client.bench.progress import display_for_here
from daq.client.bench.readings import Readings
from daq.client.blocking.status import Status
from daq.client.sending.execution import begin
from daq.client.showing.html import reading_html, table_html
from daq.core import DaqError, NotFoundError, ParameterError

__all__ = ["DaqMagics", "ReadingTable", "WhereTable"]

_BACKGROUND = frozenset({"-b", "--background"})
STOP_S = 3.0
_NO_PLOT = "--no-plot"


class ReadingTable(dict[str, Readings]):
    """What `%ct` read, by device."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.values()))

    def _repr_html_(self) -> str:
        return "".join(reading_html(r.name, r.value, r.units) for r in self.values())


class WhereTable(dict[str, float]):
    """What `%wa` found: position by motor, with what else is of interest beside it."""

    heads = ("motor", "position", "units", "limits", "state")

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[str, ...]] = []

    def ask(self, motor: Motor) -> None:
        """Add a motor; one that does not answer is a row with the reason."""
        limits = str(motor.limits or "")
        try:
            self[motor.name] = position = motor.position
            shown, state = f"{position:.6g}", str(motor.state().state)
        except DaqError as error:
            shown, state = "", error.message
        self._rows.append((motor.name, shown, motor.units, limits, state))

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.heads, *self._rows, strict=True)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.heads, *self._rows)
        )

    def _repr_html_(self) -> str:
        return table_html(self.heads, self._rows)


@magics_class
class DaqMagics(Magics):
    """`%%daq`, `%mov`, `%movr`, `%ct`, `%wa`, `%stop`.

    They use the connection that is called `bench` in the notebook; where there is none, one is
    opened and called so.
    """

    shell: InteractiveShell

    @property
    def bench(self) -> Bench:
        """The connection that is used."""
        known = self.shell.user_ns.get("bench")
        if not isinstance(known, Bench):
            known = connect()
            self.shell.push({"bench": known})
        return known

    # -------------------------------------------------------------------------------- line magics

    @line_magic
    def mov(self, line: str) -> None:
        """`%mov stage 1.5 rotator 30`: move there, several together, and wait until settled."""
        self._move(line, Motor.move)

    @line_magic
    def movr(self, line: str) -> None:
        """`%movr stage -0.1`: move by a distance, and wait until settled."""
        self._move(line, Motor.move_relative)

    @line_magic
    def ct(self, line: str) -> ReadingTable:
        """`%ct`, `%ct power_meter camera`: read once; without names all that give a number."""
        names = line.split()
        devices = [self._device(name) for name in names] or [
            d
            for d in self.bench.devices.values()
            if isinstance(d, Detector) and not d.description.channel.shape
        ]
        return ReadingTable({device.name: _read(device) for device in devices})

    @line_magic
    def wa(self, line: str) -> WhereTable:
        """`%wa`, `%wa stage`: where the motors are."""
        named = [self._motor(name) for name in line.split()]
        table = WhereTable()
        for motor in named or self._motors():
            table.ask(motor)
        return table

    @line_magic
    def stop(self, line: str) -> None:
        """`%stop`: stop the script that runs, and every motor; `%stop stage`: that device."""
        devices: list[Device] = [self._device(name) for name in line.split()]
        if not devices:
            self._stop_execution()
            devices = list(self._motors())
        for device in devices:
            try:
                report = device.stop()
                print(f"{device.name}: {report.outcome} {report.message}".rstrip())
            except DaqError as error:  # the others are stopped all the same
                print(f"{device.name}: {error.message}")

    def _stop_execution(self) -> None:
        try:
            execution = self.bench.execution()
        except NotFoundError:
            return
        if not execution.done:
            report = execution.stop(reason="%stop")
            print(f"{execution.name}: {report.state} {report.message}".rstrip())

    def _move(self, line: str, move: Callable[..., Any]) -> None:
        words = line.split()
        if not words or len(words) % 2:
            raise ParameterError("after the magic come pairs: %mov stage 1.5 rotator 30")
        pairs = [
            (self._motor(name), _number(text))
            for name, text in zip(words[::2], words[1::2], strict=True)
        ]
        with _all_or_none() as moves:
            for motor, value in pairs:
                moves.append(move(motor, value, wait=False))
            for motor, status in zip([motor for motor, _ in pairs], moves, strict=True):
                print(f"{motor.name}: {status.wait():.6g} {motor.units}")

    def _motors(self) -> Iterator[Motor]:
        return (d for d in self.bench.devices.values() if isinstance(d, Motor))

    def _motor(self, name: str) -> Motor:
        device = self._device(name)
        return device if isinstance(device, Motor) else self.bench.motor(device.name)

    def _device(self, name: str) -> Device:
        """A device by its id, or by the name of a variable that holds one."""
        held = self.shell.user_ns.get(name)
        return held if isinstance(held, Device) else self.bench[name]

    # -------------------------------------------------------------------------------- cell magic

    @cell_magic
    def daq(self, line: str, cell: str) -> Any:
        """`%%daq points=5`: run the cell in the daemon's sandbox, with these parameters of `main`.

        Shows the live line, the progress and the run as it is recorded, and returns what `main`
        returned. The execution is then called `execution`. `--background` returns at once with it,
        `--no-plot` shows no picture.

        Returns:
            What `main` returned; with `--background` the execution.

        Raises:
            ParameterError: The line is not as shown here.
        """
        words = shlex.split(line)
        options = {word for word in words if word.startswith("-")}
        unknown = options - _BACKGROUND - {_NO_PLOT}
        if unknown:
            raise ParameterError(
                f"%%daq has no option {', '.join(sorted(unknown))}",
                advice="it has --background and --no-plot; parameters are written points=5",
            )
        parameters = dict(_parameter(word) for word in words if word not in options)
        bench = self.bench
        # A line for the magic's own, so that a line of the script has its number in the cell.
        execution = begin(bench.portal, f"\n{cell}", "cell", parameters)
        self.shell.push({"execution": execution})
        if options & _BACKGROUND:
            return execution
        without_picture = _NO_PLOT in options
        return execution.result(
            display_for_here(bench.portal, plot=False) if without_picture else bench.display
        )


@contextmanager
def _all_or_none() -> Iterator[list[Status[float]]]:
    """Motions that belong together: when one fails or is interrupted, all are stopped first."""
    moves: list[Status[float]] = []
    try:
        yield moves
    except BaseException:
        for status in moves:
            status.cancel()
        for status in moves:
            with suppress(DaqError):
                status.exception(STOP_S)
        raise


def _read(device: Device) -> Readings:
    if isinstance(device, Detector | Camera | Motor):
        return device.read()
    raise ParameterError(f"{device.name} gives no reading")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(
            f"{text!r} is no number", advice="a variable goes in braces: %mov stage {x}"
        ) from None


def _parameter(word: str) -> tuple[str, str]:
    name, separator, value = word.partition("=")
    if not separator or not name.isidentifier():
        raise ParameterError(f"{word!r} is no parameter", advice="write it as points=5")
    return name, value

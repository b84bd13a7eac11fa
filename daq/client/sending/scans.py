"""Scans that run in the daemon: no message crosses the network for a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from daq.client.bench.device import Device
from daq.client.blocking.portal import Portal
from daq.client.recorded.run_log import Run
from daq.client.recorded.run_tables import TableKind, check_kind
from daq.client.sending.execution import begin
from daq.client.sending.literals import literal
from daq.client.sending.scan_text import PerPoint, ScanText, Step
from daq.client.showing.display import DisplayFactory
from daq.core import ParameterError

__all__ = ["ScanOptions", "Scans"]

DeviceLike = Device | str
Detectors = DeviceLike | Sequence[DeviceLike]


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What every scan takes beside its own arguments, as keywords."""

    name: str = ""
    """Of the run; by default the scan's."""
    before: Step | None = None
    """A function that the daemon runs before the first point, in the script language."""
    after: Step | None = None
    """One that it runs after the last, also after a stop."""
    per_point: PerPoint | None = None
    """One that it runs at each point with `{motor: target}`; what it returns is recorded."""
    to: TableKind | Literal["auto"] = "auto"
    """`pandas`, `xarray`, `arrow` or `dict`; by default what is installed, xarray for grids."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """More metadata of the run; further keywords of a scan are metadata too."""


class Scans:
    """The scans of a bench. Each blocks, shows its progress, and returns what was recorded.

    The first Ctrl-C stops a scan gracefully, the second by force; what was recorded until then is
    in `bench.runs[-1]`. Every scan takes the keywords of `ScanOptions`; further ones are metadata.
    """

    display: DisplayFactory
    portal: Portal

    def count(self, detectors: Detectors, num: int = 1, delay: float = 0.0, **around: Any) -> Any:
        """Record the detectors `num` times, `delay` seconds apart."""
        return self._scan("count", detectors, [literal(num), literal(delay)], [], around)

    def scan(
        self, detectors: Detectors, *axes: Any, num: int | None = None, dwell: float = 0.0,
        **around: Any,
    ) -> Any:  # fmt: skip
        """`scan([meter], stage, 0, 10, 11)`: equal steps, both ends included.

        Several `motor, start, stop` before `num` move together along a line. `dwell` is in seconds.
        """
        return self._line("scan", detectors, axes, num, around, dwell=dwell)

    def rel_scan(
        self, detectors: Detectors, *axes: Any, num: int | None = None, dwell: float = 0.0,
        **around: Any,
    ) -> Any:  # fmt: skip
        """As `scan`, with distances from where the motors stand; they return at the end."""
        return self._line("rel_scan", detectors, axes, num, around, dwell=dwell)

    def _line(
        self, plan: str, detectors: Detectors, axes: Sequence[Any], num: int | None,
        around: dict[str, Any], *, dwell: float,
    ) -> Any:  # fmt: skip
        groups, count = _with_count(axes, num)
        arguments = [*_texts(groups), literal(count)]
        return self._scan(plan, detectors, arguments, _motors(groups), around, dwell=dwell)

    def list_scan(self, detectors: Detectors, *axes: Any, dwell: float = 0.0, **around: Any) -> Any:
        """`list_scan([meter], stage, [0, 1, 4, 9])`: these positions."""
        groups = _groups(axes, 2)
        motors = _motors(groups)
        return self._scan("list_scan", detectors, _texts(groups), motors, around, dwell=dwell)

    def rel_list_scan(
        self, detectors: Detectors, *axes: Any, dwell: float = 0.0, **around: Any
    ) -> Any:
        """As `list_scan`, with distances from where the motors stand; they return at the end."""
        groups = _groups(axes, 2)
        arguments = []
        for motor, distances in groups:
            steps = literal(list(distances))
            arguments += [repr(_name(motor)), f"[{_origin(motor)} + step for step in {steps}]"]
        return self._scan(
            "list_scan", detectors, arguments, _motors(groups), around, relative=True, dwell=dwell
        )

    def grid_scan(
        self, detectors: Detectors, *axes: Any, snake: bool = False, dwell: float = 0.0,
        **around: Any,
    ) -> Any:  # fmt: skip
        """`grid_scan([meter], y, 0, 1, 5, x, 0, 1, 5)`: all combinations, the last motor fastest.

        With `snake` the faster motors turn around instead of flying back.
        """
        return self._grid(detectors, axes, around, relative=False, snake=snake, dwell=dwell)

    def rel_grid_scan(
        self, detectors: Detectors, *axes: Any, snake: bool = False, dwell: float = 0.0,
        **around: Any,
    ) -> Any:  # fmt: skip
        """As `grid_scan`, with distances from where the motors stand; they return at the end."""
        return self._grid(detectors, axes, around, relative=True, snake=snake, dwell=dwell)

    def _grid(
        self, detectors: Detectors, axes: Sequence[Any], around: dict[str, Any], *,
        relative: bool, snake: bool, dwell: float,
    ) -> Any:  # fmt: skip
        groups = _groups(axes, 4)
        arguments: list[str] = []
        for motor, start, stop, num in groups:
            base = f"{_origin(motor)} + " if relative else ""
            ends = [f"{base}{literal(start)}", f"{base}{literal(stop)}"]
            arguments += [repr(_name(motor)), *ends, literal(num)]
        around["metadata"] = {
            "shape": [int(num) for *_, num in groups],
            "snake": bool(snake),
            **around.get("metadata", {}),
        }
        return self._scan(
            "grid_scan", detectors, arguments, _motors(groups), around,
            relative=relative, snake=snake, dwell=dwell,
        )  # fmt: skip

    def spiral_scan(
        self, detectors: Detectors, x_motor: DeviceLike, y_motor: DeviceLike, x_center: float,
        y_center: float, radius: float, step: float, dwell: float = 0.0, **around: Any,
    ) -> Any:  # fmt: skip
        """From the centre outwards, with `step` between turns and between points."""
        motors = [_name(x_motor), _name(y_motor)]
        numbers = [literal(value) for value in (x_center, y_center, radius, step)]
        arguments = [*map(repr, motors), *numbers]
        return self._scan("spiral_scan", detectors, arguments, motors, around, dwell=dwell)

    def rel_spiral_scan(
        self, detectors: Detectors, x_motor: DeviceLike, y_motor: DeviceLike, radius: float,
        step: float, dwell: float = 0.0, **around: Any,
    ) -> Any:  # fmt: skip
        """As `spiral_scan`, around where the motors stand; they return at the end."""
        motors = [_name(x_motor), _name(y_motor)]
        arguments = [*map(repr, motors), *map(_origin, motors), literal(radius), literal(step)]
        return self._scan(
            "spiral_scan", detectors, arguments, motors, around, relative=True, dwell=dwell
        )

    def adaptive_scan(
        self, detectors: Detectors, target: str, motor: DeviceLike, start: float, stop: float,
        min_step: float, max_step: float, target_delta: float, dwell: float = 0.0,
        backstep: bool = True, **around: Any,
    ) -> Any:  # fmt: skip
        """Choose each step so that the column `target` changes by about `target_delta`.

        With `backstep`, a step after which it changed far more is taken again, smaller.
        """
        numbers = (start, stop, min_step, max_step, target_delta)
        arguments = [repr(target), repr(_name(motor)), *map(literal, numbers)]
        return self._scan(
            "adaptive_scan", detectors, arguments, [_name(motor)], around,
            dwell=dwell, backstep=backstep,
        )  # fmt: skip

    def fly_scan(
        self, detectors: Detectors, motor: DeviceLike, start: float, stop: float,
        interval: float = 0.1, **around: Any,
    ) -> Any:  # fmt: skip
        """Move from `start` to `stop` without a halt, recording every `interval` seconds."""
        arguments = [repr(_name(motor)), *map(literal, (start, stop, interval))]
        return self._scan("fly_scan", detectors, arguments, [_name(motor)], around)

    def _scan(
        self, plan: str, detectors: Detectors, arguments: Sequence[str], motors: list[str],
        around: dict[str, Any], *, relative: bool = False, **options: Any,
    ) -> Any:  # fmt: skip
        """Run a plan; keywords in `around` that `ScanOptions` does not know are metadata."""
        wishes = ScanOptions(
            **{f.name: around.pop(f.name) for f in fields(ScanOptions) if f.name in around}
        )
        check_kind(wishes.to)  # not when the scan is over
        names = _names(detectors)
        about = {"plan_name": plan, "detectors": names, "motors": motors}
        name = wishes.name or (f"rel_{plan}" if relative else plan)
        text = ScanText(
            plan,
            [repr(names), *arguments],
            options,
            {**about, **wishes.metadata, **around},
            name=name,
            before=wishes.before,
            after=wishes.after,
            per_point=wishes.per_point,
            origins=motors if relative else (),
        ).build()
        execution = begin(self.portal, text.source, name, relocate=text.relocate)
        view = execution.wait(self.display)
        execution.raise_for_end()
        return Run(self.portal, view.record.run_ids[-1]).table(wishes.to)


def _name(device: DeviceLike) -> str:
    if isinstance(device, str):
        return device
    if isinstance(device, Device):
        return device.name
    raise ParameterError(
        f"{device!r} is no device", advice="scans take devices of the bench, or their ids"
    )


def _names(devices: Detectors) -> list[str]:
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return [_name(device) for device in devices]
    return [_name(devices)]


def _groups(axes: Sequence[Any], width: int) -> list[tuple[Any, ...]]:
    if not axes or len(axes) % width:
        parts = {
            2: "motor, positions",
            3: "motor, start, stop, and then the number of points",
            4: "motor, start, stop, number of points",
        }
        raise ParameterError(f"after the detectors come groups of {parts[width]}")
    return [tuple(axes[i : i + width]) for i in range(0, len(axes), width)]


def _with_count(axes: Sequence[Any], num: int | None) -> tuple[list[tuple[Any, ...]], int]:
    if num is None and axes:
        *axes, num = axes
    if num is None:
        raise ParameterError("the number of points is missing")
    return _groups(axes, 3), num


def _motors(groups: Sequence[tuple[Any, ...]]) -> list[str]:
    return [_name(group[0]) for group in groups]


def _texts(groups: Sequence[tuple[Any, ...]]) -> list[str]:
    return [text for motor, *rest in groups for text in (repr(_name(motor)), *map(literal, rest))]


def _origin(motor: DeviceLike) -> str:
    return f"origin[{_name(motor)!r}]"

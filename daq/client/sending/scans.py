"""Scans that run in the daemon: no message crosses the network for a point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daq.client.blocking.portal import Portal
from daq.client.recorded.run_log import Run
from daq.client.recorded.run_tables import check_kind
from daq.client.sending.execution import begin
from daq.client.sending.literals import target_name
from daq.client.sending.scan_text import scan_text
from daq.client.showing.display import DisplayFactory
from daq.core import PLANS, Plan, PlanParameter, bind_plan

__all__ = ["Scans"]


def _signature(plan: Plan) -> inspect.Signature:
    """What editors and `help` show."""
    named = plan.rest if not plan.axes else ()
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [
        _parameter(p, inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in (plan.ordered[0], *named)
    ]
    if plan.axes:
        groups = "_".join(p.name for p in plan.axes)
        parameters.append(inspect.Parameter(groups, inspect.Parameter.VAR_POSITIONAL))
    given = {p.name for p in (*named, *plan.axes, plan.ordered[0])}
    parameters += [
        _parameter(p, inspect.Parameter.KEYWORD_ONLY) for p in plan.keywords if p.name not in given
    ]
    to = inspect.Parameter("to", inspect.Parameter.KEYWORD_ONLY, default="auto")
    more = inspect.Parameter("more_metadata", inspect.Parameter.VAR_KEYWORD)
    return inspect.Signature([*parameters, to, more])


def _parameter(parameter: PlanParameter, kind: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty
    if not parameter.needed:
        default = parameter.default if parameter.name != "metadata" else {}
    return inspect.Parameter(parameter.name, kind, default=default)


def _scan(name: str) -> Callable[..., Any]:
    """The method that runs the plan of this name."""
    plan = PLANS[name]

    def run(self: Scans, *arguments: Any, **keywords: Any) -> Any:
        return self._perform(plan, arguments, keywords)

    run.__name__ = name
    run.__qualname__ = f"Scans.{name}"
    run.__doc__ = plan.summary
    run.__signature__ = _signature(plan)  # type: ignore[attr-defined]
    return run


class Scans:
    """The scans of a bench: each runs the plan of its name, shows its progress, gives the data.

    The first Ctrl-C stops a scan gracefully, the second by force; what was recorded until then is
    in `bench.runs[-1]`. A scan returns a DataFrame, or an xarray Dataset for a grid; `to="dict"`,
    `"pandas"`, `"xarray"` or `"arrow"` chooses. What else each takes is that of the script
    language (`daq.core.PLANS`): `name`, `before`, `after`, `per_point`, and further keywords, which
    become metadata. Functions that are given are sent, and run by the daemon.

    Raises ParameterError or LimitError for what cannot be meant, before anything moves.
    """

    display: DisplayFactory
    portal: Portal

    count = _scan("count")
    scan = _scan("scan")
    rel_scan = _scan("rel_scan")
    list_scan = _scan("list_scan")
    rel_list_scan = _scan("rel_list_scan")
    grid_scan = _scan("grid_scan")
    rel_grid_scan = _scan("rel_grid_scan")
    spiral_scan = _scan("spiral_scan")
    rel_spiral_scan = _scan("rel_spiral_scan")
    adaptive_scan = _scan("adaptive_scan")
    fly_scan = _scan("fly_scan")

    def _perform(self, plan: Plan, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        rest = dict(keywords)
        kind = rest.pop("to", "auto")
        check_kind(kind)  # not when the scan is over
        call = bind_plan(plan, arguments, rest, target_name)
        text = scan_text(call)
        execution = begin(self.portal, text.source, call.run_name, relocate=text.relocate)
        view = execution.wait(self.display)
        execution.raise_for_end()
        return Run(self.portal, view.record.run_ids[-1]).table(kind)

"""The runs of a daemon, as a sequence that can be searched, and each with its data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy.typing as npt

from daq.client.blocking.portal import Portal
from daq.client.calls.async_client import AsyncClient
from daq.client.recorded.conditions import glob, glob_of, matches
from daq.client.recorded.event_documents import run_documents
from daq.client.recorded.run_tables import TableKind, make_table
from daq.client.showing.html import run_html, runs_html
from daq.core import (
    NotFoundError,
    ParameterError,
    RunOutcome,
    RunSummary,
    did_you_mean,
    format_time,
)
from daq.wire.convert import RecordedRun
from daq.wire.event_model import Document

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

__all__ = ["Moment", "Run", "RunLog"]

PAGE = 100
SHOWN = 10

_OUTCOMES = (*(outcome.value for outcome in RunOutcome), "open")

Moment = datetime | timedelta | float | str
"""A time: a datetime, seconds since the epoch, an ISO text, or how long ago."""


class Run:
    """A run on record. What it holds is fetched when it is asked for."""

    def __init__(self, portal: Portal, run_id: str, summary: RunSummary | None = None) -> None:
        self.id = run_id
        self.portal = portal
        """The way to the asynchronous client, for streams and calls that go on meanwhile."""
        self._summary = summary
        self._detail: RecordedRun | None = None

    def __repr__(self) -> str:
        summary = self.summary
        return (
            f"<Run {self.id[:8]} {summary.name!r} {summary.outcome or 'open'}, "
            f"{summary.points_in_words}, {format_time(summary.started_ns)}>"
        )

    def _repr_html_(self) -> str:
        return run_html(self.summary, self.detail.streams)

    @property
    def detail(self) -> RecordedRun:
        """All that is on record but the data: parameters, settings, script, streams."""
        if self._detail is None or self._detail.summary.outcome is None:
            self._detail = self.portal.call(lambda client: client.runs.get(self.id))
            self._summary = self._detail.summary
        return self._detail

    @property
    def summary(self) -> RunSummary:
        """Its line in the catalogue."""
        if self._summary is None or self._summary.outcome is None:
            self._summary = self.detail.summary
        return self._summary

    @property
    def name(self) -> str:
        """As it was opened."""
        return self.summary.name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the user said about it."""
        return self.summary.metadata

    @property
    def units(self) -> dict[str, str]:
        """Column to units, of all streams."""
        return {c.name: c.units for stream in self.detail.streams for c in stream.columns}

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams."""
        return tuple(stream.name for stream in self.detail.streams)

    def columns(
        self, stream: str = "primary", *, times: bool = False
    ) -> dict[str, npt.NDArray[Any]]:
        """Arrays of shape (n, *sample_shape) by column, with `time` (datetime64[ns]).

        Missing values are masked; texts and arrays of different lengths are objects. With `times`
        a `time of NAME` tells when each value of a column was read.

        Returns:
            Column to array.
        """
        return self.portal.call(
            lambda client: client.runs.columns(self.id, stream=stream, times=times)
        )

    def table(self, kind: TableKind | Literal["auto"] = "auto", stream: str = "primary") -> Any:
        """The data as `pandas`, `xarray`, `arrow` or `dict`; by default what is installed."""
        if kind == "arrow":
            return self.to_arrow(stream)
        return make_table(kind, self.detail, stream, self.columns(stream))

    def to_dict(self, stream: str = "primary") -> Any:
        """The columns as numpy arrays, with `attrs`."""
        return self.table("dict", stream)

    def to_pandas(self, stream: str = "primary") -> Any:
        """A DataFrame; `attrs` holds units and run id. Raises ParameterError without pandas."""
        return self.table("pandas", stream)

    def to_xarray(self, stream: str = "primary") -> Any:
        """A Dataset: on the grid for a grid scan, else by event. Needs xarray."""
        return self.table("xarray", stream)

    def to_arrow(self, stream: str = "primary", *, times: bool = False) -> pa.Table:
        """An Arrow table with units in the fields' metadata.

        With `times` each column is followed by one that tells when each of its values was read.

        Returns:
            The table, a row for each event.

        Raises:
            NotFoundError: Nothing is stored in that stream.
        """
        import pyarrow as pa  # loads slowly, and only this needs it

        async def read(client: AsyncClient) -> list[pa.RecordBatch]:
            found = client.runs.read(self.id, stream=stream, times=times)
            async with aclosing(found) as batches:
                return [batch async for batch in batches]

        batches = self.portal.call(read)
        if not batches:
            raise NotFoundError(f"run {self.id[:8]} holds nothing in its stream {stream!r}")
        return pa.Table.from_batches(batches)

    def documents(self, *, pages: bool = False, files: bool = False) -> Iterator[Document]:
        """`(name, document)` of event-model, from start to stop, as bluesky's callbacks take them.

            for name, document in bench.runs[-1].documents():
                callback(name, document)

        Args:
            pages: Events as `event_page` of many rows instead of one `event` each.
            files: Frames stay in the run's HDF5 file, to which the documents point, as tiled takes
                them. They come in pages; of a run that is open, as it is recorded.

        Returns:
            An iterator of name and document.
        """
        if files:
            return self.portal.stream(lambda client: client.runs.documents(self.id))
        detail = self.detail
        tables = {s.name: self.columns(s.name, times=True) for s in detail.streams if s.points}
        return run_documents(detail, tables, pages=pages)

    def plot(
        self,
        path: str | Path | None = None,
        stream: str = "primary",
        *,
        columns: Sequence[str] = (),
        log: str = "",
        overlay: Sequence[Run] = (),
    ) -> Figure:
        """A sensible picture: curves against what was moved, a map, waveforms, the last image.

        Args:
            path: Where to write it, as PNG, PDF or SVG.
            stream: Which events.
            columns: What to draw; by default the first eight columns that were read.
            log: `x`, `y` or `xy`: which axes are logarithmic.
            overlay: More runs to draw into the same panels: `overlay=bench.runs[-3:-1]`.

        Returns:
            matplotlib's figure.
        """
        from daq.client.figures.plot import draw_run, save_figure  # matplotlib loads slowly

        more = [(run.detail, run.columns(stream)) for run in overlay]
        figure = draw_run(self.detail, self.columns(stream), columns=columns, log=log, overlay=more)
        if path is not None:
            save_figure(figure, Path(path))
        return figure


class RunLog:
    """What `bench.runs` is: `runs[-1]` is the newest, `runs["a1b2"]` goes by id or name.

    `runs[-3:]` are the last three, the newest last.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def __repr__(self) -> str:
        return f"<{len(self)} runs>"

    def _repr_html_(self) -> str:
        page = self._portal.call(lambda client: client.runs.list(limit=SHOWN))
        return runs_html(page.runs, page.total)

    def __len__(self) -> int:
        return self._portal.call(lambda client: client.runs.list(limit=1)).total

    @overload
    def __getitem__(self, which: int | str) -> Run: ...
    @overload
    def __getitem__(self, which: slice) -> list[Run]: ...

    def __getitem__(self, which: int | str | slice) -> Run | list[Run]:
        if isinstance(which, str):
            detail = self._portal.call(lambda client: client.runs.get(which))
            return Run(self._portal, detail.summary.run_id, detail.summary)
        newest = self._portal.call(lambda client: client.runs.list(limit=1))
        # What begins from now on does not move the numbers of those that there are.
        until = _up_to(newest.runs[0]) if newest.runs else {}
        if isinstance(which, slice):
            wanted = range(newest.total)[which]
            last = max(wanted, default=-1)
            pages = islice(
                self._pages(offset=newest.total - 1 - last, **until),
                last + 1 - min(wanted, default=0),
            )
            found = dict(zip(range(last, -1, -1), pages, strict=False))
            return [found[number] for number in wanted if number in found]
        offset = -which - 1 if which < 0 else newest.total - 1 - which
        if not 0 <= offset < newest.total:
            raise IndexError(f"there is no run {which}; there are {newest.total}")
        return next(self._pages(offset=offset, **until))

    def __iter__(self) -> Iterator[Run]:
        """Newest first, each of those that there are now once, also while others begin."""
        return self._pages()

    def search(
        self,
        name: str | glob | re.Pattern[str] = "",
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        outcome: str = "",
        limit: int | None = None,
        where: Mapping[str, object] = MappingProxyType({}),
        **metadata: object,
    ) -> list[Run]:
        """Runs that fit all of it, newest first.

            bench.runs.search("knife_edge", sample="Si[111]", energy=(">", 5))
            bench.runs.search(glob("knife*"), since=timedelta(days=1))

        Args:
            name: The run's name, or a pattern of it: `glob("knife*")`, `re.compile(...)`.
            since: Began then or later; a timedelta is how long ago.
            until: Began before.
            outcome: `completed`, `stopped`, `killed`, `failed`, `interrupted` or `open`.
            limit: At most so many.
            where: As `metadata`, for keys that are words of this function or no names.
            metadata: Keys with what they have to equal, a pattern, a comparison such as
                `(">", 5)`, or a function of the value. A run without the key never fits.

        Returns:
            The runs.

        Raises:
            ParameterError: There is no such time or outcome.
        """
        if outcome and outcome not in _OUTCOMES:
            raise ParameterError(
                f"there is no outcome {outcome!r}; there are {', '.join(_OUTCOMES)}",
                advice=did_you_mean(outcome, _OUTCOMES),
            )
        filters = {"since_ns": _nanoseconds(since), "until_ns": _nanoseconds(until)}
        by_name: dict[str, Any] = {}
        if not isinstance(name, re.Pattern):
            by_name["name"] = glob_of(name)
        runs = (
            run
            for run in self._pages(outcome=outcome, **by_name, **filters)
            if not isinstance(name, re.Pattern) or name.search(run.name)
            if all(matches(run.metadata, *wanted) for wanted in {**where, **metadata}.items())
        )
        return list(islice(runs, limit))

    def _pages(self, *, offset: int = 0, **filters: Any) -> Iterator[Run]:
        """Newest first. Pages are counted from the last run seen: others begin meanwhile."""
        seen: set[str] = set()
        while True:
            at = {**filters, "offset": offset}
            page = self._portal.call(lambda client: client.runs.list(limit=PAGE, **at))  # noqa: B023
            yield from (Run(self._portal, s.run_id, s) for s in page.runs if s.run_id not in seen)
            if offset + len(page.runs) >= page.total or not page.runs:
                return
            last = _up_to(page.runs[-1])
            if last.items() <= filters.items():  # many began in the same moment
                offset += len(page.runs)
            else:
                offset, filters = 0, {**filters, **last}
                seen = {s.run_id for s in page.runs if _up_to(s) == last}


def _up_to(run: RunSummary) -> dict[str, int]:
    """What lists this run and those that began before it."""
    if run.order_ns:
        return {"before_order_ns": run.order_ns + 1}
    return {"until_ns": run.started_ns + 1}  # of an older daemon


def _nanoseconds(moment: Moment | None) -> int:
    match moment:
        case None:
            return 0
        case timedelta():
            return _nanoseconds(datetime.now(UTC) - moment)
        case datetime():
            return int(moment.timestamp() * 1e9)
        case str():
            try:
                return _nanoseconds(datetime.fromisoformat(moment))
            except ValueError:
                raise ParameterError(
                    f"{moment!r} is no time", advice="write it as 2026-01-31 or 2026-01-31T14:05"
                ) from None
    return int(moment * 1e9)

"""The runs of a daemon, as a sequence that can be searched, and each with its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from daq.client.blocking.portal import Portal
from daq.client.calls.async_client import AsyncClient
from daq.client.recorded.event_documents import run_documents
from daq.client.recorded.run_tables import TableKind, make_table
from daq.client.showing.html import run_html, runs_html
from daq.core import NotFoundError, ParameterError, RunSummary, format_time
from daq.wire.convert import RecordedRun
from daq.wire.event_model import Document

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

__all__ = ["Moment", "Run", "RunLog"]

PAGE = 100
SHOWN = 10

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
            f"{summary.points} points, {format_time(summary.started_ns)}>"
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

    def columns(self, stream: str = "primary") -> dict[str, npt.NDArray[Any]]:
        """Arrays of shape (n, *sample_shape) by column, with `time` (datetime64[ns])."""
        return self.portal.call(lambda client: client.runs.columns(self.id, stream=stream))

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

    def to_arrow(self, stream: str = "primary") -> pa.Table:
        """An Arrow table with units in the fields' metadata."""
        import pyarrow as pa  # loads slowly, and only this needs it

        async def read(client: AsyncClient) -> list[pa.RecordBatch]:
            async with aclosing(client.runs.read(self.id, stream=stream)) as batches:
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
        """
        if files:
            return self.portal.stream(lambda client: client.runs.documents(self.id))
        detail = self.detail
        tables = {s.name: self.columns(s.name) for s in detail.streams if s.points}
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
        """
        from daq.client.figures.plot import draw_run, save_figure  # matplotlib loads slowly

        more = [(run.detail, run.columns(stream)) for run in overlay]
        figure = draw_run(self.detail, self.columns(stream), columns=columns, log=log, overlay=more)
        if path is not None:
            save_figure(figure, Path(path))
        return figure


class RunLog:
    """What `bench.runs` is: `runs[-1]` is the newest, `runs["a1b2"]` goes by id or name."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def __repr__(self) -> str:
        return f"<{len(self)} runs>"

    def _repr_html_(self) -> str:
        page = self._portal.call(lambda client: client.runs.list(limit=SHOWN))
        return runs_html(page.runs, page.total)

    def __len__(self) -> int:
        return self._portal.call(lambda client: client.runs.list(limit=1)).total

    def __getitem__(self, which: int | str) -> Run:
        if isinstance(which, str):
            detail = self._portal.call(lambda client: client.runs.get(which))
            return Run(self._portal, detail.summary.run_id, detail.summary)
        offset = -which - 1 if which < 0 else len(self) - 1 - which
        if offset < 0:
            raise IndexError(f"there is no run {which}")
        page = self._portal.call(lambda client: client.runs.list(limit=1, offset=offset))
        if not page.runs:
            raise IndexError(f"there is no run {which}; there are {page.total}")
        return Run(self._portal, page.runs[0].run_id, page.runs[0])

    def __iter__(self) -> Iterator[Run]:
        """Newest first."""
        return self._pages()

    def search(
        self,
        name: str = "",
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        outcome: str = "",
        limit: int | None = None,
        **metadata: Any,
    ) -> list[Run]:
        """Runs that fit all of it, newest first.

        Args:
            name: A glob pattern such as `knife*`.
            since: Began then or later; a timedelta is how long ago.
            until: Began before.
            outcome: `completed`, `stopped`, `killed`, `failed`, `interrupted` or `open`.
            limit: At most so many.
            metadata: Keys with their values; for a text a glob pattern serves.
        """
        found: list[Run] = []
        bounds = {"since_ns": _nanoseconds(since), "until_ns": _nanoseconds(until)}
        for run in self._pages(name=name, outcome=outcome, **bounds):
            if limit is not None and len(found) >= limit:
                break
            if all(_fits(run.metadata.get(key), wanted) for key, wanted in metadata.items()):
                found.append(run)
        return found

    def _pages(self, **filters: Any) -> Iterator[Run]:
        offset = 0
        while True:
            at = offset
            page = self._portal.call(
                lambda client: client.runs.list(limit=PAGE, offset=at, **filters)  # noqa: B023
            )
            yield from (Run(self._portal, s.run_id, s) for s in page.runs)
            offset += len(page.runs)
            if not page.runs or offset >= page.total:
                return


def _fits(value: object, wanted: object) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return fnmatchcase(value, wanted)
    return value == wanted


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

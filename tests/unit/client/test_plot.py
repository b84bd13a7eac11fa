"""Pictures of runs: what is drawn follows from what was moved and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.client.showing.plot import _as_grid, plot_run
from daq.core import Column, NotFoundError, RunOutcome, RunStart, RunSummary, StorageError
from daq.wire.convert import RecordedRun
from daq.wire.convert.runs import RecordedStream

STAGE = Column("stage", "mm", "<f8", (), "stage", "positioner")
ROTATOR = Column("rotator", "deg", "<f8", (), "rotator", "positioner")
METER = Column("power_meter", "W", "<f8", (), "power_meter")
WAVE = Column("digitizer", "V", "<f8", (50,), "digitizer")
FRAME = Column("camera", "counts", "<u2", (30, 40), "camera")
NOTE = Column("note", "", "O")


def run(*columns: Column) -> RecordedRun:
    summary = RunSummary("r1", "knife", 1, 2, RunOutcome.COMPLETED, points=12)
    return RecordedRun(
        summary, RunStart("r1", "knife", 1), (RecordedStream("primary", 12, columns),)
    )


def table(*columns: Column, rows: int = 12) -> dict[str, Any]:
    values: dict[str, Any] = {"time": np.datetime64(0, "ns") + np.arange(rows) * 10**8}
    for column in columns:
        size = rows * int(np.prod(column.shape, dtype=int))
        values[column.name] = np.arange(size).astype(column.dtype).reshape(rows, *column.shape)
    return values


@pytest.mark.parametrize(
    "columns",
    [
        (STAGE, METER),
        (METER,),
        (STAGE,),
        (STAGE, ROTATOR, METER),
        (STAGE, METER, WAVE, FRAME, NOTE),
    ],
)
def test_every_kind_of_run_makes_a_picture(tmp_path: Path, columns: tuple[Column, ...]) -> None:
    path = plot_run(run(*columns), table(*columns), tmp_path / "run.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_undescribed_table_is_drawn_too(tmp_path: Path) -> None:
    assert plot_run(run(), {"x": np.arange(3.0)}, tmp_path / "x.png").exists()


def test_nothing_to_draw_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no numbers"):
        plot_run(run(NOTE), table(NOTE), tmp_path / "x.png")
    with pytest.raises(NotFoundError, match="no numbers"):
        plot_run(run(METER), table(METER, rows=0), tmp_path / "x.png")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone/x\.png: the picture cannot be written"):
        plot_run(run(METER), table(METER), tmp_path / "gone" / "x.png")


def grid(rows: int, width: int, *, snake: bool, jitter: float = 0.0) -> tuple[np.ndarray, ...]:
    slow, fast = np.meshgrid(np.arange(float(rows)), np.arange(float(width)), indexing="ij")
    if snake:
        fast[1::2] = fast[1::2, ::-1]
    noise = np.random.default_rng(1).uniform(-jitter, jitter, (2, rows, width))
    values = 10 * slow + fast
    return (slow + noise[0]).ravel(), (fast + noise[1]).ravel(), values.ravel()


@pytest.mark.parametrize("snake", [False, True])
def test_positions_that_were_read_back_make_a_grid(snake: bool) -> None:
    found = _as_grid(*grid(4, 6, snake=snake, jitter=0.05))
    assert found is not None
    x, y, values = found
    np.testing.assert_allclose(values, [[10 * r + c for c in range(6)] for r in range(4)])
    np.testing.assert_allclose(x[0], np.arange(6), atol=0.06)
    np.testing.assert_allclose(y[:, 0], np.arange(4), atol=0.06)


def test_a_grid_that_was_stopped_half_way_is_filled_up_with_nothing() -> None:
    slow, fast, values = (a[:20] for a in grid(4, 6, snake=True))
    found = _as_grid(slow, fast, values)
    assert found is not None
    assert np.isnan(found[2][3]).sum() == 4


def test_scattered_points_are_no_grid() -> None:
    rng = np.random.default_rng(2)
    assert _as_grid(rng.random(30), rng.random(30), rng.random(30)) is None
    assert _as_grid(np.zeros(5), np.arange(5.0), np.arange(5.0)) is None

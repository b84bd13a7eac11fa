"""Pictures of runs: what is drawn follows from what was moved and read."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.client.figures.plot import draw_run, save_figure
from daq.core import (
    Column,
    NotFoundError,
    ParameterError,
    RunOutcome,
    RunStart,
    RunSummary,
    StorageError,
)
from daq.wire.convert import RecordedRun
from daq.wire.convert.runs import RecordedStream

STAGE = Column("stage", "mm", "<f8", (), "stage", "positioner")
ROTATOR = Column("rotator", "deg", "<f8", (), "rotator", "positioner")
METER = Column("power_meter", "W", "<f8", (), "power_meter")
WAVE = Column("digitizer", "V", "<f8", (50,), "digitizer")
FRAME = Column("camera", "counts", "<u2", (30, 40), "camera")
NOTE = Column("note", "", "O")


def plot_run(held: RecordedRun, rows: dict[str, Any], path: Path) -> Path:
    save_figure(draw_run(held, rows), path)
    return path


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


def drawn(*columns: Column, **values: Any) -> Any:
    """The panels of a run that holds these values."""
    rows = len(next(iter(values.values())))
    return draw_run(run(*columns), table(*columns, rows=rows) | values).axes


def test_units_are_those_that_are_displayed_elsewhere() -> None:
    (panel,) = drawn(STAGE, METER, power_meter=np.full(3, 2e-3))
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("stage (mm)", "power_meter (mW)")
    np.testing.assert_allclose(panel.lines[0].get_ydata(), 2.0)


def test_what_is_only_read_along_is_a_panel_and_no_axis() -> None:
    along = Column("rotator", "deg", "<f8", (), "rotator")
    panels = drawn(STAGE, along, METER, power_meter=np.arange(3.0))
    assert [panel.get_xlabel() for panel in panels] == ["stage (mm)"] * 2
    assert [panel.get_ylabel() for panel in panels] == ["rotator (deg)", "power_meter (W)"]


@pytest.mark.parametrize("columns", [(STAGE, ROTATOR, METER), (ROTATOR, STAGE, METER)])
def test_a_raster_by_hand_is_a_map_whatever_the_order_of_its_columns(
    columns: tuple[Column, ...],
) -> None:
    slow, fast = (a.ravel() for a in np.mgrid[0:3, 0:4].astype(float))
    jitter = np.random.default_rng(1).uniform(-0.01, 0.01, (2, 12))
    panel, _ = drawn(
        *columns, rotator=slow + jitter[0], stage=fast + jitter[1], power_meter=10 * slow + fast
    )
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("stage (mm)", "rotator (deg)")
    np.testing.assert_array_equal(
        panel.collections[0].get_array().reshape(3, 4), 10.0 * np.arange(3)[:, None] + np.arange(4)
    )


def test_two_motors_along_a_line_make_a_curve() -> None:
    (panel,) = drawn(STAGE, ROTATOR, METER, stage=np.arange(5.0), rotator=-3 * np.arange(5.0))
    assert panel.get_xlabel() == "stage (mm)"


def test_no_line_leads_from_sweep_to_sweep_and_ways_are_told_apart() -> None:
    up = np.arange(6.0)
    (panel,) = drawn(STAGE, METER, stage=np.concatenate([up, up, up]))
    assert [list(line.get_xdata()) for line in panel.lines] == [list(up)] * 3
    (panel,) = drawn(STAGE, METER, stage=np.concatenate([up, up[-2::-1]]))
    assert panel.get_legend_handles_labels()[1] == ["up", "down"]


def test_several_runs_are_drawn_together() -> None:
    rows = table(STAGE, METER)
    other = replace(run(STAGE, METER), summary=RunSummary("r2", "knife", 1, 2))
    figure = draw_run(run(STAGE, METER), rows, overlay=[(other, rows), (run(STAGE), table(STAGE))])
    assert figure.axes[0].get_legend_handles_labels()[1] == ["knife r1", "knife r2"]


def test_what_was_counted_has_bars_of_its_square_root() -> None:
    counts = Column("counter", "counts", "<i8", (), "counter")
    (panel,) = drawn(STAGE, counts, counter=np.array([0, 100, 400]))
    (bars,) = panel.containers
    heights = [path.vertices[1, 1] - path.vertices[0, 1] for path in bars[2][0].get_paths()]
    assert heights == [0, 20, 40]


def test_axes_are_logarithmic_on_request() -> None:
    values = {"power_meter": np.array([0.0, 1.0, 10.0])}
    figure = draw_run(run(STAGE, METER), table(STAGE, METER, rows=3) | values, log="y")
    (panel,) = figure.axes
    assert panel.get_yscale() == "log"
    assert "not positive, not drawn: 1 of 3 of power_meter" in panel.get_title(loc="right")
    with pytest.raises(ParameterError, match="log is one of"):
        draw_run(run(STAGE, METER), table(STAGE, METER), log="z")


def test_a_column_called_time_and_missing_positions_are_drawn() -> None:
    mine = Column("time", "", "<f8")
    rows = table(STAGE, METER, rows=4) | {"time_": np.arange(4.0)}
    rows["stage"] = np.ma.array(np.arange(4.0), mask=[True, False, False, False])
    panels = draw_run(run(STAGE, METER, mine), rows).axes
    assert [panel.get_ylabel() for panel in panels] == ["power_meter (W)", "time_"]
    assert "not finite, not drawn: 1 of 4 of stage" in panels[0].get_title(loc="right")


def test_waveforms_are_a_family_and_images_have_their_aspect() -> None:
    figure = draw_run(run(STAGE, WAVE, FRAME), table(STAGE, WAVE, FRAME))
    waves, image = figure.axes[:2]
    assert len(waves.lines) == 12
    assert image.get_aspect() == 1.0
    assert "stage = 11 mm" in image.get_title()


def test_many_columns_make_a_few_panels_and_say_how_many_more_there_are(tmp_path: Path) -> None:
    many = [Column(f"c{i}", "", "<f8") for i in range(200)]
    figure = draw_run(run(*many), table(*many))
    assert len(figure.axes) == 8
    assert figure.get_supxlabel().startswith("and 192 more columns")
    chosen = draw_run(run(*many), table(*many), columns=["c150", "c3"])
    assert [panel.get_ylabel() for panel in chosen.axes] == ["c150", "c3"]
    with pytest.raises(NotFoundError, match="no column 'c200'"):
        draw_run(run(*many), table(*many), columns=["c200"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan] * 3, "none of 3 values is a finite number"),
        ([1e308, -1e308, 0], r"values of 1e\+308 are too large"),
        ([np.inf, 1, 2], "not finite, not drawn: 1 of 3"),
        ([5e-324, 0, 0], ""),
        ([1e17, 1e17, 1e17], ""),
    ],
)
@pytest.mark.parametrize("log", ["", "xy"])
def test_awkward_numbers_are_drawn_or_declined_with_a_sentence(
    tmp_path: Path, values: list[float], words: str, log: str
) -> None:
    numbers = {"power_meter": np.array(values), "stage": np.array([1.0, 2.0, 3.0])}
    figure = draw_run(run(STAGE, METER), table(STAGE, METER, rows=3) | numbers, log=log)
    save_figure(figure, tmp_path / "odd.png")
    texts = [t.get_text() for t in figure.axes[0].texts] + [figure.axes[0].get_title(loc="right")]
    assert re.search(words, " ".join(texts))


@given(
    name=st.text(min_size=1, max_size=3000),
    units=st.text(max_size=10),
    values=st.lists(st.floats(), min_size=1, max_size=9),
)
@settings(max_examples=10)
def test_any_name_and_any_numbers_make_a_picture(name: str, units: str, values: Any) -> None:
    column = Column(name, units, "<f8")
    held = run(STAGE, column)
    rows = table(STAGE, column, rows=len(values)) | {name: np.array(values)}
    with tempfile.TemporaryDirectory() as folder:
        save_figure(draw_run(held, rows), Path(folder) / "any.png")


@pytest.mark.parametrize(
    "name", ["$x^$", r"a\$b$", "_hidden", "50 %", "{}", "a\nb", "µ²", "x" * 3000]
)
def test_marks_in_a_name_are_text(tmp_path: Path, name: str) -> None:
    column = Column(name, "$", "<f8")
    figure = draw_run(run(STAGE, column), table(STAGE, column), overlay=[])
    save_figure(figure, tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()

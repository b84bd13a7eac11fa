"""What live pictures are made of, without a page or a daemon."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from daq.client.figures.charts import ImageChart, Points, TraceChart
from daq.client.figures.picture import figure_png
from daq.client.figures.run_chart import RunChart


def descriptor(**roles: str):
    keys = {
        name: {"dtype": "number", "units": "mm" if role == "positioner" else "W", "role": role}
        for name, role in roles.items()
    }
    return {"uid": "d", "name": "primary", "data_keys": keys}


def page(**columns: list[float]):
    count = len(next(iter(columns.values())))
    return {"descriptor": "d", "time": [100.0 + i for i in range(count)], "data": columns}


def run_chart(document, *pages) -> RunChart:
    chart = RunChart()
    chart.take_document("start", {"time": 100.0, "daq": {"name": "knife"}})
    chart.take_document("descriptor", document)
    for each in pages:
        chart.take_document("event_page", each)
    return chart


def test_one_motor_gives_curves_that_grow() -> None:
    figure = Figure()
    chart = run_chart(descriptor(stage="positioner", meter="detector"))
    assert not chart.draw(figure)
    chart.take_document("event_page", page(stage=[0.0, 1.0], meter=[5.0, 6.0]))
    assert chart.draw(figure)
    chart.take_document("event_page", page(stage=[2.0], meter=[7.0]))
    chart.take_document("stop", {"outcome": "completed"})
    chart.draw(figure)
    (panel,) = figure.axes
    assert panel.lines[0].get_xydata().tolist() == [[0, 5], [1, 6], [2, 7]]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("stage (mm)", "meter (W)")
    assert figure.get_suptitle() == "knife (completed, 3 points)"


def test_a_new_sweep_begins_a_new_line() -> None:
    figure = Figure()
    sweep = page(stage=[0.0, 1.0, 2.0, 3.0], meter=[1.0, 2.0, 3.0, 4.0])
    run_chart(descriptor(stage="positioner", meter="detector"), sweep, sweep).draw(figure)
    assert np.isnan(figure.axes[0].lines[0].get_xdata()).nonzero()[0].tolist() == [4]


def test_two_motors_give_a_map_with_the_fast_one_across() -> None:
    figure = Figure()
    chart = run_chart(
        descriptor(y="positioner", x="positioner", meter="detector"),
        page(y=[0.0, 0.0, 1.0], x=[2.0, 3.0, 2.0], meter=[1.0, 2.0, 3.0]),
    )
    chart.draw(figure)
    (points,) = figure.axes[0].collections
    assert chart.is_map
    assert points.get_offsets().tolist() == [[2, 0], [3, 0], [2, 1]]
    assert points.get_array().tolist() == [1, 2, 3]
    assert figure.axes[0].get_xlabel() == "x (mm)"


def test_without_a_motor_time_is_the_axis() -> None:
    figure = Figure()
    run_chart(descriptor(meter="detector"), page(meter=[1.0, 2.0])).draw(figure)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0, 1]


def test_what_is_no_number_is_not_drawn() -> None:
    texts = {"uid": "d", "data_keys": {"note": {"dtype": "string", "shape": []}}}
    chart = run_chart(texts, page(note=["x"]))
    assert not chart.draw(Figure())


def test_of_waveforms_and_images_the_newest_is_drawn_below_the_curves() -> None:
    figure = Figure()
    document = descriptor(stage="positioner", meter="detector")
    document["data_keys"] |= {
        "wave": {"dtype": "array", "shape": [3], "units": "V", "role": "detector"},
        "camera": {"dtype": "array", "shape": [1, 2, 3], "external": "STREAM:"},
        "text": {"dtype": "string", "shape": []},
    }
    rows = page(stage=[0.0, 1.0], meter=[5.0, 6.0], wave=[[1, 2, 3], [4, 5, 6]])
    chart = run_chart(document, rows)
    assert chart.outside == ("camera",)
    chart.draw(figure)
    chart.take_array("camera", np.full((2, 3), 7))
    chart.draw(figure)
    curve, wave, image, _ = figure.axes
    assert curve.lines[0].get_xydata().tolist() == [[0, 5], [1, 6]]
    assert wave.lines[0].get_xydata().tolist() == [[0, 4], [1, 5], [2, 6]]
    assert (wave.get_xlabel(), wave.get_ylabel()) == ("sample", "wave (V)")
    assert image.images[0].get_array().tolist() == [[7] * 3] * 2


def test_a_run_of_images_alone_is_drawn_when_one_has_come() -> None:
    figure = Figure()
    key = {"dtype": "array", "shape": [1, 2, 3], "external": "STREAM:", "units": "counts"}
    chart = run_chart({"uid": "d", "data_keys": {"camera": key}}, page(other=[0.0]))
    assert not chart.draw(figure)
    chart.take_array("camera", np.ones((2, 3)))
    assert chart.draw(figure)
    assert chart.points == 1


def test_waveforms_are_drawn_beside_numbers() -> None:
    figure = Figure()
    chart = TraceChart({"meter": "W", "wave": "V"}, 60.0, {"wave"})
    chart.take_reading("meter", 1.0, 5.0)
    chart.draw(figure)
    chart.take_waveform("wave", np.array([1.0, 2.0]))
    chart.draw(figure)
    numbers, wave = figure.axes
    assert numbers.lines[0].get_xydata().tolist() == [[0, 5]]
    assert wave.lines[0].get_xydata().tolist() == [[0, 1], [1, 2]]


def test_readings_that_are_too_old_leave_the_window() -> None:
    figure = Figure()
    chart = TraceChart({"meter": "W"}, window_s=2.0)
    for second in range(5):
        chart.take_reading("meter", float(second), 10.0 * second)
    chart.draw(figure)
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[-2, 20], [-1, 30], [0, 40]]
    assert chart.points == 5


def test_an_image_replaces_the_one_before() -> None:
    figure = Figure()
    chart = ImageChart("counts")
    assert not chart.draw(figure)
    for level in (1, 7):
        chart.take_image(np.full((2, 3), level), f"frame {level}")
        chart.draw(figure)
    (shown,) = figure.axes[0].images
    assert shown.get_array().tolist() == [[7] * 3] * 2
    assert figure.axes[0].get_title() == "frame 7"


@pytest.mark.parametrize("count", [10, 1000, 12_345])
def test_points_stay_within_their_bound_and_cover_everything(count: int) -> None:
    points = Points(2, most=100)
    for i in range(count):
        points.add((float(i), -float(i)))
    kept = points.columns()[0]
    assert points.taken == count
    assert len(kept) <= 100
    assert kept[0] == 0
    assert kept[-1] >= count * 0.95 - 1
    assert len(set(np.diff(kept))) == 1


@pytest.mark.parametrize("axes", [["stage"], ["y", "x"], []])
@pytest.mark.parametrize(
    "values", [[1e308, -1e308, 1.0], [np.nan] * 3, [np.inf, 1.0, -np.inf], [2.0, 2.0, 2.0]]
)
def test_awkward_numbers_and_names_can_be_drawn(axes: list[str], values: list[float]) -> None:
    roles = dict.fromkeys(axes, "positioner") | {"$x^$": "detector"}
    columns = {name: [0.0, 1.0, 2.0] for name in axes} | {"$x^$": values}
    figure = Figure()
    chart = run_chart(descriptor(**roles), page(**columns))
    chart.take_document("start", {"time": 100.0, "daq": {"name": "$_{"}})
    chart.draw(figure)
    assert figure_png(figure).startswith(b"\x89PNG")


def test_many_columns_make_a_few_panels_and_say_how_many_more_there_are() -> None:
    figure = Figure()
    names = [f"c{i}" for i in range(200)]
    chart = run_chart(
        descriptor(**dict.fromkeys(names, "detector")), page(**{n: [1.0] for n in names})
    )
    assert chart.draw(figure)
    assert len(figure.axes) == 4
    assert figure.get_supxlabel() == "and 196 more columns"


def test_live_pictures_have_the_units_that_are_displayed_elsewhere() -> None:
    figure = Figure()
    chart = run_chart(descriptor(stage="positioner", meter="detector"))
    chart.take_document("event_page", page(stage=[0.0, 1.0], meter=[0.002, 0.005]))
    chart.draw(figure)
    (panel,) = figure.axes
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [2.0, 5.0])
    assert panel.get_ylabel() == "meter (mW)"
    chart.take_document("event_page", page(stage=[2.0], meter=[2.0]))
    chart.draw(figure)
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [0.002, 0.005, 2.0])
    assert panel.get_ylabel() == "meter (W)"

    mapped = Figure()
    run_chart(
        descriptor(y="positioner", x="positioner", meter="detector"),
        page(y=[0.0, 1.0], x=[0.0, 1.0], meter=[1e-6, 2e-6]),
    ).draw(mapped)
    assert mapped.axes[1].get_ylabel() == "meter (µW)"

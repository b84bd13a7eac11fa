"""A grid comes from the places of its events, whatever their order and however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import find_grid

shapes = st.tuples(st.integers(1, 5), st.integers(2, 6))
steps = st.sampled_from([-3.0, -0.01, 1e-6, 1.0, 250.0])


def raster(shape, step, jitter, seed):
    """Positions and values of every place, in a random order."""
    draw = np.random.default_rng(seed)
    rows, columns = np.divmod(draw.permutation(shape[0] * shape[1]), shape[1])
    noise = draw.uniform(-jitter, jitter, (2, len(rows))) * abs(step)
    return {
        "y": 7.0 + rows * step + noise[0],
        "x": -2.0 + columns * step + noise[1],
        "v": 100.0 * rows + columns,
        "name": np.array([f"{r},{c}" for r, c in zip(rows, columns, strict=True)], object),
    }


def plan(shape, step):
    ends = [[7.0, 7.0 + (shape[0] - 1) * step], [-2.0, -2.0 + (shape[1] - 1) * step]]
    return {
        "plan_name": "grid_scan", "motors": ["y", "x"], "shape": list(shape), "extents": ends,
    }  # fmt: skip


@given(shapes, steps, st.floats(0, 0.4), st.integers(0, 99), st.data())
def test_a_planned_grid_holds_each_event_at_its_place(shape, step, jitter, seed, data) -> None:
    events = raster(shape, step, jitter, seed)
    count = data.draw(st.integers(1, len(events["v"])))
    events = {name: values[:count] for name, values in events.items()}
    grid = find_grid(plan(shape, step), events, [])
    assert grid is not None
    assert (grid.axes, grid.shape) == (("y", "x"), shape)
    spread = grid.spread(events["v"])
    expected = 100.0 * np.arange(shape[0])[:, None] + np.arange(shape[1])
    seen = ~np.isnan(spread)
    assert seen.sum() == count
    np.testing.assert_array_equal(spread[seen], expected[seen])
    np.testing.assert_allclose(grid.positions[1], -2 + step * np.arange(shape[1]), atol=abs(step))


@given(st.tuples(st.integers(2, 5), st.integers(2, 6)), steps, st.integers(0, 99))
def test_a_grid_that_nobody_announced_is_found_by_its_positions(shape, step, seed) -> None:
    events = raster(shape, step, 0.01, seed)
    grid = find_grid({}, events, ["y", "x"])
    assert grid is not None
    by_name = dict(zip(grid.axes, grid.shape, strict=True))
    assert (by_name["y"], by_name["x"]) == shape
    flat = grid.spread(events["name"])
    rows, columns = (flat, flat.T) if grid.axes == ("y", "x") else (flat.T, flat)
    order = 1 if step > 0 else -1
    assert [cell.split(",")[0] for cell in rows[:, 0]] == [str(i) for i in range(shape[0])][::order]
    assert [c.split(",")[1] for c in columns[:, 0]] == [str(i) for i in range(shape[1])][::order]


@pytest.mark.parametrize("names", [["y", "x"], ["x", "y"]])
@pytest.mark.parametrize("missing", [0, 2])
def test_the_slow_axis_is_found_whatever_the_order_of_the_columns(names, missing) -> None:
    y, x = (a.ravel()[: 12 - missing] for a in np.mgrid[0:3, 0:4].astype(float))
    grid = find_grid({}, {"y": y, "x": x}, names)
    assert grid is not None
    assert grid.axes == ("y", "x")
    assert np.isnan(grid.spread(x)).sum() == missing


def test_uneven_positions_are_places_too() -> None:
    y, x = (a.ravel() for a in np.meshgrid([0.0, 1.0, 10.0], [0.0, 5.0, 6.0], indexing="ij"))
    grid = find_grid({}, {"y": y, "x": x}, ["x", "y"])
    assert grid is not None
    np.testing.assert_array_equal(grid.positions[0], [0, 1, 10])


LINE = np.arange(6.0)


@pytest.mark.parametrize(
    ("metadata", "columns", "axes"),
    [
        ({}, {"x": LINE}, ["x"]),  # a line
        ({}, {"x": LINE, "y": 2 * LINE}, ["x", "y"]),  # a diagonal
        ({}, {"x": LINE, "y": LINE * 0}, ["x", "y"]),  # one of them stands
        ({}, {"x": np.array([0.0, 1, 0, 1, 0]), "y": np.array([0.0, 0, 1, 1, 0])}, ["x", "y"]),
        ({}, {"x": np.array([0.0, 1, 0, np.nan]), "y": np.array([0.0, 0, 1, 1])}, ["x", "y"]),
        ({"plan_name": "list_scan"}, {"x": LINE % 2, "y": LINE // 2}, ["x", "y"]),
        (plan((2, 3), 1.0), {"v": LINE}, []),  # the motors were not recorded
        (plan((2, 3), 1.0), {"y": LINE * 0 + 7, "x": LINE - 2}, []),  # beyond the end
        (plan((2, 3), 0.0), {"y": LINE * 0 + 7, "x": LINE * 0 - 2}, []),  # no distance
        (plan((2, 3), 1.0), {"y": LINE * 0 + 7, "x": LINE * 0 - 2}, []),  # all at one place
        ({**plan((2, 3), 1.0), "shape": "odd"}, {"y": LINE, "x": LINE}, []),
    ],
)
def test_what_is_no_grid_is_not_made_one(metadata, columns, axes) -> None:
    assert find_grid(metadata, columns, axes) is None


def test_the_grid_of_an_old_run_is_found_without_its_extents() -> None:
    events = raster((2, 3), 1.0, 0.01, 1)
    old = {"plan_name": "grid_scan", "motors": ["y", "x"], "shape": [2, 3], "snake": True}
    grid = find_grid(old, events, [])
    assert grid is not None
    np.testing.assert_array_equal(grid.spread(events["v"]), [[0, 1, 2], [100, 101, 102]])

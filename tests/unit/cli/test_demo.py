from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daq.cli.demo.beam_fit import fit_knife_edge, transmitted
from daq.cli.demo.command import _script_source
from daq.cli.demo.figure import draw
from daq.core import DaqError


@pytest.mark.parametrize("power", [5e-3, -5e-3])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_fit_finds_the_beam_whichever_way_the_edge_goes(power: float, reverse: bool) -> None:
    position = np.linspace(-1.0, 1.0, 41)
    if reverse:
        position = position[::-1]
    background = 1e-5 if power > 0 else 5.01e-3
    noise = np.random.default_rng(1).normal(0.0, 5e-6, len(position))
    fit = fit_knife_edge(position, transmitted(position, power, 0.1, 0.5, background) + noise)
    assert fit.waist == pytest.approx(0.5, rel=0.01)
    assert fit.centre == pytest.approx(0.1, abs=0.005)
    assert fit.power == pytest.approx(5e-3, rel=0.01)
    assert fit.background == pytest.approx(1e-5, abs=5e-6)
    assert fit.falling is (power > 0)
    assert 0 < fit.waist_error < 0.01
    residual = transmitted(position, power, 0.1, 0.5, background) - fit.curve(position)
    assert np.abs(residual).max() < 2e-5


def test_data_without_an_edge_are_refused() -> None:
    with pytest.raises(DaqError, match="hold no edge"):
        fit_knife_edge(np.linspace(-1, 1, 41), np.full(41, 5e-3))


def test_the_figure_is_a_png(tmp_path: Path) -> None:
    position = np.linspace(-1.0, 1.0, 41)
    power = transmitted(position, 5e-3, 0.0, 0.5, 0.0)
    noise = np.random.default_rng(1).normal(0.0, 1e-5, len(position))
    path = tmp_path / "figure.png"
    draw(path, position, power + noise, fit_knife_edge(position, power + noise), 0.5, ("mm", "W"))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_demonstration_runs_the_script_that_users_are_given() -> None:
    given = Path(__file__).parents[3] / "scripts" / "knife_edge.py"
    assert _script_source() == given.read_text(encoding="utf-8")

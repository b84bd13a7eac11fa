from __future__ import annotations

import math

from daq.cli.showing.big_number import big_number, sparkline


def test_a_sparkline_goes_from_the_least_to_the_greatest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline(list(range(100)), 3) == "▁▅█"


def test_a_sparkline_of_equal_values_lies_low_and_has_gaps_where_there_was_none() -> None:
    assert sparkline([2.0, math.nan, 2.0], 20) == "▁ ▁"
    assert sparkline([math.nan], 20) == " "


def test_a_number_is_large_with_handy_units() -> None:
    lines = big_number("power_meter", [0.0024, 0.0025], "W", 60).plain.splitlines()
    assert lines[0] == "power_meter"
    assert lines[2].startswith("████")
    assert lines[6].endswith(" mW")
    assert lines[8] == "▁█"
    assert lines[9] == "2.4 mW to 2.5 mW"
    assert max(map(len, lines)) <= 60


def test_what_has_no_value_now_says_so() -> None:
    text = big_number("meter", [0.1, math.nan], "V", 60).plain
    assert "no value now" in text
    assert "100 mV to 100 mV" in text


def test_every_number_that_is_shown_has_its_glyphs() -> None:
    for number in (-1.5e-300, 123456.0, 1e9, 0.0, -0.00012345):
        assert "█" in big_number("x", [number], "mm", 60).plain

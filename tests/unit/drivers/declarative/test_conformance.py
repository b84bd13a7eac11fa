"""Described instruments keep every contract of their capabilities, and offer no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.testing import check_driver
from tests.unit.drivers.declarative.instruments import ODD, OddInstrument, on_loopback


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "odd.toml"
    file.write_text(ODD)
    return {"description": str(file), "port": "loopback"}


async def test_an_odd_instrument_keeps_every_contract(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        checks = await check_driver(bench.make, odd)
    assert {
        "moves_arrive_where_they_were_sent",
        "stop_ends_a_move_half_way",
        "readings_are_true_and_in_order",
        "switches_obey",
        "standard_numbers_arrive",
        "triggers_need_arming",
        "parameters_keep_their_word",
    } <= set(checks)

"""Every configuration that the page on safety shows is accepted."""

import re
from pathlib import Path

import pytest

import daq.supervision
from daq.config import parse_config
from daq.core import STANDARD
from daq.drivers import Timebase, build_drivers
from daq.supervision import PauseAction, read_safety

PAGE = Path(daq.supervision.__file__).with_name("README.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
async def test_what_the_page_shows_is_accepted(text):
    config = parse_config(text, None)
    drivers, failures = build_drivers(config.devices, Timebase())
    assert failures == {}
    safety = read_safety(config, drivers)
    assert safety.interlocks or safety.pause_rules or safety.last_wills or safety.references


def test_the_page_shows_every_way_to_pause():
    words = {action.value for action in PauseAction} - {"off"}
    words |= {row.on_pause for row in STANDARD.values() if row.on_pause}
    assert all(f'| `"{word}"` |' in PAGE for word in words)
    assert len(EXAMPLES) == 4

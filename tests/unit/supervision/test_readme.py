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


FAILURES = re.findall(r"^\| (.+?) \| .* \| `(tests/[\w/]+\.py)::(\w+)` \|$", PAGE, re.MULTILINE)
ROOT = Path(daq.supervision.__file__).parents[2]


@pytest.mark.parametrize(("what", "file", "test"), FAILURES, ids=[what for what, *_ in FAILURES])
def test_what_happens_when_something_fails_is_shown_by_a_test(what, file, test):
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_row_about_failures_names_its_test():
    table = PAGE.partition("| what fails |")[2].partition("\n\n")[0]
    assert len(FAILURES) == table.count("\n") - 1 > 25


def test_the_page_shows_every_way_to_pause():
    words = {action.value for action in PauseAction} - {"off"}
    words |= {row.on_pause for row in STANDARD.values() if row.on_pause}
    assert all(f'| `"{word}"` |' in PAGE for word in words)
    assert len(EXAMPLES) == 4

"""Which attributes scripts may read is decided name by name: a new one has to be written down here.

`python -m tests.unit.scripting.test_readable` prints what `readable_names.txt` has to hold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.scripting.child.library import load_scipy
from daq.scripting.child.readable import EXCEPTION, OF_INSTANCES, OF_TYPES

GOLDEN = Path(__file__).with_name("readable_names.txt")


def table() -> dict[str, set[str]]:
    """What is allowed on this Python, by the type's full name; types of one name together."""
    load_scipy()
    found: dict[str, set[str]] = {"an exception": set(EXCEPTION)}
    for what, kinds in (("", OF_INSTANCES), ("type ", OF_TYPES)):
        for kind, names in kinds.items():
            package = kind.__module__.partition(".")[0]
            found.setdefault(f"{what}{package}:{kind.__name__}", set()).update(names)
    return found


def golden() -> dict[str, set[str]]:
    lines = (line.partition(" = ") for line in GOLDEN.read_text().splitlines())
    return {kind: set(names.split()) for kind, _, names in lines}


def test_no_name_is_readable_that_was_not_decided_on():
    allowed = golden()
    more = {kind: names - allowed.get(kind, set()) for kind, names in table().items()}
    assert not {kind: names for kind, names in more.items() if names}


def test_every_name_that_was_decided_on_is_readable():
    """Methods that a newer Python has are not there on an older one."""
    found = table()
    for kind, names in golden().items():
        missing = names - found.get(kind, set())
        python = found.keys() >= {kind} and kind.startswith(
            ("builtins:", "collections:", "datetime:")
        )
        assert not missing or python, (kind, missing)


@pytest.mark.parametrize(
    "name",
    ["__class__", "gi_frame", "tb_frame", "tofile", "dump", "dumps", "ctypes", "data", "base"],
)
def test_what_leads_out_is_on_no_list(name):
    assert not [kind for kind, names in (table() | golden()).items() if name in names]


if __name__ == "__main__":
    for kind, names in sorted(table().items()):
        print(f"{kind} = {' '.join(sorted(names))}")

"""What a script records is looked at on the loop only where that takes no time."""

from __future__ import annotations

import numpy as np
import pytest

from daq.experiment.live_run import _is_light


@pytest.mark.parametrize(("values", "expected"), [
    ({}, True),
    ({"x": 1.0, "y": [1, 2, 3], "note": "aligned"}, True),
    ({"frame": np.zeros((2000, 2000))}, True),
    ({f"c{n}": n for n in range(256)}, True),
    ({f"c{n}": n for n in range(257)}, False),
    ({"x": [[0]] * 45_000}, False),
    ({"x": [[0] * 300]}, False),
    ({"x": "x" * 100_000}, False),
], ids=["nothing", "few", "frame", "256", "257", "nested", "inner", "text"])  # fmt: skip
def test_many_items_at_any_depth_and_long_texts_go_to_a_thread(values, expected):
    assert _is_light(values) is expected

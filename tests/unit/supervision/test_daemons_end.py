"""At the end of the daemon the guard is left what could not be made safe and could be reached."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from daq.core import DeviceState
from daq.daemon import _leave_safe
from daq.drivers import Timebase

from .fakes import FakeStage, device_error, failing, supervised


class FakeGuard:
    """Notes for whom it goes on."""

    async def stand_down(self, unsafe: Collection[str] = ()) -> None:
        self.unsafe = set(unsafe)


@pytest.mark.parametrize("state", [state for state in DeviceState if state.is_online])
async def test_whatever_is_online_and_not_safe_is_left_to_the_guard(
    state: DeviceState, autojump_clock: Any
) -> None:
    stuck, guard = FakeStage("stuck", Timebase()), FakeGuard()
    async with supervised(stuck, FakeStage("well", Timebase())) as bench:
        stuck.on_stop = failing(device_error("stuck: it does not stop"))
        bench.supervisor.device("stuck")._instrument.status.judge(state, "as it may be")
        await _leave_safe(bench.supervisor, guard)  # type: ignore[arg-type]
    assert guard.unsafe == {"stuck"}

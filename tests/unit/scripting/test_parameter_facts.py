"""What a script may read of a parameter, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from daq.core import Category, Channel, DeviceDescription, Limits, standard
from daq.scripting.child.devices import DeviceProxy
from daq.scripting.child.runtime_checks import RuntimeChecks
from daq.scripting.protocol import describe


def test_a_parameter_tells_its_facts_and_hands_out_nothing_else() -> None:
    session: Any = None
    row = standard("wavelength", limits=Limits(700.0, 900.0))
    laser = DeviceDescription(
        "laser", "acme", Category.LASER, frozenset(), Channel("laser", "W"), parameters=(row,)
    )
    proxy = DeviceProxy(session, describe(laser))
    read = RuntimeChecks().getattr
    wavelength = read(proxy, "wavelength")
    assert read(wavelength, "limits") == (700.0, 900.0)
    assert (read(wavelength, "units"), read(wavelength, "id")) == ("nm", "laser.wavelength")
    for name in ("_session", "set", "get", "__class__", "_bind"):
        with pytest.raises(AttributeError):
            read(wavelength, name)

"""The package itself: names that load late, tracebacks that end where the caller's code does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from daq.client import jupyter
from daq.client.jupyter.formats import own_frames
from daq.client.sending.literals import literal
from daq.core import DaqError, ParameterError


def test_every_public_name_is_there() -> None:
    for name in jupyter.__all__:  # type: ignore[attr-defined]
        assert getattr(jupyter, name) is not None
    with pytest.raises(AttributeError):
        jupyter.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_of_jupyter_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, daq.client.jupyter, daq.client.bench.bench\n"
        "heavy = {'IPython', 'ipywidgets', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_ipywidgets_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "daq.client.jupyter.panels", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ParameterError, match="ipywidgets is not installed") as caught:
        jupyter.jog  # noqa: B018
    assert "daq[jupyter]" in caught.value.advice


def test_a_traceback_ends_at_the_line_that_called_daq() -> None:
    try:
        literal(object())
    except DaqError as error:
        traceback = own_frames(error.__traceback__)
    assert traceback.tb_frame.f_code.co_filename == __file__
    assert traceback.tb_next is None


def test_a_traceback_without_daq_stays_whole() -> None:
    def inner() -> None:
        raise DaqError("the caller's own")

    try:
        inner()
    except DaqError as error:
        traceback = own_frames(error.__traceback__)
    assert traceback.tb_next.tb_frame.f_code.co_name == "inner"


def test_a_function_in_a_cell_that_daq_calls_is_shown() -> None:
    names = {"literal": literal}
    cell = "class Bad:\n @property\n def name(self):\n  raise KeyError(1)\nliteral(Bad())"
    try:
        exec(compile(cell, "<ipython-input-1-abc>", "exec"), names)
    except KeyError as error:
        traceback = own_frames(error.__traceback__)
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code.co_name == "name"

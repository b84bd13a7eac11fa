"""The client in a notebook: `%load_ext daq.client.jupyter`. Names load when they are first used.

IPython and ipywidgets come with `pip install 'daq[jupyter]'`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from daq.core import ParameterError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from daq.client.jupyter.live import LivePicture, live_image, live_plot, live_run
    from daq.client.jupyter.panels import jog, readout, watch

__all__ = [
    "LivePicture",
    "jog",
    "live_image",
    "live_plot",
    "live_run",
    "load_ipython_extension",
    "readout",
    "unload_ipython_extension",
    "watch",
]

_MODULES = {
    "LivePicture": "live",
    "jog": "panels",
    "live_image": "live",
    "live_plot": "live",
    "live_run": "live",
    "readout": "panels",
    "watch": "panels",
}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext daq.client.jupyter` does: magics, errors and figures."""
    from daq.client.jupyter import formats, magics

    shell.register_magics(magics.DaqMagics(shell))
    formats.install(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What `%unload_ext` does: errors and figures as IPython shows them."""
    from daq.client.jupyter import formats

    formats.remove(shell)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"{error.name} is not installed", advice="pip install 'daq[jupyter]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)

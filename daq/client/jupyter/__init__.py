"""The client in a notebook: `%load_ext daq.client.jupyter`. Names load when they are first used.

IPython and ipywidgets come with `pip install 'daq[jupyter]'`.
"""

from daq.core import ParameterError
from daq.lazy import lazy_names

_load, __dir__, __all__ = lazy_names(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"{error.name} is not installed", advice="pip install 'daq[jupyter]'"
        ) from error

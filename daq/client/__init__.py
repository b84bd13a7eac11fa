"""The client: ordinary Python, without trio. Names load when they are first used."""

from daq.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)

"""In-process publish/subscribe for measurements: producers never know who listens.

`daq.bus.ring` is for other processes, which have no use for Trio: the rest is loaded when it is
first asked for.
"""

from daq.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)

"""Scripts in confined processes: the language, its policy, the sandbox and the built-in plans.

The names load on first use: the processes that run scripts import this package too, and must not
import trio, which only the daemon's side needs.
"""

from daq.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)

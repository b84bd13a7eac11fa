"""What `%load_ext daq.client.jupyter` does: magics, errors and figures."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from daq.client.jupyter import formats, magics

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics, and show errors and figures as the client does."""
    shell.register_magics(magics.DaqMagics(shell))
    formats.install(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Show errors and figures as IPython does."""
    formats.remove(shell)

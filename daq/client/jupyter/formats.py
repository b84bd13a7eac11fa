"""How IPython shows things of `daq`: errors without the client's inside, figures as images."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import IPython
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

from daq.client.figures.picture import figure_png
from daq.client.showing.display import is_notebook
from daq.client.showing.html import error_html
from daq.core import DaqError

__all__ = ["install", "own_frames", "remove"]

_INSIDE = str(Path(__file__).parents[2])
"""The directory of the package `daq`."""
_IPYTHON = str(Path(IPython.__file__).parent)


def install(shell: InteractiveShell) -> None:
    """Show errors of `daq` and figures that way from now on."""
    shell.set_custom_exc((DaqError,), _show)
    formatters = shell.display_formatter
    if formatters is not None:
        formatters.formatters["text/html"].for_type(DaqError, error_html)
        # Also without `%matplotlib inline`, so that a run's `plot()` is seen.
        formatters.formatters["image/png"].for_type(Figure, figure_png)


def remove(shell: InteractiveShell) -> None:
    """Undo `install`."""
    shell.set_custom_exc((), None)
    formatters = shell.display_formatter
    if formatters is not None:
        formatters.formatters["text/html"].pop(DaqError, None)
        formatters.formatters["image/png"].pop(Figure, None)


def own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback, ended at the line that called `daq`: what is further in is not the caller's.

    A callback of the caller's that `daq` called in turn counts too where it is in a cell.

    Returns:
        What is left of the traceback; None when nothing is.
    """
    frames: list[TracebackType] = []
    entry = traceback
    while entry is not None:
        frames.append(entry)
        entry = entry.tb_next
    files = [frame.tb_frame.f_code.co_filename for frame in frames]
    entered = next((i for i, file in enumerate(files) if file.startswith(_INSIDE)), None)
    if entered is None:
        return traceback
    last = entered - 1
    while last > 0 and files[last].startswith(_IPYTHON):  # what runs a magic is nobody's
        last -= 1
    last = max([last, *(i for i, file in enumerate(files) if _is_cell(file))])
    if last >= 0:
        frames[last].tb_next = None
    return traceback


def _is_inside(error: BaseException) -> bool:
    """Whether it was raised by the client, or by what the client called."""
    traceback = error.__traceback__
    return traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_INSIDE)


def _is_cell(file: str) -> bool:
    return "ipykernel_" in file or file.startswith("<ipython-input")


def _show(
    shell: InteractiveShell,
    kind: type[BaseException],
    error: DaqError,
    traceback: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    if is_notebook():
        from IPython.display import display

        display({"text/html": error_html(error), "text/plain": str(error)}, raw=True)
    if error.__cause__ is not None and _is_inside(error.__cause__):
        error.__cause__ = None  # what the client's own parts met; the message says it
        error.__suppress_context__ = True
    # Offset 1 hides IPython's own frame, which runs the cell.
    shell.showtraceback((kind, error, own_frames(traceback)), tb_offset=tb_offset or 1)

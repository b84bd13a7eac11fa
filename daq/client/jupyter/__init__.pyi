# ruff: noqa: I001 - one import for each module
from .extension import (
    load_ipython_extension as load_ipython_extension,
    unload_ipython_extension as unload_ipython_extension,
)
from .live import (
    LivePicture as LivePicture,
    live_image as live_image,
    live_plot as live_plot,
    live_run as live_run,
)
from .panels import jog as jog, readout as readout, watch as watch

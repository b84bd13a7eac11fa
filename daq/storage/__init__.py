"""Durable storage: journal, recorder, HDF5 files, catalogue, ledger, recovery."""

from daq.storage.hdf5_reader import StreamInfo
from daq.storage.ledger import Ledger
from daq.storage.rebuild import Rebuilding
from daq.storage.recorder import RunRecorder
from daq.storage.records import clean_text
from daq.storage.run_reader import RunDescription
from daq.storage.storage import Storage

__all__ = [
    "Ledger",
    "Rebuilding",
    "RunDescription",
    "RunRecorder",
    "Storage",
    "StreamInfo",
    "clean_text",
]

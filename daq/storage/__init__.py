"""Durable storage: journal, recorder, HDF5 files, catalogue, ledger, recovery."""

from daq.storage.catalogue.ledger import Ledger
from daq.storage.catalogue.rebuild import Rebuilding
from daq.storage.files.hdf5_reader import StreamInfo
from daq.storage.files.privacy import keep_private
from daq.storage.journal.records import clean_text
from daq.storage.memory import keep_memory_low
from daq.storage.recorder import RunRecorder
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
    "keep_memory_low",
    "keep_private",
]

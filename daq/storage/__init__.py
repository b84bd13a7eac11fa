"""Durable storage: journal, recorder, HDF5 files, catalogue, ledger, recovery."""

from daq.storage.hdf5_reader import StreamInfo
from daq.storage.ledger import Ledger
from daq.storage.recorder import RunRecorder
from daq.storage.storage import RunDescription, Storage

__all__ = ["Ledger", "RunDescription", "RunRecorder", "Storage", "StreamInfo"]

"""A data-acquisition daemon for a laboratory bench. See daq/README.md for the map of the house."""

__version__ = "0.1.0"

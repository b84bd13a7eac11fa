"""HDF5 files of runs: written from journals, read back."""

"""Instruments of Spectra-Physics."""

"""Instruments of Newport."""

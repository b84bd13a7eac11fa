"""Interlocks: when one trips and clears, and what it then does."""

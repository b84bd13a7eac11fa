"""Arrow Flight: runs and live channels in bulk."""

"""One device: its driver's life, the handle that others hold, each operation and the stop."""

"""The guard: carries out last wills when the daemon dies or hangs."""

"""The two connections to a daemon, and how its services are called over them."""

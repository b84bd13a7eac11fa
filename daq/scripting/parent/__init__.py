"""The daemon's side of the sandbox: the zygote, one process per script, its limits."""

"""What runs inside of the sandbox: the zygote, and the script in its confined process.

Nothing here imports trio, and nothing here is trusted by the daemon's side.
"""

"""The signals between the daemon and a script's process, beside SIGKILL.

SIGUSR1 says: look at the shared page. SIGUSR2 asks for the line, and is answered between two
instructions of the script. DUMP_SIGNAL has the stack dumped at once, also inside of a C call.
"""

from __future__ import annotations

import signal

__all__ = ["DUMP_SIGNAL", "IGNORED_AT_BIRTH", "STACK_HEAD"]

DUMP_SIGNAL = signal.SIGRTMIN
IGNORED_AT_BIRTH = (signal.SIGUSR1, signal.SIGUSR2, DUMP_SIGNAL)
"""They may come before a process has its handlers, and must not kill it."""
STACK_HEAD = b"most recent call first"
"""How `faulthandler` begins a stack; the answer to SIGUSR2 has the same form."""

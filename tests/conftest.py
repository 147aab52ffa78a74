"""What must hold before pytest collects: how hypothesis searches, and that Ctrl-C interrupts."""

from __future__ import annotations

import signal

from hypothesis import settings

# The same examples each time, nothing stored, and no deadline: a busy machine is not a bug.
settings.register_profile("stockade", derandomize=True, database=None, deadline=None)
settings.load_profile("stockade")

# What a shell starts in the background ignores it, and so would each command that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""What must hold before pytest collects: how hypothesis searches, that Ctrl-C interrupts, and that
the session ends with a search for secrets."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.secrets_sought import (
    pytest_configure,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

__all__ = [
    "pytest_configure",
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

# The same examples each time, nothing stored, and no deadline: a busy machine is not a bug.
settings.register_profile("stockade", derandomize=True, database=None, deadline=None)
settings.load_profile("stockade")

# What a shell starts in the background ignores it, and so would each command that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""Nothing but what pytest has to be told before it collects: how hypothesis searches."""

from __future__ import annotations

from hypothesis import settings

# The same examples each time, nothing stored, and no deadline: a busy machine is not a bug.
settings.register_profile("stockade", derandomize=True, database=None, deadline=None)
settings.load_profile("stockade")

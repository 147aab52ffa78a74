"""Is this wmic line harmful: the package's one door, to pure functions over an alert."""

from __future__ import annotations

from runner.wmic.judge import assess, assess_line

__all__ = ["assess", "assess_line"]

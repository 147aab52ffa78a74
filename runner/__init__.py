"""The response runner: poll, judge, ask, act, write down."""

__version__ = "0.1.0"

"""Which connectors exist. Names only: importing all of them would cost every cron start."""

from __future__ import annotations

from importlib import import_module

from connectors.base import Connector

CONNECTORS: dict[str, str] = {
    "splunk": "connectors.siem.splunk.connection:Splunk",
    "falcon": "connectors.edr.falcon:Falcon",
    "slack": "connectors.chat.slack:Slack",
    "jira": "connectors.tickets.jira:Jira",
}
"""A configuration's `type` → where its class is."""


def load_connector(type_name: str) -> type[Connector]:
    """The class behind a configured type. Errors: `KeyError` for a type that is not in the
    table."""
    module, _, name = CONNECTORS[type_name].partition(":")
    loaded: type[Connector] = getattr(import_module(module), name)
    return loaded

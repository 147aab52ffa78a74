"""Which connectors exist. Names only: importing all of them would cost every cron start."""

from __future__ import annotations

from importlib import import_module

from connectors.base import Connector
from connectors.product import Product

CONNECTORS: dict[str, str] = {
    "splunk": "connectors.siem.splunk.connection:Splunk",
    "falcon": "connectors.edr.falcon:Falcon",
    "slack": "connectors.chat.slack:Slack",
    "matrix": "connectors.chat.matrix:Matrix",
    "jira": "connectors.tickets.jira:Jira",
    "rt": "connectors.tickets.rt:Rt",
}
"""A configuration's `type` → where its class is."""


def load_connector(type_name: str) -> type[Connector]:
    """The class behind a configured type. Errors: `KeyError` for a type that is not in the
    table."""
    module, _, name = CONNECTORS[type_name].partition(":")
    loaded: type[Connector] = getattr(import_module(module), name)
    return loaded


PRODUCTS: dict[str, str] = {
    "splunk": "connectors.siem.splunk.product:SplunkProduct",
    "falcon": "connectors.edr.falcon_product:FalconProduct",
    "slack": "connectors.chat.slack_product:SlackProduct",
    "matrix": "connectors.chat.matrix_product:MatrixProduct",
    "jira": "connectors.tickets.jira_product:JiraProduct",
    "rt": "connectors.tickets.rt_product:RtProduct",
}
"""A configuration's `type` → what may be said of it; the connector's class is one of these."""


def load_product(type_name: str) -> type[Product]:
    """What a configuration says of a type. Errors: `KeyError` for one that is not in the table."""
    module, _, name = PRODUCTS[type_name].partition(":")
    loaded: type[Product] = getattr(import_module(module), name)
    return loaded

"""What the contract suite must know of each connector: its fake product and how it is called.

One file a connector. It holds a product that answers well, the calls of its role, which requests
are reads, and how that product says no. The suite does the rest; without a file and a line here it
fails with a sentence.
"""

from __future__ import annotations

from tests.contract_cases import falcon, jira, jira_data_center, matrix, rt, slack, splunk
from tests.contract_cases.case import Case

__all__ = ["CASES", "Case"]

CASES: dict[str, Case] = {
    "falcon": falcon.CASE,
    "jira": jira.CASE,
    "jira, data_center": jira_data_center.CASE,
    "matrix": matrix.CASE,
    "rt": rt.CASE,
    "slack": slack.CASE,
    "splunk": splunk.CASE,
}
"""A connector's type → its case; after a comma, another way in which the type is set up."""

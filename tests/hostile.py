"""What an attacker writes into evidence: one table for all tests, and what may never be shown."""

from __future__ import annotations

import unicodedata

URL = "https://stager.example.test/a.xsl"
PAYLOADS = {
    "template": "{{ 7*7 }}{% for x in range(9) %}{{ x }}{% endfor %}{# hidden #}",
    "template that reaches out": "{{ alert.__class__.__mro__[1].__subclasses__() }}",
    "statement of Python": "__import__('os').system('id') %s %(asctime)s {0.__class__}",
    "macro of Splunk": "`delete_everything(1)` $tok$",
    "pipe of Splunk": '" | delete | search "',
    "subsearch of Splunk": '") OR [search index=* | outputlookup x] (x="',
    "wildcards of Splunk": r'*\*"\\" NOT index=main',
    "channel call": "<!channel> <!here> <!everyone> @channel @here",
    "person and group call": "<@U0SYNTH> <@U0RESPONDB> <!subteam^S0RESPOND> <#C0RESPONSE>",
    "link that says yes": "<https://x.example.test|Approve> [ok](https://x.example.test)",
    "markup of Slack": "*bold* _it_ ~no~ ```code``` > quote :white_check_mark: &lt;!channel&gt;",
    "mention of Jira": '{"type":"mention","attrs":{"id":"5b10","text":"@all"}} [~admin]',
    "macro of Jira": "{code}{color:red}x{color}!x.png! {html}<script>alert(1)</script>{html}",
    "terminal": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;https://x.example.test\x07go\x9b5m\x08",
    "line of a log": "x\r\n2026-11-25 12:00:00,000 INFO runner approved by responder-a\n\tx",
    "right to left": "\u202egnp.exe\u202c \u2066x\u2069 \u200b\ufeff\u00ad\U000e0041",
    "line separators": "a\u2028b\u2029c\u0085d",
    "NUL": "a\x00b",
    "C1 of terminals": "\x90q\x9c\x9d0;title\x9c\x9e\x9f\x84\x85\x8d",
    "path": "..\\..\\x ../../etc/x C:\\con.txt //192.0.2.9/s %2e%2e%2f",
    "page": "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;",
    "page's attribute": '" onmouseover="alert(1)" \' autofocus onfocus=\'x',
    "Markdown": "](https://x.example.test) ![p](https://x.example.test/p) | a | b |\n# APPROVED",
    "fence": "```\n~~~\n</details>\n--- \n[^1]: x",
    "graph": '"];a-->b["x\nclick a "javascript:alert(1)"',
    "filter of Falcon": "'+hostname:'*'+platform:'",
    "query of Jira": '" OR project = OTHER ORDER BY created DESC --',
    "very long": "A" * 32_000 + " the end",
}
"""What stands behind a command line that is a hit, by the language that it is meant for."""

HOSTILE_NAMES = {
    "template": "{{ 7*7 }}",
    "wildcard": "*",
    "pattern": "WORKSTATION*",
    "filter": "WORKSTATION5'+hostname:'DC-1",
    "quote": 'WORKSTATION5" OR host="*',
    "mention": "<!channel>",
    "terminal": "\x1b[2JWORKSTATION5",
    "bidirectional": "\u202e5NOITATSKROW",
    "line break": "WORKSTATION5\nDC-1",
    "path": "../../DC-1",
    "Cyrillic letter": "W\u041eRKSTATION5",
    "full-width letters": "\uff37ORKSTATION5",
    "combining mark": "WORKSTATION5\u0301",
    "zero width": "WORK\u200bSTATION5",
    "soft hyphen": "WORKSTATION5\u00ad",
    "digit of another script": "WORKSTATION\u0665",
    "NUL": "WORKSTATION5\x00.example.test",
    "long": "W" * 5000,
}
"""Names that are no machine's; some look like one that exists."""


def steering(text: str, keep: str = "\n") -> list[str]:
    """Characters that would steer a terminal or hide what is read."""
    return [
        char
        for char in text
        if char not in keep and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]

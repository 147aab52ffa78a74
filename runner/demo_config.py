"""The demo's configuration: a real one, with every product an emulator on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import Struct

from connectors.emulators.fleet import Emulators
from connectors.emulators.jira_requests import PROJECT
from connectors.emulators.slack_messages import TEAM
from connectors.emulators.slack_workspace import CHANNEL

CONFIG = """\
# Written by `stockade demo`: every product below is an emulator on this machine.
version: 1
mode: act
emulated: true
state_dir: journal
people:
  responder-a: {{slack: U0RESPONDA}}
  responder-b: {{slack: U0RESPONDB}}
connectors:
  splunk:
    type: splunk
    base_url: {splunk}
    credentials: {{token: {{file: secrets/splunk.token}}}}
    settle_s: {settle_s}
  falcon:
    type: falcon
    tenant: demo
    base_url: {falcon}
    credentials:
      client_id: {{file: secrets/falcon.client_id}}
      client_secret: {{file: secrets/falcon.client_secret}}
    settle_s: {settle_s}
  slack:
    type: slack
    base_url: {slack}
    credentials: {{token: {{file: secrets/slack.token}}}}
    options: {{channel: {channel}, team: {team}}}
    settle_s: {settle_s}
  jira:
    type: jira
    base_url: {jira}
    credentials:
      email: {{file: secrets/jira.email}}
      api_token: {{file: secrets/jira.api_token}}
    options: {{project: {project}}}
    settle_s: {settle_s}
roles: {{siem: splunk, edr: falcon, chat: slack, tickets: jira}}
searches:
  {search}:
    saved_search: {saved_search}
    playbook: {playbook}
    settle_s: 5
    canary: Stockade canary
approvals:
  approvers: [responder-a, responder-b]
  expires_s: 1800
  mention: [responder-a]
guards:
  protected_file: protected.txt
  allowed_effects: [investigate, notify, document, contain, release]
hunts:
  index: main
  security_index: wineventlog
"""

PROTECTED = """\
# What may never be isolated in the demo.
host DC-*
"""


class Hits(Struct, frozen=True, kw_only=True):
    """Which hits are judged by which playbook: one entry of `searches`."""

    search: str = "wmic_format_hits"
    saved_search: str = "WMIC format hits"
    playbook: str = "wmic-format"


def write_config(
    state: Path, world: Emulators, settle_s: float = 1, hits: Hits | None = None, more: str = ""
) -> None:
    """The configuration and its secrets, as a SOC would write them. `settle_s`: how long a request
    may still land at any of the products, in seconds; `more`: lines of further keys."""
    hits = hits or Hits()
    secrets = state / "secrets"
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    for product, credentials in world.credentials().items():
        for name, value in credentials.items():
            file = secrets / f"{product}.{name}"
            file.touch(mode=0o600)
            file.write_text(value)
    urls = world.base_urls()
    text = CONFIG.format(
        **{name: json.dumps(url) for name, url in urls.items()},
        channel=CHANNEL,
        team=TEAM,
        project=PROJECT,
        settle_s=settle_s,
        search=hits.search,
        saved_search=hits.saved_search,
        playbook=hits.playbook,
    )
    config = state / "config.yaml"
    config.touch(mode=0o600)
    config.write_text(text + more)
    (state / "protected.txt").write_text(PROTECTED)

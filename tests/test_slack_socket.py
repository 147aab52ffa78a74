"""Socket Mode: Slack's own client accepts the stand-in, and ours connects to nothing unsafe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web import WebClient

from connectors.chat.slack_shown import shown_sha256
from connectors.chat.slack_socket import Socket
from connectors.emulators.slack import Slack
from connectors.emulators.slack_workspace import CHANNEL
from connectors.errors import ConnectorError, Rejected, Unavailable
from connectors.http import HttpSettings
from tests.acting import wait_for
from tests.fake_clock import FakeClock

PATIENCE_S = 60.0
ALICE = "U0RESPONDA"
BUTTON = {
    "type": "button",
    "action_id": "stockade.x",
    "text": {"type": "plain_text", "text": "no", "emoji": False},
    "value": "card|binding|x",
    "style": "danger",
}
BLOCKS: list[dict[str, Any]] = [{"type": "actions", "elements": [BUTTON]}]


@pytest.fixture
def slack() -> Iterator[Slack]:
    emulator = Slack(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


def test_stand_in_when_the_vendors_client_connects_then_it_gets_a_press_and_acknowledges_it(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = WebClient(slack.credentials["token"], base_url=f"{slack.base_url}/api/")
    posted = web.chat_postMessage(channel=CHANNEL, text="x", blocks=BLOCKS)
    client = SocketModeClient(app_token=slack.credentials["app_token"], web_client=web)
    requests: Queue[SocketModeRequest] = Queue()

    def take(_client: Any, request: SocketModeRequest) -> None:
        requests.put(request)
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    client.socket_mode_request_listeners.append(take)
    try:
        client.connect()
        assert slack.socket_mode.is_connected(PATIENCE_S)
        assert slack.press(ALICE, CHANNEL, posted["ts"], "stockade.x"), "acknowledged"
        request = requests.get(timeout=PATIENCE_S)
        first = client.session_id()
        slack.socket_mode.disconnect()
        # Not only until the stand-in has it: the client leaks one that it has not taken over yet.
        wait_for(lambda: client.session_id() != first)
        assert slack.socket_mode.connections == 2
    finally:
        client.close()
    assert request.type == "interactive"
    assert request.payload["type"] == "block_actions"
    assert request.payload["user"]["id"] == ALICE
    assert request.payload["container"]["message_ts"] == posted["ts"]
    (action,) = request.payload["actions"]
    assert (action["value"], action["type"]) == ("card|binding|x", "button")


def test_shown_when_slack_gives_a_button_back_then_as_sent_unless_it_was_changed(
    slack: Slack,
) -> None:
    web = WebClient(slack.credentials["token"], base_url=f"{slack.base_url}/api/")
    given = web.chat_postMessage(channel=CHANNEL, text="x", blocks=BLOCKS)["message"]["blocks"]
    assert given != BLOCKS, "Slack adds to it"
    assert shown_sha256("x", given) == shown_sha256("x", BLOCKS)
    for name, value in (
        ("value", "card|binding|white_check_mark"),
        ("action_id", "stockade.white_check_mark"),
        ("style", "primary"),
        ("url", "https://example.test"),
        ("text", {"type": "plain_text", "text": "yes"}),
        ("text", {"type": "plain_text", "text": "no", "emoji": True}),
    ):
        changed = [{"type": "actions", "elements": [{**BUTTON, name: value}]}]
        assert shown_sha256("x", changed) != shown_sha256("x", BLOCKS)


@pytest.mark.parametrize("blocks", [[], [{**BUTTON, "text": {"type": "mrkdwn", "text": "no"}}]])
def test_stand_in_when_an_actions_block_is_none_then_refused(
    slack: Slack, blocks: list[Any]
) -> None:
    web = WebClient(slack.credentials["token"], base_url=f"{slack.base_url}/api/")
    with pytest.raises(Exception, match="invalid_blocks"):
        web.chat_postMessage(
            channel=CHANNEL, text="x", blocks=[{"type": "actions", "elements": blocks}]
        )


# -- what is connected to --------------------------------------------------------------------------

SAFE = HttpSettings(base_url="https://slack.com")


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("ws://wss-primary.slack.com/link", SAFE),
        # slack_sdk speaks without TLS on any other port.
        ("wss://wss-primary.slack.com:8443/link", SAFE),
        ("https://wss-primary.slack.com/link", SAFE),
        ("ws://127.0.0.1:1/link", SAFE),
        (
            "wss://wss-primary.slack.com/link",
            HttpSettings(base_url="https://slack.com", fingerprint_sha256="0" * 64),
        ),
        (
            "wss://wss-primary.slack.com/link",
            HttpSettings(base_url="https://slack.com", proxy="https://proxy.example.test:3128"),
        ),
    ],
)
def test_socket_when_it_would_not_be_safe_then_refused_before_any_connection(
    url: str, settings: HttpSettings
) -> None:
    with pytest.raises(Rejected):
        Socket(url, settings, lambda _text: None, emulated=False)


def test_socket_when_the_environment_names_a_proxy_then_it_is_not_asked(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    heard: list[Any] = []

    def hear(text: str) -> None:
        heard.append(json.loads(text)["type"])
        socket.end()

    socket = Socket(slack.socket_mode.open(), SAFE, hear, emulated=True)
    socket.run(lambda: None)
    assert heard == ["hello"]


def test_socket_when_nobody_is_there_then_unavailable() -> None:
    socket = Socket("ws://127.0.0.1:9/link/?ticket=x", SAFE, lambda _text: None, emulated=True)
    with pytest.raises(Unavailable):
        socket.run(lambda: None)


def test_socket_when_who_hears_fails_then_that_fault_comes_out(slack: Slack) -> None:
    def hear(_text: str) -> None:
        raise Rejected("Slack", "Socket Mode was turned off")

    socket = Socket(slack.socket_mode.open(), SAFE, hear, emulated=True)
    with pytest.raises(ConnectorError, match="turned off"):
        socket.run(lambda: None)

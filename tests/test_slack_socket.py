"""Socket Mode: Slack's own client accepts the stand-in, and ours connects to nothing unsafe."""

from __future__ import annotations

import gc
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


# -- what a fault says -----------------------------------------------------------------------------

TICKET = "5e3a7c1e-made-up-ticket"
PROXY_WORD = "p4ss%2Fword-made-up"


@contextmanager
def peer(*says: bytes) -> Iterator[int]:
    """Says this to whoever asks, whatever is asked. Gives its port."""

    class Says(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"\r\n".join(says) + b"\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()


def fault_of(url: str, settings: HttpSettings, *, emulated: bool) -> str:
    socket = Socket(url, settings, lambda _text: None, emulated=emulated)
    with pytest.raises(Unavailable) as told:
        socket.run(lambda: None)
    return str(told.value)


# slack_sdk leaves a connection that came to nothing to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_socket_when_the_proxy_refuses_then_its_password_is_not_told() -> None:
    with peer(b"HTTP/1.0 407 Proxy Authentication Required") as port:
        proxy = f"http://runner:{PROXY_WORD}@127.0.0.1:{port}"
        settings = HttpSettings(base_url="https://slack.com", proxy=proxy)
        url = f"wss://wss-primary.slack.com/link/?ticket={TICKET}"
        told = fault_of(url, settings, emulated=False)
        gc.collect()
    assert "407" in told
    assert "p4ss" not in told


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("word", "settings"),
    [
        (TICKET, SAFE),
        # "runner:p4ss/word-made-up", as it is sent to the proxy.
        (
            "cnVubmVyOnA0c3Mvd29yZC1tYWRlLXVw",
            HttpSettings(base_url="https://slack.com", proxy=f"http://runner:{PROXY_WORD}@proxy"),
        ),
    ],
)
def test_socket_when_the_other_side_says_back_what_it_was_sent_then_it_is_not_told(
    word: str, settings: HttpSettings
) -> None:
    with peer(f"HTTP/1.1 {word} is what you sent".encode()) as port:
        proxy = settings.proxy and settings.proxy.replace("@proxy", f"@127.0.0.1:{port}")
        settings = HttpSettings(base_url=settings.base_url, proxy=proxy)
        url = f"ws://127.0.0.1:{port}/link/?ticket={TICKET}&app_id=x"
        told = fault_of(url, settings, emulated=True)
        gc.collect()
    assert "invalid literal" in told
    assert "***" in told
    assert word not in told

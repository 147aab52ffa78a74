"""Evidence as Slack text: escaped, shortened after escaping, and dead.

Nothing that comes out of here is markup, a mention, an emoji or an address that opens. It knows no
block and no message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.document import shorten, visible

TEXT_LIMIT = 3_000
"""Of `text`, escaped. Slack cuts at 40,000 and splits messages from 4,000 on."""
PARAGRAPH_LIMIT = 1_500

_URL = re.compile(r"(?i)(?<![a-z0-9+.\-])([a-z][a-z0-9+.\-]{0,30})://([^\s/\\\"'<>]*)")
_WWW = re.compile(r"(?i)\bwww\.")
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2194-\u21aa\u2300-\u23ff\u24c2\u25aa-\u25fe"
    "\u2600-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe0e\ufe0f\U0001f000-\U0001faff"
    "\U000e0000-\U000e0fff]"
)
_HIDDEN = re.compile(r"[^\n\x20-\x7e]")
_EMOJI_NAME = re.compile(r"(?i):(?=(?:[\w'-]*[a-z][\w'-]*|\+1|-1|100)(?:::[\w-]+)?:)")
# Look-alikes for the characters that `mrkdwn` cannot escape.
_MRKDWN = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})


def escape(text: str) -> str:
    """`&`, `<`, `>` as entities, in this order and nothing else.

    Source: https://docs.slack.dev/messaging/formatting-message-text, 2026-11-25.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def size(text: str) -> int:
    """Length as Slack may count it: escaped, in UTF-16 units."""
    return len(escape(text).encode("utf-16-le", "surrogatepass")) // 2


def fit(text: str, limit: int) -> str:
    """Keep head and tail so that the *escaped* text has at most `limit` units."""
    kept, length = text, limit
    while size(kept) > limit and length > 40:
        kept = shorten(text, length)
        # A text of `&` alone grows five times: come down by the measured excess.
        length = min(length - 1, length * limit // size(kept))
    return kept


def defang(text: str) -> str:
    """Addresses that nobody opens by a slip: `hxxps://host[.]test/…`."""

    def broken(match: re.Match[str]) -> str:
        scheme, host = match.group(1), match.group(2).replace(".", "[.]")
        if scheme.lower() in ("http", "https", "ftp"):
            return f"{scheme.replace('t', 'x').replace('T', 'X')}://{host}"
        return f"{scheme}[:]//{host}"

    return _WWW.sub(lambda match: match.group().replace(".", "[.]"), _URL.sub(broken, text))


def safe(text: str, *, keep_newlines: bool = False) -> str:
    """Invisible and control characters, emoji and live addresses made visible and dead.

    Emoji: reactions are how people decide here, so evidence may not draw a check mark; and Slack
    rewrites emoji into names, after which an untouched card would look edited.
    """
    shown = _EMOJI.sub(_escaped, visible(text, keep_newlines=keep_newlines))
    # What Python would not print either: soft hyphens, blanks that are no blank, unassigned.
    shown = _HIDDEN.sub(
        lambda found: found[0] if found[0].isprintable() else _escaped(found), shown
    )
    return defang(shown) if shown.strip() else "(empty)"


def _escaped(match: re.Match[str]) -> str:
    point = ord(match.group())
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def prose(text: str, limit: int = PARAGRAPH_LIMIT) -> str:
    """Evidence in running text."""
    return fit(safe(text).replace("`", "\u02cb"), limit)


def plain_text(text: str, mentions: Sequence[str] = ()) -> str:
    """The `text` of a message: raw text made harmless first, because a phone shows its beginning;
    then mentions built from account ids."""
    shown = _EMOJI_NAME.sub("\ua789", safe(text).translate(_MRKDWN))
    called = "".join(f" <@{account}>" for account in mentions)
    return escape(fit(shown, TEXT_LIMIT)) + called

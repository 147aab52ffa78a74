"""Evidence as Slack text: escaped, shortened after escaping, and dead.

Nothing that comes out of here is markup, a mention, an emoji or an address that opens. It knows no
block and no message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.document import shorten
from connectors.harmless import safe

TEXT_LIMIT = 3_000
"""Of `text`, escaped. Slack cuts at 40,000 and splits messages from 4,000 on."""
PARAGRAPH_LIMIT = 1_500

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


def prose(text: str, limit: int = PARAGRAPH_LIMIT) -> str:
    """Evidence in running text."""
    return fit(safe(text).replace("`", "\u02cb"), limit)


def plain_text(text: str, mentions: Sequence[str] = ()) -> str:
    """The `text` of a message: raw text made harmless first, because a phone shows its beginning;
    then mentions built from account ids."""
    shown = _EMOJI_NAME.sub("\ua789", safe(text).translate(_MRKDWN))
    called = "".join(f" <@{account}>" for account in mentions)
    return escape(fit(shown, TEXT_LIMIT)) + called

"""Evidence made harmless for any chat: nothing in it is hidden, decides or opens.

It knows no product's markup; each product's serializer escapes what comes out of here.
"""

from __future__ import annotations

import re

from connectors.document import visible

_URL = re.compile(r"(?i)([a-z][a-z0-9+.\-]{0,30})://([^\s/\\\"'<>]*)")
_WWW = re.compile(r"(?i)\bwww\.")
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2194-\u21aa\u2300-\u23ff\u24c2\u25aa-\u25fe"
    "\u2600-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe0e\ufe0f\U0001f000-\U0001faff"
    "\U000e0000-\U000e0fff]"
)
_HIDDEN = re.compile(r"[^\n\x20-\x7e]")


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

    Emoji: reactions are how people decide, so evidence may not draw a check mark; and a product
    may rewrite emoji, after which an untouched card would look edited.
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

"""Which part of a command line is a secret? People see it as `***`; the journal keeps the raw line.

One function over any text that people read. It masks too much rather than too little, needs time
in proportion to the text's length, and masking twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from connectors.document import shorten, visible

MASK = "***"
_WINDOW = 2_000

# A value: quoted, or bare with quoted parts inside. A quote that nothing closes hides the rest,
# unless bare text stands before it: then it ends a quotation around the whole.
_QUOTED = r'(?:"[^"]*+(?:"|\Z)|\'[^\']*+(?:\'|\Z)|\u201c[^\u201d\u201c]*+(?:[\u201d\u201c]|\Z))'
_CLOSED = r'(?:"[^"]*+"|\'[^\']*+\')'
_VALUE = rf'(?P<value>{_QUOTED}|[^\s"\']++(?:{_CLOSED}[^\s"\']*+)*+)'
_BARE_NOT_SWITCH = rf"(?![/\-*&|<>]){_VALUE}"
_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|api[-_]?key|access[-_]?token)"
_SECRET_NAME = re.compile(
    rf"(?:.*[^a-z])?(?:{_WORD}|token|authorization)", re.IGNORECASE | re.DOTALL
)
_NET = r"\bnet1?(?:\.exe)?[\"']?\s++"
_SWITCHES = r"(?:\s++/\S++)*+"

_RULES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # /password:x, password=x, "password": "x"; a blank may stand after the colon.
        rf"(?P<head>(?<![a-z]){_WORD}[\"']?\s*+[:=](?!\s*+[/\-]\w++:)\s*+){_VALUE}",
        rf"(?P<head>(?<=[a-z])(?:password|passwd|pwd)\s*+[:=]\s*+){_VALUE}",
        # -password x, schtasks /rp x, plink -pw x
        rf"(?P<head>(?<!\w)[/\-\u2013\u2014]{{1,2}}(?:{_WORD}|rp|pw)\s++){_BARE_NOT_SWITCH}",
        # net user [/add] NAME PASSWORD; a line break separates no words of one command
        rf"(?P<head>{_NET}users?{_SWITCHES}\s++(?:\"[^\"]*+\"|[^\s/\"&|<>][^\s\"]*+){_SWITCHES}"
        r"[^\S\r\n]++)"
        rf"{_BARE_NOT_SWITCH}",
        # net use [X:] \\server\share PASSWORD
        rf"(?P<head>{_NET}use{_SWITCHES}\s++(?:[a-z*]:?\s++)?[\"']?\\\\[^\s\"']++[\"']?\s++)"
        rf"{_BARE_NOT_SWITCH}",
        r"(?P<head>ConvertTo-SecureString\s++(?:-(?:String|AsPlainText|Force)\s++)*+)" + _VALUE,
        r"(?P<head>\b(?:Bearer|Basic)\s++)(?P<value>[\w.~+/=-]{8,}+)",
    )
)
# -U user%secret, /user:domain\user%secret; curl -u user:secret
_AFTER_PERCENT = re.compile(
    r"(?P<head>(?<!\w)[/\-]{1,2}u(?:ser(?:name)?)?(?:\s*+[:=]\s*+|\s++)[\"']?+[^\s\"'%]++%)"
    r"(?P<value>[^\s\"']++)",
    re.IGNORECASE,
)
_AFTER_COLON = re.compile(
    r"(?P<head>(?<!\w)(?:-u|--user|--proxy-user)[\s=]++[\"']?+[^\s\"':/\\]++:)"
    r"(?P<value>[^\s\"']++)",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(?P<head>(?<=:[\\/][\\/])[^\s/\\:@\"']*+:)(?P<value>[^\s/\\\"']+)(?=@)")
_TOOLS_WITH_P = re.compile(
    r"\b(?:psexec(?:64)?|paexec|schtasks|winrs|sqlcmd|osql|mysql|plink|pscp)\b", re.IGNORECASE
)
_SWITCH_P = re.compile(
    rf"(?P<head>(?<=[\s\"'])[/\-]p(?:\s*+:\s*+|\s++)){_BARE_NOT_SWITCH}", re.IGNORECASE
)


def mask_secrets(text: str) -> str:
    """The text with each password shown as `***`. Repeat: masked text stays as it is."""
    for rule in _RULES:
        text = rule.sub(_masked, text)
    for rule in (_AFTER_PERCENT, _AFTER_COLON, _IN_ADDRESS):
        text = rule.sub(_masked, text)
    tool = _TOOLS_WITH_P.search(text)
    if tool is None:
        return text
    return text[: tool.end()] + _SWITCH_P.sub(_masked, text[tool.end() :])


def shown(text: str, limit: int = 200) -> str:
    """Evidence as part of a sentence: secrets masked, cut to about `limit`, and nothing in it that
    could rewrite a terminal."""
    if len(text) > 2 * _WINDOW:
        # The middle is never shown. Only a secret longer than a window could show its end.
        text = f"{text[:_WINDOW]} {text[-_WINDOW:]}"
    return visible(shorten(mask_secrets(text), limit))


def _masked(match: re.Match[str]) -> str:
    """The quotes around a value stay, so that the line's shape does."""
    value = match["value"]
    first, last = value[0], value[-1]
    if first not in "\"'\u201c":
        return match["head"] + MASK
    is_closed = len(value) > 1 and last in "\"'\u201c\u201d"
    return f"{match['head']}{first}{MASK}{last if is_closed else ''}"


def mask_all(value: object, mask: Callable[[str], str] = mask_secrets) -> object:
    """Plain data (lists, objects, texts) with the secrets in each of its texts masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list | tuple):
        return [mask_all(item, mask) for item in value]
    if isinstance(value, dict):
        return {
            key: MASK if _is_secret(key, item) else mask_all(item, mask)
            for key, item in value.items()
        }
    return value


def _is_secret(key: object, value: object) -> bool:
    """A field of its own, as a search's row may have one: nothing in the text tells what it is."""
    is_text = isinstance(value, str) and value != ""
    return is_text and isinstance(key, str) and _SECRET_NAME.fullmatch(key) is not None

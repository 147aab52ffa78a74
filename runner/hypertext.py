"""How a document looks as an HTML page: the only place that makes one, with one escaper.

Nothing in it is active or loaded: no script, no link, no image, and a policy that forbids them all.
"""

from __future__ import annotations

import base64
import hashlib
import html

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table, visible

LONG_WORD = 32
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2127; background: #fff;
  max-width: 72rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid #d5d9de; }
.long { overflow-wrap: anywhere; min-width: 16rem; }
th { background: #f2f4f6; }
pre { background: #f2f4f6; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def page_of(document: Document, title: str) -> str:
    """A whole page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    # The first heading is the page's own.
    body = "\n".join(_block(block, place) for place, block in enumerate(document.blocks))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Any text as text, in an element or in a quoted attribute."""
    return html.escape(visible(text), quote=True)


def _block(block: Block, place: int) -> str:
    match block:
        case Heading(text):
            name = "h2" if place else "h1"
            return f"<{name}>{escape(text)}</{name}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Code(text):
            return f"<pre>{escape(text)}</pre>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Table(header, rows):
            head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
            lines = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
            return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _cell(text: str) -> str:
    """A cell; only one with a long word may be broken anywhere."""
    is_long = any(len(word) > LONG_WORD for word in text.split())
    return f'<td class="long">{escape(text)}</td>' if is_long else f"<td>{escape(text)}</td>"

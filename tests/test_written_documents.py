"""A document as Markdown and as an HTML page: read back by a parser that is not ours, evidence is
text, nothing is active and nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from connectors.document import Bullets, Code, Document, Heading, Paragraph, Table
from runner.hypertext import page_of
from runner.markdown import escape, markdown_of

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "</td></tr></table><h1>clean</h1>",
    "</style></title><script>1</script>",
    "<!-- --> <![CDATA[ ]]>",
    '"><a href="https://evil.example.test/">',
    "' onmouseover='alert(1)",
    "&lt;script&gt; &#60; &amp;",
    "javascript:alert(1)",
    "[click](https://evil.example.test/a)",
    "![x](https://evil.example.test/a.png)",
    "https://evil.example.test/`|`x`|a.xsl",
    "a | b | c",
    "``` \n# clean",
    "# heading",
    "1. one",
    "- [x] done",
    "**bold** _it_ ~~no~~ $x$ @team #12",
    "\x1b[2Jgone\u202egnp.exe\u2028line",
    "===",
    "\\`\\|",
)
VOID = {"meta", "br", "img", "link", "input"}
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "pre", "ul", "li",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def document(*texts: str) -> Document:
    rows = tuple((text, text) for text in texts)
    blocks = [Heading(text=texts[0]), Bullets(items=texts), Table(header=("a", "b"), rows=rows)]
    blocks += [Paragraph(text=text) for text in texts] + [Code(text=text) for text in texts]
    return Document(blocks=tuple(blocks))


class _Page(HTMLParser):
    """What a browser would make of a page: its elements, attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


# -- HTML ------------------------------------------------------------------------------------------


def test_page_when_evidence_is_hostile_then_it_holds_our_elements_only_and_the_text_whole() -> None:
    page = _Page(page_of(document(*HOSTILE), "Report </title><script>"))
    assert set(page.tags) <= KNOWN
    assert page.open == []
    assert {name for name, _ in page.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "scope", "class",
    }  # fmt: skip
    text = "".join(page.words)
    for hostile in HOSTILE:
        if hostile.isprintable():
            assert hostile in text, hostile
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_page_forbids_all_that_is_active_and_names_nothing_elsewhere() -> None:
    text = page_of(document("x"), "Report")
    page = _Page(text)
    (policy,) = [value for name, value in page.attributes if name == "content" and "src" in value]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "http://" not in text
    assert "https://" not in text


# -- Markdown --------------------------------------------------------------------------------------


def unspanned(line: str) -> str:
    """A line without its code spans and escapes: what a reader would still take as markup."""
    bare = re.sub(r"(?<!\\)(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", " ", line)
    return re.sub(r"\\[!-/:-@\[-`{-~]", "x", bare)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markdown_when_evidence_is_hostile_then_no_mark_of_it_is_left(hostile: str) -> None:
    for is_in_table in (False, True):
        line = escape(hostile, in_table=is_in_table)
        assert "\n" not in line
        bare = unspanned(line)
        assert not re.search(r"[`*_\[\]<>|~$#!]|https?:|@", bare), bare
        assert not re.match(r"\s*([-+=:]|\d+[.)])", bare), bare
        assert not re.search(r"&(?!amp;|lt;|gt;)", bare), bare


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markdown_when_a_cell_holds_pipes_then_the_row_has_as_many_cells(hostile: str) -> None:
    table = Table(header=("a", "b"), rows=((hostile, "end"),))
    row = markdown_of(Document(blocks=(table,))).splitlines()[2]
    # GitHub cuts a row at each pipe without a backslash before it, before it looks for spans.
    assert len(re.findall(r"(?<!\\)\|", row)) == 3, row


def test_markdown_when_code_holds_fences_then_its_own_is_longer() -> None:
    text = markdown_of(Document(blocks=(Code(text="a ```` b"),)))
    assert text == "`````text\na ```` b\n`````\n"


def test_markdown_of_plain_words_reads_as_they_do() -> None:
    text = markdown_of(
        Document(
            blocks=(
                Heading(text="Searches"),
                Paragraph(text="Nothing waits at 12:00 UTC."),
                Bullets(items=("one", "two")),
                Table(header=("search", "hits"), rows=(("a", "3"),)),
            )
        )
    )
    assert text == (
        "## Searches\n\nNothing waits at 12:00 UTC.\n\n- one\n- two\n\n"
        "| search | hits |\n| --- | --- |\n| a | 3 |\n"
    )

"""One case as one file that leaves the house: what was seen and done, and the proof of it.

The same journal gives the same bytes. Passwords in evidence are masked; what an entry said stands
there word for word only where nothing in it is masked, for only then its hash proves it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from connectors.document import Block, Document, Heading, Paragraph, Table
from runner.audit import EMPTY, Verdict, verify
from runner.config import Mode
from runner.evidence import case_files, evidence_file
from runner.hypertext import page_of
from runner.journal import Tx, entries
from runner.journal.entries import Entry
from runner.journal.records import Case
from runner.masking import mask_all
from runner.report import case_document

MANIFEST = "MANIFEST"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold: no time of the export may change its bytes."""
_HOW_TO_CHECK = """\
What is in here

  case.json     the case: alert, judgement, runs, calls, questions, votes, isolations
  page.html     the same for reading; it loads nothing and runs nothing
  chain.jsonl   the journal's entries from the case's first to its last, one a line
  proof.json    what was found when the journal's whole chain was checked at the export
  MANIFEST      the SHA-256 of each file

Passwords in evidence are shown as ***.

To check it

  sha256sum -c MANIFEST

Each line of chain.jsonl is an object. Its sha256 is the SHA-256 of the JSON list
[seq, at, actor, kind, refs, payload_sha256, prev], written without blanks, in UTF-8;
prev is the sha256 of the line before. "of_case" says whether the entry tells of this
case; the others are there because the chain runs through them, without what they said.

"payload" is what the entry said: its SHA-256 is payload_sha256. "masked_payload" is
the same without its passwords; only the journal can prove that one. An entry with
neither said nothing, or that was erased.

Cards and tickets carry anchors, NUMBER:HASH: the entry of that number here begins its
sha256 with that hash.
"""


def write_pack(tx: Tx, case: Case, mode: Mode, stream: IO[bytes]) -> Verdict:
    """Write the zip file. The verdict is over the journal's whole chain: a pack of one that is
    broken says so in `proof.json`."""
    own = entries.of_case(tx, case.id)
    first, last = (own[0], own[-1]) if own else (1, 0)
    verdict = verify(tx)
    proof = {"first": first, "last": last, **msgspec.to_builtins(verdict)}
    page = page_of(_masked(_page(tx, case, mode, own)), f"Stockade case {case.id}")
    files: dict[str, Iterable[bytes]] = {
        "README.txt": [_HOW_TO_CHECK.encode()],
        "case.json": [evidence_file(tx, case)],
        "page.html": [page.encode()],
        **{name: [content] for name, content in _pictures(tx, case).items()},
        "chain.jsonl": _lines(tx, first, last, frozenset(own)),
        "proof.json": [json.dumps(proof, indent=2).encode()],
    }
    with zipfile.ZipFile(stream, "w") as pack:
        sums = [f"{_add(pack, name, parts)}  {name}\n" for name, parts in files.items()]
        _add(pack, MANIFEST, ["".join(sums).encode()])
    return verdict


def _pictures(tx: Tx, case: Case) -> dict[str, bytes]:
    """The graph's files, as a ticket has them."""
    files = case_files(tx, case)
    return {name: files[name] for name in sorted(files) if not name.startswith("evidence-")}


def _add(pack: zipfile.ZipFile, name: str, parts: Iterable[bytes]) -> str:
    """Write one file, a part at a time; its SHA-256."""
    member = zipfile.ZipInfo(name, _FIRST_DAY)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = 3
    member.external_attr = 0o100600 << 16
    digest = hashlib.sha256()
    with pack.open(member, "w", force_zip64=True) as stream:
        for part in parts:
            digest.update(part)
            stream.write(part)
    return digest.hexdigest()


def _lines(tx: Tx, first: int, last: int, own: frozenset[int]) -> Iterator[bytes]:
    for entry in entries.between(tx, first, last):
        yield json.dumps(_line(entry, is_own=entry.seq in own)).encode() + b"\n"


def _line(entry: Entry, *, is_own: bool) -> dict[str, Any]:
    link: dict[str, Any] = msgspec.to_builtins(entry)
    body = link.pop("body")
    link["of_case"] = is_own
    if is_own and body is not None:
        said = json.loads(body)
        masked = mask_all(said)
        link |= {"payload": body} if masked == said else {"masked_payload": masked}
    return link


def _page(tx: Tx, case: Case, mode: Mode, own: list[int]) -> Document:
    rows = tuple(
        (str(entry.seq), entry.at, entry.actor, entry.kind, _told(entry), entry.sha256)
        for seq in own
        for entry in entries.between(tx, seq, seq)
    )
    header = ("entry", "at", "by", "what", "what it said", "hash")
    proof: tuple[Block, ...] = (
        Heading(text="In the journal"),
        Table(header=header, rows=rows),
        Paragraph(text="What they said stands in chain.jsonl; how to check it, in README.txt."),
    )
    return Document(blocks=(*case_document(tx, case, mode).blocks, *proof))


def _told(entry: Entry) -> str:
    if entry.body is not None:
        return "in chain.jsonl"
    return "nothing" if entry.payload_sha256 == EMPTY else "erased"


def _masked(document: Document) -> Document:
    return msgspec.convert(mask_all(msgspec.to_builtins(document)), type=Document)

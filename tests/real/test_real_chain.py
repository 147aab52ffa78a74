"""One case through the whole chain, from the hit to the release, with nothing pretended between the
yes in the room and the connection that no longer comes about."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from runner.evidence import case_files
from runner.journal import cases
from runner.journal.records import LedgerState
from tests.real.bindings import FIELDS
from tests.real.chain import NO, YES, Chain, key_of, running_chain, store_on_neighbor
from tests.real.reaching import ALL, CUT, NEIGHBOR, paths
from tests.real.rt_server import RtServer
from tests.real.synapse_server import SynapseServer
from tests.servers.lab.network import Network
from tests.world_settings import HOST


def test_chain_when_a_person_agrees_then_cut_off_told_read_back_and_let_back(
    rt_server: RtServer, synapse_server: SynapseServer, lab: Network, tmp_path: Path
) -> None:
    with running_chain(tmp_path, rt_server, synapse_server, lab) as chain:
        store_on_neighbor(chain)
        (card,) = chain.tick_until("a card", lambda: chain.cards(f"ISOLATE {HOST}?"))
        assert paths(lab) == ALL
        chain.alice.react(chain.room, card, YES)
        chain.tick_until("isolated", lambda: chain.state() is LedgerState.CONFIRMED)
        assert paths(lab) == CUT
        assert any(text.startswith("APPROVED by responder-b") for text in chain.thread(card))

        # The hunt found the same address on the neighbor; people say no to that one.
        (wave,) = chain.tick_until("the wave", lambda: chain.cards(f"ISOLATE {NEIGHBOR}?"))
        chain.alice.react(chain.room, wave, NO)
        chain.tick_until("the evidence", lambda: files_of(chain))
        assert paths(lab) == CUT
        assert chain.state(NEIGHBOR) is None
        compare_ticket(chain)
        compare_files(chain)

        asked = chain.line("release", HOST, "--reason", "the host is clean")
        assert asked.code == 0, asked
        (back,) = chain.tick_until("a card", lambda: chain.cards(f"RELEASE {HOST}?"))
        assert paths(lab) == CUT
        # Whoever asked is nobody's login here, so it might be the one who answers: it takes two.
        chain.lead.react(chain.room, back, YES)
        chain.tick()
        assert paths(lab) == CUT
        chain.alice.react(chain.room, back, YES)
        chain.tick_until("released", lambda: chain.state() is LedgerState.RELEASED)
        assert paths(lab) == ALL
        said = f"{HOST} released, confirmed by the EDR"
        chain.tick_until("the ticket says so", lambda: any(said in text for text in chain.texts()))
        assert len(chain.tickets()) == 1
        assert chain.line("audit", "verify").code == 0


def compare_ticket(chain: Chain) -> None:
    """Field by field, as an administrator of RT sees it, with what the journal knows."""
    case, ticket = chain.case(), chain.ticket()
    assert case is not None
    assert case.ticket is not None
    assert case.ticket.key == f"RT#{ticket['id']}"
    assert ticket["Subject"] == f"wmic /format on {HOST}"
    assert ticket["Creator"]["id"] == "stockade"
    fields = {one["name"]: sorted(one["values"]) for one in ticket["CustomFields"]}
    assert fields == {
        "Stockade Key": [key_of(case)],
        "Severity": [FIELDS["Severity"]],
        "Affected Host": sorted(FIELDS["Affected Host"]),
    }
    first, *later = chain.texts()
    assert case.id in first
    assert "stager.example.test" in first
    told = "\n".join(later)
    for said in (
        f"{HOST} isolated, confirmed by the EDR's record",
        "APPROVED by responder-b",
        "DENIED by responder-b",
        f"stockade release {HOST}",
        NEIGHBOR,
    ):
        assert said in told, said


def files_of(chain: Chain) -> dict[str, bytes]:
    return {part.file_name: part.content for part in chain.parts() if part.file_name}


def compare_files(chain: Chain) -> None:
    """Drawings are as the journal draws them now; the evidence names the journal's own head."""
    found, journal = files_of(chain), chain.journal()
    try:
        with journal.read() as tx:
            (case,) = cases.every(tx)
            mine = case_files(tx, case)
            heads = dict(tx.all("select seq, sha256 from entry"))
    finally:
        journal.close()
    drawings = {name for name in mine if not name.startswith("evidence-")}
    assert drawings
    assert {name: sha256(found[name]).hexdigest() for name in drawings} == {
        name: sha256(mine[name]).hexdigest() for name in drawings
    }
    evidence = json.loads(found[f"evidence-{case.id}.json"])
    head = evidence["journal_head"]
    assert heads[head["seq"]] == head["sha256"]
    assert evidence["case"]["id"] == case.id
    assert [row["state"] for row in evidence["ledger"]] == ["confirmed"]
    assert evidence["alert"] == json.loads(mine[f"evidence-{case.id}.json"])["alert"]

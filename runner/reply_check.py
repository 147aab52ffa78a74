"""Can the runner read what people type in a thread? `check --send` proves it with a person.

It posts one message that asks for nothing, and changes it at the end. It takes no lock: a runner
may work beside it. A bot's own messages may be readable where people's are not, so that only a
person's reply is a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from connectors.base import Chat
from connectors.document import Document, Paragraph
from connectors.errors import ConnectorError, OutcomeUnknown, Unavailable
from connectors.model import Card, ChatPlace, CheckResult, MessageRef, ThreadReply
from runner.config import FALLBACK
from runner.journal.approvals import CODE_LETTERS
from runner.reply_proof import ReplyProof, drop_proof, note_proof, proof_of
from runner.service import Service

LOOK_EVERY_S = 5.0
WORD_LETTERS = 8

ASKS = (
    "Stockade check: no action is needed and none is asked for here. This thread proves that "
    "replies can be read: a person is asked to type, in the thread, the word that stands there."
)
PROVED = "Stockade check, done: replies in threads can be read here. Nothing more to do."
NOT_PROVED = "Stockade check, done: it was NOT proved that replies can be read here."


class ReplyCheck:
    """One test message in the channel of each chat. `choose` picks a random letter; `tell` shows
    people what is waited for."""

    def __init__(
        self,
        service: Service,
        choose: Callable[[str], str],
        tell: Callable[[str], None],
        wait_s: float,
    ) -> None:
        self._service = service
        self._journal = service.journal
        self._clock = service.clock
        self._choose = choose
        self._tell = tell
        self._wait_s = wait_s

    def results(self) -> Sequence[CheckResult]:
        roles = [role for role in ("chat", FALLBACK) if self._service.roles.has(role)]
        if not roles:
            mend = "no chat is configured: add one, and bind it under roles"
            return [CheckResult(what="typed replies", ok=False, mend=mend)]
        return [self._chat(cast(Chat, self._service.roles.connector(role))) for role in roles]

    def _chat(self, chat: Chat) -> CheckResult:
        what = f"chat ({chat.name}): typed replies"
        try:
            place = chat.read_place()
            proof = self._try(chat, place)
        except OutcomeUnknown as fault:
            mend = (
                f"nobody knows whether the test message was posted ({fault.text}): look, try again"
            )
            return CheckResult(what=what, ok=False, mend=mend)
        except _NotProved as not_proved:
            return self._failed(chat, what, not_proved)
        except ConnectorError as fault:
            return CheckResult(what=what, ok=False, mend=fault.text)
        with self._journal.write() as tx:
            note_proof(tx, chat.name, proof)
        who = proof.person or proof.account
        return CheckResult(what=f"{what} can be read in {place.channel}, as {who} typed", ok=True)

    def _failed(self, chat: Chat, what: str, why: _NotProved) -> CheckResult:
        with self._journal.write() as tx:
            tx.entry("replies_not_proved", {"connector": chat.name}, {"why": str(why)})
            if why.is_final:
                drop_proof(tx, chat.name, str(why))
            before = proof_of(tx, chat.name)
        stands = "" if before is None else f" (proved before, at {before.at:%Y-%m-%d %H:%M} UTC)"
        return CheckResult(what=what, ok=False, mend=f"{why}{stands}")

    # -- one message -------------------------------------------------------------------------------

    def _try(self, chat: Chat, place: ChatPlace) -> ReplyProof:
        """Errors: `_NotProved`; `ConnectorError`."""
        word = "".join(self._choose(CODE_LETTERS) for _ in range(WORD_LETTERS))
        key = f"check-{word}"
        refs = {"connector": chat.name}
        with self._journal.write() as tx:
            tx.entry("reply_check_begun", refs, {"place": place, "key": key})
        ref = chat.post_message(key, Document(blocks=(Paragraph(text=ASKS),)))
        with self._journal.write() as tx:
            tx.entry("reply_check_posted", refs, ref)
        account = None
        try:
            chat.post_reply(ref, f"{key}-word", word)
            self._tell(
                f"{chat.name}: type {word} in the thread of the test message in "
                f"{place.channel}, within {self._wait_s:g} s"
            )
            account = self._person_who_typed(chat, ref, word)
        finally:
            self._end(chat, ref, key, NOT_PROVED if account is None else PROVED)
        people = self._service.config.people.values()
        names = [person.name for person in people if person.account == account]
        return ReplyProof(
            place=place,
            account=account,
            person=names[0] if names else None,
            at=self._clock.now(),
            message=ref.id,
        )

    def _person_who_typed(self, chat: Chat, ref: MessageRef, word: str) -> str:
        """The account of the first person whose reply is the word. Errors: `_NotProved`."""
        until = self._clock.monotonic() + self._wait_s
        nobody = _NotProved("nobody typed the word in time")
        last: _NotProved | None = None
        while True:
            wait_s = LOOK_EVERY_S
            try:
                looked = self._look(chat, ref, word)
            except Unavailable as fault:
                wait_s = max(LOOK_EVERY_S, fault.retry_after_s or 0.0)
                looked = _NotProved(f"replies could not be read: {fault.text}")
            except ConnectorError as fault:
                looked = _NotProved(f"replies cannot be read: {fault.text}", is_final=True)
            if isinstance(looked, str):
                return looked
            was_final = last is not None and last.is_final
            last = looked or nobody
            if self._clock.monotonic() + wait_s > until:
                # A product may show late what was just said: one look alone takes no proof away.
                raise _NotProved(str(last), is_final=last.is_final and was_final)
            self._clock.sleep(wait_s)

    def _look(self, chat: Chat, ref: MessageRef, word: str) -> str | _NotProved | None:
        """The account that proves it; or why what is there does not; None for nothing yet."""
        replies = chat.read_replies(ref)
        if not any(reply.is_ours for reply in replies):
            return _NotProved("not even our own reply could be read", is_final=True)
        typed = [one for one in replies if one.text.upper() == word and not one.is_ours]
        why_not = None
        for reply in typed:
            why_not = self._why_no_proof(chat, reply)
            if why_not is None:
                return reply.account
        last = None if why_not is None else f"{typed[-1].account} typed the word: {why_not}"
        return None if last is None else _NotProved(last)

    def _why_no_proof(self, chat: Chat, reply: ThreadReply) -> str | None:
        if reply.fault is not None:
            return reply.fault
        try:
            account = chat.read_account(reply.account)
        except ConnectorError as fault:
            return f"the account cannot be looked up: {fault.text}"
        is_person = account.is_active and account.is_full_member and not account.is_bot
        return None if is_person else "that is no active full member's account"

    def _end(self, chat: Chat, ref: MessageRef, key: str, text: str) -> None:
        """The test message says what was found, and that nothing is waited for any more."""
        body = Document(blocks=(Paragraph(text=text),))
        try:
            chat.update_card(ref, Card(key=key, fallback=text, body=body, choices=(), locked=True))
        except ConnectorError as fault:
            self._tell(f"{chat.name}: the test message could not be changed: {fault.text}")


class _NotProved(Exception):
    """Why it is not proved. `is_final`: it cannot be read at all, whatever was proved before."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final

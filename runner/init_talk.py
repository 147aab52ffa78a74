"""Questions in a terminal, one line each: plain text, an answer a line, secrets unseen.

It knows no product and writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from connectors.document import visible

TRIES = 20
"""So many answers that do not fit end the talk: nobody is reading what is said."""


class Stopped(Exception):
    """The answers ended before the questions did; its text says so."""


class Talk(Struct, frozen=True, kw_only=True):
    """`line` reads one answer, `hidden` one that is not shown; both raise `EOFError` at the end.
    `say` prints a line."""

    line: Callable[[str], str]
    hidden: Callable[[str], str]
    say: Callable[[str], None]

    def title(self, text: str) -> None:
        self.say(f"\n{text}\n{'─' * len(text)}")

    def tell(self, text: str) -> None:
        """A line that may hold a product's words."""
        self.say(visible(text, keep_newlines=True))

    def ask(
        self,
        what: str,
        default: str | None = None,
        why_not: Callable[[str], str | None] = lambda _text: None,
    ) -> str:
        """An answer that fits; the default when nothing is typed. `why_not`: a sentence for one
        that does not. An empty default means that nothing may be said. Errors: `Stopped`."""
        shown = f"{what} [{default or 'none'}]: " if default is not None else f"{what}: "
        for _ in range(TRIES):
            given = self._read(self.line, shown) or default
            if given == "" and default == "":
                return ""
            fault = "an answer is needed" if not given else why_not(given)
            if given and fault is None:
                return given
            self.tell(f"  {fault}")
        raise Stopped(f"{what}: {TRIES} answers that do not fit")

    def secret(self, what: str) -> str:
        """Errors: `Stopped`."""
        for _ in range(TRIES):
            given = self._read(self.hidden, f"{what} (not shown): ")
            if given:
                return given
            self.say("  an answer is needed")
        raise Stopped(f"{what}: no answer")

    def agree(self, what: str, *, default: bool) -> bool:
        """Yes or no."""
        known = {"y": True, "yes": True, "n": False, "no": False}
        word = self.ask(
            f"{what} (y/n)",
            "y" if default else "n",
            lambda text: None if text.lower() in known else "write y or n",
        )
        return known[word.lower()]

    def choose(self, what: str, offers: Sequence[str], *, is_free: bool = False) -> str:
        """One of the offers, by number or as it stands; `is_free`: or any other text."""
        for place, offer in enumerate(offers, 1):
            self.tell(f"  {place}  {offer}")
        numbered = {str(place): offer for place, offer in enumerate(offers, 1)}
        given = self.ask(
            what,
            "1" if offers else None,
            lambda text: (
                None
                if is_free or text in numbered or text in offers
                else f"write a number from 1 to {len(offers)}"
            ),
        )
        return given if given in offers else numbered.get(given, given)

    def _read(self, read: Callable[[str], str], shown: str) -> str:
        try:
            return read(visible(shown)).strip()
        except EOFError:
            raise Stopped("the answers ended before the questions did") from None

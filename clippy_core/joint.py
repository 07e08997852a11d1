"""Where the second part of an answer joins the first: what it repeats of the first is left out.

A model that is asked to go on repeats the last words, the last sentence or everything, or nothing; it begins with the
space that the first part ended with, or without it.  Nothing here waits, and as little as possible is held back: only
what may still turn out to be a repetition.
"""

from __future__ import annotations

from attrs import define, field

LOOK_BACK = 4000
"""Characters of the first part in which a repetition may begin, if it is not a repetition of everything."""
_UNSPACED = 0x2E80
"""From here on are the scripts that are written without spaces, so that a word may begin at any character."""


@define(eq=False)
class Joint:
    """Feed it the pieces of the second part; what comes back belongs behind the first.

    ``exact``: the model was given the first part as the beginning of its own answer, so that only a repetition of all
    of it is one; else also one that begins at a word, as "... the eleph" and "elephant".
    """

    said: str
    exact: bool = False
    _ends: int = field(init=False)
    _starts: list[int] | None = field(init=False, default=None)
    _held: str = field(init=False, default="")
    _compared: int = field(init=False, default=0)
    _last_word: int = field(init=False)
    _done: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._ends = len(self.said.rstrip())
        words = self.said[-LOOK_BACK:].split()
        self._last_word = self._ends - len(words[-1]) if words else 0

    def feed(self, text: str) -> str:
        """What of *text*, and of what was held before it, may go out now."""
        if self._done:
            return text
        self._held += text
        return self._decided(False)

    def finish(self) -> str:
        """What is still held, at the end of the text."""
        return "" if self._done else self._decided(True)

    def _decided(self, final: bool) -> str:
        body = self._held.lstrip()
        if not body and not final:
            self._done = len(self._held) > LOOK_BACK
            return self._seam(self._held) if self._done else ""
        starts = self._starts if self._starts is not None else self._beginnings()
        self._starts = growing = [start for start in starts if self._fits(start, body)]
        self._compared = len(body)
        whole = [start for start in growing if self._repeated(start, body, final)]
        if not final and any(not self._known(start, body) for start in growing):
            return ""
        self._done = True
        return self._seam(body[self._ends - min(whole) :] if whole else self._held)

    def _beginnings(self) -> list[int]:
        ends = self._ends
        if self.exact or not ends:
            return [0] if ends else []
        found = [at for at in range(max(1, ends - LOOK_BACK), ends) if self._begins(at)]
        return [0, *found]

    def _begins(self, at: int) -> bool:
        here, before = self.said[at], self.said[at - 1]
        return not here.isspace() and (before.isspace() or (ord(here) >= _UNSPACED and self._ends - at > 1))

    def _fits(self, start: int, body: str) -> bool:
        """Whether *body* says the same as the first part from *start* on, as far as both go."""
        length = min(len(body), self._ends - start)
        compared = min(self._compared, length)
        return self.said.startswith(body[compared:length], start + compared)

    def _known(self, start: int, body: str) -> bool:
        """Whether it can be told if *body* repeats all from *start* on: one more character says whether a word ends."""
        return len(body) > self._ends - start

    def _repeated(self, start: int, body: str, final: bool) -> bool:
        length = self._ends - start
        if len(body) < length or (len(body) == length and not final):
            return False
        rest = body[length : length + 1]
        word_goes_on = rest.isalnum() and body[length - 1].isalnum()
        if word_goes_on and self._ends < len(self.said):
            return False  # "the " and "them": another word
        # " the" behind "the" may well be meant; "the" behind it is said twice.
        return not (start >= self._last_word and start and self._held[:1].isspace())

    def _seam(self, rest: str) -> str:
        """*rest*, without the white space that the first part ends with."""
        space = rest[: len(rest) - len(rest.lstrip())]
        had = self.said[self._ends :]
        if not had or not space:
            return rest
        return rest[len(had) :] if space.startswith(had) else rest[len(space) :]

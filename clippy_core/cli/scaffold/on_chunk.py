"""A plugin that changes answers, streamed and whole."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import RequestContext, TextFilter


@define(eq=False)
class Plugin(TextFilter):
    """Replaces a word in answers, streamed and whole."""

    word: str = field(default="", metadata={"doc": "the word to replace; empty: none"})
    instead: str = field(default="***", metadata={"doc": "what stands in its place"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        """What may go out now, and what must wait because the next piece could make it the word.

        ``TextFilter`` makes on_chunk and on_response of this.
        """
        if not self.word:
            return text, ""
        *before, rest = text.split(self.word)
        waits = 0 if final else self._begun(rest)
        cut = len(rest) - waits
        return self.instead.join([*before, rest[:cut]]), rest[cut:]

    def _begun(self, text: str) -> int:
        """How many letters at the end of *text* may be the beginning of the word."""
        longest = min(len(text), len(self.word) - 1)
        return next((count for count in range(longest, 0, -1) if text.endswith(self.word[:count])), 0)

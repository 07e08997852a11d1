"""Values of labels: what callers, providers and plugins chose as a name, cleaned, and only so many different ones."""

from __future__ import annotations

from attrs import define, field
from clippy_audit import redact

LONGEST = 100
"""Characters of a value.  What is longer was not meant as a name, and may be a prompt."""
OTHER = "other"
"""Stands for every value that has none of its own."""
_REMEMBERED = 4
"""How many ways of writing are remembered for each value."""


def clean(text: str) -> str:
    """*text* as a value of a label: one line that can be read, without secrets; ``other`` where it is no name."""
    if len(text) > LONGEST or redact(text) != text:
        return OTHER
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


@define(eq=False)
class Names:
    """The values of one label, of which only the first *most* are shown: each is a series that Prometheus keeps."""

    most: int
    _shown: dict[str, str] = field(factory=dict, init=False, repr=False)
    _kept: set[str] = field(factory=set, init=False, repr=False)

    def shown(self, text: str | None, new: bool = True) -> str:
        """The value for *text*, "" for none.  Where it is not *new*, only one that was shown before is shown again."""
        if not text:
            return ""
        known = self._shown.get(text)
        if known is not None:
            return known
        value = clean(text)
        if value not in self._kept:
            if not new or len(self._kept) >= self.most:
                return OTHER
            self._kept.add(value)
        if len(self._shown) < _REMEMBERED * self.most:
            self._shown[text] = value
        return value

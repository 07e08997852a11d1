"""What a semantic cache did, or in shadow mode would have done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import field, frozen
from clippy_hookspecs import CacheEntry, StatusTable

Tier = Literal["words", "meaning"]
Answers = Literal["equal", "near", "other"]
NEAR = 0.8
"""Share of words that two answers have in common from which on they count as near each other."""
MOST_SHADOWED = 256
"""Pairs of questions that shadow mode keeps to be looked at."""
REMEMBERED = 4096
"""Hits of which it is known later which they were, for those who report a wrong one."""
_LONGEST = 200
"""Characters of a question that are kept for that."""
_WORD = re.compile(r"\w+")


@frozen
class Hit:
    """An answer that was given, or in shadow mode would have been: by which tier and how alike the questions are.

    ``similarity`` is the cosine of the two questions, 1.0 for those of the same words.
    """

    key: str
    tier: Tier
    similarity: float


@frozen
class Report:
    """What became of the report of a wrong answer; true where it changed anything.

    ``what``: *dropped*; *stricter* (it takes more likeness from now on); *before* (this answer was reported already);
    *gone* (what was given is not kept any more); *unknown* (no answer that this process gave, among the newest).
    ``why`` is the same as a sentence.
    """

    what: Literal["dropped", "stricter", "before", "gone", "unknown"]
    why: str

    def __bool__(self) -> bool:
        return self.what in ("dropped", "stricter")


BEFORE = Report("before", "this answer was reported before")
GONE = Report("gone", "what was given is not kept any more: it expired, was dropped or made room")
DROPPED = Report("dropped", "what was given is dropped")


def unknown(request_id: str) -> Report:
    """What is said of a report about a request that was not answered here."""
    where = (
        f"none of the newest {REMEMBERED} answers of this process's cache-semantic was to the request {request_id!r}"
    )
    return Report("unknown", f"{where}: its provenance says who gave it, and a gateway's other workers know their own")


@frozen
class Shadowed:
    """A question that would have been answered in shadow mode, and what the provider then said.

    ``request`` is the id of its request, ``stored`` that of the request whose answer it would have got: an audit log
    has both.  ``tier`` and ``similarity`` are those of :class:`Hit`.  ``answers`` says how the provider's answer
    compares with the stored one: *equal*, *near* (four fifths of the words) or *other*.  ``question`` and
    ``stored_question`` are content: empty unless the setting ``content`` is true, and at most 200 characters.
    """

    request: str
    stored: str
    tier: Tier
    similarity: float
    answers: Answers
    question: str = field(default="", repr=False)
    stored_question: str = field(default="", repr=False)


def shadowed(
    request: str, hit: Hit, stored: CacheEntry, now: CacheEntry, question: str = "", stored_question: str = ""
) -> Shadowed:
    """The pair of a question and what it would have been answered with; *now* is what the provider said."""
    answers = compared(stored.response.text, now.response.text)
    texts = question[:_LONGEST], stored_question[:_LONGEST]
    return Shadowed(request, stored.origin, hit.tier, hit.similarity, answers, *texts)


def table_of(shadowed: Sequence[Shadowed]) -> StatusTable:
    """Pairs for people who watch, the newest first; never content."""
    columns = ("request", "would have got the answer of", "by", "similarity", "the answers are")
    rows = tuple(
        (one.request, one.stored, one.tier, round(one.similarity, 3), one.answers) for one in reversed(shadowed)
    )
    return StatusTable("questions in the shadow", columns, rows)


@frozen
class SemanticStatistics:
    """Counts since the plugin was made.

    ``lookups``: questions that might have been answered.  ``words``, ``meaning``: hits by tier; in shadow mode what
    would have been.  ``vetoes``: near questions that a guard told apart, by its name.  ``equal``, ``near``, ``other``:
    in shadow mode, how the provider's answer compares with the one that would have been given.  ``reported``: hits that
    were reported as wrong.
    """

    lookups: int
    words: int
    meaning: int
    vetoes: Mapping[str, int]
    equal: int
    near: int
    other: int
    reported: int


def compared(one: str, other: str) -> Answers:
    """How alike two answers are, by their words and how often each comes."""
    if " ".join(one.split()) == " ".join(other.split()):
        return "equal"
    mine, yours = (Counter(_WORD.findall(text.casefold())) for text in (one, other))
    together = (mine | yours).total()
    return "near" if together and (mine & yours).total() / together >= NEAR else "other"

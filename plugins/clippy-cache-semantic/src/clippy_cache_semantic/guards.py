"""Whether two texts that an embedding finds alike ask for the same: rules, each of which may say no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from .letters import slips
from .lexicon import english
from .reading import Reading, Word
from .roles import role
from .vocabulary import FACING, FUNCTION, MAY, MUST, QUANTITIES

Guard = Callable[[Reading, Reading], "str | None"]


def number(one: Reading, other: Reading) -> str | None:
    """The same numbers, in digits, words or as ordinals."""
    return None if one.numbers == other.numbers else "number"


def unit(one: Reading, other: Reading) -> str | None:
    """The same units, as far as both name them."""
    return None if one.units <= other.units or other.units <= one.units else "unit"


def time(one: Reading, other: Reading) -> str | None:
    """The same days, months, seasons and times of day."""
    return None if one.when == other.when else "time"


def negation(one: Reading, other: Reading) -> str | None:
    """Both say no equally often, but for pairs."""
    return None if one.negations % 2 == other.negations % 2 else "negation"


def antonym(one: Reading, other: Reading) -> str | None:
    """No word of one is the opposite of a word of the other, where neither has a counterpart."""
    opposed = english().opposed
    mine, yours = _lacking(one, other), _lacking(other, one)
    return "antonym" if any(opposed(a, b) for a in mine for b in yours) else None


def code(one: Reading, other: Reading) -> str | None:
    """The same code, as it is written."""
    return None if one.code == other.code else "code"


def name(one: Reading, other: Reading) -> str | None:
    """The same names, where both have any."""
    if one.capitals & FUNCTION != other.capitals & FUNCTION:
        return "name"  # US and us, WHO and who
    if _unsaid(one, other) or _unsaid(other, one):
        return "name"
    mine, yours = (
        {word.text for word in text.words if word.name or not english().knows(word.text)} for text in (one, other)
    )
    left, right = mine - {w.text for w in other.words}, yours - {w.text for w in one.words}
    lone = [
        a
        for a in left
        if not any(_match(a, b.text, a in one.names, b.name) or _other_name(a, b, one) for b in other.words)
    ]
    lone += [
        b
        for b in right
        if not any(_match(a.text, b, a.name, b in other.names) or _other_name(b, a, other) for a in one.words)
    ]
    lone = [
        word
        for word in lone
        if not any(_initials(word, word in mine.names, yours) for mine, yours in ((one, other), (other, one)))
        and not (_joined(word, one) or _joined(word, other) or _half(word, one, other) or _half(word, other, one))
    ]
    return "name" if lone else None


def _unsaid(one: Reading, other: Reading) -> bool:
    """Whether *one* speaks of a word that *other* has in no form: hello, and hi."""
    return any(not any(_same(word, token) for token in other.tokens) for word in one.spoken)


def kind(one: Reading, other: Reading) -> str | None:
    """Both ask how, when, where, why, who, how much, or whether, where that can be told."""
    mine, yours = one.kind, other.kind
    if mine == yours or not (mine and yours) or {mine, yours} == {"what", "how"}:
        return None
    for what, named in ((one, other), (other, one)):
        # "What is the age" may be "how old".
        if what.kind == "what" and any(_says(named.kind_words, token) for token in what.tokens):
            return None
    return "kind"


def _says(words: frozenset[str], token: str) -> bool:
    forms = english().forms(token)
    return bool(words & forms) if forms else any(slips(word, token) == 1 for word in words if len(word) > 3)


def scope(one: Reading, other: Reading) -> str | None:
    """The same small words that change what is asked: only, all, before, under, last, and what must or may be."""
    if {_duty(one), _duty(other)} == {True, False}:
        return "scope"
    mine, yours = set(one.tokens), set(other.tokens)
    for a, b in FACING:
        if (a in mine - yours and b in yours - mine) or (b in mine - yours and a in yours - mine):
            return "scope"
    return None if one.strict == other.strict else "scope"


def _duty(text: Reading) -> bool | None:
    """Whether *text* is about what must be; False for what may be, None for both, neither and a way to do it."""
    must, may = MUST.search(text.bare) is not None, MAY.search(text.bare) is not None
    return None if must == may or text.kind == "how" else must


def content(one: Reading, other: Reading) -> str | None:
    """Each word of content has a counterpart on the other side."""
    pairs, left, right = aligned(one, other)
    if left or right or not pairs:
        return "content"  # also where there is no word to go by
    return role(one, other, pairs)


def aligned(one: Reading, other: Reading) -> tuple[list[tuple[int, int]], list[Word], list[Word]]:
    """Which word stands for which, and those of each side that stand alone and are more than filling."""
    alike = english().alike
    pairs: list[tuple[int, int]] = []
    free = set(range(len(other.words)))
    for test in (_same, alike):
        taken = {a for a, _ in pairs}
        for a, word in enumerate(one.words):
            if a in taken:
                continue
            for b in sorted(free):
                there = other.words[b]
                if test is alike and not _may_be_synonyms(word, there):
                    continue
                if test(word.text, there.text):
                    pairs.append((a, b))
                    free.discard(b)
                    break
    taken = {a for a, _ in pairs}
    left, right = [w for a, w in enumerate(one.words) if a not in taken], [other.words[b] for b in sorted(free)]
    for word in list(left):
        twin = next((w for w in right if _match(word.text, w.text, word.name, w.name)), None)
        if twin is not None:
            left.remove(word)
            right.remove(twin)
    return pairs, _telling(left, one, other), _telling(right, other, one)


def _telling(words: Sequence[Word], mine: Reading, other: Reading) -> list[Word]:
    """Those of *words* that are more than filling, and that the other side does not have in some other form."""
    there = [word.text for word in other.words]
    forms = english().forms
    asked = _asked_for(mine, other)
    return [
        word for word in words
        if not word.filler
        and not any(_same(word.text, text) for text in there)
        and not (forms(word.text) | {word.text}) & asked
        and not _initials(word.text, word.name, other) and not _spelt_out(word.text, mine, other)
        and not _joined(word.text, other) and not _is_part(word.at, mine, other)
    ]  # fmt: skip


def _asked_for(one: Reading, other: Reading) -> frozenset[str]:
    """Words that only say again what both ask for; of "what is the size" and "how big" those of the quantity."""
    kinds = {one.kind, other.kind} - {""}
    if len(kinds) < 2 or ("what" in kinds and kinds & QUANTITIES):
        return one.kind_words | other.kind_words
    return frozenset()


def _may_be_synonyms(one: Word, other: Word) -> bool:
    """Names have no synonyms but those of everyday, as America has; initials may be a word of their own, as ATM is."""
    named = (one.name and not one.short) or (other.name and not other.short)
    return not named or english().everyday(one.text, other.text)


def _same(one: str, other: str) -> bool:
    return one == other or bool(english().forms(one) & english().forms(other))


def _other_name(name: str, word: Word, named: Reading) -> bool:
    known = english()
    return known.everyday(name, word.text) or (
        (name in named.capitals or known.knows(name))
        and not (word.name and not word.short)
        and known.alike(name, word.text)
    )


def _lacking(one: Reading, other: Reading) -> list[str]:
    """Words of *one* that *other* has neither as they are nor in words that say the same."""
    alike, there = english().alike, frozenset(other.tokens)
    mine = [token for token in one.tokens if token not in there and token[0].isalpha()]
    return [token for token in mine if not any(alike(token, word) for word in there)]


def _match(one: str, other: str, one_named: bool, other_named: bool) -> bool:
    """Whether one is the other with a slip of the pen: only where one of them is no word at all, nor a name."""
    if one == other:
        return True
    known = english().knows
    if known(one) == known(other) or (one_named and not known(one)) or (other_named and not known(other)):
        return False
    return slips(one, other) <= (1 if min(len(one), len(other)) < 7 else 2) and min(len(one), len(other)) > 3


def _initials(word: str, named: bool, text: Reading) -> bool:
    """Whether *word* stands for words of *text* by their first letters, as PR does for pull request."""
    if not 2 <= len(word) <= 5 or (english().knows(word) and not named):
        return False
    return word in text.initials and word not in text.tokens


def _spelt_out(word: str, mine: Reading, other: Reading) -> bool:
    """Whether *word* is one of those that the other side gives the first letters of."""
    tokens = mine.tokens
    letters = mine.initials
    for short in other.words:
        if 2 <= len(short.text) <= 5 and (short.name or not english().knows(short.text)) and short.text not in tokens:
            at = letters.find(short.text)
            if at >= 0 and word in tokens[at : at + len(short.text)]:
                return True
    return False


def _joined(word: str, text: Reading) -> bool:
    """Whether *word* is two neighbours of *text* written as one: timezone, e-mail, cover letter."""
    return len(word) > 3 and any(a + b == word for a, b in pairwise(text.tokens))


def _is_part(at: int, mine: Reading, other: Reading) -> bool:
    """Whether the word at *at* and a neighbour are one word of the other side."""
    tokens, words = mine.tokens, {word.text for word in other.words if len(word.text) > 3}
    return any("".join(pair) in words for pair in (tokens[max(0, at - 1) : at + 1], tokens[at : at + 2]))


def _half(word: str, mine: Reading, other: Reading) -> bool:
    """Whether *word* is in *mine* but a part of what is one word of the other side: Wi-Fi, wifi."""
    return any(there.text == word and _is_part(there.at, mine, other) for there in mine.words)


BALANCED: tuple[Guard, ...] = (number, unit, time, negation, antonym)
STRICT: tuple[Guard, ...] = (*BALANCED, code, kind, scope, name, content)
PROFILES: dict[str, tuple[Guard, ...]] = {"strict": STRICT, "balanced": BALANCED, "verifier": ()}


def difference(one: Reading, other: Reading, guards: Sequence[Guard] = STRICT) -> str | None:
    """The name of the first guard that tells the two apart, None if they may share an answer."""
    for guard in guards:
        if (found := guard(one, other)) is not None:
            return found
    return None

"""Whether two texts in the same words say them of the same things: who did it and to whom, from where and to where.

English tells by the order of words, by prepositions and by the passive.  Words may change places only in ways that
leave all that alone; the ways are those of Huddleston and Pullum, *The Cambridge Grammar of the English Language*
(2002), chapters 5 (genitives and compounds), 7 (prepositions that are left behind), 10.7 (questions), 15 (coordination)
and 16.10 (the passive).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .letters import words
from .lexicon import english
from .phrases import IRREGULAR
from .reading import Reading, Word
from .vocabulary import ARTICLES, FUNCTION, QUANTITIES

Pairs = Sequence[tuple[int, int]]

_DO = words("do does did")
_MODAL = words("can could will would shall should may might must")
_BE = words("am is are was were be been being get gets got getting")
_AUXILIARIES = _DO | _MODAL | words("has have had is are was were am")
_ASK_FOR_A_PART = words("who whom what which")
_ASK = _ASK_FOR_A_PART | words("whose how when where why")
_PREPOSITIONS = words(
    "of for from with without to by about in on at into onto against under over through within between among during",
    "via after before towards behind inside outside than near like as off per",
)
_FROM, _TO = words("from off out"), words("to into onto towards")
_JOINING = words("and or versus vs")
_SUBJECTS, _OBJECTS = words("i we"), words("me us")
_PERSONS = words("i we you they one he she it")
_AGENTS = words("by under in within")
"""What leads who or what does it in the passive: covered by the warranty and under it, included in the price."""
_STAYING = _AUXILIARIES | _BE | _ASK | {"", *words("and or than i we you they he she it")}
"""Behind these stands who does it, wherever that may be."""
_NOT_BY = words("to from for of into")
_HAVE = words("have has had offer offers provide provides")
_SUMS = words("plus times and or + x")


def role(one: Reading, other: Reading, pairs: Pairs) -> str | None:
    """What tells the two apart, ``order`` or ``direction``; *pairs*: the places of words that stand for each other."""
    if _left_behind(one, other) or _led(one, other, pairs) or _led(other, one, [(b, a) for a, b in pairs]):
        return "direction"
    if _persons(one, other, pairs) or _sums(one) != _sums(other):
        return "order"
    if one.kind in QUANTITIES or other.kind in QUANTITIES:
        asked = one.kind_words | other.kind_words
        pairs = [(a, b) for a, b in pairs if not {one.words[a].text, other.words[b].text} & asked]
    crossings = [
        (first, second)
        for first, second in combinations(sorted(pairs), 2)
        if second[1] < first[1] and not _listed(one, other, first, second)
    ]
    voices = [pair for pair in pairs if _passive(one, one.words[pair[0]]) != _passive(other, other.words[pair[1]])]
    if _owned_by_another(one, other, pairs) or _owned_by_another(other, one, [(b, a) for a, b in pairs]):
        return "order"
    for a, b in voices:
        passive = _passive(one, one.words[a])
        sides = (one, other, pairs, (a, b)) if passive else (other, one, [(d, c) for c, d in pairs], (b, a))
        if _turned(*sides, crossings):
            return "order"
    if voices:
        # The verb and who does it have changed sides; nothing else has.
        agents = [(a, b) for a, b in pairs if (one.words[a].led in _AGENTS) != (other.words[b].led in _AGENTS)]
        crossings = [crossing for crossing in crossings if not {*crossing} & {*voices, *agents}]
    elif _other_side(one, other, crossings):
        return "order"
    return next(("order" for crossing in crossings if not _may_cross(one, other, *crossing)), None)


# --- prepositions -----------------------------------------------------------------------------------------------------


def _left_behind(one: Reading, other: Reading) -> bool:
    """Whether both ask for what a preposition leads, but not the same one: "ship to" and "ship from"."""
    mine, yours = _stranded(one), _stranded(other)
    return bool(mine and yours) and mine != yours


def _stranded(text: Reading) -> str:
    """The preposition whose noun is what is asked for: "Who is it from", "From whom is it"."""
    tokens = text.tokens
    if len(tokens) < 3:
        return ""
    if tokens[0] in _PREPOSITIONS and tokens[1] in _ASK:
        return tokens[0]
    return tokens[-1] if tokens[-1] in _PREPOSITIONS and tokens[0] in _ASK else ""


def _led(one: Reading, other: Reading, pairs: Pairs) -> bool:
    """Whether something comes from where it goes to on the other side."""
    for a, b in pairs:
        mine, yours = one.words[a].led, other.words[b].led
        if (mine in _FROM and yours in _TO) or (mine == "by" and yours in _NOT_BY):
            return True
    here, there = set(one.tokens), set(other.tokens)
    return bool(_FROM & here and not _FROM & there and _TO & there and not _TO & here)


# --- persons and numbers ----------------------------------------------------------------------------------------------


def _persons(one: Reading, other: Reading, pairs: Pairs) -> bool:
    """Whether I do it on one side and it is done to me on the other."""
    for a, b in pairs:
        word, there = one.words[a], other.words[b]
        if (word.behind in _OBJECTS) == (there.behind in _OBJECTS):
            continue
        text, verb = (other, there) if word.behind in _OBJECTS else (one, word)
        if _person(text, verb) in _SUBJECTS:
            return True
    subjects, objects = ([bool(kind & set(text.tokens)) for text in (one, other)] for kind in (_SUBJECTS, _OBJECTS))
    return [subjects, objects] in ([[True, False], [False, True]], [[False, True], [True, False]])


def _person(text: Reading, verb: Word) -> str:
    """The last pronoun before *verb* that may be who does it."""
    return next((token for token in reversed(text.tokens[: verb.at]) if token in _PERSONS), "")


def _sums(text: Reading) -> tuple[str, ...]:
    """Its numbers in their order, those of sums and lists sorted: "7 minus 5" is not "5 minus 7"."""
    tokens = text.tokens
    found: list[list[str]] = []
    last = -9
    for at, token in enumerate(tokens):
        if not token[-1].isdigit():
            continue
        if found and at - last == 2 and tokens[last + 1] in _SUMS:
            found[-1].append(token)
        else:
            found.append([token])
        last = at
    return tuple(token for group in found for token in sorted(group)) if len(found) > 1 else ()


# --- voices -----------------------------------------------------------------------------------------------------------


def _passive(text: Reading, word: Word) -> bool:
    """Whether *word* is a verb in the passive: a participle behind a form of *be*, but not in "a closed account"."""
    forms = english().forms(word.text)
    formed = (word.text.endswith("ed") and forms - {word.text}) or (
        word.text.endswith(("ible", "able")) and forms and len(word.text) > 6
    )
    if not (formed or word.text in IRREGULAR) or word.name or word.before in ARTICLES:
        return False
    for token in reversed(text.tokens[max(0, word.at - 5) : word.at]):
        if token in _BE:
            return True
        if token in _AUXILIARIES or token in _PREPOSITIONS or token in _SUBJECTS:
            return False
    return False


def _turned(one: Reading, other: Reading, pairs: Pairs, verb: tuple[int, int], crossings: Sequence[object]) -> bool:
    """Of a verb in the passive in *one* and in the active in *other*: whether the two ask for different things.

    Who does it stands behind *by* in the passive and before the verb in the active; all else changes sides with it.
    """
    does = other.words[verb[1]]
    if does.before in ARTICLES:
        return False  # "a charge"
    for a, b in pairs:
        word, there = one.words[a], other.words[b]
        if word.led == "by" and there.led != "by" and there.at > does.at:
            return True
    return not (crossings or _asks_for_the_object(other) or _subject(one, one.words[verb[0]], other, does))


def _asks_for_the_object(text: Reading) -> bool:
    """Whether an active question asks what somebody does who is no more than a pronoun: "Which documents do I need"."""
    return text.tokens[0] in _ASK and any(
        auxiliary in _AUXILIARIES and person in _PERSONS
        for auxiliary, person in zip(text.tokens, text.tokens[1:], strict=False)
    )


def _subject(one: Reading, verb: Word, other: Reading, does: Word) -> bool:
    """Whether the subjects are two pronouns: "Will I be charged", "Do you charge"."""
    mine, yours = _person(one, verb), _person(other, does)
    return bool(mine and yours) and mine != yours


def _other_side(one: Reading, other: Reading, crossings: Sequence[object]) -> bool:
    """Whether one asks who did it and the other whom it was done to: "Who acquired X" and "Who did X acquire".

    The auxiliary before the subject tells, the preposition that is left behind, or the order alone ("Who can call X").
    """
    if not crossings:
        return False
    if not all(len(text.tokens) > 1 and text.tokens[0] in _ASK_FOR_A_PART for text in (one, other)):
        return False
    if "by" in (one.tokens[-1], other.tokens[-1]):
        return "by" in one.tokens and "by" in other.tokens  # else the passive of the same question
    if (one.tokens[-1] in _PREPOSITIONS) != (other.tokens[-1] in _PREPOSITIONS):
        return True
    mine, yours = _auxiliary(one), _auxiliary(other)
    if (mine in _DO and not yours) or (yours in _DO and not mine):
        return True
    return bool(mine and yours) and not (_PREPOSITIONS & {*one.tokens, *other.tokens})


def _auxiliary(text: Reading) -> str:
    """The auxiliary behind the word that asks, or behind "which" and its noun; "" where there is none."""
    place = 2 if text.tokens[0] == "which" and text.tokens[1] not in _AUXILIARIES and len(text.tokens) > 2 else 1
    word = text.tokens[place]
    return word if word in _AUXILIARIES else ""


def _owned_by_another(one: Reading, other: Reading, pairs: Pairs) -> bool:
    """Whether a genitive is the owner here and not there: "John's father", "John the father of"."""
    for a, b in pairs:
        owner, word = one.words[a], other.words[b]
        if owner.owner and not word.owner and word.behind in ARTICLES:
            return True
    return False


# --- words that change places -----------------------------------------------------------------------------------------


def _listed(one: Reading, other: Reading, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether both stand on two sides of *and* or *or*, here and there: tea and coffee, coffee and tea."""
    return one.words[first[0]].behind in _JOINING or other.words[second[1]].behind in _JOINING


def _may_cross(one: Reading, other: Reading, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two words that stand the other way round there say the same of each other."""
    before, after = one.words[first[0]], one.words[second[0]]
    there, here = other.words[first[1]], other.words[second[1]]
    if (before.owner and there.owner) or (after.owner and here.owner):
        return False  # "Rome's streets in the film", "the streets in Rome's film"
    if before.owner or here.owner:
        # "The king's son" is the son of the king, and not the son's king.
        return not (before.owner and here.owner) and bool({"of", "in"} & {there.led, after.led})
    if (before.led == here.led and after.led == there.led and (before.led or after.led)) or (
        before.behind == here.behind and after.behind == there.behind and before.behind in _PREPOSITIONS
    ):
        return False
    near, here_near = after.at - before.at == 1, there.at - here.at == 1
    if (here_near and _done(before, there)) or (near and _done(here, after)):
        return "how" in (one.kind, other.kind)  # a ski store is no place to store skis
    if near and here_near:
        return (before.text, after.text) != (there.text, here.text)  # "withdrawing cash", but not "travel time"
    if near or here_near:
        return True  # "cash withdrawals", "withdraw my cash"
    if before.clause != after.clause and there.clause != here.clause:
        # "If it rains, do we cancel" is not "If we cancel, does it rain".
        return before.clause[1] == there.clause[1] or after.clause[1] == here.clause[1]
    if any(mine.led == yours.led and mine.led not in _STAYING for mine, yours in ((before, there), (after, here))):
        return True  # it moves with what leads it: "in Rome", "to open an account"
    four = (before, after, there, here)
    if any("of" in (word.led, word.behind) for word in four):
        return True  # "the cost of shipping", "what shipping costs"
    if ("it" in one.tokens) != ("it" in other.tokens) and "to" in one.tokens + other.tokens:
        return True  # "Is it safe to fly", "Is flying safe"
    if _compound(one, before, after, here) or _compound(other, here, there, before):
        return True
    if any(word.text.endswith("ly") for word in (before, after)):
        return True
    mine, yours = set(one.tokens), set(other.tokens)
    return ("there" in mine and bool(_HAVE & yours)) or ("there" in yours and bool(_HAVE & mine))


def _done(verb: Word, noun: Word) -> bool:
    """Whether somebody does in one text what in the same letters ends a compound in the other."""
    return verb.before in _PERSONS - {"it"} and verb.text == noun.text


def _compound(text: Reading, first: Word, last: Word, head: Word) -> bool:
    """Whether *first* to *last* may be one noun, and *head*, the last there, has what goes before it behind it.

    "Home office expenses" are "expenses for a home office".
    """
    between = text.tokens[first.at + 1 : last.at]
    return not any(token in FUNCTION for token in between) and head.behind in _PREPOSITIONS - {"by"}

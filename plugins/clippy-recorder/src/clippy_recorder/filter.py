"""The filter language of lists of calls: ``model:gpt-4o* status:>=400 cached -retry ms:>500 text:"the weather"``.

Terms stand apart by spaces and all of them must hold; a term with ``-`` before it must not.  A word alone is a state
or a mark (``failed``, ``cached``, ``streamed``), else a piece of text.  Values with spaces stand in double quotes, in
which a backslash takes the next character as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, get_args

from attrs import frozen

from .exchange import Exchange, State
from .generating import generates
from .searching import says

Test = Callable[[Exchange], bool]
MOST_TERMS: Final = 32
MOST_CHARACTERS: Final = 1000


class FilterError(ValueError):
    """A filter that cannot be read: the message is a sentence for who wrote it."""


@frozen
class Word:
    """A term as it was written: ``-name:value``; ``name`` is "" for a word alone, ``quoted`` if the value was."""

    name: str
    value: str
    negated: bool
    quoted: bool

    def __str__(self) -> str:
        value = self.value
        if self.quoted:
            value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return ("-" if self.negated else "") + (f"{self.name}:" if self.name else "") + value


def written(**terms: str | None) -> str:
    """A filter of *terms* by their names, whatever signs are in them.

    "" where one of them is not known, or cannot stand in an address: callers name their models as they like.
    """
    text = " ".join(str(Word(name, value, False, True)) for name, value in terms.items() if value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    return text if all(terms.values()) and len(text) < MOST_CHARACTERS // 2 else ""


@frozen
class Filter:
    """What is shown: an exchange for which every term holds.  Without terms that is each of them."""

    terms: tuple[tuple[Word, Test], ...] = ()

    def __call__(self, exchange: Exchange) -> bool:
        return all(test(exchange) != word.negated for word, test in self.terms)

    def __str__(self) -> str:
        return " ".join(str(word) for word, _ in self.terms)


def only(name: str, value: str) -> Filter:
    """What a term ``name:value`` alone says, whatever signs are in the value.  Raises FilterError."""
    word = Word(name, value, False, False)
    return Filter(((word, _test(word)),))


def parse(text: str) -> Filter:
    """The filter that *text* says.  Raises FilterError."""
    if len(text) > MOST_CHARACTERS:
        raise FilterError(f"A filter is at most {MOST_CHARACTERS} characters long.")
    words = tuple(_words(text))
    if len(words) > MOST_TERMS:
        raise FilterError(f"A filter has at most {MOST_TERMS} terms.")
    return Filter(tuple((word, _test(word)) for word in words))


def _words(text: str) -> Iterator[Word]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begin = at
        negated = text[at] == "-"
        at += negated
        name = ""
        end = at
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        if end > at and text[end : end + 1] == ":":
            name, at = text[at:end].lower(), end + 1
        value, at, quoted = _value(text, at)
        if not value and not quoted:
            wanted = f'after "{name}:"' if name else 'after "-"'
            raise FilterError(f"Something is missing {wanted} at character {begin + 1}.")
        yield Word(name, value, negated, quoted)


def _value(text: str, at: int) -> tuple[str, int, bool]:
    """The value that begins at *at*, where the text goes on, and whether it was quoted."""
    if text[at : at + 1] != '"':
        end = at
        while end < len(text) and not text[end].isspace():
            end += 1
        return text[at:end], end, False
    said: list[str] = []
    here = at + 1
    while here < len(text) and text[here] != '"':
        here += text[here] == "\\" and here + 1 < len(text)
        said.append(text[here])
        here += 1
    if here >= len(text):
        raise FilterError(f"The quotation that begins at character {at + 1} has no end.")
    if text[here + 1 : here + 2].strip():
        raise FilterError(f"A space is missing after the quotation at character {here + 1}.")
    return "".join(said), here + 1, True


def _test(word: Word) -> Test:
    if not word.name:
        known = None if word.quoted else _MARKS.get(word.value.lower())
        return known or _text(word)
    if (number := _NUMBERS.get(word.name)) is not None:
        return _compared(word, number)
    if (texts := _TEXTS.get(word.name)) is not None:
        fits = _fitting(word)
        if word.name == "state" and not any(map(fits, _STATES)):
            raise FilterError(f'There is no state "{word.value}". The states are {", ".join(_STATES)}.')
        return lambda exchange: any(fits(value) for value in texts(exchange) if value is not None)
    if word.name == "text":
        return _text(word)
    raise FilterError(
        f'There is no "{word.name}:". A term may begin with {", ".join(f"{name}:" for name in sorted(NAMES))}.'
    )


def _compared(word: Word, number: Callable[[Exchange], float | None]) -> Test:
    """``>500``, ``>=400``, ``200``, and ``4xx`` for a status.  What is not known is neither more nor less."""
    sign = next((one for one in (">=", "<=", ">", "<", "=") if word.value.startswith(one)), "")
    rest = word.value[len(sign) :]
    if word.name == "status" and not sign and len(rest) == 3 and rest[0] in "12345" and rest[1:].lower() == "xx":
        hundred = int(rest[0])
        return lambda exchange: (value := number(exchange)) is not None and value // 100 == hundred
    try:
        limit = float(rest)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit) or "_" in rest:
        raise FilterError(f'"{word.name}:" compares numbers, as in {word.name}:>=400; "{rest}" is none.')
    compare = _COMPARE[sign]
    return lambda exchange: (value := number(exchange)) is not None and compare(value, limit)


def _fitting(word: Word) -> Callable[[str], bool]:
    """Without regard to case; ``*`` at the beginning or the end stands for anything."""
    wanted = word.value.casefold()
    open_before = not word.quoted and wanted.startswith("*")
    open_after = not word.quoted and wanted.endswith("*") and len(wanted) > 1
    core = wanted[1 if open_before else 0 : -1 if open_after else None]

    def fits(said: str) -> bool:
        value = said.casefold()
        if open_before and open_after:
            return core in value
        if open_before:
            return value.endswith(core)
        return value.startswith(core) if open_after else value == core

    return fits


def _text(word: Word) -> Test:
    return lambda exchange: says(exchange, word.value)


def tokens(exchange: Exchange) -> tuple[int | None, int | None]:
    """Tokens that a provider used, in and out, None where they are not known: an answer of a cache used none.

    Every page counts so, as it counts the cost.
    """
    if exchange.state == "cached":
        return 0, 0
    usage = exchange.usage
    return (None, None) if usage is None else (usage.input, usage.output)


def retried(exchange: Exchange) -> bool:
    """Whether more than one attempt was made."""
    return len(exchange.attempts) > 1


def _sum(exchange: Exchange) -> float | None:
    known = [value for value in tokens(exchange) if value is not None]
    return sum(known) if known else None


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _stated(*states: str) -> Test:
    return lambda exchange: exchange.state in states


def _source(exchange: Exchange) -> str | None:
    return str((exchange.provenance or {}).get("source") or "") or None


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_NUMBERS: Final[dict[str, Callable[[Exchange], float | None]]] = {
    "status": lambda exchange: exchange.status,
    "ms": lambda exchange: _thousandth(exchange.duration),
    "first": lambda exchange: _thousandth(exchange.first_token),
    "cost": lambda exchange: exchange.cost,
    "tokens": _sum,
    "attempts": lambda exchange: len(exchange.attempts),
}
_TEXTS: Final[dict[str, Callable[[Exchange], tuple[str | None, ...]]]] = {
    "id": lambda exchange: (exchange.id,),
    "model": lambda exchange: (exchange.model, exchange.answering_model),
    "state": lambda exchange: (exchange.state,),
    "api": lambda exchange: (exchange.api, None if exchange.asked is None else exchange.asked.api),
    "url": lambda exchange: (exchange.url,),
    "route": lambda exchange: (exchange.route, *(attempt.route for attempt in exchange.attempts)),
    "tenant": lambda exchange: (exchange.scope.tenant,),
    "user": lambda exchange: (exchange.scope.user,),
    "session": lambda exchange: (exchange.scope.session,),
    "finish": lambda exchange: (exchange.finish_reason,),
    "error": lambda exchange: (
        str((exchange.error or {}).get("category") or ""),
        str((exchange.error or {}).get("kind") or ""),
    ),
    "plugin": lambda exchange: tuple(step.plugin for step in exchange.steps if step.action != "passed"),
    "called": lambda exchange: tuple(step.plugin for step in exchange.steps),
}
_STATES: Final[tuple[str, ...]] = get_args(State)
_MARKS: Final[dict[str, Test]] = {
    "running": _stated("running"),
    "answered": _stated("answered"),
    "refused": _stated("refused"),
    "failed": _stated("failed"),
    "cancelled": _stated("cancelled"),
    "abandoned": _stated("abandoned"),
    "cached": lambda exchange: exchange.state == "cached" or _source(exchange) == "cache",
    "streamed": lambda exchange: exchange.stream,
    "retried": retried,
    "generating": lambda exchange: generates(exchange.method, exchange.url),
}
NAMES: Final = frozenset({*_NUMBERS, *_TEXTS, "text"})

TERMS: Final = (
    ("model:gpt-4o", "this model; model:gpt-4o* all that begin so, model:*mini that end so"),
    (
        "status:>=400",
        "compared: > >= < <= =, or status:4xx; also ms: first: (ms to the first token) cost: tokens: attempts:",
    ),
    ("failed", "a state or a mark: running answered cached refused failed cancelled abandoned streamed retried"),
    ("generating", "what asks a model to generate: no upload, batch, count of tokens, embedding or list"),
    ('text:"the weather"', "somewhere in the question, the answer or an error; a word alone is the same"),
    ("plugin:retry", "a plugin that did something to it; called:retry, one that was asked at least"),
    ("user:ada", "also tenant: session: route: api: url: id: error: finish: state:"),
    ("-cached", "not so"),
)

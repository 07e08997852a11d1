"""Requests that belong together, turn by turn: what was added, what was cut, what it came to; and one of them again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from attrs import define, evolve, field, frozen
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_recorder.generating import generates
from clippy_recorder.har import answer_of, answer_pieces
from clippy_recorder.rerunning import said

from .dashboard import LOOKED_AT
from .failures import failure_of
from .live import tone
from .numbers import many
from .reading import Said, answered, body_of, messages_of, read, said_in
from .timeline import told
from .view import Page, View, part_of

SHOWN: Final = 100
_TITLE: Final = 80
_ID_OF_ANSWER: Final = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,80})"')


@frozen
class Turn:
    """One request of a conversation: what it added, what came back, how much of it left, and the sums so far.

    ``number`` is that of its step; one that asks the same ``again`` is the same step, tried once more.
    ``cut`` counts the messages that came in and did not go out; ``tokens`` are those of all turns so far, ``estimated``
    whether some of them were counted here.  What a cache answered used none.
    """

    number: int
    exchange: Exchange
    added: tuple[Said, ...]
    answer: str
    parts: tuple[Said, ...]
    messages: int
    sent: int | None
    tokens_in: int
    tokens_out: int
    estimated: bool
    again: bool = False

    @property
    def cut(self) -> int:
        """How many messages the plugins left out."""
        return 0 if self.sent is None else max(0, self.messages - self.sent)


@frozen
class Conversation:
    """Requests that go on from each other.  ``why`` says what holds them together."""

    id: str
    why: str
    turns: tuple[Turn, ...]

    @property
    def cached(self) -> int:
        """How many of its requests a cache answered."""
        return sum(turn.exchange.state == "cached" for turn in self.turns)

    @property
    def title(self) -> str:
        """The first words of it."""
        first = next((one.text for turn in self.turns for one in turn.added if one.role == "user" and one.text), "")
        said = " ".join(first.split())
        return (said if len(said) <= _TITLE else f"{said[: _TITLE - 1].rstrip()}…") or "(nothing was recorded)"


@define(eq=False)
class _Thread:
    why: str
    exchanges: list[Exchange] = field(factory=list)


def conversations(exchanges: Sequence[Exchange]) -> list[Conversation]:
    """*exchanges* as conversations, the one with the newest request first.

    Those of one session belong together; else, on behalf of the same caller, a request that names the answer of another
    (``previous_response_id``), or whose messages begin with all that another one sent and go on with its answer.  What
    has no answer in common has nothing in common: the same first question may be anybody's.
    """
    threads: list[_Thread] = []
    by_session: dict[Any, _Thread] = {}
    by_prefix: dict[bytes, list[tuple[_Thread, Exchange]]] = {}
    by_answer: dict[Any, _Thread] = {}
    for exchange in sorted(exchanges, key=lambda one: one.began):
        if exchange.parent is not None or not exchange.api or not generates(exchange.method, exchange.url):
            continue
        body = body_of(exchange)
        who = (exchange.scope.tenant, exchange.scope.user)
        messages = messages_of(body)
        session = exchange.scope.session
        thread = by_session.get((*who, session)) if session is not None else None
        if session is None:
            thread = by_answer.get((*who, str(body.get("previous_response_id") or "")))
            thread = thread or _gone_on_from(who, messages, by_prefix)
        if thread is None:
            thread = _Thread("one session" if session is not None else "each goes on with the answer of one before")
            threads.append(thread)
        thread.exchanges.append(exchange)
        if session is not None:
            by_session[(*who, session)] = thread
        elif messages:
            by_prefix.setdefault(_key(who, messages), []).append((thread, exchange))
        for answer in _answers(exchange):
            by_answer[(*who, answer)] = thread
    made = [_conversation(thread) for thread in threads]
    return sorted(made, key=lambda one: -one.turns[-1].exchange.began)


def _gone_on_from(
    who: Any, messages: Sequence[Any], asked: Mapping[bytes, Sequence[tuple[_Thread, Exchange]]]
) -> _Thread | None:
    """Where a request with these *messages* belongs that goes on with an answer to what was *asked*, the longest."""
    for end in range(len(messages) - 1, 0, -1):
        rest = _by_the_model(messages[end:])
        if not rest:
            continue
        for thread, exchange in reversed(asked.get(_key(who, messages[:end]), ())):
            brought = _told_by(answered(exchange)) | {("", words.strip()) for words in _words_of(exchange) if words}
            if rest & brought or (not brought and exchange.state in ("answered", "cached")):
                return thread
    return None


def _by_the_model(messages: Sequence[Any]) -> set[tuple[str, str]]:
    """What the model says in the first of *messages*, up to the first that somebody else says."""
    theirs = takewhile(_is_by_the_model, messages)
    return _told_by(one for message in theirs for one in said_in(message))


def _is_by_the_model(message: Any) -> bool:
    role = message.get("role") or message.get("type") if isinstance(message, Mapping) else None
    return role in ("assistant", "function_call", "custom_tool_call", "reasoning")


def _told_by(parts: Iterable[Said]) -> set[tuple[str, str]]:
    """Of calls the tool's name alone: their arguments are written anew by whoever sends them again."""
    return {(one.name, "" if one.name else one.text.strip()) for one in parts if one.name or one.text.strip()}


def _words_of(exchange: Exchange) -> tuple[str, str]:
    """The text of an answer as its provider wrote it, and as its reader got it."""
    body = answer_of(exchange).body or b"".join(piece.data for piece in answer_pieces(exchange))
    return said(body), told(exchange)


def _key(who: Any, messages: Sequence[Any]) -> bytes:
    return hashlib.sha256(json.dumps([who, list(messages)], sort_keys=True, default=str).encode()).digest()


def _answers(exchange: Exchange) -> list[str]:
    if exchange.api != "openai.responses":
        return []
    body = answer_of(exchange).body or b"".join(piece.data for piece in answer_pieces(exchange)[:8])
    found = _ID_OF_ANSWER.search(body[:65536])
    return [found.group(1).decode("ascii")] if found else []


def _conversation(thread: _Thread) -> Conversation:
    turns: list[Turn] = []
    before: Sequence[Any] = ()
    tokens_in = tokens_out = 0
    estimated = False
    number = 0
    for exchange in thread.exchanges:
        messages = messages_of(body_of(exchange))
        added = messages[len(before) :] if list(messages[: len(before)]) == list(before) else messages
        sent = len(messages_of(read(exchange.attempts[-1].sent.body))) if exchange.attempts else None
        if exchange.usage is not None and exchange.state != "cached":
            tokens_in, tokens_out = tokens_in + exchange.usage.input, tokens_out + exchange.usage.output
            estimated = estimated or exchange.usage.estimated
        again = bool(turns) and bool(messages) and list(messages) == list(before)
        number += not again
        words = tuple(evolve(word, repeats=_is_answer(word, turns)) for message in added for word in said_in(message))
        written, got = _words_of(exchange)
        turns.append(
            Turn(
                number,
                exchange,
                words,
                written or got,
                answered(exchange),
                len(messages),
                sent,
                tokens_in,
                tokens_out,
                estimated,
                again,
            )
        )
        before = messages
    return Conversation(thread.exchanges[0].id, thread.why, tuple(turns))


def _is_answer(word: Said, turns: Sequence[Turn]) -> bool:
    """Whether a message is of what the last of *turns* brought, which is sent again with whatever goes on from it."""
    words = word.text.strip()
    if word.role != "assistant" or not turns or not words:
        return False
    brought = {(part.name, part.text.strip()) for part in turns[-1].parts}
    return words == turns[-1].answer.strip() or (word.name, words) in brought


def pages(view: View) -> list[Page]:
    """The routes of this module: the list, one conversation, and both as JSON."""

    def all_of_them() -> list[Conversation]:
        return conversations(view.source.latest(LOOKED_AT))

    def find(request: RawRequest, number: int) -> Conversation | None:
        """By its own name, which is that of its first request, or by that of any other of them."""
        wanted = part_of(request, number)
        return next((one for one in all_of_them() if any(turn.exchange.id == wanted for turn in one.turns)), None)

    async def listed(request: RawRequest) -> RawReply:
        found = all_of_them()
        told = many(len(found), "conversation") + (f"; the newest {SHOWN} are shown" if len(found) > SHOWN else "")
        return view.page(request, "conversations.html", conversations=found[:SHOWN], told=told)

    async def one(request: RawRequest) -> RawReply:
        found = find(request, 1)
        if found is None:
            return view.not_found(request, "No conversation of this name is kept.")
        return view.page(request, "conversation.html", c=found, tone=tone, failure_of=failure_of)

    async def api(request: RawRequest) -> RawReply:
        return view.data({"conversations": [_as_json(one) for one in all_of_them()[:SHOWN]]})

    async def api_one(request: RawRequest) -> RawReply:
        found = find(request, 2)
        return view.json({"error": "no such conversation"}, 404) if found is None else view.json(_as_json(found, True))

    return [
        ("GET", "/conversations", listed),
        ("GET", "/conversations/*", one),
        ("GET", "/api/conversations", api),
        ("GET", "/api/conversations/*", api_one),
    ]


def _as_json(one: Conversation, whole: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": one.id,
        "title": one.title,
        "why": one.why,
        "requests": len(one.turns),
        "cached": one.cached,
    }
    last = one.turns[-1]
    told |= {
        "tokens_in": last.tokens_in,
        "tokens_out": last.tokens_out,
        "estimated": last.estimated,
        "last": last.exchange.began,
    }
    if whole:
        told["turns"] = [
            {
                "id": turn.exchange.id,
                "step": turn.number,
                "state": turn.exchange.state,
                "added": [_part(said) for said in turn.added],
                "answer": turn.answer,
                "parts": [_part(said) for said in turn.parts],
                "messages": turn.messages,
                "cut": turn.cut,
                "tokens_in": turn.tokens_in,
                "tokens_out": turn.tokens_out,
                "estimated": turn.estimated,
            }
            for turn in one.turns
        ]
    return told


def _part(said: Said) -> dict[str, str]:
    return {"role": said.role, "kind": said.kind, "text": said.text, "name": said.name}

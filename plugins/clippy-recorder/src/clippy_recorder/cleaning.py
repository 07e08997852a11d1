"""Making calls clean that were not recorded here: a file says that it is clean, and anybody may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve
from clippy_hookspecs import Headers, Scope

from .exchange import Asked, Attempt, Exchange, Message, Piece, Step
from .secrets import WITHHELD, Secrets
from .streams import bytes_say_a_secret


def cleaned(exchange: Exchange) -> Exchange:
    """*exchange* without the credentials it was made with, and whatever looks like one.

    What is clean comes back as it was.
    """
    messages = [exchange.came, *([] if exchange.answered is None else [exchange.answered])]
    for attempt in exchange.attempts:
        messages += [attempt.sent, *([] if attempt.answer is None else [attempt.answer])]
    urls = [exchange.url, *(attempt.url for attempt in exchange.attempts)]
    if exchange.asked is not None:
        messages.append(exchange.asked.message)
        urls.append(exchange.asked.url)
    known = [(Headers(message.headers), "") for message in messages]
    known += [(Headers(), url) for url in urls]
    clean = Secrets.of(known)
    said = exchange.scope
    return evolve(
        exchange,
        id=clean.text(exchange.id),
        parent=clean.optional(exchange.parent),
        api=clean.text(exchange.api),
        method=clean.text(exchange.method),
        url=clean.url(exchange.url),
        model=clean.optional(exchange.model),
        scope=Scope(clean.optional(said.tenant), clean.optional(said.user), clean.optional(said.session)),
        route=clean.optional(exchange.route),
        finish_reason=clean.optional(exchange.finish_reason),
        provenance=_mapping(exchange.provenance, clean),
        error=_mapping(exchange.error, clean),
        came=_message(exchange.came, clean),
        answered=None if exchange.answered is None else _message(exchange.answered, clean),
        attempts=tuple(_attempt(one, clean) for one in exchange.attempts),
        steps=tuple(_step(one, clean) for one in exchange.steps),
        pieces=_pieces(exchange, clean),
        asked=None if exchange.asked is None else _asked(exchange.asked, clean),
    )


def _message(message: Message, clean: Secrets) -> Message:
    return evolve(message, headers=clean.headers(Headers(message.headers)), body=clean.body(message.body))


def _asked(asked: Asked, clean: Secrets) -> Asked:
    return Asked(clean.text(asked.api), clean.url(asked.url), _message(asked.message, clean))


def _mapping(value: Mapping[str, Any] | None, clean: Secrets) -> Mapping[str, Any] | None:
    return None if value is None else dict(clean.value(dict(value)))


def _attempt(attempt: Attempt, clean: Secrets) -> Attempt:
    return evolve(
        attempt,
        route=clean.text(attempt.route),
        url=clean.url(attempt.url),
        sent=_message(attempt.sent, clean),
        answer=None if attempt.answer is None else _message(attempt.answer, clean),
        state=clean.text(attempt.state),
        error=_mapping(attempt.error, clean),
    )


def _step(step: Step, clean: Secrets) -> Step:
    def text(value: str | None) -> str | None:
        return None if value is None else clean.body(value.encode("utf-8", "backslashreplace")).decode()

    return evolve(
        step,
        plugin=clean.text(step.plugin),
        hook=clean.text(step.hook),
        action=clean.text(step.action),
        before=text(step.before),
        after=text(step.after),
    )


def _pieces(exchange: Exchange, clean: Secrets) -> tuple[Piece, ...]:
    """The time line, without its content where that says a secret: it may lie across several pieces."""
    pieces = exchange.pieces
    if not _say_a_secret(exchange, clean):
        return tuple(evolve(one, chunk=_mapping(one.chunk, clean) or {}) for one in pieces)
    return tuple(evolve(one, data=b"", chunk=_told(one.chunk, clean)) for one in pieces)


def _say_a_secret(exchange: Exchange, clean: Secrets) -> bool:
    said: dict[tuple[Any, ...], list[str]] = {}
    for piece in exchange.pieces:
        delta = piece.chunk.get("delta")
        if isinstance(delta, str):
            place = [repr(piece.chunk.get(name)) for name in ("choice", "block", "kind")]
            said.setdefault((piece.kind, *place), []).append(delta)
    if any(clean.within("".join(deltas)) for deltas in said.values()):
        return True
    starts = [attempt.at for attempt in exchange.attempts[1:]]
    for number, since in enumerate([-1, *starts]):
        until = starts[number] if number < len(starts) else None
        data = (one.data for one in exchange.pieces if since <= one.at and (until is None or one.at < until))
        body = b"".join(data)
        if body and bytes_say_a_secret(body, _coding(exchange, number), clean):
            return True
    return False


def _coding(exchange: Exchange, number: int) -> str:
    answer = exchange.attempts[number].answer if number < len(exchange.attempts) else None
    return "" if answer is None else Headers(answer.headers).get("content-encoding", "")


def _told(chunk: Mapping[str, Any], clean: Secrets) -> Mapping[str, Any]:
    told = dict(_mapping(chunk, clean) or {})
    return {**told, "delta": WITHHELD} if "delta" in told else told

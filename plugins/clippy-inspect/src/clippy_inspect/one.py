"""One request from end to end: what came in, what each plugin made of it, what went out, and what came back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange, Message, Step, document, to_curl, to_har, to_jsonl, to_python
from clippy_recorder.generating import generates
from clippy_recorder.har import answer_pieces
from clippy_recorder.replaying import told_anew
from clippy_serving import reply

from .changes import Line, changes, weight
from .failures import failure_of, got, unkept, why
from .live import SEARCHED, notes, row, whose
from .numbers import worded
from .parts import parts_of
from .reading import Said, answered, body_of, messages_of, said_in, settings_of
from .reading import read as json_of
from .timeline import events, lanes, whole
from .view import Page, View, part_of

_EXPORTS: dict[str, tuple[Callable[[Exchange], str], str, str]] = {
    "har": (lambda exchange: json.dumps(to_har([exchange]), indent=1), "application/json", "har"),
    "curl": (to_curl, "text/plain; charset=utf-8", "sh"),
    "python": (to_python, "text/plain; charset=utf-8", "py"),
    "jsonl": (to_jsonl, "application/x-ndjson", "jsonl"),
}


@frozen
class Change:
    """A hook that made another value: its lines before and after."""

    step: Step
    lines: tuple[Line, ...]


@frozen
class Decision:
    """Why the request went the way it did: what a plugin was asked, and what it said."""

    at: int
    plugin: str
    asked: str
    said: str


@frozen
class Context:
    """A conversation that was made to fit: messages and characters before and after."""

    plugin: str
    before: tuple[int, int]
    after: tuple[int, int]


_LAST = 4
"""Parts of a conversation that are shown at once; those before are opened."""

_ASKED = {
    "cache_lookup": "Is there a stored answer?",
    "cache_store": "The answer, to keep or not",
    "on_error": "What now, after the failure?",
    "classify_error": "What kind of failure is it?",
    "pre_attempt": "May it be sent there?",
}


def changed(exchange: Exchange) -> list[Change]:
    """The steps that changed a value, with the difference."""
    return [
        Change(step, tuple(changes(step.before, step.after)))
        for step in exchange.steps
        if step.before is not None and step.after is not None
    ]


def decisions(exchange: Exchange) -> Iterator[Decision]:
    """Cache and retry reasons, in the order in which they were given."""
    failures = [attempt.error for attempt in exchange.attempts if attempt.error]
    for step in exchange.steps:
        asked = _ASKED.get(step.hook)
        if asked is None or (step.action == "passed" and step.hook in {"pre_attempt", "classify_error"}):
            continue
        nothing = "whether it did is not told" if step.hook == "cache_store" else "nothing"
        answer = {"passed": nothing, "hit": "yes", "miss": "no"}.get(step.action, worded(step.action))
        if step.hook == "on_error" and step.after:
            answer = f"{answer}: {' '.join(step.after.split())}"
        elif step.hook == "on_error" and failures:
            answer = f"{answer}, after {failures[0].get('kind') or failures[0].get('category')}"
        yield Decision(step.at, step.plugin, asked, answer)


def translation(exchange: Exchange) -> tuple[Line, ...]:
    """What a caller wrote beside what was made of it for a route of another wire API; empty where that was not so."""
    if exchange.asked is None or not (exchange.asked.message.body and exchange.came.body):
        return ()
    return tuple(changes(read(exchange.asked.message), read(exchange.came)))


def contexts(exchange: Exchange) -> list[Context]:
    """The conversation before and after each plugin that made it fit."""
    found: list[Context] = []
    for step in exchange.steps:
        before, after = weight(step.before), weight(step.after)
        if step.hook == "compress_context" and before is not None and after is not None:
            found.append(Context(step.plugin, before, after))
    return found


def origin(exchange: Exchange) -> str | None:
    """Where the answer came from, as a sentence, where that was not simply the provider."""
    known = exchange.provenance or {}
    source, by = known.get("source"), known.get("by")
    if not source or (source == "provider" and not by):
        return None
    age = known.get("age")
    said = [f"The answer came from the {source}" + (f" ({by})" if by else "")]
    if age is not None:
        said.append(f"{float(age):.1f} s old" + (" and stale" if known.get("stale") else ""))
    return ", ".join(said) + (f": {known['reason']}" if known.get("reason") else ".")


@frozen
class Asked:
    """A conversation as it came in: its instructions, how it went on, and its end, which is read first."""

    first: tuple[Said, ...]
    earlier: tuple[Said, ...]
    last: tuple[Said, ...]
    settings: tuple[tuple[str, str], ...]


def asked(exchange: Exchange) -> Asked | None:
    """What a call says to a model; None where it says nothing, or not to a model."""
    if not generates(exchange.method, exchange.url):
        return None
    body = body_of(exchange) if exchange.asked is None else json_of(exchange.asked.message.body)
    said = [part for message in messages_of(body) for part in said_in(message)]
    if not said:
        return None
    first = 0
    while first < len(said) - 1 and said[first].role in ("system", "developer"):
        first += 1
    last = max(first, len(said) - _LAST) if len(said) - first > _LAST + 2 else first
    return Asked(tuple(said[:first]), tuple(said[first:last]), tuple(said[last:]), tuple(settings_of(body)))


def first_token(exchange: Exchange) -> int | None:
    """Microseconds until the caller had the first of an answer; of a stream that runs, as its pieces tell."""
    if exchange.first_token is not None or exchange.state != "running":
        return exchange.first_token
    return next((one.at for one in exchange.pieces if one.kind == "chunk_out" and one.chunk.get("delta")), None)


def streamed(exchange: Exchange) -> str | None:
    """The bytes of an answer that came as a stream; None where they came at once, or were not kept."""
    data = b"".join(piece.data for piece in answer_pieces(exchange))
    return data.decode("utf-8", "backslashreplace") if exchange.stream and data else None


def beside(exchanges: Sequence[Exchange], wanted: str) -> tuple[str | None, str | None]:
    """The ids of the requests that began before and after the one with the id *wanted*, as the list has them."""
    place = next((place for place, one in enumerate(exchanges) if one.id == wanted), None)
    if place is None:
        return None, None
    before = exchanges[place - 1].id if place else None
    return before, exchanges[place + 1].id if place + 1 < len(exchanges) else None


def read(message: Message | None) -> str:
    """A body byte for byte: what is no UTF-8 in it is shown as ``\\xff``."""
    return "" if message is None else message.body.decode("utf-8", "backslashreplace")


def laid_out(message: Message | None) -> str | None:
    """The same for people: JSON with its lines and letters; None where that is no JSON or says no more."""
    try:
        return json.dumps(json.loads(message.body), indent=2, ensure_ascii=False) if message is not None else None
    except (ValueError, RecursionError):
        return None


def pages(view: View) -> list[Page]:
    """The routes of this module: one request, its exports, and what was sent."""

    async def page(request: RawRequest) -> RawReply:
        wanted = part_of(request, 1)
        exchange = await view.whole(wanted)
        if exchange is None:
            return view.not_found(request, f"No request {wanted} is kept. The recorder keeps the newest only.")
        flow = view.flow_state(wanted) if exchange.state == "running" else None
        host = view.host() or view.bare
        anew = None if host is None else await told_anew(exchange, host)
        older, newer = beside(view.source.latest(SEARCHED), wanted)
        return view.page(
            request,
            "one.html",
            **_known(exchange),
            flow=flow,
            caller_got=anew or exchange.answered,
            anew=anew is not None,
            so_far=max(0.0, view.now() - exchange.began) * 1e6 if exchange.state == "running" and view.live else None,
            older=older,
            newer=newer,
        )

    async def api(request: RawRequest) -> RawReply:
        exchange = await view.whole(part_of(request, 2))
        return _unknown(view) if exchange is None else view.json(document(exchange))

    async def below(request: RawRequest) -> RawReply:
        """``/api/requests/ID/FORM`` and ``/api/requests/ID/sent/N``."""
        wanted = request.url.partition("?")[0].split("/")
        exchange = await view.whole(wanted[3])
        if exchange is None:
            return _unknown(view)
        if wanted[4] == "sent":
            return _sent(view, exchange, int(wanted[5]))
        make, kind, ending = _EXPORTS[wanted[4]]
        try:
            made = make(exchange)
        except ValueError as error:  # there is no SDK for this call, or no body of it
            return view.not_found(request, f"There is no such export: {error}.")
        return _file(made.encode("utf-8", "backslashreplace"), kind, f"{exchange.id}.{ending}")

    async def requests_or_below(request: RawRequest) -> RawReply:
        whole_one = request.url.partition("?")[0].count("/") == 3
        return await api(request) if whole_one else await below(request)

    return [("GET", "/requests/*", page), ("GET", "/api/requests/*", requests_or_below)]


def _known(exchange: Exchange) -> dict[str, Any]:
    """What a page says of a request by itself."""
    return {
        "x": exchange,
        "row": row(exchange),
        "notes": notes(exchange),
        "total": whole(exchange),
        "lanes": lanes(exchange),
        "events": events(exchange),
        "came": exchange.came if exchange.asked is None else exchange.asked.message,
        "translation": translation(exchange),
        "changed": changed(exchange),
        "decisions": list(decisions(exchange)),
        "contexts": contexts(exchange),
        "asked": asked(exchange),
        "answered": answered(exchange),
        "streamed": streamed(exchange),
        "parts_of": parts_of(exchange) if exchange.duration else None,
        "first": first_token(exchange),
        "talks": bool(exchange.api) and exchange.parent is None and generates(exchange.method, exchange.url),
        "got": got(exchange),
        "origin": origin(exchange),
        "why": why,
        "failure": failure_of(exchange),
        "unkept": unkept(exchange),
        "read": read,
        "laid_out": laid_out,
        "usage": exchange.usage,
        "whose": whose(exchange),
    }


def _sent(view: View, exchange: Exchange, number: int) -> RawReply:
    """The body of an attempt as a file: byte for byte, but for secrets."""
    if not 1 <= number <= len(exchange.attempts):
        return view.json({"error": f"request {exchange.id} has {len(exchange.attempts)} attempts"}, 404)
    body = exchange.attempts[number - 1].sent.body
    return _file(body, "application/octet-stream", f"{exchange.id}-{number}.body")


def _file(data: bytes, kind: str, name: str) -> RawReply:
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name if sign.isascii())
    headers: Mapping[str, str] = {"content-disposition": f'attachment; filename="{safe}"'}
    return reply(200, data, kind, headers)


def _unknown(view: View) -> RawReply:
    return view.json({"error": "no such request is kept"}, 404)

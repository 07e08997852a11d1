"""Texts that would be markup or script if a page let them, their harmless look-alikes, and requests that say them all.

Every place where somebody else's words can stand holds one: names of models, routes, tools, plugins, tenants and
headers, what was asked and said, failures, states of streams, and what plugins tell of themselves.
"""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from clippy_hookspecs import Scope, StatusTable
from clippy_recorder import Attempt, Exchange, Message, Piece, Step
from inspect_world import Kept, answer, exchange

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "xss-dev.jsonl"

WAYS_OUT = (
    '"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>", "</textarea><script>alert(1)</script>",
    "</pre></details><script>alert(1)</script>", "{{ 7*7 }}", "{% raw %}", "${7*7}", "<!--", "]]>", "&lt;script&gt;",
    "\u2028\u2029", "</template><img src=x onerror=alert(1)>", "javascript:alert(1)",
    '" hx-get="/api/x" hx-trigger="load', "<div hx-post=/api/replay hx-trigger=load>", "<title></title><script>",
    "\x00\x1b[31m\u202e", "\ud800", "</svg><a>", "</td></tr></table><script>alert(1)</script>",
    "<form action=//evil.example><button hx-on:click=alert(1)>",
    "<hx-partial hx-target=body><img id=main hx-swap-oob=true>", "[a][1]\n\n[1]: javascript:alert(1)",
    '{"timeline": [[0, "<img src=x onerror=alert(1)>", 0]]}',
)  # fmt: skip
"""Out of an attribute, an element or a template of these very pages."""

_VARIED: tuple[Callable[[str], str], ...] = (
    str.swapcase,
    html.escape,
    lambda text: html.escape(html.escape(text)),
    lambda text: f'">{text}',
    lambda text: f"'>{text}",
    lambda text: f"</td></table></section>{text}",
    lambda text: f"</title></textarea>{text}",
    lambda text: json.dumps(text),
    lambda text: text.replace("<", "<\u200b"),
    lambda text: text.replace("<", "<\x00"),
    lambda text: text.replace("<", "\uff1c").replace(">", "\uff1e"),
    lambda text: text.replace("<", "&#60;").replace(">", "&#x3e;"),
    lambda text: f"{text}\n\n{text}",
)


def known() -> list[str]:
    """The corpus, attacks and look-alikes, where this machine has it, and the ways out of our own pages."""
    lines = CORPUS.read_text(encoding="utf-8").splitlines() if CORPUS.exists() else []
    return [*(json.loads(line)["input"] for line in lines), *WAYS_OUT]


def varied(seed: int = 6, each: int = 2) -> list[str]:
    """Other texts made from the known ones: of each so many, the same for the same seed."""
    chance = random.Random(seed)
    return [change(text) for text in known() for change in chance.sample(_VARIED, each)]


def utf8(text: str) -> str:
    """What is left of *text* in UTF-8."""
    return text.encode("utf-8", "replace").decode()


@frozen
class Told:
    """The flow of a stream, in a state that a plugin could have told."""

    state: str


@frozen
class Telling:
    """A plugin that tells these texts of itself."""

    texts: tuple[str, ...]

    async def status_tables(self) -> list[StatusTable]:
        rows = tuple((text, 1, None) for text in self.texts)
        return [StatusTable(self.texts[0], (self.texts[0], "number", "nothing"), rows)]


@frozen
class Hosting:
    """A host whose plugins have these names."""

    texts: tuple[str, ...]

    @property
    def plugins(self) -> dict[str, Any]:
        return {text: Telling(self.texts) for text in self.texts[:3]}


def saying(texts: Sequence[str]) -> Kept:
    """Requests that say *texts* everywhere: ``req-N``, ``live-N`` and ``turn-N`` one of them, ``whole`` all of them."""
    made, flows = [whole(texts)], {}
    for number, text in enumerate(texts, 1):
        full = one(text, number)
        asked = {"method": text, "url": text}  # which is nothing that generates
        live = evolve(full, id=f"live-{number:04}", state="running", stream=True, answered=None, parent=text, **asked)
        strange = evolve(full, id=text, state="answered", duration=5, **asked)  # a recording says what it likes
        made += [full, live, turn(text, number), strange]
        flows[live.id] = Told(text)
    return Kept(made, flows)


def one(text: str, number: int) -> Exchange:
    """A request for something to be generated that says *text* in every field."""
    raw = text.encode("utf-8", "backslashreplace")
    error = {"category": text, "kind": text, "message": text, "retry_after": None}
    message = Message(((text[:40], text),), raw, len(raw), 200)
    spoken = Message((("content-type", "application/json"),), _asked(text), 9, 200)
    attempts = (
        Attempt(1, text, 5, text, message, 7, message, 9, "error", error),
        Attempt(2, text, 15, text, spoken, 17, spoken, 19, text),
    )
    return exchange(
        number, model=text, api=text, url=f"/v1/chat/completions?{text}", route=text, state="failed", error=error,
        finish_reason=text, scope=Scope(tenant=text, user=text, session=text),
        provenance={"source": text, "by": text, "reason": text, "age": 1},
        came=spoken, answered=message, attempts=attempts, steps=_steps(text), pieces=_pieces(text),
    )  # fmt: skip


def turn(text: str, number: int) -> Exchange:
    """A step of the one conversation in which everything is said."""
    said = Message((("content-type", "application/json"),), answer(utf8(text)), 9, 200)
    came = Message((("content-type", "application/json"),), _asked(text), 9)
    hit = {"state": "cached", "provenance": {"source": "cache", "by": text}}
    scope = Scope(tenant="acme", user="ada", session="all")
    return exchange(
        number, id=f"turn-{number:04}", scope=scope, came=came, answered=said, route=text, model=text, **hit
    )


def whole(texts: Sequence[str]) -> Exchange:
    """One request that says all of them: in steps, pieces and headers."""
    headers = tuple((text[:40], text) for text in texts)
    came = Message(headers, "\n".join(map(utf8, texts)).encode(), 9)
    steps = tuple(step for text in texts for step in _steps(text))
    pieces = tuple(piece for text in texts for piece in _pieces(text))
    attempts = tuple(Attempt(place, text, 5, text, came, 7, came, 9, text) for place, text in enumerate(texts, 1))
    return exchange(
        9999, id="whole", model=texts[0], route=texts[0], scope=Scope(tenant=texts[0]),
        came=came, answered=came, attempts=attempts, steps=steps, pieces=pieces,
    )  # fmt: skip


def _asked(text: str) -> bytes:
    """A question whose roles, kinds of blocks and tools are called so."""
    call = {"function": {"name": text, "arguments": text}}
    messages = [
        {"role": text, "content": text},
        {"role": "assistant", "content": [{"type": text, "text": text}], "tool_calls": [call]},
        {"type": text, "output": text},
    ]
    return json.dumps({"model": text, "messages": messages}).encode()


def _steps(text: str) -> tuple[Step, ...]:
    before, after = json.dumps({"messages": [text]}), json.dumps({"messages": [text, "x"]})
    return (
        Step(1, text, "pre_request", text, 900_000_000, 1, before, after),
        Step(2, text, "compress_context", "changed", 5, 1, text, text + "\nmore"),
        Step(3, text, "on_error", text, 5, 1, None, text),
        Step(4, text, text, text, 5),
    )


def _pieces(text: str) -> tuple[Piece, ...]:
    chunk = {"kind": "text", "delta": text, "name": text, "reason": text}
    raw = text.encode("utf-8", "backslashreplace")
    return (Piece(6, "bytes", raw), Piece(7, "chunk_in", chunk=chunk), Piece(8, "chunk_out", chunk=chunk))

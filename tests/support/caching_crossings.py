"""The crossing table of caching: stored by a stream or a plain call, asked for as either, whatever happens.

    python tests/support/caching_crossings.py > docs/caching-crossings.md

Beside :mod:`composition`, which crosses plugins and entrances with one kind of answer, this crosses kinds of answers:
text, tool calls, reasoning and the Responses API, with what comes before the answer is stored.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
from attrs import define, evolve, field, frozen
from clippy_fallback import Fallback
from clippy_hookspecs import Chunk, RequestContext, TextFilter, Usage
from composition_world import Cell, Judges, World
from sdk_colours import Each, Inside, value

import clippy_core
from clippy_core.runtime import drive
from clippy_core.testing import FakeProvider, Fault, Reply, SeenRequest, VirtualClock, call
from clippy_core.wire import APIS, StreamDecoder

COLOURS = ("sync", "asyncio", "trio")
PLUGINS = ("cache-memory", "cache-sqlite", "all")
EVENTS: Mapping[str, str] = {
    "plain": "Asked, stored, and asked again.",
    "retry": "The first attempt fails; the second is answered and stored.",
    "fallback": "The route is down and another answers; the route is back, is asked, and its answer is stored.",
    "cancel": "A call is cancelled while it waits, a stream is left after two pieces: nothing is stored, the next is.",
    "redaction": "A filter's word is changed after storing: a replay is filtered by the new word, and later by none.",
}
TOOLS = (call("weather", {"city": "Köln"}), call("time", {"city": "東京", "zone": "Asia/Tokyo"}))
USAGE = Usage(input=11, output=9)


@frozen
class Kind:
    """A kind of answer: the wire API that it is told in, and what the provider says."""

    api: str
    path: str
    reply: Reply


KINDS: Mapping[str, Kind] = {
    "text": Kind("openai.chat", "/chat/completions", Reply(chunks=("one ", "two ", "th", "ree"), usage=USAGE)),
    "tools": Kind("openai.chat", "/chat/completions", Reply("I ask.", tool_calls=TOOLS, usage=USAGE)),
    "reasoning": Kind(
        "anthropic.messages", "/messages", Reply("one two three", reasoning="Let me think. Yes?", usage=USAGE)
    ),
    "Responses API": Kind("openai.responses", "/responses", Reply("one two three", tool_calls=TOOLS, usage=USAGE)),
}


@frozen
class Crossing:
    """Where in the table: ``stored`` and ``asked`` say whether the answer is stored, and asked for, as a stream."""

    kind: str
    event: str
    stored: bool
    asked: bool
    plugins: str
    colour: str

    @property
    def row(self) -> tuple[str, str, bool, bool]:
        """The row of the table, which has a column for each set of plugins."""
        return self.event, self.kind, self.stored, self.asked

    @property
    def name(self) -> str:
        forms = [("stream" if one else "plain") for one in (self.stored, self.asked)]
        return f"{self.event}, {self.kind}, {forms[0]} then {forms[1]}: {self.plugins}, {self.colour}"


def crossings() -> Iterator[Crossing]:
    """All of them, row by row."""
    for event in EVENTS:
        for kind in KINDS:
            if event == "redaction" and kind == "tools":
                continue  # a text filter has nothing to hide in it
            for stored in (False, True):
                for asked in (False, True):
                    for plugins in PLUGINS:
                        for colour in COLOURS:
                            yield Crossing(kind, event, stored, asked, plugins, colour)


# --- what an answer says ----------------------------------------------------------------------------------------------


@define
class Told:
    """What an answer says in whatever form: texts joined, tool calls with their arguments, usage."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(factory=list)
    usages: list[Usage] = field(factory=list)


def told_by_stream(api: str, body: bytes) -> Told:
    """Of a stream's bytes."""
    told, names, arguments = Told(), [], []
    chunks: list[Chunk] = [chunk for event in StreamDecoder(APIS[api]).feed(body) for chunk in event.chunks]
    for chunk in chunks:
        if chunk.kind == "text":
            told.text += chunk.delta
        elif chunk.kind == "reasoning":
            told.reasoning += chunk.delta
        elif chunk.kind == "tool_call":
            if chunk.name:
                names.append(chunk.name)
                arguments.append("")
            arguments[-1] += chunk.delta
        if chunk.usage is not None:
            told.usages.append(chunk.usage)
    told.calls = [(name, json.loads(text)) for name, text in zip(names, arguments, strict=True)]
    return told


def told_by_body(api: str, body: bytes) -> Told:
    """Of a JSON body."""
    said, told = json.loads(body), Told()
    if api == "openai.chat":
        message = said["choices"][0]["message"]
        told.text = message["content"] or ""
        calls = [one["function"] for one in message.get("tool_calls") or ()]
        told.calls = [(one["name"], json.loads(one["arguments"])) for one in calls]
    for block in said.get("content") or ():
        told.text += block.get("text", "")
        told.reasoning += block.get("thinking", "")
    for item in said.get("output") or ():
        if item["type"] == "message":
            told.text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "function_call":
            told.calls.append((item["name"], json.loads(item["arguments"])))
    return told


# --- the host of one crossing -----------------------------------------------------------------------------------------


@define(eq=False)
class Hide(TextFilter):
    """Hides one word; none if it is empty."""

    word: str = field(default="", metadata={"doc": "what is hidden"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        if not self.word:
            return text, ""
        text = text.replace(self.word, "[hidden]")
        longest = min(len(self.word) - 1, len(text))
        held = 0 if final else next((n for n in range(longest, 0, -1) if self.word.startswith(text[-n:])), 0)
        return text[: len(text) - held], text[len(text) - held :]


@define(eq=False)
class Scene:
    """The host of one crossing, its provider and its books; ``beside`` are plugins of the test's own."""

    crossing: Crossing
    folder: Path
    beside: Mapping[str, Any] = field(factory=dict)
    down: bool = False
    wrong: list[str] = field(factory=list)
    hide: Hide = field(factory=Hide)
    world: World = field(init=False)
    provider: FakeProvider = field(init=False)
    host: clippy_core.Host = field(init=False)

    def __attrs_post_init__(self) -> None:
        one = self.crossing
        cell = Cell("httpx", one.colour, one.plugins, one.event, hit=True, streamed=one.asked)
        self.world = World(cell, self.folder, with_repeats=one.event == "retry")
        self.provider = self._provider(self.world.clock)
        plugins = self.world.plugins
        if one.event == "fallback":
            plugins = {"judges": Judges(), **plugins, "fallback": Fallback(routes=("spare",))}
        if one.event == "redaction":
            plugins = {**plugins, "hide": self.hide}
        plugins = {**self.beside, **plugins}
        routes = {"spare": {"base_url": "http://spare.test/v1", "key": "sk-spare", "api": self.kind.api}}
        self.host = clippy_core.Host(plugins, config={"routes": routes}, clock=self.world.clock)

    @property
    def kind(self) -> Kind:
        return KINDS[self.crossing.kind]

    def _provider(self, clock: VirtualClock) -> FakeProvider:
        def act(seen: SeenRequest) -> Any:
            if self.down and "spare" not in seen.url:
                return Fault.status(503)
            fails = self.crossing.event == "retry" and seen.number == 1
            delay = 1.0 if self.crossing.event == "cancel" else 0.0
            return [*([Fault.status(503)] if fails else []), evolve(self.kind.reply, delay=delay)]

        return FakeProvider(act, clock=clock)

    def expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.wrong.append(f"{what}: {got!r} and not {wanted!r}")

    async def ask(self, client: Any, streamed: bool, leave: bool = False) -> bytes:
        """The bytes of the answer; with *leave* it is cancelled while it waits, a stream left after two pieces."""
        kind = self.kind
        question: Any = [{"role": "user", "content": "Hello"}]
        asked = {"input": "Hello"} if kind.api == "openai.responses" else {"messages": question, "max_tokens": 50}
        if streamed:
            asked |= {"stream": True}
            asked |= {"stream_options": {"include_usage": True}} if kind.api == "openai.chat" else {}
        pieces: list[bytes] = []
        url = f"http://fake.test/v1{kind.path}"
        if leave and not streamed:
            self.world.clock.meanwhile = self.world.cancel_flow
        async with Inside(client.stream("POST", url, json={"model": "m", **asked})) as response:
            self.expect("status", response.status_code, 499 if leave and not streamed else 200)
            async for piece in Each(response.stream._stream):
                pieces.append(piece)
                if leave and len(pieces) == 2:
                    break
        return b"".join(pieces)

    def said(self, number: int) -> bytes:
        """What the provider says to its request of this number, asked by a bare client."""
        again = self._provider(VirtualClock())
        with httpx.Client(transport=again.transport()) as client:
            for seen in self.provider.requests[:number]:
                answer = client.post(seen.url, headers=list(seen.headers.pairs), content=seen.body)
        return answer.content

    def told(self, streamed: bool, body: bytes) -> Told:
        return (told_by_stream if streamed else told_by_body)(self.kind.api, body)

    def expect_answer(self, streamed: bool, body: bytes, number: int, by_stream: bool, hides: str = "") -> None:
        """It says what the provider said to a request; in the same form it is the same to the last byte."""
        said = self.said(number)
        if streamed == by_stream and not hides:
            self.expect("bytes, and with them the boundaries of the chunks", body, said)
        got, wanted = self.told(streamed, body), self.told(by_stream, said)
        hidden = "[hidden]" if hides else ""
        self.expect("text", got.text, wanted.text.replace(hides, hidden) if hides else wanted.text)
        self.expect("reasoning", got.reasoning, wanted.reasoning)
        self.expect("tool calls", got.calls, wanted.calls)
        if streamed:
            self.expect("input tokens", max((one.input for one in got.usages), default=None), USAGE.input)
            ends = [one.output for one in got.usages if one.output == USAGE.output]
            self.expect("times that the usage came", len(ends), 1)

    def expect_books(self, calls: int, *outcomes: str) -> None:
        """How often the provider was asked, what became of each request, and the usage that is on record for each."""
        self.expect("requests to the provider", self.provider.calls, calls)
        records = self.world.books.records
        self.expect("outcomes", [one.outcome for one in records], [*outcomes])
        usage = records[-1].usage
        self.expect("usage on record", usage and (usage.input, usage.output), (USAGE.input, USAGE.output))


# --- what happens -----------------------------------------------------------------------------------------------------


async def happen(scene: Scene, client: Any) -> None:
    """Come to a stored answer by way of the event, and ask for it."""
    one = scene.crossing
    calls, outcomes = 1, ["answered"]
    if one.event == "retry":
        calls = 2
    elif one.event == "cancel":
        await scene.ask(client, one.stored, leave=True)
        calls, outcomes = 2, ["cancelled", "answered"]
    elif one.event == "fallback":
        scene.down = True
        body = await scene.ask(client, one.stored)
        scene.down = False
        scene.expect("the answer of the other route", scene.told(one.stored, body).text, _text(scene))
        scene.world.clock.advance(3600.0)  # a breaker lets the route try again
        calls, outcomes = scene.provider.calls + 1, ["answered", "answered"]
    body = await scene.ask(client, one.stored)
    scene.expect_answer(one.stored, body, calls, one.stored)
    scene.expect_books(calls, *outcomes)
    if one.event == "redaction":
        scene.hide.word = "two"
        body = await scene.ask(client, one.asked)
        scene.expect_answer(one.asked, body, 1, one.stored, hides="two")
        scene.hide.word = ""
        outcomes.append("cached")
    body = await scene.ask(client, one.asked)
    scene.expect_answer(one.asked, body, calls, one.stored)
    scene.expect_books(calls, *outcomes, "cached")


def _text(scene: Scene) -> str:
    reply = scene.kind.reply
    return reply.text if reply.text is not None else "".join(reply.chunks or ())  # type: ignore[arg-type]


def run(crossing: Crossing, beside: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong in a crossing; nothing if it is green."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(crossing, Path(folder), beside=beside or {})
        sync = crossing.colour == "sync"

        async def work() -> None:
            inner = scene.provider.client() if sync else scene.provider.async_client()
            async with Inside(scene.host.wrap(inner)) as client:
                await happen(scene, client)
            await value(inner.close() if sync else inner.aclose())

        async def with_loop() -> None:
            async with scene.host:
                await work()

        try:
            if sync:
                with scene.host:
                    drive(work())
            else:
                anyio.run(with_loop, backend=crossing.colour)
        except Exception as error:
            scene.wrong.append(f"raised {error!r}")
        scene.expect("failures of plugins", dict(scene.host.faults.counts), {})
        return scene.wrong


# --- the page -------------------------------------------------------------------------------------------------------

HEAD = """# Caching crossings

What a stored answer is when it is given again: of which kind it is, whether it came as a stream or to a plain call and
is asked for as either, and what happened before it was stored. It is asked by an HTTP client under a host, in sync
programs, on asyncio and on trio, with one cache alone and with all plugins of [composition](composition.md) together
(`all`). That page crosses each plugin alone, more entrances and more failures with answers that are text. This page is
made by `python tests/support/caching_crossings.py`, which runs every cell.
`tests/contract/test_caching_crossings.py` runs a part of them in which any three of these meet (kind of answer, event,
stored and asked form, plugins, colour), and holds the page against it.

## What is checked

In each cell, of the miss and of the hit:

* asked for in the form in which it was stored, the answer is the provider's to the last byte: the events of a stream
  with their boundaries, pieces of tool calls and of reasoning among them;
* asked for in the other form, it says the same: text, reasoning, tool calls with their arguments;
* the usage comes once, with the provider's numbers, and the record of the hit has them;
* the number of requests that reached the provider, and what became of each request of the program.

| event | what happens |
|---|---|
"""


def page(results: Mapping[Crossing, list[str]]) -> str:
    """The page that shows *results*: for each cell what was wrong."""
    bad = {one: wrong for one, wrong in results.items() if wrong}
    lines = [HEAD.rstrip("\n"), *(f"| {event} | {text} |" for event, text in EVENTS.items()), "", "## Not green", ""]
    lines += [f"* {one.name}: {'; '.join(wrong)}" for one, wrong in bad.items()] or [f"None of {len(results)} cells."]
    lines += ["", "## The table", "", "Green cells of three colours.", ""]
    lines += [
        f"| event | answer | stored, asked for | {' | '.join(PLUGINS)} |",
        f"|---|---|---|{'---|' * len(PLUGINS)}",
    ]
    for row in dict.fromkeys(one.row for one in results):
        event, kind, *forms = row
        counts = []
        for plugins in PLUGINS:
            mine = [
                one for one in results if (one.event, one.kind, one.stored, one.asked, one.plugins) == (*row, plugins)
            ]
            green = sum(not results[one] for one in mine)
            counts.append(f"{green}" if green == len(mine) else f"**{green} of {len(mine)}**")
        stored, asked = ("stream" if one else "plain call" for one in forms)
        lines.append(f"| {event} | {kind} | {stored}, {asked} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page({one: run(one) for one in crossings()}))

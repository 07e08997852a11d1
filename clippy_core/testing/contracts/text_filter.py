"""What every filter over answers must do: streamed or whole, however the text is cut, the caller reads the same."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from attrs import define
from clippy_hookspecs import Chunk, Headers, Reasoning, RefusalText, ToolCall

from ...wire import APIS, decode_response
from ...wire.assemble import assemble_stream
from ..faults import Fault
from ..script import Reply, call
from ..seen import SeenRequest
from .base import Contract, NotApplicable, in_threads, require, vital
from .bench import PATHS, Bench, Got, body_for, colours, context
from .matches import around, followed_by_their_tails, matches_in, named_words

TEXTS = (
    "The secret password is hunter2, so keep the secret secret.",
    "Write to ada.lovelace@example.com or call +44 20 7946 0958 today.",
    "The key is sk-proj-Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8 and the token is ghp_Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8Zq8.",
    "Card 4111 1111 1111 1111, address 192.168.0.1, code 123456, born 1980-01-31.",
    "Damn, that badword is bad, you fool; hell, no bad word is worse. foo bar baz.",
    "Grüße 😀 👩‍👩‍👧 naïve café, straße",
    "<think>hidden</think>shown <b>bold</b> [link](https://example.com/a?b=c) **strong**",
    "Hello world. hello World! HELLO WORLD? Yes -- no.",
    "```python\nprint('hi')\n```\n\n  two  spaces\tand a tab\r\n",
    "aaa aaaa aab abab ababab",
)
"""Texts in which most filters find something to do; the words that a filter names itself are added to them."""
NEUTRAL = " ... and so on."
PLAIN = "There was a table by the window and on it stood a lamp. "


@define(eq=False)
class Says:
    """A provider that says what the check wants it to say."""

    step: Any = None

    def __call__(self, seen: SeenRequest) -> Any:
        return self.step


class TextFilterContract(Contract):
    """Every split point, held text, interruption, several answers at once, and whole answers against streamed ones.

    ``texts`` are texts in which the filter has something to change, beside those of the suite and the words that stand
    in its settings and its code.  ``holds_all`` is for a filter that must read a whole answer before it says anything.
    """

    about = "streamed or whole, however it is cut, the caller reads the same"
    texts: ClassVar[Sequence[str]] = ()
    holds_all: ClassVar[bool] = False

    def filtering(self, colour: str = "sync") -> tuple[Bench, Says]:
        """A host with a new filter, and what its provider will say."""
        says = Says()
        return self.bench(script=says, colour=colour), says

    def changed(self, bench: Bench, says: Says) -> dict[str, str]:
        """The texts that the filter changes in a whole answer, and what it makes of them; the shortest first.

        Raises :class:`NotApplicable` if there is none: then nothing could be shown.
        """
        tried = dict.fromkeys((*self.texts, *TEXTS, *around(named_words(bench.host.plugins["tested"]))))
        found = {}
        for text in sorted(filter(None, tried), key=len):
            out = self.whole(bench, says, text)
            if out != text:
                found[text] = out
            else:
                self._same(self.cut(bench, says, (text,)), out, f"{text!r} in one piece of a stream")
        if not found:
            raise NotApplicable("it changes none of the suite's texts; name some in the attribute texts of a subclass")
        return found

    def whole(self, bench: Bench, says: Says, text: str) -> str:
        """What the filter makes of a whole answer."""
        says.step = Reply(text)
        return _well(bench.chat(), f"a whole answer {text!r:.60}").text

    def cut(self, bench: Bench, says: Says, pieces: Sequence[str]) -> str:
        """What the filter makes of a streamed answer that comes in these pieces."""
        says.step = Reply("".join(pieces), chunks=pieces)
        return _well(bench.stream(), f"a stream of {list(pieces)!r:.80}").text

    # --- split points -------------------------------------------------------------------------------------------------

    @vital
    def test_every_split_point_gives_the_same(self) -> None:
        """Each text cut in two at every place, and into single characters, reads as if it had come whole."""
        bench, says = self.filtering()
        for text, expected in _some(self.changed(bench, says), 24):
            for at in range(1, len(text)):
                self._same(self.cut(bench, says, (text[:at], text[at:])), expected, (text[:at], text[at:]))
            self._same(self.cut(bench, says, tuple(text)), expected, "single characters")

    @vital
    def test_many_pieces_give_the_same(self) -> None:
        """Random pieces, empty ones among them, and two texts one after the other."""
        bench, says = self.filtering()
        rng = random.Random(3)
        texts = list(self.changed(bench, says))
        for _ in range(80):
            text = rng.choice(texts) + rng.choice(("", " ", rng.choice(texts)))
            cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randrange(1, 6)))
            pieces = tuple(text[a:b] for a, b in zip((0, *cuts), (*cuts, len(text)), strict=True))
            self._same(self.cut(bench, says, pieces), self.whole(bench, says, text), pieces)

    @vital
    def test_what_it_leaves_alone_stays_whole(self) -> None:
        """Texts that it does not change lose nothing, also when they end in what could have become a match."""
        bench, says = self.filtering()
        changed = self.changed(bench, says)
        for text, _ in _some(changed, 8):
            for end in _places(len(text), 12):
                start = text[:end]
                pieces = start[: end // 2], start[end // 2 :]
                self._same(self.cut(bench, says, pieces), self.whole(bench, says, start), start)
        for text in ("", "a", "\n", "😀", PLAIN):
            expected = self.whole(bench, says, text)
            self._same(self.cut(bench, says, tuple(text) or ("",)), expected, text)

    @vital
    def test_what_could_have_become_a_match_is_not_lost(self) -> None:
        """The beginning of a match at the end of an answer is given out, if it is given out when something follows."""
        bench, says = self.filtering()
        for text, _ in _some(self.changed(bench, says), 10):
            for end in _places(len(text), 16):
                start = text[:end]
                followed = start + NEUTRAL
                if not start[-1].isspace() and self.whole(bench, says, followed) == followed:
                    self._same(self.whole(bench, says, start), start, f"an answer that ends in {start[-12:]!r}")
                    self._same(self.cut(bench, says, tuple(start)), start, f"a stream that ends in {start[-12:]!r}")

    @vital
    def test_what_it_put_in_is_not_read_again(self) -> None:
        """A match, or what stands in its place, and then the match's own tail: cut anywhere it reads as if whole."""
        bench, says = self.filtering()
        changed = self.changed(bench, says)
        matches = matches_in(changed, lambda text: self.whole(bench, says, text) != text)
        for match in matches:
            for head, tail in followed_by_their_tails(match, self.whole(bench, says, match)):
                expected = self.whole(bench, says, head + tail)
                for pieces in ((head, tail), tuple(head + tail)):
                    self._same(self.cut(bench, says, pieces), expected, pieces)

    @vital
    def test_every_wire_api_gives_the_same(self) -> None:
        """Read from the bytes as an SDK reads them, plain and streamed, in all three wire APIs."""
        bench, says = self.filtering()
        for text, expected in _some(self.changed(bench, says), 4):
            for api, path in PATHS.items():
                says.step = Reply(text)
                got = bench.post(path, body_for(api, "Hello"))
                plain = decode_response(APIS[api], got.status, Headers(got.headers), got.body, {})
                self._same(plain.text, expected, f"{api}, plain")
                for at in range(1, len(text), max(1, len(text) // 8)):
                    says.step = Reply(text, chunks=(text[:at], text[at:]))
                    got = bench.post(path, body_for(api, "Hello", stream=True))
                    result = assemble_stream(APIS[api], got.pieces)
                    self._same(result.text, expected, f"{api}: {text[:at]!r} and {text[at:]!r}")
                    require(result.complete, f"{api}: the stream did not come to its end for an SDK")

    def test_every_colour_gives_the_same(self) -> None:
        """In sync, asyncio and trio, plain and streamed."""
        for colour in colours():
            bench, says = self.filtering(colour)
            for text, expected in _some(self.changed(bench, says), 3):
                self._same(self.cut(bench, says, tuple(text)), expected, f"{colour}: single characters")

    # --- held text ----------------------------------------------------------------------------------------------------

    @vital
    def test_held_text_comes_before_what_follows_it(self) -> None:
        """Where a text ends and a tool call begins, nothing of the text comes after it, and the call stays whole."""
        bench, says = self.filtering()
        for text, expected in _some(self.changed(bench, says), 6):
            for cut in (len(text) - 1, len(text) // 2, 1):
                tool = call("look", {"q": 1}, "call_1")
                says.step = Reply(text[:cut], tool_calls=(tool,), chunks=tuple(text[:cut]))
                whole, got = bench.chat(), bench.stream()
                assert whole.response is not None
                self._same(got.text, whole.text, f"{text[:cut]!r} before a tool call")
                kinds = [chunk.kind for chunk in got.chunks if chunk.content]
                require("tool_call" in kinds, "a tool call after a filtered text is lost")
                late = "text" in kinds[kinds.index("tool_call") :]
                require(not late, "text came after the tool call that it preceded")
                arguments = "".join(chunk.delta for chunk in got.chunks if chunk.kind == "tool_call")
                made = [block.arguments for block in whole.response.message.blocks if isinstance(block, ToolCall)]
                require([arguments] == made, f"streamed, a tool call's arguments are {arguments!r}, whole {made}")
            self._same(self.whole(bench, says, text), expected, "a whole answer the second time")

    @vital
    def test_a_stream_that_breaks_gives_what_had_come(self) -> None:
        """What was held is given up when a stream is interrupted: the caller has the filtered beginning, no less."""
        bench, says = self.filtering()
        for text, _ in _some(self.changed(bench, says), 6):
            for at in _places(len(text), 16):
                expected = self.whole(bench, says, text[:at])
                for fault in (Fault.reset(at_delta=at), Fault.error_event(at_delta=at)):
                    says.step = [fault, Reply(text, chunks=tuple(text))]
                    got = bench.stream()
                    require(got.error is not None, "an interrupted stream ended as if it were whole")
                    name = type(got.error).__name__
                    require(name != "PluginError", f"the filter raised when a stream was interrupted: {got.error}")
                    self._same(got.text, expected, f"interrupted ({fault.kind}) after {text[:at]!r}")

    def test_a_stream_ends_as_it_ended(self) -> None:
        """Finish reason, usage and one terminal event come through, after the last of the text."""
        bench, says = self.filtering()
        text = next(iter(self.changed(bench, says)))
        says.step = Reply(text, chunks=tuple(text), finish="length")
        got = bench.stream(stream_options={"include_usage": True})
        kinds = [chunk.kind for chunk in got.chunks]
        require(kinds.count("done") == 1, f"the stream has {kinds.count('done')} terminal events")
        require(kinds[-1] == "done", f"after the terminal event came {kinds[-1]}")
        require(got.outcome[2] == "length", f"the finish reason is {got.outcome[2]!r}")
        require(any(chunk.usage for chunk in got.chunks), "the usage is lost")
        whole = bench.chat()
        require(whole.response is not None and whole.response.usage is not None, "the usage of a whole answer is lost")
        require(whole.outcome[2] == "length", f"the finish reason of a whole answer is {whole.outcome[2]!r}")

    def test_text_is_not_held_longer_than_needed(self) -> None:
        """Of a long answer in which nothing matches most is on its way before the end."""
        if self.holds_all:
            raise NotApplicable("it reads a whole answer before it says anything")
        bench, _ = self.filtering()
        feed = _Feed(bench)
        for _ in range(200):
            for piece in (PLAIN[:20], PLAIN[20:]):
                feed.give(Chunk("text", piece))
        given, came = len(feed.text()), 200 * len(PLAIN)
        require(given >= came // 2, f"after {came} characters without a match {given} were given out")

    # --- several at once ----------------------------------------------------------------------------------------------

    @vital
    def test_answers_beside_each_other_do_not_mix(self) -> None:
        """Several choices and several blocks of one stream, their pieces in turn, are filtered each for itself."""
        bench, says = self.filtering()
        texts = self._four(bench, says)
        for length in (1, 3):
            feed = _Feed(bench)
            places = list(zip(texts, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True))
            for at in range(0, max(map(len, texts)), length):
                for text, (choice, block) in places:
                    if text[at : at + length]:
                        feed.give(Chunk("text", text[at : at + length], block, choice))
            for _, (choice, block) in places:
                feed.give(Chunk("stop", choice=choice, block=block))
            feed.give(Chunk("end", reason="complete"))
            for text, (choice, block) in places:
                got = feed.text(choice, block)
                self._same(got, self.whole(bench, says, text), f"choice {choice}, block {block} in pieces of {length}")

    def test_every_choice_of_an_answer_is_filtered(self) -> None:
        """With n=2 both answers, plain and streamed."""
        bench, says = self.filtering()
        first, second, *_ = self._four(bench, says)
        expected = [self.whole(bench, says, first), self.whole(bench, says, second)]
        says.step = Reply(first, more=[Reply(second, chunks=tuple(second))], chunks=tuple(first))
        whole, stream = bench.chat(n=2), bench.stream(n=2)
        require(whole.response is not None and len(whole.response.more) == 1, "the second answer is lost")
        assert whole.response is not None
        self._same(whole.response.more[0].message.text, expected[1], "the second of two whole answers")
        for choice in (0, 1):
            got = "".join(c.delta for c in stream.chunks if c.kind == "text" and c.choice == choice)
            self._same(got, expected[choice], f"streamed answer {choice} of two")

    @vital
    def test_requests_do_not_mix(self) -> None:
        """Streams that are read in turn, in eight threads, or after one that was left, see nothing of each other."""
        bench, says = self.filtering()
        texts = self._four(bench, says)
        expected = [self.whole(bench, says, text) for text in texts]
        feeds = [_Feed(bench, f"request {number}") for number in range(4)]
        for at in range(max(map(len, texts))):
            for feed, text in zip(feeds, texts, strict=True):
                if text[at : at + 1]:
                    feed.give(Chunk("text", text[at]))
        for feed, text, out in zip(feeds, texts, expected, strict=True):
            feed.give(Chunk("end", reason="complete"))
            self._same(feed.text(), out, f"{text!r} beside other requests")
        for text, out in zip(texts, expected, strict=True):
            for stop_after in (1, 2):
                says.step = Reply(text, chunks=tuple(text))
                bench.stream(stop_after=stop_after)
                self._same(self.cut(bench, says, tuple(text)), out, f"{text!r} after a stream that was left")
                self._same(self.whole(bench, says, text), out, f"{text!r} whole, after a stream that was left")
        _in_turns(bench, texts, expected)

    def test_what_is_not_its_business_is_the_same_streamed_and_whole(self) -> None:
        """Reasoning and a model's refusal are changed in both or in neither."""
        bench, says = self.filtering()
        for text, _ in _some(self.changed(bench, says), 4):
            for name in ("reasoning", "refusal"):
                says.step = Reply("fine", reasoning=text) if name == "reasoning" else Reply("", refusal=text)
                whole, got = bench.chat(), bench.stream()
                assert whole.response is not None
                kind = Reasoning if name == "reasoning" else RefusalText
                plain = "".join(block.text for block in whole.response.message.blocks if isinstance(block, kind))
                streamed = "".join(chunk.delta for chunk in got.chunks if chunk.kind == name)
                self._same(streamed, plain, f"the {name} {text!r}")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _four(self, bench: Bench, says: Says) -> list[str]:
        """Four texts that it changes; two of them end in what it holds until the end, if it holds anything."""
        texts = list(self.changed(bench, says))
        starts = [text[: len(text) // 2] for text in texts[:12]]
        held = [f"{texts[-1]}\n{start}" for start in starts if _is_held(bench, start)][:2]
        return [*held, *texts[:2], *texts[-2:], *texts * 4][:4]

    def _same(self, got: str, expected: str, what: object) -> None:
        require(got == expected, f"{what!s:.160}: the caller read {got!r:.120}, whole it is {expected!r:.120}")


class _Feed:
    """Chunks through the on_chunk chain of a host, as the host hands them on in one request."""

    def __init__(self, bench: Bench, name: str = "check") -> None:
        self._chains, self._ctx = bench.host.chains, context(bench.host, id=name, stream=True)
        self.out: list[Chunk] = []

    def give(self, chunk: Chunk) -> None:
        self.out.extend(self._chains.chunk(chunk, self._ctx, None))

    def text(self, choice: int = 0, block: int = 0) -> str:
        return "".join(c.delta for c in self.out if (c.kind, c.choice, c.block) == ("text", choice, block))


def _is_held(bench: Bench, text: str) -> bool:
    """Whether something of *text* is held while nothing says that it is the end."""
    feed = _Feed(bench)
    for letter in text:
        feed.give(Chunk("text", letter))
    before = feed.text()
    feed.give(Chunk("end", reason="complete"))
    return feed.text() != before


def _in_turns(bench: Bench, texts: Sequence[str], expected: Sequence[str]) -> None:
    def work(thread: int) -> list[str]:
        wrong = []
        for turn in range(10):
            text, out = texts[(thread + turn) % 4], expected[(thread + turn) % 4]
            feed = _Feed(bench, f"{thread} {turn}")
            for letter in (*(Chunk("text", one) for one in text), Chunk("end", reason="complete")):
                feed.give(letter)
            wrong += [] if feed.text() == out else [feed.text()]
        return wrong

    wrong = [one for found in in_threads(8, work) for one in found]
    require(not wrong, f"in eight threads streams were mixed: {wrong[:2]!r:.160}")


def _well(got: Got, what: str) -> Got:
    require(got.error is None, f"{what}: the caller got {type(got.error).__name__}: {got.error}")
    return got


def _some(texts: Mapping[str, str], count: int) -> Iterable[tuple[str, str]]:
    """At most *count* of the texts, short and long ones."""
    pairs = list(texts.items())
    step = max(1, len(pairs) // count)
    return pairs[::step][:count]


def _places(length: int, count: int) -> Iterator[int]:
    """At most *count* places inside a text, the last one among them."""
    step = -(-length // count)
    return reversed(range(length - 1, 0, -step))

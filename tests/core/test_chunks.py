"""on_chunk: what plugins make of a stream, piece by piece."""

from __future__ import annotations

import itertools

import httpx
import pytest
from attrs import define, evolve, field
from calling import Caller, Keep
from clippy_hookspecs import Answer, Chunk, Refusal, Request, RequestContext, Response, StashKey, TextFilter, hookimpl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clippy_core.testing import Fault, Reply


@define(eq=False)
class Redact(TextFilter):
    """Hides a word, and holds back what could still become one."""

    word: str = "bob@corp.com"

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.word, "<EMAIL>")
        if final:
            return text, ""
        held = next((n for n in range(min(len(self.word) - 1, len(text)), 0, -1) if text.endswith(self.word[:n])), 0)
        return text[: len(text) - held], text[len(text) - held :]


SECRET = "write to bob@corp.com or to bob@corp.org"
CLEAN = "write to <EMAIL> or to bob@corp.org"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(SECRET) - 1), max_size=12))
def test_a_redactor_leaks_nothing_wherever_the_stream_is_cut(cuts):
    """However the provider cuts the text, the reader gets the redacted one."""
    marks = [0, *sorted(set(cuts)), len(SECRET)]
    pieces = [SECRET[a:b] for a, b in itertools.pairwise(marks)]
    caller = Caller("sync", httpx).start([Redact()], Reply(chunks=pieces, text=SECRET))
    assert CLEAN == caller.stream().text


def test_a_redactor_split_at_every_character_leaks_nothing(any_caller):
    """In every colour, on both HTTP modules."""
    any_caller.start([Redact()], Reply(text=SECRET, chunks=list(SECRET)))
    assert CLEAN == any_caller.stream().text


def test_a_cut_stream_gives_up_what_was_held_and_repeats_no_word(caller):
    """Text that a plugin held when the stream broke is delivered before the failure, once."""
    caller.start([Redact()], [[Fault.reset(at_delta=3), Reply(text="Hello bob@x", chunks=["Hello ", "bo", "b@", "x"])]])
    read = caller.stream()
    assert "Hello bob@" == read.text
    assert read.error.partial.message.text == read.text
    assert 1 == caller.provider.calls


ORIGINALS = StashKey[dict[str, str]]("originals")


@define(eq=False)
class Reversible(TextFilter):
    """Sends a token upstream instead of an address, and puts the address back into the answer."""

    addresses: tuple[str, ...] = field(factory=tuple)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request | None:
        found = [address for address in self.addresses if address in request.messages[-1].text]
        if not found:
            return None
        ctx.stash[ORIGINALS] = {"[E1]": found[0]}
        message = request.messages[-1]
        block = evolve(message.blocks[0], text=message.text.replace(found[0], "[E1]"))
        return evolve(request, messages=(*request.messages[:-1], evolve(message, blocks=(block,))))

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        for token, address in (ctx.stash.get(ORIGINALS) or {}).items():
            text = text.replace(token, address)
        held = text.rfind("[")
        return (text, "") if final or held < 0 or "]" in text[held:] else (text[:held], text[held:])


@pytest.mark.parametrize("streamed", [False, True])
def test_two_users_behind_one_cache_each_get_their_own_data(caller, streamed):
    """Stored is what the provider sent, before one user's address was put back into it."""
    people = Reversible(("alice@a.com", "bob@b.com"))
    caller.start({"aa-people": people, "keep": Keep()}, Reply(echo=True))

    def ask(address: str) -> str:
        text = f"mail {address} now"
        return caller.stream(text).text if streamed else caller.chat(text).text

    assert "mail alice@a.com now" == ask("alice@a.com")
    assert "mail bob@b.com now" == ask("bob@b.com")
    assert 1 == caller.provider.calls


@define(eq=False)
class Words:
    """Splits each piece of text into its words, and drops one of them."""

    drop: str = "two"

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> list[Chunk] | None:
        if chunk.kind != "text":
            return None
        words = [word for word in chunk.delta.split() if word != self.drop]
        return [evolve(chunk, delta=f"{word};") for word in words]


@define(eq=False)
class Count:
    """Counts the text chunks it is handed."""

    seen: list[str] = field(factory=list)

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if chunk.kind == "text":
            self.seen.append(chunk.delta)


def test_a_list_goes_down_the_rest_of_the_chain_piece_by_piece(caller):
    """What one plugin splits, the next one out sees as several chunks; [] is a chunk less."""
    outer = Count()
    caller.start({"a-outer": outer, "b-words": Words()}, Reply(text="one two three", chunks=["one two three"]))
    assert "one;three;" == caller.stream().text
    assert ["one;", "three;"] == outer.seen


@define(eq=False)
class Stop:
    """Refuses a stream in its middle."""

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if "three" in chunk.delta:
            raise Refusal("no threes", 403, "threes")


def test_a_refusal_in_the_middle_of_a_stream_ends_it(caller):
    """The reader gets the Refusal after what was delivered; the upstream is closed."""
    caller.start([Stop()], Reply("one two three four"))
    read = caller.stream()
    assert "one two " == read.text
    assert isinstance(read.error, Refusal)
    assert ["refused"] == caller.records.outcomes
    assert [1] == caller.provider.closed_early


@define(eq=False)
class Withhold:
    """Refuses an answer when it is whole."""

    @hookimpl
    def on_response(self, response: Response) -> None:
        raise Refusal("not this answer", 403, "answer")


def test_a_refused_answer_is_withheld_and_not_stored(caller):
    """on_response raises: the stream ends without its terminal event, and no cache keeps the answer."""
    keep = Keep()
    caller.start({"keep": keep, "withhold": Withhold()}, Reply("Hi"))
    read = caller.stream()
    assert isinstance(read.error, Refusal)
    assert not any(chunk.kind == "done" for chunk in read.chunks)
    assert {} == keep.entries


def test_a_plugins_answer_streams_through_the_other_plugins(caller):
    """An Answer to a streaming caller passes on_chunk like a live one."""

    @define(eq=False)
    class Canned:
        @hookimpl
        def pre_request(self, request: Request) -> Answer:
            from clippy_hookspecs import Message, Text

            return Answer(Response(request.api, message=Message("assistant", (Text(SECRET),)), finish_reason="stop"))

    caller.start({"a-canned": Canned(), "redact": Redact()}, Reply("Hi"))
    assert CLEAN == caller.stream().text

"""What every cache must do: what it gives back, for how long, within how many bytes, to whom, and what it forgets."""

from __future__ import annotations

import zlib
from typing import Any

from clippy_hookspecs import Headers, Scope

from ..faults import Fault
from ..script import Reply, Script, call
from .base import require, vital
from .bench import PATHS, Bench, body_for, colours, entry_of, noise
from .cache_listed import CacheListed
from .caching import Caching, named


class CacheContract(CacheListed):
    """Replay, times, bytes, scopes, invalidation, threads, processes and damaged files of a cache.

    ``ttl``, ``max_bytes``, ``path`` and ``stale`` (seconds that late answers are kept, ``stale_if_error``) name the
    cache's settings for these (None: it has none).  ``shared`` says
    whether several processes use one store; None means: if it has a ``path``.
    """

    about = "answers come back whole, in time, within bytes, to the right caller"
    # --- replay -------------------------------------------------------------------------------------------------------

    @vital
    def test_an_equal_request_is_answered_without_the_provider(self) -> None:
        """The second of two equal calls gets the first one's answer, in sync, asyncio and trio."""
        for colour in colours():
            script = Script(Reply("first", tool_calls=(call("look", {"a": 1}),)), then=Reply("second"))
            bench = self.bench(script=script, colour=colour)
            one, two = bench.chat(f"Hello {colour}"), bench.chat(f"Hello {colour}")
            require(
                bench.provider.calls == 1, f"{colour}: two equal calls asked the provider {bench.provider.calls} times"
            )
            require(two.cached, f"{colour}: a stored answer does not say that it came from a cache")
            require(
                one.response is not None and two.response is not None and one.response.message == two.response.message,
                f"{colour}: the second caller got another message than the first",
            )
            require(one.outcome == two.outcome, f"{colour}: {one.outcome} was stored and {two.outcome} came back")
            self._unblamed(bench)

    @vital
    def test_other_requests_get_their_own_answers(self) -> None:
        """Requests that differ in a letter, in case or in a parameter share nothing."""
        bench = self.bench(script=Reply(echo=True))
        prompts = ["Hello", "hello", "Hello ", "Hell", "Hello\n", "Hellо", "%", "_", "'", '"']  # one has a Cyrillic о
        for _ in range(2):
            for prompt in prompts:
                got = bench.chat(prompt)
                require(got.text == prompt, f"{prompt!r} was answered with the answer to {got.text!r}")
        require(bench.chat("Hello", temperature=0.5).text == "Hello", "another temperature got no answer")
        require(bench.provider.calls == len(prompts) + 1, "another temperature was answered from the cache")
        self._unblamed(bench)

    @vital
    def test_keys_are_told_apart_whole(self) -> None:
        """Keys that begin or end alike, long ones, and ones with wildcards or quotes in them are different keys."""
        cache = self.caching()
        base = "0123456789abcdef" * 4
        keys = [base, base[:-1] + "0", "f" + base[1:], base.upper(), base[:32], base * 2, "%", "_", "a'b", "a"]
        for key in keys:
            cache.store(key, f"the answer to {key}")
        for key in keys:
            found = cache.text(key)
            require(found == f"the answer to {key}", f"key {key!r} gave {found!r}")
        for key in ("b", base[:31], base + "0", ""):
            require(cache.lookup(key) is None, f"a key that was never stored, {key!r}, gave an answer")
        self._unblamed(cache.bench)

    def test_an_entry_comes_back_as_it_was_stored(self) -> None:
        """Body, events, headers with their order and repetitions, times, tags and origin."""
        cache, now = self.caching(), self.clock.time()
        headers = Headers([("Content-Type", "application/json"), ("x-b", "1"), ("X-B", "2"), ("x-a", "ä")])
        events = (b'data: {"choices": []}\n\n', "data: ü €\n\n".encode(), b"", b"data: [DONE]\n\n")
        entry = entry_of("ünï 😀 \x00", now, headers=headers, events=events, expires_at=now + 9.5, tags=("t", "ü'%"))
        cache.store("k", entry)
        found = cache.lookup("k")
        require(found is not None, "a stored entry is not there")
        assert found is not None
        require(found.response.raw == entry.response.raw, "the body is not the one that was stored")
        require(found.events == entry.events, f"events {found.events!r} came back for {entry.events!r}")
        require(found.response.headers.pairs == headers.pairs, f"headers {found.response.headers.pairs} came back")
        for name in ("stored_at", "expires_at", "tags", "origin"):
            was, now_is = getattr(entry, name), getattr(found, name)
            require(was == now_is, f"{name} was {was!r} and came back as {now_is!r}")
        require(
            (found.response.api, found.response.status) == ("openai.chat", 200), "API or status came back otherwise"
        )

    def test_each_caller_gets_an_entry_of_its_own(self) -> None:
        """What one caller does to an answer is not seen by the next."""
        cache = self.caching()
        cache.store("k", "hello")
        one = cache.lookup("k")
        require(one is not None, "a stored entry is not there")
        assert one is not None
        one.response.extensions["mine"] = True  # type: ignore[index]
        two = cache.lookup("k")
        require(two is not None and "mine" not in two.response.extensions, "two callers share one entry's extensions")

    @vital
    def test_a_stream_is_replayed_chunk_for_chunk(self) -> None:
        """The same events with the same bytes, in all three wire APIs, and the same chunks for our own client."""
        reply = Reply("one two three four", reasoning="let me think", tool_calls=(call("look", {"q": "ü"}),))
        for api, path in PATHS.items():
            bench = self.bench(script=Script(reply, then=Reply("another")))
            one = bench.post(path, body_for(api, "Hello", stream=True))
            two = bench.post(path, body_for(api, "Hello", stream=True))
            require(bench.provider.calls == 1, f"{api}: an equal stream asked the provider again")
            require(one.body == two.body, f"{api}: the bytes of the replay are not those of the stream")
            kinds = [got.headers.get("content-type", "").partition(";")[0] for got in (one, two)]
            require(kinds[0] == kinds[1], f"{api}: the replay of {kinds[0]} is called {kinds[1]}")
        bench = self.bench(script=Script(reply, then=Reply("another")))
        first, again = bench.stream("Hello again"), bench.stream("Hello again")
        require(first.chunks == again.chunks, "the chunks of the replay are not those of the stream")
        require([c.raw for c in first.chunks] == [c.raw for c in again.chunks], "a replayed chunk lost its bytes")

    def test_plain_and_streamed_answers_stand_for_each_other(self) -> None:
        """An answer that came whole can be read as a stream, and the other way round."""
        for first in ("chat", "stream"):
            bench = self.bench(script=Script(Reply("one two three"), then=Reply("another")))
            getattr(bench, first)(f"Hello {first}")
            got = [bench.chat(f"Hello {first}").outcome, bench.stream(f"Hello {first}").outcome]
            require(got == [("one two three", "", "stop")] * 2, f"stored by {first}, read as {got}")
            require(bench.provider.calls == 1, f"an answer stored by {first} was not used for the other")

    @vital
    def test_nothing_broken_is_given_again(self) -> None:
        """Errors, broken streams and answers that were cut off are no answers for the next caller."""
        for fault in (Fault.status(503), Fault.reset(at_delta=1), Fault.no_terminal(), Fault.error_event(at_delta=1)):
            bench = self.bench(script=Script([fault, Reply("broken one two")], then=Reply("whole")))
            bench.stream(f"Hello {fault.kind}")
            got = bench.stream(f"Hello {fault.kind}")
            require(got.text == "whole", f"after {fault.kind} the next caller got {got.text!r}")
        bench = self.bench(script=Script(Reply("cut off", finish="length"), then=Reply("whole")))
        bench.chat("Hello")
        require(bench.chat("Hello").text == "whole", "an answer that was cut off was given again")

    def test_the_newest_answer_counts(self) -> None:
        """Storing under a key again replaces what was there, however often."""
        cache = self.caching()
        for number in range(20):
            cache.store("k", f"answer {number}")
            found = cache.text("k")
            require(found == f"answer {number}", f"after answer {number} was stored the cache gave {found!r}")

    # --- times --------------------------------------------------------------------------------------------------------

    @vital
    def test_an_answer_is_not_older_than_the_ttl(self) -> None:
        """It is given while it is younger than the ttl by the host's clock, and not at that age."""
        cache = self.caching(self._with_ttl(60.0))
        cache.store("k", "hello")
        self.clock.advance(59.0)
        require(cache.lookup("k") is not None, "an answer of 59 seconds was not given with a ttl of 60")
        self.clock.advance(1.0)
        require(cache.lookup("k") is None, "an answer of 60 seconds was given with a ttl of 60")
        cache.store("k", "anew")
        self.clock.advance(30.0)
        require(cache.text("k") == "anew", "what is stored after an answer has expired is not given")
        for _ in range(3):  # being read does not keep it young
            self.clock.advance(10.0)
            cache.lookup("k")
        require(cache.lookup("k") is None, "reading an answer made it live longer")

    @vital
    def test_an_entrys_own_end_is_kept(self) -> None:
        """``expires_at`` shortens an answer's life and never lengthens it beyond the ttl."""
        cache, now = self.caching(), self.clock.time()
        cache.store("soon", entry_of("hello", now, expires_at=now + 5.0))
        cache.store("over", entry_of("hello", now, expires_at=now))
        require(cache.lookup("over") is None, "an answer that was over when it was stored is given")
        self.clock.advance(4.5)
        require(cache.lookup("soon") is not None, "an answer is gone before its expires_at")
        self.clock.advance(0.5)
        require(cache.lookup("soon") is None, "an answer is given at its expires_at")

    def test_an_end_beyond_the_ttl_does_not_count(self) -> None:
        """The cache's own limit is the longest."""
        cache, now = self.caching(self._with_ttl(60.0)), self.clock.time()
        cache.store("late", entry_of("hello", now, expires_at=now + 600.0))
        self.clock.advance(60.0)
        require(cache.lookup("late") is None, "an answer outlived the ttl because its expires_at is later")

    def test_an_entry_from_another_cache_keeps_its_age(self) -> None:
        """What was stored 50 seconds ago elsewhere has 10 seconds left here, with a ttl of 60."""
        cache = self.caching(self._with_ttl(60.0))
        cache.store("k", entry_of("hello", self.clock.time() - 50.0))
        found = cache.lookup("k")
        require(found is not None, "an entry that another cache had is not kept")
        assert found is not None
        require(found.stored_at == self.clock.time() - 50.0, "an entry's stored_at was changed")
        self.clock.advance(10.0)
        require(cache.lookup("k") is None, "an entry from another cache became young again")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def test_what_is_kept_stays_within_the_byte_cap(self) -> None:
        """Of more than fits the newest is kept, and all of it together is not larger than ``max_bytes``.

        A cache that compresses keeps more; its answers count as zlib packs them, which is to four fifths at best.
        """
        cap = 64 * 1024
        cache = self.caching(self._with_cap(cap))
        for number in range(40):
            cache.store(f"k{number}", f"{number} {noise(8000, number)}")
        cache.settle()
        kept = [found for number in range(40) if (found := cache.lookup(f"k{number}")) is not None]
        size = sum(len(found.response.raw or b"") for found in kept)
        packed = len(zlib.compress(b"".join(found.response.raw or b"" for found in kept), 9))
        require(packed <= cap, f"{size} bytes of answers are kept with max_bytes of {cap}")
        require(kept, "nothing is kept although several answers fit")
        require(cache.lookup("k39") is not None, "the newest answer is not kept")

    def test_events_count_against_the_byte_cap(self) -> None:
        """The recorded stream of an answer takes room as its body does."""
        cap = 64 * 1024
        cache = self.caching(self._with_cap(cap))
        for number in range(40):
            events = (f"data: {noise(8000, number)}\n\n".encode(),)
            cache.store(f"k{number}", entry_of(str(number), self.clock.time(), events=events))
        cache.settle()
        kept = sum(cache.lookup(f"k{number}") is not None for number in range(40))
        require(0 < kept <= 10, f"{kept} answers with 8 kB of events are kept with max_bytes of {cap}")

    def test_an_answer_larger_than_the_cap_is_not_kept(self) -> None:
        """Nor does it push out everything else, or break the cache."""
        cache = self.caching(self._with_cap(64 * 1024))
        cache.store("small", "hello")
        cache.store("huge", noise(200_000))
        cache.settle()
        require(cache.lookup("huge") is None, "an answer larger than max_bytes is kept")
        cache.store("after", "hello")
        require(cache.lookup("after") is not None, "after an answer that was too large nothing is kept any more")

    def test_replacing_an_answer_does_not_use_up_the_cap(self) -> None:
        """What was replaced takes no room any more."""
        cache = self.caching(self._with_cap(64 * 1024))
        cache.store("other", "hello")
        for number in range(50):
            cache.store("k", f"{number} {noise(4000, number)}")
        cache.settle()
        require(cache.text("other") == "hello", "an answer was pushed out by another one that was only replaced")
        require((cache.text("k") or "").startswith("49 "), "the newest answer is not kept")

    # --- scopes and invalidation --------------------------------------------------------------------------------------

    @vital
    def test_nobody_gets_the_answer_of_somebody_else(self) -> None:
        """Users, tenants and callers without a name ask for the same and get their own."""
        scopes: list[dict[str, str]] = [
            {},
            {"user": "ada"},
            {"user": "bob"},
            {"tenant": "ada"},
            {"tenant": "t", "user": "ada"},
        ]
        bench = self.bench(script=Reply(echo=True))
        for number, scope in enumerate(scopes, 1):
            with bench.host.scope(**scope):
                got = bench.chat("Hello")
            require(not got.cached, f"scope {scope} got an answer that was stored for another")
            require(bench.provider.calls == number, f"scope {scope} did not ask the provider")
        for scope in scopes:
            with bench.host.scope(**scope):
                require(bench.chat("Hello").cached, f"scope {scope} did not get its own stored answer")

    @vital
    def test_a_key_can_be_forgotten(self) -> None:
        """Invalidated by its key an answer is gone, the others stay, and it can be stored anew."""
        cache = self._filled()
        cache.invalidate(key="a")
        self._left(cache, {"b", "c", "d"}, "after its key was invalidated")
        cache.store("a", "anew")
        require(cache.text("a") == "anew", "after its key was invalidated an answer cannot be stored any more")

    @vital
    def test_a_tag_can_be_forgotten(self) -> None:
        """A tag is found whole: neither part of another, nor a wildcard."""
        cache = self._filled()
        for tag in ("re", "%", "red%", "_ed", "RED", "red\nblue", "'", ""):
            cache.invalidate(tag=tag)
        self._left(cache, {"a", "b", "c", "d"}, "after tags were invalidated that no answer has")
        cache.invalidate(tag="red")
        self._left(cache, {"c", "d"}, "after the tag red was invalidated")

    @vital
    def test_a_scope_can_be_forgotten(self) -> None:
        """All of one user's answers go, nobody else's."""
        cache = self._filled()
        cache.invalidate(scope=Scope(user="eve"))
        self._left(cache, {"a", "b", "c", "d"}, "after a stranger's answers were invalidated")
        cache.invalidate(scope=Scope(user="ada"))
        self._left(cache, {"c", "d"}, "after ada's answers were invalidated")
        cache.invalidate(scope=Scope(tenant="acme", user="bob"))
        self._left(cache, {"d"}, "after bob's answers at acme were invalidated")

    @vital
    def test_what_is_within_a_scope_is_forgotten_with_it(self) -> None:
        """A tenant's users and sessions belong to the tenant; a scope that says nothing is not everybody."""
        scopes = {
            "nobody": Scope(),
            "no name": Scope(tenant=""),
            "ada": Scope(user="ada"),
            "acme": Scope(tenant="acme"),
            "acme/ada": Scope(tenant="acme", user="ada"),
            "acme/ada/1": Scope(tenant="acme", user="ada", session="1"),
            "acme//2": Scope(tenant="acme", session="2"),
            "bell/ada": Scope(tenant="bell", user="ada"),
            "bell/bob/1": Scope(tenant="bell", user="bob", session="1"),
        }
        steps: list[tuple[Scope, set[str]]] = [
            (Scope(), {"nobody"}),
            (Scope(tenant=""), {"no name"}),
            (Scope(tenant="acme"), {"acme", "acme/ada", "acme/ada/1", "acme//2"}),
            (Scope(user="ada"), {"ada", "acme/ada", "acme/ada/1", "bell/ada"}),
            (Scope(session="1"), {"acme/ada/1", "bell/bob/1"}),
            (Scope(tenant="acme", user="ada"), {"acme/ada", "acme/ada/1"}),
        ]
        for asked, within in steps:
            cache = self.caching()
            cache.invalidate()
            for key, scope in scopes.items():
                cache.store(key, key, scope)
            cache.invalidate(scope=asked)
            there = {key for key, scope in scopes.items() if cache.text(key, scope) == key}
            stayed, gone = sorted(within & there), sorted(scopes.keys() - within - there)
            require(not stayed, f"after {asked} was invalidated the answers of {', '.join(stayed)} are still there")
            require(not gone, f"after {asked} was invalidated the answers of {', '.join(gone)} are not there any more")
            self._unblamed(cache.bench)

    def test_the_parts_of_a_selector_must_all_fit(self) -> None:
        """A tag and a scope name what has both."""
        cache = self._filled()
        cache.invalidate(tag="red", scope=Scope(tenant="acme", user="bob"))
        cache.invalidate(key="a", tag="green")
        self._left(cache, {"a", "b", "c", "d"}, "after selectors that nothing fits")
        cache.invalidate(tag="blue", scope=Scope(user="ada"))
        self._left(cache, {"a", "c", "d"}, "after ada's blue answers were invalidated")

    @vital
    def test_everything_can_be_forgotten(self) -> None:
        """An empty selector leaves nothing, also for requests that come through the host."""
        cache = self._filled()
        cache.bench.chat("Hello")
        cache.invalidate()
        self._left(cache, set(), "after everything was invalidated")
        require(not cache.bench.chat("Hello").cached, "after everything was invalidated an answer came from the cache")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _filled(self) -> Caching:
        cache, now = self.caching(), self.clock.time()
        cache.store("a", entry_of("a", now, tags=("red",)), Scope(user="ada"))
        cache.store("b", entry_of("b", now, tags=("red", "blue")), Scope(user="ada"))
        cache.store("c", entry_of("c", now, tags=("reddish",)), Scope(tenant="acme", user="bob"))
        cache.store("d", entry_of("d", now), Scope())
        return cache

    def _left(self, cache: Caching, expected: set[str], when: str) -> None:
        left = {key for key in "abcd" if cache.text(key) == key}
        gone, stayed = sorted(expected - left), sorted(left - expected)
        require(not stayed, f"{', '.join(stayed)} still there {when}")
        require(not gone, f"{', '.join(gone)} not there any more {when}")
        self._unblamed(cache.bench)

    def _with_ttl(self, seconds: float) -> Any:
        return self.made(**{named(self.ttl, "time to live"): seconds})

    def _with_cap(self, size: int) -> Any:
        return self.made(**{named(self.max_bytes, "byte cap"): size})

    def _unblamed(self, bench: Bench) -> None:
        require(not bench.blamed, f"the plugin raised in {', '.join(bench.blamed)}")

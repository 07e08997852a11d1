"""What a cache tells of what it keeps, and what it drops by model and by the beginning of a key or tag."""

from __future__ import annotations

from clippy_hookspecs import Scope, Selector

from .base import require
from .bench import entry_of
from .cache_late import CacheLate
from .caching import Caching, named


class CacheListed(CacheLate):
    """The part of the cache suite that is about its operators: what is in there, and how some of it goes."""

    def test_a_model_can_be_forgotten(self) -> None:
        """The answers of one model go, those of another and of a longer name stay."""
        cache = self._of_models()
        cache.invalidate(model="unknown")
        cache.invalidate(model="gp%")
        self._there(cache, {"aa1", "aa2", "ab1", "b"}, "after models were invalidated that no answer is of")
        cache.invalidate(model="gpt")
        self._there(cache, {"ab1", "b"}, "after the model gpt was invalidated")

    def test_what_begins_alike_can_be_forgotten(self) -> None:
        """Keys and tags by their beginnings, which are no patterns."""
        cache = self._of_models()
        for parts in ({"key_prefix": "a%"}, {"key_prefix": "A"}, {"tag_prefix": "user:1_"}, {"tag_prefix": "ser:"}):
            cache.invalidate(**parts)
        self._there(cache, {"aa1", "aa2", "ab1", "b"}, "after beginnings were invalidated that fit nothing")
        cache.invalidate(key_prefix="aa", tag_prefix="user:2")
        self._there(cache, {"aa1", "ab1", "b"}, "after keys with aa and tags with user:2 were invalidated")
        cache.invalidate(tag_prefix="user:")
        self._there(cache, {"b"}, "after tags that begin with user: were invalidated")

    def test_what_is_kept_is_told(self) -> None:
        """Each entry with its times, tags, model and scope, latest first, as many as were asked for."""
        cache = self._of_models()
        listing, began = cache.listing(), self._began
        told = listing.stored(Selector(), 10)
        require([one.key for one in told] == ["b", "ab1", "aa2", "aa1"], "the entries are not told latest first")
        require(
            [one.key for one in listing.stored(Selector(), 2)] == ["b", "ab1"], "a limit of 2 gave not the latest 2"
        )
        require(listing.stored(Selector(key="nobody"), 2) == [], "an entry was told of a key that is not there")
        one = told[-1]
        require(one.stored_at == began, "the time at which an answer was stored is told wrong")
        require(one.expires_at > began, "an answer is told to have ended before it was stored")
        require((one.model, one.tags, one.scope) == ("gpt", ("user:1",), Scope("acme")), f"{one} is told wrong")
        require(all(entry.size > 0 for entry in told), "an entry is told to have no size")
        found = [entry.key for entry in listing.stored(Selector(model="gpt", scope=Scope("acme")), 9)]
        require(found == ["aa1"], "of a model and a scope what has both was not told")

    def test_an_entry_can_be_looked_at(self) -> None:
        """By its key, as it was stored; what is not there is None."""
        cache = self._of_models()
        entry = cache.listing().stored_entry("aa2")
        require(entry is not None and entry.response.text == "aa2", "an entry that is kept cannot be looked at")
        require(cache.listing().stored_entry("aa") is None, "there is an entry for the beginning of a key")

    def test_a_request_may_ask_for_its_answer_to_be_kept_longer(self) -> None:
        """``stale_if_error`` of its cache control counts where it is longer than the setting."""
        cache = self.caching(self.made(**{named(self.ttl, "time to live"): 60.0, named(self.stale, "setting"): 5.0}))
        cache.store("k", "hello", late=50.0)
        cache.store("short", "hello", late=1.0)
        self.clock.advance(64.0)
        require(cache.lookup("short", within=100.0) is not None, "a shorter wish cut what the setting keeps")
        self.clock.advance(40.0)
        require(cache.lookup("k") is None, "an answer past its time was given without stale_within")
        require(cache.lookup("k", within=100.0) is not None, "an answer was not kept for as long as its request asked")
        self.clock.advance(10.0)
        require(cache.lookup("k", within=100.0) is None, "an answer was kept for longer than its request asked")

    _began: float

    def _of_models(self) -> Caching:
        cache = self.caching()
        self._began = now = self.clock.time()
        kept = (
            ("aa1", "gpt", ("user:1",), Scope("acme")),
            ("aa2", "gpt", ("x", "user:21"), Scope()),
            ("ab1", "gpt-4", ("user:1",), Scope()),
            ("b", "", ("other",), Scope()),
        )
        for place, (key, model, tags, scope) in enumerate(kept):
            cache.store(key, entry_of(key, now + place, tags=tags), scope, model)
        return cache

    def _there(self, cache: Caching, expected: set[str], when: str) -> None:
        there = {key for key in ("aa1", "aa2", "ab1", "b") if cache.text(key) == key}
        require(there == expected, f"{when}, {sorted(there)} are there instead of {sorted(expected)}")

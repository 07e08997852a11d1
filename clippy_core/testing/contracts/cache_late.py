"""A cache that may answer late, because the provider failed: only when it is asked to, and within both bounds."""

from __future__ import annotations

from typing import Any, ClassVar

from clippy_hookspecs import Scope

from .base import require, vital
from .bench import entry_of, noise
from .cache_sharing import CacheSharing
from .caching import Caching, named


class CacheLate(CacheSharing):
    """The part of the cache suite that is about answers past their time.

    ``stale`` names the setting for the seconds that entries are kept beyond it (None: the cache has none).
    """

    ttl: ClassVar[str | None] = "ttl"
    stale: ClassVar[str | None] = "stale_if_error"
    max_bytes: ClassVar[str | None] = "max_bytes"

    @vital
    def test_nothing_is_given_late_unasked(self) -> None:
        """An answer past its time is for those alone who ask for one; for all others it is as if it were gone."""
        cache = self._late_by(30.0, kept=100.0)
        require(cache.lookup("k") is None, "an answer past its time was given without stale_within")
        require(cache.lookup("k", within=60.0) is not None, "a lookup that missed made a late answer disappear")
        require(cache.lookup("k") is None, "an answer that was given late once is given to everybody since")

    @vital
    def test_a_late_answer_is_within_what_was_asked(self) -> None:
        """``stale_within`` is the most that an answer may be late, however long it is kept."""
        cache = self._late_by(0.0, kept=100.0)
        for late, within, given in ((0, 0.5, True), (49, 50, True), (50, 50, False), (51, 50, False), (51, 60, True)):
            self.clock.advance(self._began + 60.0 + late - self.clock.time())
            found = cache.lookup("k", within=float(within)) is not None
            require(found is given, f"late by {late} s, asked for {within} s: {'given' if found else 'not given'}")

    @vital
    def test_a_late_answer_is_within_what_the_setting_says(self) -> None:
        """The setting is the longest, whatever is asked; its default keeps nothing."""
        cache = self._late_by(49.0, kept=50.0)
        require(cache.lookup("k", within=1000.0) is not None, "an answer was kept for less than the setting says")
        self.clock.advance(1.0)
        require(cache.lookup("k", within=1000.0) is None, "an answer is given later than the setting allows")
        cache = self._late_by(1.0, kept=0.0)
        require(cache.lookup("k", within=1000.0) is None, "with 0 seconds beyond its time an answer is given late")

    @vital
    def test_what_the_entry_says_of_its_end_is_when_it_begins_to_be_late(self) -> None:
        """An entry whose own end is sooner than the ttl is late from there on."""
        cache = self.caching(self._keeping(100.0))
        cache.store("k", entry_of("hello", self.clock.time(), expires_at=self.clock.time() + 10.0))
        self.clock.advance(40.0)
        require(cache.lookup("k") is None, "an answer past its own end was given without stale_within")
        require(cache.lookup("k", within=20.0) is None, "an answer 30 s past its own end was given for 20 s")
        require(cache.lookup("k", within=40.0) is not None, "an answer 30 s past its own end was not given for 40 s")

    def test_a_late_answer_tells_its_age(self) -> None:
        """It is what was stored, and its time is when that was."""
        cache = self._late_by(30.0, kept=100.0)
        found = cache.lookup("k", within=60.0)
        require(found is not None and found.response.text == "hello", "a late answer is not what was stored")
        assert found is not None
        require(found.stored_at == self._began, "the time at which a late answer was stored was changed")

    def test_late_answers_outlive_what_is_stored_after_them(self) -> None:
        """Tidying up leaves what is kept beyond its time; a newer answer of its key replaces it."""
        cache = self._late_by(30.0, kept=100.0)
        for number in range(20):
            cache.store(f"other {number}", "other")
        cache.settle()
        require(cache.text("k", within=60.0) == "hello", "a late answer was dropped when others were stored")
        cache.store("k", "anew")
        require(cache.text("k") == "anew", "an answer that is late stands in the way of a new one")
        require(cache.text("k", within=60.0) == "anew", "a late answer was given although there is a new one")

    @vital
    def test_late_answers_are_forgotten_as_others_are(self) -> None:
        """By key, by tag, by scope."""
        for selector in ({"key": "k"}, {"tag": "red"}, {"scope": Scope(user="ada")}, {}):
            cache = self.caching(self._keeping(100.0))
            cache.store("k", entry_of("hello", self.clock.time(), tags=("red",)), Scope(user="ada"))
            self.clock.advance(90.0)
            what = ", ".join(selector) or "everything"
            given = cache.lookup("k", Scope(user="ada"), within=60.0) is not None
            require(given, f"a late answer is not given before its {what} is invalidated")
            cache.invalidate(**selector)
            given = cache.lookup("k", Scope(user="ada"), within=60.0) is not None
            require(not given, f"a late answer is given after its {what} was invalidated")

    def test_late_answers_count_against_the_byte_cap(self) -> None:
        """What is kept beyond its time takes room as everything does, and the newest answer finds some."""
        cap = 64 * 1024
        cache = self.caching(self._keeping(1000.0, **{named(self.max_bytes, "byte cap"): cap}))
        for number in range(40):
            cache.store(f"k{number}", f"{number} {noise(8000, number)}")
        self.clock.advance(90.0)
        cache.store("new", noise(8000, "new"))
        cache.settle()
        late = sum(cache.lookup(f"k{number}", within=600.0) is not None for number in range(40))
        require(late * 6000 <= cap, f"{late} late answers of 8 kB are kept with max_bytes of {cap}")
        require(cache.lookup("new") is not None, "a new answer found no room beside late ones")

    _began: float

    def _keeping(self, seconds: float, **more: Any) -> Any:
        """A cache whose answers are fresh for a minute and kept for *seconds* more."""
        return self.made(
            **{named(self.ttl, "time to live"): 60.0, named(self.stale, "setting for it"): seconds, **more}
        )

    def _late_by(self, seconds: float, *, kept: float) -> Caching:
        """A cache with an answer at ``k`` that is late by *seconds*."""
        cache = self.caching(self._keeping(kept))
        self._began = self.clock.time()
        cache.store("k", "hello")
        self.clock.advance(60.0 + seconds)
        return cache

"""``clippy cache`` as it is run: over the configuration's host, with a provider behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
from attrs import define, evolve, field
from clippy_cache import CachePolicy, Statistics
from clippy_cache.explaining import nearest
from clippy_cache.keeping import kept_where
from clippy_cache.ledger_file import StoredKey
from clippy_cache.lines import _span, summary
from clippy_cache.requests import read_requests
from clippy_cache.statistics import Saving
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Event,
    Request,
    RequestContext,
    Scope,
    Selector,
    StoredEntry,
    Switch,
    hookimpl,
)
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core.cli import command_line
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply

QUESTION = {"route": "main", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
EVIL = "\x1b[2J\x07\u202eevil"


@define(eq=False)
class Shelf:
    """A cache that lists what it keeps, shared by all hosts of a test."""

    kept: dict[str, tuple[StoredEntry, CacheEntry]] = field(factory=dict)

    @hookimpl
    def cache_lookup(self, key: str) -> CacheEntry | None:
        found = self.kept.get(key)
        return found[1] if found else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        size, until = len(entry.response.raw or b""), entry.expires_at or 4e9
        told = StoredEntry(key, size, entry.stored_at, until, request.model, entry.tags, ctx.scope)
        self.kept[key] = (told, entry)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        for one in self.stored(selector, 1000):
            del self.kept[one.key]

    def stored(self, selector: Selector, limit: int) -> list[StoredEntry]:
        found = [one for one, _ in self.kept.values() if _fits(selector, one)]
        return sorted(found, key=lambda one: -one.stored_at)[:limit]

    def stored_entry(self, key: str) -> CacheEntry | None:
        found = self.kept.get(key)
        return found[1] if found else None


def _fits(selector: Selector, one: StoredEntry) -> bool:
    return (
        selector.key in (None, one.key)
        and one.key.startswith(selector.key_prefix or "")
        and (selector.tag is None or selector.tag in one.tags)
        and selector.model in (None, one.model)
        and (selector.scope is None or selector.scope.tenant in (None, one.scope.tenant))
    )


@define(eq=False)
class Place:
    """A program's host and the command line, over the same configuration and cache."""

    provider: FakeProvider
    shelf: Shelf
    folder: Path
    config: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / "statistics.db"

    def host(self, **plugins: object) -> clippy_core.Host:
        named = {"cache": CachePolicy(keep_statistics=self.path), "shelf": self.shelf, **plugins}
        return clippy_core.Host(named, config=self.config)

    def ask(self, host: clippy_core.Host | None = None, **params: Any) -> None:
        with host or self.host() as opened, clippy_core.Client(opened) as client:
            client.chat(**{**QUESTION, **params})

    def with_plugins(self, monkeypatch: pytest.MonkeyPatch, **plugins: object) -> None:
        """Let the command line have these as well."""
        monkeypatch.setattr(clippy_core.Host, "from_config", lambda *_: self.host(**plugins))

    def run(self, *arguments: str, given: str = "") -> click.testing.Result:
        runner = click.testing.CliRunner(
            env={"CLIPPY_PLUGINS": "cache", "CLIPPY_CACHE__KEEP_STATISTICS": str(self.path)}
        )
        return runner.invoke(command_line(), ["cache", *arguments], input=given)

    def file(self, *requests: Any) -> str:
        path = self.folder / "requests.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in requests))
        return str(path)

    def explained(self, request: Any) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("explain", "-", "--json", given=json.dumps(request)).stdout)
        return document


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    provider, shelf = FakeProvider(lambda seen: Reply(f"{seen.last_user_text}: answer {seen.number}")), Shelf()
    with FakeServer(provider) as server:
        route = {"base_url": f"{server.base_url}", "key": "sk-test", "model": "m"}
        made = Place(provider, shelf, tmp_path, {"routes": {"main": route}})
        monkeypatch.setattr(clippy_core.Host, "from_config", lambda *_: made.host())
        yield made


# --- stats -----------------------------------------------------------------------------------------------------------


def test_stats_show_what_running_programs_did(place: Place) -> None:
    place.ask()
    place.ask()
    shown = place.run("stats")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("2 requests: 1 hits, 1 misses (50.0 % of these 2 are hits)\n")
    assert "providers were asked 1 times" in shown.stdout
    assert "1  exact, shelf" in shown.stdout
    document = json.loads(place.run("stats", "--json").stdout)
    assert document["hits"] == [{"kind": "exact", "cache": "shelf", "count": 1}]
    assert document["latency"]["misses"]["count"] == 1
    assert json.loads(place.run("stats", "--json", "--days", "1").stdout) == document


def test_the_rate_says_of_how_many_and_an_unknown_price_is_no_sum() -> None:
    """Requests that were neither hit nor miss are not in it; zero dollars would read as free."""
    counted = Statistics({("exact", "shelf"): 19}, {"absent": 18}, {"refused": 2}, saved=Saving(5, 6, unpriced=8))
    lines = summary(counted)
    assert lines[0] == "39 requests: 19 hits, 18 misses (51.4 % of these 37 are hits), 2 neither"
    assert "saved: 5 + 6 tokens, the price of 8 answers is not known" in lines
    partly = summary(evolve(counted, saved=Saving(5, 6, 0.5, unpriced=1)))
    assert "saved: 5 + 6 tokens, $0.500000, the price of 1 answers is not known" in partly


def test_stats_of_nothing_are_no_error(place: Place) -> None:
    shown = place.run("stats")
    assert (shown.exit_code, shown.stdout) == (0, "no requests were counted\n")


def test_statistics_at_a_wrong_path_are_said_to_be_none(place: Place) -> None:
    place.path.mkdir()
    told = place.run("stats")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == f"Error: no statistics are kept: {place.path} is a folder; name a file in it\n"


# --- list, show, invalidate ------------------------------------------------------------------------------------------


def test_list_and_show_say_what_is_kept(place: Place) -> None:
    place.ask(directives={"cache": "tags=news"})
    place.ask(model="other")
    listed = json.loads(place.run("list", "--json").stdout)
    assert [one["model"] for one in listed] == ["other", "m"]
    assert [one["model"] for one in json.loads(place.run("list", "--json", "--tag", "news").stdout)] == ["m"]
    assert len(place.run("list", "--limit", "1").stdout.splitlines()) == 1
    assert "tags news" in place.run("list", "--model", "m").stdout
    key = listed[1]["key"]
    shown = place.run("show", key[:10])
    assert shown.exit_code == 0
    assert "Hello: answer 1" in shown.stdout
    assert re.search(r"stored_at: [\d.]+ \(\d+ s old\)\nexpires_at: [\d.]+ \(\d+ s left\)\n", shown.stdout)
    assert json.loads(place.run("show", key, "--json").stdout)["text"] == "Hello: answer 1"


def test_what_is_kept_cannot_move_the_cursor(place: Place) -> None:
    evil = [{"role": "user", "content": EVIL}]
    place.ask(messages=evil, model=f"m{EVIL}")
    key = next(iter(place.shelf.kept))
    for arguments in (["list"], ["show", key], ["list", "--json"], ["show", key, "--json"], ["show", EVIL]):
        output = place.run(*arguments).output
        assert not any(character in output for character in "\x1b\x07\u202e")
    assert "\\x1b[2J" in place.run("show", key).output


def test_a_key_must_name_one_answer(place: Place) -> None:
    place.ask()
    place.ask(model="other")
    first, second = place.shelf.kept
    entry, answer = place.shelf.kept.pop(second)
    alike = first[:20] + second[20:]
    place.shelf.kept[alike] = (evolve(entry, key=alike), answer)
    none, several = place.run("show", "zzz"), place.run("show", first[:16])
    assert (none.exit_code, several.exit_code) == (1, 1)
    assert "there is no stored answer whose key begins with zzz" in none.output
    assert "2 keys begin with" in several.output


def test_the_beginning_of_a_key_drops_the_one_answer_that_it_names(place: Place) -> None:
    """As it is printed by list and explain; what names several answers, or none, drops nothing and is no success."""
    for model in ("a", "b", "c"):
        place.ask(model=model)
    first, *others = list(place.shelf.kept)
    (entry, answer) = place.shelf.kept.pop(others[0])
    alike = first[:20] + others[0][20:]
    place.shelf.kept[alike] = (evolve(entry, key=alike), answer)
    several, none = place.run("invalidate", "--key", first[:16]), place.run("invalidate", "--key", "zzz")
    assert (several.exit_code, none.exit_code, len(place.shelf.kept)) == (1, 1, 3)
    assert f"2 keys begin with {first[:16]}; give more of one, or name all of them by --key-prefix" in several.output
    assert "no stored answer whose key begins with zzz" in none.output
    assert "--key-prefix" in none.output
    assert place.run("invalidate", "--key", "").exit_code == 2
    assert others[1][:16] in place.run("list", "--key", others[1][:16]).stdout
    assert place.run("invalidate", "--key", others[1][:16]).stdout.startswith("dropped 1 from shelf\n")
    assert place.run("invalidate", "--key", first).stdout.startswith("dropped 1 from shelf\n")
    assert list(place.shelf.kept) == [alike]


def test_invalidate_drops_what_every_option_fits_and_never_all_by_mistake(place: Place) -> None:
    place.ask(directives={"cache": "tags=news"})
    place.ask(model="other", directives={"cache": "tags=news"})
    assert place.run("invalidate").exit_code == 2
    assert place.run("invalidate", "--all", "--tag", "news").exit_code == 2
    assert place.run("invalidate", "--key-prefix", "").exit_code == 2
    assert len(place.shelf.kept) == 2
    assert place.run("invalidate", "--tag", "news", "--model", "m").exit_code == 0
    assert [one.model for one, _ in place.shelf.kept.values()] == ["other"]
    assert place.run("invalidate", "--all").exit_code == 0
    assert place.shelf.kept == {}


def test_a_model_may_be_a_pattern_as_in_rules(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ("gpt-4", "gpt-5", "other"):
        place.ask(model=model)
    listed = place.run("list", "--model", "gpt-?", "--json").stdout
    assert {one["model"] for one in json.loads(listed)} == {"gpt-4", "gpt-5"}
    assert place.run("invalidate", "--model", "gpt-*").stdout.startswith("dropped 2 from shelf\n")
    assert [one.model for one, _ in place.shelf.kept.values()] == ["other"]
    place.with_plugins(monkeypatch, mute=Mute())
    assert "mute was told of no model" in place.run("invalidate", "--model", "gpt-*").stdout


def test_an_empty_key_is_said_to_be_empty(place: Place) -> None:
    place.ask()
    shown = place.run("show", "")
    assert (shown.exit_code, "KEY is empty" in shown.output) == (2, True)


@define(eq=False)
class Mute:
    """A cache that cannot list what it keeps, and keeps nothing."""

    @hookimpl
    def cache_lookup(self, key: str) -> None: ...

    @hookimpl
    def cache_store(self, key: str) -> None: ...


def test_a_cache_that_cannot_list_is_not_said_to_be_empty(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.with_plugins(monkeypatch, mute=Mute())
    listed, shown = place.run("list"), place.run("show", "abc")
    assert (listed.exit_code, listed.stdout) == (0, "no stored answers in shelf\n")
    assert listed.stderr == "mute cannot list what it keeps\n"
    assert "mute cannot list what it keeps" in shown.stderr
    monkeypatch.setattr(
        clippy_core.Host, "from_config", lambda *_: clippy_core.Host({"mute": Mute()}, config=place.config)
    )
    alone = place.run("list")
    assert (alone.exit_code, "mute cannot list what is kept" in alone.output) == (1, True)


def test_invalidate_says_how_many_went(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.ask()
    place.ask(model="other")
    place.with_plugins(monkeypatch, mute=Mute())
    assert place.run("invalidate", "--model", "m").stdout.splitlines() == [
        "dropped 1 from shelf",
        "told mute to drop them; it cannot say how many it kept",
        "what a running program holds in its own memory stays until that program drops it, or ends",
    ]
    assert place.run("invalidate", "--model", "m").stdout.startswith("dropped 0 from shelf")
    assert "the others are asked for a key of just this" in place.run("invalidate", "--key", "zzz").stderr


@define(eq=False)
class Down(Shelf):
    """A cache whose server is gone."""

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        raise ConnectionError("cannot reach 127.0.0.1:1")

    def stored(self, selector: Selector, limit: int) -> list[StoredEntry]:
        raise ConnectionError("cannot reach 127.0.0.1:1")


def test_a_cache_that_is_out_of_reach_is_named_and_the_others_are_listed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.ask()
    (key,) = place.shelf.kept
    place.with_plugins(monkeypatch, down=Down())
    listed, shown = place.run("list"), place.run("show", key[:9])
    assert (listed.exit_code, len(listed.stdout.splitlines()), key[:9] in listed.stdout) == (0, 1, True)
    assert listed.stderr == "down cannot be asked now: cannot reach 127.0.0.1:1\n"
    assert "Hello: answer 1" in shown.stdout
    alone = clippy_core.Host({"down": Down()}, config=place.config)
    monkeypatch.setattr(clippy_core.Host, "from_config", lambda *_: alone)
    nothing = place.run("list")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (1, "", listed.stderr)


@pytest.mark.parametrize("by", ["--all", "--key", "--model"])
def test_a_cache_that_is_out_of_reach_keeps_no_other_from_dropping(
    place: Place, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    place.ask()
    (key,) = place.shelf.kept
    place.with_plugins(monkeypatch, down=Down(), mute=Mute())
    values = {"--all": [], "--key": [key[:9]], "--model": ["m*"]}
    told = place.run("invalidate", by, *values[by])
    assert place.shelf.kept == {}
    assert told.stdout.splitlines()[0] == "dropped 1 from shelf"
    assert "down" not in told.stdout
    assert (told.exit_code, told.stderr) == (
        1,
        "down may still have what was to be dropped: cannot reach 127.0.0.1:1\n",
    )


# --- warm ------------------------------------------------------------------------------------------------------------


def test_warm_sends_what_is_not_stored_and_programs_hit_it(place: Place) -> None:
    """On a route as our client sends it, and in the wire's form as an SDK does."""
    address = f"{place.config['routes']['main']['base_url']}/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "raw"}], "stream": True}
    raw = {"url": address, "headers": {"authorization": "Bearer sk-a"}, "body": body}
    file = place.file(QUESTION, {**QUESTION, "messages": "two"}, raw)
    first, second = place.run("warm", file), place.run("warm", file, "--at-once", "2")
    assert (first.exit_code, first.stdout) == (0, "0 were stored already, 3 are new, 0 failed\n")
    assert (second.exit_code, second.stdout) == (0, "3 were stored already, 0 are new, 0 failed\n")
    place.ask()
    assert place.provider.calls == 3


def test_warming_is_no_request_in_the_statistics(place: Place) -> None:
    """A warm every night would add hits that saved nobody anything."""
    place.ask()
    before = place.run("stats", "--json").stdout
    address = f"{place.config['routes']['main']['base_url']}/chat/completions"
    raw = {"url": address, "body": {"model": "m", "messages": [{"role": "user", "content": "raw"}]}}
    file = place.file(QUESTION, {**QUESTION, "messages": "new"}, raw)
    assert "1 were stored already, 2 are new" in place.run("warm", file).stdout
    assert "3 were stored already" in place.run("warm", file).stdout
    assert place.run("stats", "--json").stdout == before
    assert "hit" in place.explained({**QUESTION, "messages": "new"})["said"][0]
    assert place.explained({**QUESTION, "messages": "newer"})["differing"] == ["body.messages[0]"]


def test_warm_tells_which_lines_failed(place: Place) -> None:
    place.provider.script = type(place.provider.script)(Fault.status(404))
    shown = place.run("warm", place.file(QUESTION))
    assert shown.exit_code == 1
    assert "line 1: HTTP 404" in shown.stderr
    assert "0 were stored already, 0 are new, 1 failed" in shown.stdout


def test_warm_names_the_line_whose_route_there_is_not(place: Place) -> None:
    shown = place.run("warm", place.file(QUESTION, {**QUESTION, "route": "nope"}))
    assert shown.exit_code == 1
    assert "line 2: there is no route 'nope'; the configuration has main" in shown.stderr
    assert "1 are new, 1 failed" in shown.stdout


def test_warm_sends_nothing_of_a_file_with_a_wrong_line(place: Place) -> None:
    shown = place.run("warm", place.file(QUESTION, {"messages": 3}))
    assert shown.exit_code == 1
    assert 'line 2: it has neither "messages" nor "url"' in shown.output
    assert place.provider.calls == 0


def test_the_same_question_of_another_tenant_is_stored_for_it(place: Place) -> None:
    file = place.file({**QUESTION, "scope": {"tenant": "t"}}, QUESTION)
    assert "2 are new" in place.run("warm", file).stdout
    assert {one.scope for one, _ in place.shelf.kept.values()} == {Scope("t"), Scope()}


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_says_hit_and_sends_nothing(place: Place) -> None:
    place.ask()
    shown = place.run("explain", place.file(QUESTION))
    assert (shown.exit_code, shown.stdout[:26]) == (0, "hit: shelf has an answer, ")
    assert place.provider.calls == 1


@pytest.mark.parametrize(
    ("changed", "differing"),
    [
        ({"temperature": 1}, ["body.temperature"]),
        ({"messages": [{"role": "user", "content": "Hello?"}]}, ["body.messages[0]"]),
        ({"messages": [*QUESTION["messages"], {"role": "user", "content": "And?"}]}, ["body.messages[1]"]),
        ({"model": "other", "seed": 3}, ["body.model", "body.seed"]),
        ({"scope": {"tenant": "t"}}, ["scope"]),
    ],
)
def test_explain_names_the_parts_that_differ_from_the_nearest_answer(
    place: Place, changed: dict[str, Any], differing: list[str]
) -> None:
    place.ask()
    place.ask(messages="something else", top_p=0.5)
    found = place.explained({**QUESTION, **changed})
    assert (found["hit"], found["differing"]) == (False, differing)
    assert place.provider.calls == 2


def test_explain_tells_of_other_plugins_and_of_answers_that_are_gone(place: Place) -> None:
    @define(eq=False)
    class Shapes:
        @hookimpl
        def pre_request(self, request: Request) -> None:
            return None

    place.ask(place.host(shapes=Shapes()))
    shown = place.run("explain", place.file(QUESTION))
    assert shown.exit_code == 1
    assert "fingerprint (the plugins that shape requests, their versions or settings)" in shown.stdout
    place.ask()
    place.shelf.kept.clear()
    gone = place.run("explain", place.file(QUESTION)).stdout
    assert "is not in shelf: expired, evicted, dropped, or in another file or the memory of another program" in gone


def test_explain_names_the_file_in_which_an_answer_is_not(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statistics are shared by programs whose caches are in files of their own: one for each working directory."""
    program, shell = SqliteCache(Path("here.db")), SqliteCache(Path("there.db"))
    place.ask(place.host(sqlite=program))
    place.shelf.kept.clear()
    place.with_plugins(monkeypatch, sqlite=shell)
    assert (
        f"is not in shelf, sqlite ({place.folder / 'there.db'}): " in place.run("explain", place.file(QUESTION)).stdout
    )
    assert kept_where("sqlite", SqliteCache()).startswith("sqlite (/")


def test_explain_says_that_answers_in_another_api_are_not_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    @define(eq=False)
    class Elsewhere:
        @hookimpl
        def on_error(self, ctx: RequestContext) -> Switch | None:
            return Switch("other") if ctx.attempt == 1 else None

    address = place.config["routes"]["main"]["base_url"].removesuffix("/v1")
    place.config["routes"]["other"] = {"api": "anthropic.messages", "base_url": address, "key": "k", "model": "c"}
    place.provider.script = type(place.provider.script)([Fault.status(503), Reply("Hi")])
    place.ask(place.host(elsewhere=Elsewhere()))
    reason = "given by another route in another wire API"
    assert json.loads(place.run("stats", "--json").stdout)["not_stored"] == {reason: 1}
    assert (
        f"or its answer was not stored: {reason}, as 1 in the statistics were"
        in place.run("explain", place.file(QUESTION)).stdout
    )


def test_explaining_is_no_request_in_the_statistics(place: Place) -> None:
    place.ask()
    before = place.run("stats", "--json").stdout
    place.explained(QUESTION)
    place.explained({**QUESTION, "temperature": 1})
    assert place.run("stats", "--json").stdout == before


def test_explain_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a record nor an event, for a hit and for a miss, and no plugin that writes a log hears of it."""

    @define(eq=False)
    class Hears:
        heard: list[Any] = field(factory=list)

        @hookimpl
        def audit(self, record: AuditRecord) -> None:
            self.heard.append(record)

        @hookimpl
        def observe(self, event: Event) -> None:
            self.heard.append(event)

    place.ask()
    hears = Hears()
    place.with_plugins(monkeypatch, hears=hears)
    for request in (QUESTION, {**QUESTION, "temperature": 1}):
        place.explained(request)
    assert hears.heard == []


def test_explain_takes_several_requests_and_those_written_over_several_lines(place: Place) -> None:
    place.ask()
    path = place.folder / "requests.json"
    path.write_text(json.dumps(QUESTION, indent=2) + "\n" + json.dumps({**QUESTION, "seed": 1}) + "\n")
    shown = place.run("explain", str(path))
    lines = shown.stdout.splitlines()
    assert (shown.exit_code, lines[0][:32]) == (1, "line 1: hit: shelf has an answer")
    second = len(json.dumps(QUESTION, indent=2).splitlines()) + 1
    assert lines[1].startswith(f"line {second}: miss: the nearest stored answer")
    assert "body.seed" in lines[2]
    document = json.loads(place.run("explain", str(path), "--json").stdout)
    assert [(one["line"], one["hit"]) for one in document] == [(1, True), (second, False)]


def test_explain_goes_on_behind_a_request_that_is_refused(place: Place) -> None:
    shown = place.run("explain", place.file({**QUESTION, "route": "nope"}, QUESTION))
    first, second = shown.stdout.splitlines()
    assert shown.exit_code == 1
    assert first.startswith("line 1: neither hit nor miss, it was refused: there is no route 'nope'")
    assert second.startswith("line 2: miss: ")


def test_explain_does_not_take_other_credentials_for_another_tenant(place: Place) -> None:
    """Where no scope is given the credentials say who calls, so that both parts of the key differ by one cause."""
    address = f"{place.config['routes']['main']['base_url']}/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "raw"}]}
    raw = {"url": address, "headers": {"authorization": "Bearer sk-a"}, "body": body}
    place.run("warm", place.file(raw))
    shown = place.run("explain", place.file({**raw, "headers": {"authorization": "Bearer sk-b"}})).stdout
    assert "auth, scope (the credentials, which also say who calls" in shown
    assert "another tenant" not in shown


def test_explain_says_that_an_sdks_calls_and_those_on_a_route_never_share(place: Place) -> None:
    place.ask()
    address = f"{place.config['routes']['main']['base_url']}/chat/completions"
    body = {"model": "m", "messages": QUESTION["messages"], "temperature": 0}
    shown = place.run("explain", place.file({"url": address, "body": body})).stdout
    assert "route (the route; a call of an SDK's client has none, so that it shares with no call on a route)" in shown


def test_explain_without_any_stored_answer_says_so(place: Place) -> None:
    assert "no other answer is known" in place.explained(QUESTION)["said"][0]


def test_explain_of_what_is_never_cached_says_so(place: Place) -> None:
    address = f"{place.config['routes']['main']['base_url']}/audio/speech"
    found = place.explained({"url": address, "body": {"model": "tts", "input": "hi"}})
    assert "it has no cache key" in found["said"][0]
    assert place.provider.calls == 0


# --- reading and comparing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "a JSON object"),
        ("{", "Expecting"),
        ("{}", "neither"),
        ('{"messages": [], "scope": {"tenant": 3}}', "scope"),
        ('{"url": "u", "body": {}, "bdy": 1}', "there is bdy"),
        ('{"url": "u", "body": []}', "objects"),
        ('{"url": "u", "body": {}, "headers": {"a": 1}}', "a header is a text"),
        ('{"url": "u", "body": {}, "headers": {"a": {"env": "NOT_SET_ANYWHERE"}}}', "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_is_no_request_is_said(text: str, why: str) -> None:
    faults: list[str] = []
    assert not list(read_requests(text, faults))
    (said,) = faults
    assert re.match(f"line 1: .*{why}", said)


def test_broken_json_is_told_with_one_line_number() -> None:
    faults: list[str] = []
    assert len(list(read_requests('{"messages": []}\n{"messages": [],\n "model":}', faults))) == 1
    assert faults == ["line 3: Expecting value, at column 10"]


def test_every_line_that_is_no_request_is_named_and_nothing_is_sent(place: Place) -> None:
    """Who mends a file must not run the command once for each line; of very many ten are enough."""
    good, several = json.dumps(QUESTION), json.dumps(QUESTION, indent=1).splitlines()
    broken = [several[0], ' "route" "main",', *several[2:]]
    lines = [good, '{"messages"', "{}", '{"messages": [}', good, "nothing", "at all", *broken, good, *several, "[]"]
    wrong = [2, 3, 4, 6, 7, 9, len(lines)]
    for command in ("warm", "explain"):
        told = place.run(command, "-", given="\n".join(lines))
        assert (told.exit_code, told.stdout) == (1, "")
        assert [int(number) for number in re.findall(r"line (\d+): ", told.stderr)] == wrong
    assert place.run("warm", "-", given="{}\n" * 25).stderr.splitlines()[-1] == "and 15 more"
    assert place.provider.calls == 0


FIELDS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz"), max_size=6)


@given(FIELDS, st.lists(FIELDS, max_size=6))
def test_the_nearest_answer_is_the_one_with_the_fewest_differences(
    fields: dict[str, str], others: list[dict[str, str]]
) -> None:
    stored = [StoredKey(str(number), 0.0, "m", one) for number, one in enumerate(others)]
    found = nearest(fields, stored)
    distances = [
        len({*fields.items()} ^ {*one.items()} and {name for name, _ in {*fields.items()} ^ {*one.items()}})
        for one in others
    ]
    if found is None:
        assert not others
        return
    assert len(found.differing) == min(distances)
    assert found.stored.key == str(distances.index(min(distances)))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0004, "0.4 ms"), (0.5926, "593 ms"), (0.9999, "1 s"), (5.926, "5.93 s"), (432.1, "432 s")],
)
def test_a_latency_is_said_in_the_unit_that_people_use(seconds: float, said: str) -> None:
    assert _span(seconds) == said

"""A plugin that fails: who notices, what goes on, and what the message says."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from clippy_hookspecs import (
    CacheEntry,
    Chunk,
    PluginError,
    Request,
    RequestContext,
    Response,
    TextFilter,
    hookimpl,
)
from patience import PATIENCE

import clippy_core
from clippy_core.testing import Fault, Reply


@define(eq=False)
class Raises:
    """Fails in the hook it is told to."""

    hook: str
    calls: int = 0

    def _maybe(self, hook: str) -> None:
        if hook == self.hook:
            self.calls += 1
            raise KeyError("a secret of the caller")

    @hookimpl
    def pre_request(self) -> None:
        self._maybe("pre_request")

    @hookimpl
    def cache_lookup(self) -> None:
        self._maybe("cache_lookup")

    @hookimpl
    def compress_context(self) -> None:
        self._maybe("compress_context")

    @hookimpl
    def pre_attempt(self) -> None:
        self._maybe("pre_attempt")

    @hookimpl
    def classify_error(self) -> None:
        self._maybe("classify_error")

    @hookimpl
    def post_attempt(self) -> None:
        self._maybe("post_attempt")

    @hookimpl
    def on_error(self) -> None:
        self._maybe("on_error")

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        self._maybe("on_chunk")

    @hookimpl
    def on_response(self) -> None:
        self._maybe("on_response")

    @hookimpl
    def cache_store(self) -> None:
        self._maybe("cache_store")

    @hookimpl
    def audit(self) -> None:
        self._maybe("audit")

    @hookimpl
    def observe(self) -> None:
        self._maybe("observe")


SKIPPED = ["cache_lookup", "compress_context", "post_attempt", "cache_store", "audit", "observe"]
RAISED = ["pre_request", "pre_attempt", "on_response"]


@pytest.mark.parametrize("hook", SKIPPED)
def test_a_hook_that_may_fail_takes_nothing_down(sync_caller, hook, caplog):
    """The answer comes; one log line names plugin, version and hook and tells nothing of the caller's data."""
    plugin = Raises(hook)
    sync_caller.start([plugin], Reply("Hi"))
    with caplog.at_level(logging.WARNING, "clippy"):
        assert "Hi" == sync_caller.chat().text
        assert "Hi" == sync_caller.chat().text
    assert plugin.calls >= 2
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"plugin raises: {hook} raised KeyError")
    assert "secret" not in line
    assert plugin.calls == sync_caller.host.faults.counts["raises", hook]


@pytest.mark.parametrize("hook", RAISED)
def test_a_hook_that_may_not_fail_ends_the_request_with_its_name(caller, hook):
    """The error names the plugin and the hook, says what to do, keeps the cause, and the audit still runs."""
    caller.start([Raises(hook)], Reply("Hi"))
    with pytest.raises(PluginError, match=f"plugin raises: {hook} raised KeyError .*disable") as caught:
        caller.chat()
    assert isinstance(caught.value.__cause__, KeyError)
    assert "secret" not in str(caught.value)
    assert ["failed"] == caller.records.outcomes
    assert (0 if hook != "on_response" else 1) == caller.provider.calls


def test_a_failing_on_chunk_ends_the_stream(caller):
    """The reader gets the PluginError, the upstream is closed, the record says failed."""
    caller.start([Raises("on_chunk")], Reply("one two three"))
    read = caller.stream()
    assert isinstance(read.error, PluginError)
    assert ["failed"] == caller.records.outcomes
    assert [1] == caller.provider.closed_early


@pytest.mark.parametrize("hook", ["classify_error", "on_error"])
def test_a_failing_judge_leaves_the_failure_as_it_is(caller, hook):
    """The provider's failure reaches the caller, not the plugin's."""
    caller.start([Raises(hook)], Fault.status(503))
    with pytest.raises(Exception, match="503"):
        caller.chat()


def test_the_configuration_may_skip_a_failure_that_would_be_raised(sync_caller):
    """on_failure.NAME = "skip" lets the request go on."""
    sync_caller.start([Raises("pre_request")], Reply("Hi"), on_failure={"raises": "skip"})
    assert "Hi" == sync_caller.chat().text


def test_the_configuration_may_raise_a_failure_that_would_be_skipped(sync_caller):
    """A compliance audit that fails must be seen."""
    sync_caller.start([Raises("audit")], Reply("Hi"), on_failure={"raises": "raise"})
    with pytest.raises(PluginError):
        sync_caller.chat()


@define(eq=False)
class FailsLate:
    """Fails once it is let go on."""

    go: anyio.Event

    @hookimpl
    async def post_attempt(self) -> None:
        await self.go.wait()
        raise KeyError("a secret of the caller")


@define(eq=False)
class LetsGo:
    """Lets another plugin go on and is then itself still at work."""

    go: anyio.Event

    @hookimpl
    async def audit(self) -> None:
        self.go.set()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()


@define(eq=False)
class Counts:
    calls: int = 0

    @hookimpl
    def post_attempt(self) -> None:
        self.calls += 1


class Breaks(httpx.AsyncByteStream):
    """The body of a stream whose connection breaks."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "a part"}}]}).encode() + b"\n\n"
        raise httpx.ReadError("gone")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_plugin_is_told_while_another_hook_of_the_same_request_runs(backend):
    """A stream that is closed while its failure is being told writes its record meanwhile."""

    async def program() -> None:
        go, counts = anyio.Event(), Counts()
        plugins = {"goes": LetsGo(go), "told": counts, "waits": FailsLate(go)}
        host = clippy_core.Host(plugins, config={"on_failure": {"waits": "raise"}})
        assert ["waits", "told"] == [step.plugin for step in host.chains.post_attempt]
        head = {"content-type": "text/event-stream"}
        provider = httpx.MockTransport(lambda request: httpx.Response(200, headers=head, stream=Breaks()))
        asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        async with httpx.AsyncClient(transport=clippy_core.async_transport(host, httpx, provider)) as client:
            request = client.build_request("POST", "https://provider.test/v1/chat/completions", json=asked)
            response = await client.send(request, stream=True)

            async def read() -> None:
                with pytest.raises(PluginError, match="plugin waits: post_attempt raised KeyError"):
                    async for _ in response.aiter_raw():
                        pass

            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read)
                    await anyio.wait_all_tasks_blocked()
                    await response.stream.aclose()
        await host.aclose()
        assert 1 == counts.calls

    anyio.run(program, backend=backend)


def test_the_configuration_may_switch_a_failing_plugin_off(sync_caller):
    """on_failure.NAME = "disable": the first failure is the last call."""
    plugin = Raises("pre_request")
    sync_caller.start([plugin], Reply("Hi"), on_failure={"raises": "disable"})
    sync_caller.chat()
    sync_caller.chat()
    assert 1 == plugin.calls


@define(eq=False)
class LooksOn:
    """Raises in one hook, and counts what it is told of."""

    raises: str
    told: int = 0

    @hookimpl
    def pre_request(self) -> None:
        if self.raises == "pre_request":
            raise RuntimeError

    @hookimpl
    def observe(self) -> None:
        self.told += 1
        if self.raises == "observe":
            raise RuntimeError


@pytest.mark.parametrize("hook", ["pre_request", "observe"])
def test_a_plugin_that_is_switched_off_is_told_of_nothing_more(sync_caller, hook):
    plugin = LooksOn(hook)
    sync_caller.start([plugin], Reply("Hi"), on_failure={"looks-on": "disable"})
    sync_caller.chat()
    told = plugin.told
    assert told == (2 if hook == "pre_request" else 1)  # that there is a request, and that its own hook failed
    sync_caller.chat()
    assert plugin.told == told


@define(eq=False)
class Returns:
    """Returns from one hook what it should not."""

    what: Any

    @hookimpl
    def pre_request(self, request: Request) -> Any:
        return self.what


def test_a_result_of_the_wrong_type_is_said_to_be_wrong(sync_caller):
    """The message says what was returned and what may be."""
    sync_caller.start([Returns("a text")], Reply("Hi"))
    with pytest.raises(PluginError, match="returned str; return Request, Answer or None"):
        sync_caller.chat()


def test_a_coroutine_from_a_plain_def_is_not_taken_for_an_answer(sync_caller):
    """The message says how to mend it, and no coroutine is left un-awaited."""

    async def work() -> None: ...

    sync_caller.start([Returns(work())], Reply("Hi"))
    with pytest.raises(PluginError, match="write async def"):
        sync_caller.chat()


@define(eq=False)
class Misses:
    """An async cache that never has anything."""

    asked: list[str] = field(factory=list)

    @hookimpl
    async def cache_lookup(self, key: str) -> CacheEntry | None:
        self.asked.append(key)
        return None


@define(eq=False)
class Has:
    """An async cache that has one answer for everything."""

    entry: CacheEntry | None = None

    @hookimpl
    async def cache_lookup(self, key: str) -> CacheEntry | None:
        return self.entry

    @hookimpl
    async def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.entry = entry


def test_of_two_async_caches_the_second_answers_when_the_first_misses(caller):
    """A coroutine is awaited before it counts as an answer."""
    first = Misses()
    caller.start({"a": first, "b": Has()}, Reply("Hi"))
    caller.chat()
    assert "Hi" == caller.chat().text
    assert 1 == caller.provider.calls
    assert 2 == len(first.asked)
    assert "b" == caller.records.last.provenance.by


def test_errors_pickle():
    """Celery and process pools send them to other processes."""
    error = PluginError("plugin x: pre_request raised", "x", "pre_request")
    again = pickle.loads(pickle.dumps(error))
    assert (str(error), error.plugin, error.hook) == (str(again), again.plugin, again.hook)


@define(eq=False)
class ChangesStream:
    """Returns a Response from on_response, also for a stream."""

    @hookimpl
    def on_response(self, response: Response) -> Response:
        return Response(response.api, message=response.message, finish_reason="stop")


def test_an_answer_changed_after_its_stream_went_out_is_noticed(sync_caller, caplog):
    """The result of on_response is ignored for a stream, and somebody is told."""
    sync_caller.start([ChangesStream()], Reply("Hi"))
    with caplog.at_level(logging.WARNING, "clippy"):
        assert "Hi" == sync_caller.stream().text
    assert "for a stream; it is ignored" in caplog.text


@define(eq=False)
class NotATuple(TextFilter):
    """Forgets that a filter returns two texts."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> Any:
        return text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_filter_that_returns_one_text_is_told_to_return_two(sync_caller, streamed):
    """The message names the class and says what to write."""
    sync_caller.start([NotATuple()], Reply("Hi"))
    with pytest.raises(PluginError, match=r"NotATuple.filter returned str; return \(text to send, text to hold back\)"):
        if streamed:
            raise sync_caller.stream().error
        sync_caller.chat()


@define(eq=False)
class HoldsForEver(TextFilter):
    """Holds all text back, also when nothing follows."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return "", text


@pytest.mark.parametrize("streamed", [False, True])
def test_text_that_a_filter_holds_back_at_the_end_is_an_error(sync_caller, streamed):
    """It would be lost; the message names the class and says what to write."""
    sync_caller.start([HoldsForEver()], Reply("Hi"))
    with pytest.raises(
        PluginError, match=r"HoldsForEver.filter held 2 characters back at the end.* when final is True"
    ):
        if streamed:
            raise sync_caller.stream().error
        sync_caller.chat()


def test_a_hook_without_its_mark_is_noticed_when_the_host_is_made(caplog):
    """A guard that never runs must not go unseen."""

    @define(eq=False)
    class Unmarked:
        def pre_request(self, request: Request) -> None: ...

    with caplog.at_level(logging.WARNING, "clippy"):
        clippy_core.Host([Unmarked()])
    assert "not marked" in caplog.text


@define(eq=False)
class Drops:
    """A cache that can drop, and notes what it was told."""

    told: list[Any] = field(factory=list)

    @hookimpl
    def cache_invalidate(self, selector: Any) -> None:
        self.told.append(selector)
        if selector.key == "bad":
            raise OSError("the disk is full")


@define(eq=False)
class Watches:
    """Makes every hook timed."""

    @hookimpl
    def audit(self, record: Any, ctx: Any) -> None: ...

    @hookimpl
    def observe(self, event: Any, ctx: Any) -> None: ...


def test_stored_answers_can_be_dropped_outside_of_a_request() -> None:
    """There is no trace to write a line into; a cache that fails is counted, and the caller is told."""
    cache = Drops()
    with clippy_core.Host({"cache": cache, "watches": Watches()}) as host:
        host.invalidate(tag="news")
        with pytest.raises(ExceptionGroup):
            host.invalidate(key="bad")
        assert [selector.key for selector in cache.told] == [None, "bad"]
        assert host.faults.counts == {("cache", "cache_invalidate"): 1}


# --- where a message points to ---------------------------------------------------------------------------------------


@define(eq=False)
class Strict:
    """Fails in code that is not its own: in another package, which its own called."""

    hook: str

    def _waits(self) -> None:
        json.loads("no JSON")

    @hookimpl
    def pre_request(self) -> None:
        if self.hook == "pre_request":
            self._waits()

    @hookimpl
    def audit(self) -> None:
        if self.hook == "audit":
            self._waits()


def test_the_place_of_a_failure_is_in_the_plugin_and_not_in_what_it_called(sync_caller, caplog):
    """Whether the failure is raised or skipped; a library's line tells an author nothing."""
    line = Path(__file__).read_text().partition("        json.loads(")[0].count("\n") + 1
    place = f"core/test_failure_policy.py:{line}"
    sync_caller.start([Strict("pre_request")], Reply("Hi"))
    with pytest.raises(PluginError, match=f"raised JSONDecodeError at {place};"):
        sync_caller.chat()
    sync_caller.start([Strict("audit")], Reply("Hi"))
    sync_caller.chat()
    assert f"audit raised JSONDecodeError and was skipped; further ones are counted ({place})" in caplog.text


def test_the_record_of_a_failed_request_names_plugin_exception_and_place(caller):
    """For who has only the log: not what the exception says, which may be a prompt."""
    caller.start({"strict": Strict("pre_request")}, Reply("Hi"))
    with pytest.raises(PluginError):
        caller.chat()
    error = caller.records.last.error
    assert ("plugin", "pre_request") == (error.category, error.kind)
    assert error.code.startswith("strict raised JSONDecodeError at core/test_failure_policy.py:")


def test_the_record_of_a_stream_that_a_plugin_ended_names_it_too(sync_caller):
    sync_caller.start([Raises("on_chunk")], Reply("Hi"))
    assert isinstance(sync_caller.stream().error, PluginError)
    error = sync_caller.records.last.error
    assert ("plugin", "on_chunk") == (error.category, error.kind)
    assert error.code.startswith("raises raised KeyError at core/test_failure_policy.py:")


@pytest.mark.parametrize("hook", ["pre_request", "audit"])
def test_the_way_to_a_failure_is_logged_at_debug_level_without_what_the_exception_says(sync_caller, caplog, hook):
    """Raised or skipped."""
    sync_caller.start([Raises(hook)], Reply("Hi"))
    with caplog.at_level(logging.DEBUG, "clippy"):
        if hook == "pre_request":
            with pytest.raises(PluginError):
                sync_caller.chat()
        else:
            sync_caller.chat()
    [way] = [one.getMessage() for one in caplog.records if one.levelno == logging.DEBUG and one.name == "clippy"]
    assert way.startswith(f"plugin raises: {hook} failed here")
    assert "in _maybe" in way
    assert way.endswith("builtins.KeyError")
    assert all("secret" not in one.getMessage() or "raise KeyError(" in one.getMessage() for one in caplog.records)


@define(eq=False)
class Away:
    """A cache whose server is gone, as its library says with an exception behind it."""

    @hookimpl
    def cache_invalidate(self) -> None:
        try:
            raise OSError("what the library says")
        except OSError as error:
            raise ConnectionError("the server at 127.0.0.1 cannot be reached") from error


def test_a_service_that_is_away_at_an_invalidation_is_a_line_and_not_a_traceback(caplog):
    """No code is to blame; nor is there a way to skip this, or one that was skipped."""
    with clippy_core.Host({"away": Away()}) as host, pytest.raises(ExceptionGroup) as caught:
        host.invalidate(key="k")
    assert {("away", "cache_invalidate"): 1} == host.faults.counts
    [error] = caught.value.exceptions
    assert str(error) == (
        "plugin away: cache_invalidate could not reach its service (ConnectionError); what it stored may still be there"
    )
    assert "cannot be reached" in str(error.__cause__)
    assert "File" not in "".join(traceback.format_exception(error.__cause__))
    assert "library" not in "".join(traceback.format_exception(error))
    assert [] == caplog.records


def test_a_cache_that_such_a_failure_switches_off_is_told_of_in_the_log(caplog):
    config = {"on_failure": {"away": "disable"}}
    with clippy_core.Host({"away": Away()}, config=config) as host, pytest.raises(ExceptionGroup):
        host.invalidate(key="k")
    [line] = caplog.messages
    assert line.startswith("plugin away: cache_invalidate raised ConnectionError and is switched off (core/test_")


@define(eq=False)
class Words:
    """Raises the contract's error itself, with words of its own where names belong."""

    @hookimpl
    def pre_request(self) -> None:
        raise PluginError("no", "words", "emit")


def test_a_plugin_that_names_a_hook_that_there_is_not_is_told_of_as_well(sync_caller):
    sync_caller.start([Words()], Reply("Hi"))
    with pytest.raises(PluginError):
        sync_caller.chat()
    assert ("emit", "words failed") == (sync_caller.records.last.error.kind, sync_caller.records.last.error.code)


@define(eq=False)
class NoTuple(TextFilter):
    """Returns what a filter may not."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> Any:
        return text


@pytest.mark.parametrize(("on_failure", "stream"), [("raise", False), ("raise", True), ("skip", False)])
def test_a_failure_that_the_contract_words_has_the_name_of_plugin_and_hook(sync_caller, caplog, on_failure, stream):
    """A text filter's base cannot know under which name its plugin runs."""
    sync_caller.start({"no-tuple": NoTuple()}, Reply("Hi"), on_failure={"no-tuple": on_failure})
    hook = "on_chunk" if stream else "on_response"
    what = f"plugin no-tuple: {hook} failed: NoTuple.filter returned str; return"
    if on_failure == "skip":
        assert "Hi" == sync_caller.chat().text
        assert what in caplog.text
        return
    if stream:
        error = sync_caller.stream().error
    else:
        with pytest.raises(PluginError) as caught:
            sync_caller.chat()
        error = caught.value
    assert (True, "no-tuple", hook) == (str(error).startswith(what), error.plugin, error.hook)

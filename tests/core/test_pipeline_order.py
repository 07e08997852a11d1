"""The way of a request: which hooks are called, in which order, and the audit exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from calling import WAY_IN, Again, Keep
from clippy_hookspecs import (
    Answer,
    Message,
    ProviderError,
    Refusal,
    Response,
    StreamInterrupted,
    Text,
    hookimpl,
)

from clippy_core.testing import Fault, Reply


@define(eq=False)
class Decide:
    """Does in pre_request what it is told."""

    what: Any

    @hookimpl
    def pre_request(self) -> Any:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def test_a_plain_call_goes_the_whole_way(any_caller, make_calls):
    """In on a miss, out through on_response, post_attempt and cache_store, then the record."""
    calls = make_calls()
    any_caller.start([calls], Reply("Hi"))
    assert "Hi" == any_caller.chat().text
    out = ["on_response", "post_attempt ok", "cache_store", "audit answered"]
    assert [*WAY_IN, "pre_attempt", *out] == calls.hooks


def test_a_stream_settles_before_its_terminal_event_is_handed_on(any_caller, make_calls):
    """on_response, post_attempt, cache_store and audit have run when the reader sees the end."""
    calls = make_calls()
    any_caller.start([calls], Reply("Hello there"))
    assert "Hello there" == any_caller.stream().text
    out = ["on_chunk", "end complete", "on_response", "post_attempt ok", "cache_store", "audit answered"]
    assert [*WAY_IN, "pre_attempt", *out] == calls.hooks


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hit_goes_out_like_a_live_answer_without_an_attempt(caller, make_calls, streamed):
    """A cached answer passes on_chunk and on_response, and nobody is asked upstream."""
    calls = make_calls()
    caller.start({"aa-keep": Keep(), "calls": calls}, Reply("Hi"))
    caller.chat()
    calls.hooks.clear()
    text = caller.stream().text if streamed else caller.chat().text
    assert "Hi" == text
    chunks = ["on_chunk", "end complete"] if streamed else []
    assert ["pre_request", *chunks, "on_response", "audit cached"] == calls.hooks
    assert 1 == caller.provider.calls


def test_a_retry_repeats_the_attempt_and_nothing_else(caller, make_calls):
    """pre_attempt and post_attempt come in pairs, one pair for each attempt."""
    calls = make_calls()
    caller.start({"again": Again(), "calls": calls}, [Fault.status(503), Reply("Hi")])
    assert "Hi" == caller.chat().text
    failed = ["pre_attempt", "classify_error", "post_attempt error", "on_error"]
    out = ["pre_attempt", "on_response", "post_attempt ok", "cache_store", "audit answered"]
    assert [*WAY_IN, *failed, *out] == calls.hooks
    assert [1.0] == caller.clock.sleeps
    assert [503, 200] == [attempt.status for attempt in caller.records.last.attempts]


def test_a_failure_nobody_repairs_is_recorded_as_failed(caller, make_calls):
    """The caller gets the provider's failure, with what it was judged to be."""
    calls = make_calls()
    caller.start([calls], Fault.status(503))
    with pytest.raises(ProviderError) as caught:
        caller.chat()
    assert 503 == caught.value.info.status
    failed = ["pre_attempt", "classify_error", "post_attempt error", "on_error", "audit failed"]
    assert [*WAY_IN, *failed] == calls.hooks


def test_a_refusal_ends_the_request_before_anybody_else_sees_it(caller, make_calls):
    """Nothing is sent and nothing but the record is made."""
    calls = make_calls()
    caller.start({"aa-decide": Decide(Refusal("not today", 429, "quota")), "calls": calls}, Reply("Hi"))
    with pytest.raises(Refusal, match="not today"):
        caller.chat()
    assert ["audit refused"] == calls.hooks
    assert 0 == caller.provider.calls
    assert caller.records.last.request is None


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_of_a_plugin_is_delivered_and_never_stored(caller, make_calls, streamed):
    """An Answer goes the way out; its provenance names the plugin."""
    calls = make_calls()
    made = Response("openai.chat", message=Message("assistant", (Text("From me"),)), finish_reason="stop")
    caller.start({"aa-decide": Decide(Answer(made, "because")), "calls": calls}, Reply("Hi"))
    assert "From me" == (caller.stream().text if streamed else caller.chat().text)
    chunks = ["on_chunk", "end complete"] if streamed else []
    assert [*chunks, "on_response", "audit answered"] == calls.hooks
    assert ("plugin", "aa-decide", "because") == (
        caller.records.last.provenance.source,
        caller.records.last.provenance.by,
        caller.records.last.provenance.reason,
    )
    assert 0 == caller.provider.calls


def test_an_early_close_cancels_the_attempt_and_tells_the_provider(any_caller, make_calls):
    """The upstream connection is closed, and the record says cancelled."""
    calls = make_calls()
    any_caller.start([calls], Reply("one two three four five"))
    read = any_caller.stream(stop_after=2)
    assert "one two" == read.text.strip()
    assert [
        *WAY_IN,
        "pre_attempt",
        "on_chunk",
        "end cancelled",
        "post_attempt cancelled",
        "audit cancelled",
    ] == calls.hooks
    assert [1] == any_caller.provider.closed_early


def test_a_stream_that_breaks_after_its_first_token_raises_with_what_was_delivered(any_caller, make_calls):
    """StreamInterrupted carries exactly the delivered part; nothing is sent twice."""
    calls = make_calls()
    any_caller.start({"again": Again(), "calls": calls}, [[Fault.reset(at_delta=2), Reply("one two three four")]])
    read = any_caller.stream()
    assert isinstance(read.error, StreamInterrupted)
    assert read.text == read.error.partial.message.text == "one two "
    assert 1 == any_caller.provider.calls
    assert ["audit failed"] == [hook for hook in calls.hooks if hook.startswith("audit")]
    assert "end interrupted" in calls.hooks


@pytest.mark.parametrize(
    "fault",
    [
        Fault.reset(before_head=True),
        Fault.reset(at_delta=0),
        Fault.connect_error(),
        Fault.read_timeout(),
        Fault.error_event(at_delta=0),
        Fault.hangup(at_delta=0),
        Fault.truncated_json(at_delta=0),
        Fault.status(529),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_stream_that_fails_before_its_first_token_is_repaired_unseen(any_caller, fault):
    """The reader sees one whole answer and no trace of the failure."""
    any_caller.start([Again()], [[fault, Reply("one two three")], Reply("one two three")])
    read = any_caller.stream()
    assert read.error is None
    assert "one two three" == read.text
    assert 2 == any_caller.provider.calls
    assert 1 == sum(chunk.kind == "finish" for chunk in read.chunks)


def test_a_caller_that_stops_after_the_finish_reason_has_a_complete_answer(sync_caller, make_calls):
    """The record says answered although the terminal event was never read."""
    calls = make_calls()
    sync_caller.start([calls], Reply("Hi there"))
    import clippy_core

    with clippy_core.Client(sync_caller.host, sync_caller._http()) as client, client.stream("Hello") as stream:
        for chunk in stream:
            if chunk.kind == "finish":
                break
    assert "audit answered" == calls.hooks[-1]
    assert "cache_store" in calls.hooks

"""Errors travel: between processes, out of workers, into logs."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import clippy_hookspecs as contract
import pytest
from clippy_hookspecs import (
    AttemptRefused,
    ClippyError,
    ConfigError,
    ContextBudgetError,
    CorruptEntry,
    DeadlineExceeded,
    ErrorInfo,
    Message,
    PluginError,
    ProviderError,
    Refusal,
    Response,
    StreamInterrupted,
    Text,
)

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, Script

INFO = ErrorInfo("rate_limit", "quota", retry_after=3.0, status=429, code="x", message="too much", request_id="r-1")
PARTIAL = Response("openai.chat", message=Message("assistant", (Text("half"),)))
ERRORS: list[ClippyError] = [
    ClippyError("a", 1),
    Refusal("not you", 451, "policy", 2.5),
    AttemptRefused(INFO),
    ProviderError(INFO, b'{"error": {}}'),
    StreamInterrupted(INFO, PARTIAL),
    DeadlineExceeded(INFO, "idle", 4.0),
    PluginError("plugin x 1.0: on_chunk raised", "x", "on_chunk"),
    ConfigError(["a.b: expected int, got 'c'", "d: unknown setting"]),
    ContextBudgetError("too long", 900, 800),
    CorruptEntry("not an entry"),
]
PICKLERS = range(pickle.HIGHEST_PROTOCOL + 1)


def test_every_error_of_the_contract_is_here() -> None:
    """An error class that is new is tested without anybody thinking of it, and all have one root."""
    public = [value for name in contract.__all__ if inspect.isclass(value := getattr(contract, name))]
    errors = {cls for cls in public if issubclass(cls, BaseException)}
    assert errors == {type(error) for error in ERRORS}
    assert all(issubclass(cls, ClippyError) for cls in errors)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(error: ClippyError) -> None:
    """Same class, same words, same fields; with every protocol, and as a copy."""
    others: list[Any] = [pickle.loads(pickle.dumps(error, protocol)) for protocol in PICKLERS]
    for other in [*others, copy.copy(error), copy.deepcopy(error)]:
        assert type(other) is type(error)
        assert (other.args, str(other), vars(other)) == (error.args, str(error), vars(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_says_something(error: ClippyError) -> None:
    """Its text is a sentence and never the tuple of its arguments."""
    assert str(error)
    assert type(error) is ClippyError or not str(error).startswith("(")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_what_a_client_raises_comes_out_of_a_pickle(stream: bool) -> None:
    """Not only an error made by hand: the one that a failed call raised, with what was delivered of its answer."""
    fault = Fault.reset(at_delta=2) if stream else Fault.status(429)
    provider = FakeProvider(Script([fault, Reply("one two three", chunks=("one ", "two ", "three"))]))
    routes = {"main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m"}}
    host = clippy_core.Host(config={"routes": routes})
    with host, clippy_core.Client(host, provider.client()) as client, pytest.raises(ProviderError) as caught:
        _ = list(client.stream("Hi")) if stream else client.chat("Hi")
    other = pickle.loads(pickle.dumps(caught.value))
    assert (type(other), str(other), other.info) == (type(caught.value), str(caught.value), caught.value.info)
    if isinstance(other, StreamInterrupted):
        assert other.partial is not None
        assert other.partial.text == "one two "

"""A request that failed is an event in Sentry, by the real sentry_sdk and over a socket."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from calling import COLOURS, Again, Caller
from clippy_hookspecs import ProviderError
from clippy_telemetry_sentry import SentryTelemetry
from sentry_endpoint import SentryEndpoint, sentry_endpoint

from clippy_core.testing import Fault, Reply


@pytest.fixture
def sentry() -> Iterator[SentryEndpoint]:
    with sentry_endpoint() as endpoint:
        yield endpoint


def caller(telemetry: SentryTelemetry, colour: str = "sync", script: object = None, **others: object) -> Caller:
    return Caller(colour, httpx).start({"telemetry-sentry": telemetry, **others}, script)


def fail(calling: Caller, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ProviderError):
            calling.chat("Hello")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_that_failed_is_one_event(colour: str, sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), colour, Fault.status(503), again=Again())
    fail(calling)
    calling.host.close()
    (event,) = sentry.events
    assert event["fingerprint"] == ["clippy", "failed", "transient", "fault", "main", "test-model"]
    assert event["contexts"]["clippy"]["attempts"] == 3


def test_an_answer_is_none(sentry: SentryEndpoint) -> None:
    calling = caller(SentryTelemetry(dsn=sentry.dsn), script=Reply("Hi"))
    calling.chat("Hello")
    calling.host.close()
    assert sentry.events == []

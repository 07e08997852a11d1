"""Its tests."""

from __future__ import annotations

import pytest
from attrs import define
from clippy_hookspecs import ErrorInfo, Failure, ProviderError, hookimpl

from clippy_core.testing import Fault, Reply, Script

from .on_error import Plugin
from .trial import trial


@define(eq=False)
class Judge:
    """Says of every HTTP 503 that it is worth trying again, as a plugin for errors does."""

    @hookimpl
    def classify_error(self, failure: Failure) -> ErrorInfo | None:
        """What kind of failure it is."""
        return ErrorInfo("transient", retryable=True, status=503) if failure.status == 503 else None


def test_a_passing_failure_is_tried_again() -> None:
    """After the wait, which is the host's and takes no time here."""
    script = [Fault.status(503), Reply("Hello")]
    with trial(Plugin(wait=2.0), Judge(), script=script) as it:
        assert it.client.chat("Hi").text == "Hello"
        assert it.clock.sleeps == [2.0]


def test_there_are_so_many_attempts_and_no_more() -> None:
    """Then the caller gets the failure; one that will not pass is not tried again at all."""
    script = Script(Fault.status(400), then=Fault.status(503))
    with trial(Plugin(attempts=2), Judge(), script=script) as it:
        for calls in (1, 3):
            with pytest.raises(ProviderError):
                it.client.chat("Hi")
            assert it.provider.calls == calls

"""Its test."""

from __future__ import annotations

import pytest
from clippy_hookspecs import ProviderError

from clippy_core.testing import Fault, Script

from .classify_error import Plugin
from .trial import trial


def test_an_overloaded_provider_is_known_as_such() -> None:
    """With the seconds that it asks for; what is no overload is left to others."""
    script = Script(Fault.status(400), then=Fault.status(529, retry_after=7.0))
    with trial(Plugin(), script=script) as it:
        with pytest.raises(ProviderError) as other:
            it.client.chat("One?")
        with pytest.raises(ProviderError) as found:
            it.client.chat("Two?")
    assert other.value.info.kind != "overloaded"
    info = found.value.info
    assert (info.category, info.kind, info.retryable, info.retry_after) == ("transient", "overloaded", True, 7.0)

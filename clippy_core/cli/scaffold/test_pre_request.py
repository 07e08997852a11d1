"""Its test."""

from __future__ import annotations

import pytest
from clippy_hookspecs import Refusal

from .pre_request import Plugin
from .trial import trial


def test_a_model_that_is_not_on_the_list_is_refused() -> None:
    """The provider is not asked; a model on the list passes."""
    with trial(Plugin(allowed=("m",))) as it:
        with pytest.raises(Refusal, match="other is not on the list"):
            it.client.chat("Hi", model="other")
        assert it.provider.calls == 0
        assert it.client.chat("Hi", model="m").text
        assert it.provider.calls == 1

"""Its test."""

from __future__ import annotations

import pytest
from clippy_hookspecs import Refusal

from clippy_core.testing import Reply

from .on_response import Plugin
from .trial import trial


def test_an_empty_answer_is_refused_where_the_configuration_says_so() -> None:
    """Plain and streamed; by default it passes."""
    script = [Reply(" "), Reply(" "), Reply("Hello")]
    with trial(Plugin(refuse_empty=True), script=script) as it:
        with pytest.raises(Refusal, match="answered nothing"):
            it.client.chat("One?")
        with pytest.raises(Refusal, match="answered nothing"):
            list(it.client.stream("Two?"))
        assert it.client.chat("Three?").text == "Hello"
    with trial(Plugin(), script=Reply(" ")) as it:
        assert it.client.chat("Hi").text == " "

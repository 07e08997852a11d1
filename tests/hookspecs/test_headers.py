"""Headers from the wire and headers from texts are the same headers."""

from __future__ import annotations

import pytest
from clippy_hookspecs import Headers
from clippy_hookspecs.headers import beginning, having, picked
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["Accept", "accept", "X-Clippy-User", "x-clippy-tenant", "Ärger", "ärger", "a\nx-clippy-b", ""])
PAIRS = st.lists(st.tuples(NAMES, st.text(st.characters(max_codepoint=255), max_size=3)), max_size=5)
ASKED = ("accept", "x-clippy-user", "Ärger", "x-none", "Ω")


@given(PAIRS)
def test_bytes_are_found_as_their_texts_are(pairs: list[tuple[str, str]]) -> None:
    """By whatever spelling, name by name and in lists, in order; a name that comes twice by its first value."""
    texts = Headers(pairs)
    octets = Headers.undecoded([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])
    for name in (*ASKED, "ACCEPT", "", "a\nx-clippy-b"):
        assert (octets.get(name), name in octets) == (texts.get(name), name in texts)
    assert (list(octets.items()), len(octets), octets.pairs) == (list(texts.items()), len(texts), texts.pairs)
    assert octets == texts
    assert having(octets, ASKED) == having(texts, ASKED) == tuple(name for name in ASKED if name in texts)
    assert beginning(octets, "x-clippy-") == beginning(texts, "x-clippy-")
    assert picked(octets, "accept".__eq__) == picked(texts, "accept".__eq__)
    assert octets.without(*ASKED) == texts.without(*ASKED)
    assert octets.without("x-none") == texts


def test_a_name_that_is_not_there_is_named() -> None:
    """In lower case, whatever the headers were made of."""
    for headers in (Headers(), Headers.undecoded([])):
        with pytest.raises(KeyError, match="x-none"):
            headers["X-None"]

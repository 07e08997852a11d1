"""The two campaigns about keys and tenants, in short, and that they find what they look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import campaign_cache_keys
import campaign_cache_tenants
import pytest
from clippy_hookspecs import Scope

from clippy_core import keys


def fuzzed(pairs: int) -> campaign_cache_keys.Tally:
    tally = campaign_cache_keys.Tally()
    for number in range(pairs):
        campaign_cache_keys.try_pair("test", number, tally)
    return tally


def asked(folder: Path, calls: int = 240) -> campaign_cache_tenants.Tally:
    campaign = campaign_cache_tenants.Campaign(folder)
    both = ("cache-memory", "cache-sqlite")
    campaign.in_threads(both, calls, "test")
    for backend in ("asyncio", "trio"):
        campaign.on_loop(backend, both, calls, "test")
    campaign.directly(2000, "test")
    return campaign.tally


def test_pairs_of_requests_share_a_key_if_and_only_if_they_are_the_same_question_of_one_scope() -> None:
    """``python tests/support/campaign_cache_keys.py`` tries a million."""
    tally = fuzzed(2000)
    assert dict(tally.failures) == {}
    assert min(tally.pairs.values()) > 100
    assert tally.equal["reordered"] == tally.pairs["reordered"]


def test_no_tenant_gets_what_was_said_to_another(tmp_path: Path) -> None:
    """``python tests/support/campaign_cache_tenants.py`` asks a million times."""
    tally = asked(tmp_path)
    assert dict(tally.failures) == {}
    assert tally.counts["hits through the host"]
    assert tally.counts["direct hits of cache-memory"]
    assert tally.counts["direct hits of cache-sqlite"]
    assert tally.counts["outcome cancelled"]


def test_a_key_without_the_scope_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By both: a key of two scopes, and the canary of another tenant."""
    around = keys._around

    def careless(api: str, url: str, query: str, scope: Scope, *rest: Any) -> bytes:
        return around(api, url, query, Scope(), *rest)

    monkeypatch.setattr(keys, "_around", careless)
    assert "one key came up for two scopes" in fuzzed(300).failures
    assert "an answer to another tenant or question was given" in asked(tmp_path, 600).failures

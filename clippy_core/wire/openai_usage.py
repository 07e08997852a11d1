"""OpenAI chat usage: JSON to the contract's value and back."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json, Usage

from .values import usage_of


def usage(value: Mapping[str, Json]) -> Usage:
    """Token counts.  ``prompt_tokens`` includes the cached ones at every provider that speaks this API."""
    rest = dict(value)
    taken, given = _take_count(rest, "prompt_tokens"), _take_count(rest, "completion_tokens")
    total = rest.get("total_tokens")
    if type(total) is int and total == taken + given:
        del rest["total_tokens"]
    cache_read = cache_write = reasoning = 0
    if "prompt_tokens_details" in rest:
        details = _take_details(rest, "prompt_tokens_details")
        cache_read, cache_write = _take_some(details, "cached_tokens"), _take_some(details, "cache_write_tokens")
    if "completion_tokens_details" in rest:
        reasoning = _take_some(_take_details(rest, "completion_tokens_details"), "reasoning_tokens")
    if not cache_read:
        cache_read = _count(rest.get("prompt_cache_hit_tokens"))  # DeepSeek
    return usage_of(taken, given, cache_read, cache_write, reasoning, rest)


def says_all(current: Usage, told: Mapping[str, Json]) -> bool:
    """Whether :func:`usage_json` makes *told* again of *current*, which was read from it.

    It adds the three totals, and what was not understood is written back as it came; so the two objects, which cost as
    much to compare as to read, need comparing only where DeepSeek's second name for the cached tokens is used.
    """
    if "prompt_cache_hit_tokens" in told:
        return usage_json(current) == told
    return "prompt_tokens" in told and "completion_tokens" in told and "total_tokens" in told


def usage_json(usage: Usage) -> dict[str, Json]:
    """The JSON of *usage*; *total_tokens* is computed unless the provider's own was another number."""
    body = {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.total, **usage.extra}
    if usage.cache_read and usage.cache_read != _count(body.get("prompt_cache_hit_tokens")):
        _put_detail(body, "prompt_tokens_details", "cached_tokens", usage.cache_read)
    if usage.cache_write:
        _put_detail(body, "prompt_tokens_details", "cache_write_tokens", usage.cache_write)
    if usage.reasoning:
        _put_detail(body, "completion_tokens_details", "reasoning_tokens", usage.reasoning)
    return body


def usage_as_told(current: Usage, told: Json) -> Json:
    """The provider's own object as long as *current* is what it says: some leave out what is always there."""
    return told if isinstance(told, dict) and usage(told) == current else usage_json(current)


def _put_detail(body: dict[str, Json], name: str, key: str, count: int) -> None:
    body[name] = {**(body.get(name) or {}), key: count}


def _take_details(rest: dict[str, Json], name: str) -> dict[str, Json]:
    if not isinstance(rest.get(name), dict):
        return {}
    rest[name] = details = dict(rest[name])
    return details


def _take_count(rest: dict[str, Json], name: str) -> int:
    count = rest.get(name)
    if type(count) is not int or count < 0:
        return 0
    del rest[name]
    return count


def _take_some(rest: dict[str, Json], name: str) -> int:
    count = _count(rest.get(name))
    if count:
        del rest[name]
    return count


def _count(value: Json) -> int:
    return value if type(value) is int and value > 0 else 0

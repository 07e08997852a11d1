"""OpenAI chat usage: JSON to the contract's value and back."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json, Usage


def usage(value: Mapping[str, Json]) -> Usage:
    """Token counts.  ``prompt_tokens`` includes the cached ones at every provider that speaks this API."""
    rest = dict(value)
    input_, output = _take_count(rest, "prompt_tokens"), _take_count(rest, "completion_tokens")
    if type(rest.get("total_tokens")) is int and rest["total_tokens"] == input_ + output:
        del rest["total_tokens"]
    prompt, completion = _take_details(rest, "prompt_tokens_details"), _take_details(rest, "completion_tokens_details")
    return Usage(
        input_,
        output,
        cache_read=_take_some(prompt, "cached_tokens") or _count(rest.get("prompt_cache_hit_tokens")),  # DeepSeek
        cache_write=_take_some(prompt, "cache_write_tokens"),
        reasoning=_take_some(completion, "reasoning_tokens"),
        extra=rest,
    )


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
    return rest.pop(name) if type(rest.get(name)) is int and rest[name] >= 0 else 0


def _take_some(rest: dict[str, Json], name: str) -> int:
    return rest.pop(name) if _count(rest.get(name)) else 0


def _count(value: Json) -> int:
    return value if type(value) is int and value > 0 else 0

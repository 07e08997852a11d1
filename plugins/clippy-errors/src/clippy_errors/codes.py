"""Error codes and types, and the kinds they stand for.

The providers' vocabularies differ in spelling more than in words, so codes are first brought to one form
(``ThrottlingException:http://...``, ``com.amazon#ThrottlingException`` and ``throttling_error`` become ``throttling``),
then looked up: what one provider means by them, the words everybody's documentation uses, then parts of words.

Sources: the error pages of OpenAI, Azure OpenAI, Anthropic, Gemini and Vertex (google.rpc), Bedrock, Mistral, Cohere,
Groq, OpenRouter, DeepSeek, xAI, Together, Fireworks, Cerebras, Moonshot, Zhipu, MiniMax, DashScope, Cloudflare Workers
AI, vLLM, TGI, llama.cpp, LiteLLM's proxy.
"""

from __future__ import annotations

import re

_OWN: dict[str, dict[str, str]] = {
    "mistral": {"1300": "requests", "1500": "model_not_found", "3051": "context_length", "3505": "capacity"},
    "zhipu": {
        "1000": "invalid_key", "1001": "invalid_key", "1002": "invalid_key", "1003": "expired", "1004": "invalid_key",
        "1110": "permission", "1111": "permission", "1112": "permission", "1113": "quota", "1120": "server_error",
        "1121": "permission", "1210": "invalid_request", "1211": "model_not_found", "1212": "unsupported",
        "1213": "invalid_request", "1214": "invalid_request", "1220": "permission", "1221": "model_not_found",
        "1222": "model_not_found", "1230": "server_error", "1234": "server_error", "1261": "context_length",
        "1300": "content_filter", "1301": "content_filter", "1302": "concurrency", "1303": "requests", "1304": "quota",
        "1305": "overloaded", "1308": "quota", "1309": "quota", "1310": "quota",
    },
    "minimax": {
        "1000": "server_error", "1001": "timeout", "1002": "requests", "1004": "invalid_key", "1008": "quota",
        "1013": "server_error", "1024": "server_error", "1026": "content_filter", "1027": "content_filter",
        "1033": "server_error", "1039": "tokens", "1041": "concurrency", "2013": "invalid_request",
        "2049": "invalid_key", "2056": "quota",
    },
    "cloudflare_ai": {
        "3003": "invalid_request", "3006": "payload_too_large", "3007": "timeout", "3008": "timeout",
        "3036": "quota", "3040": "capacity", "3041": "permission", "3042": "model_not_found", "5004": "invalid_request",
        "5005": "permission", "5007": "model_not_found", "5016": "permission", "5018": "permission",
        "10000": "invalid_key", "9109": "invalid_key",
    },
    # Bedrock itself has no such exception: API Gateway in front of it says so of a usage plan's quota for its period,
    # and TooManyRequestsException of its rate.
    "bedrock": {"limit_exceeded": "quota"},
}  # fmt: skip

_ALSO_KNOWN_AS = {
    "zai": "zhipu", "z.ai": "zhipu", "bigmodel": "zhipu", "glm": "zhipu", "mistralai": "mistral",
    "cloudflare": "cloudflare_ai", "workers_ai": "cloudflare_ai", "workers-ai": "cloudflare_ai",
}  # fmt: skip
"""Other names that people give to the providers above."""

GENERIC = {
    "invalid_request": "invalid_request", "bad_request": "invalid_request", "validation": "invalid_request",
    "invalid_argument": "invalid_request", "failed_precondition": "invalid_request", "out_of_range": "invalid_request",
    "unprocessable_entity": "invalid_request", "invalid": "invalid_request", "request": "invalid_request",
    "request_forbidden": "permission", "forbidden": "permission", "permission": "permission",
    "permission_denied": "permission", "not_found": "not_found", "resource_not_found": "not_found",
    "authentication": "invalid_key", "unauthorized": "invalid_key", "unauthenticated": "invalid_key",
    "server": "server_error", "api": "server_error", "internal": "server_error", "internal_server": "server_error",
    "unknown": "server_error", "internal_failure": "server_error", "service": "server_error",
    "generation": "server_error", "conflict": "conflict", "aborted": "conflict", "api_connection": "server_error",
    "upstream": "server_error", "provider": "server_error",
    "rate_limit": "requests", "resource_exhausted": "requests", "too_many_requests": "requests",
    "rate_limited": "requests", "rate_limit_exceeded": "requests", "throttling": "requests", "throttled": "requests",
    "rate_limit_reached": "requests", "rate_limiting": "requests", "over_rate_limit": "requests",
}  # fmt: skip
"""Types that name a family and no more; the status, the details or the text say what is meant."""

_WORDS = {
    # keys and accounts
    "invalid_api_key": "invalid_key", "api_key_invalid": "invalid_key", "unrecognized_client": "invalid_key",
    "invalid_client_token_id": "invalid_key", "signature_does_not_match": "invalid_key",
    "invalid_signature": "invalid_key", "incomplete_signature": "invalid_key", "missing_authentication_token":
    "invalid_key", "invalid_authentication": "invalid_key", "invalid_token": "invalid_key", "invalid_client":
    "invalid_key", "not_authenticated": "invalid_key", "auth": "invalid_key", "no_auth": "invalid_key",
    "token_expired": "expired", "expired_token": "expired", "access_token_expired": "expired",
    "request_expired": "expired", "access_denied": "permission", "service_disabled": "permission",
    "account_deactivated": "permission", "organization_restricted": "permission", "consumer_suspended": "permission",
    "api_key_service_blocked": "permission", "oauth_access_denied": "permission", "not_authorized": "permission",
    "opt_in_required": "permission", "ip_not_authorized": "permission", "organization_deactivated": "permission",
    "access_terminated": "permission",
    "unsupported_country_region_territory": "region_blocked", "country_not_supported": "region_blocked",
    # money: waiting does not help
    "service_quota_exceeded": "quota", "exceeded_current_quota": "quota", "arrearage": "quota",
    "usage_limit_reached": "quota", "usage_limit_exceeded": "quota", "account_overdue": "quota",
    "limit_exceeded": "requests", "payment_required": "quota", "cost_limit": "quota",
    "blocked_api_access": "quota", "usage_not_included": "quota",
    # too much at once
    "tokens": "tokens", "requests": "requests", "input_tokens": "tokens", "output_tokens": "tokens",
    "token_quota_exceeded": "tokens", "too_many_tokens": "tokens", "request_quota_exceeded": "requests",
    "queue_exceeded": "overloaded", "request_limit_exceeded": "requests", "slow_down": "slow_down",
    "openrouter_in_flight_budget": "budget_inflight", "in_flight_budget_exhausted": "budget_inflight",
    "concurrency_limit_exceeded": "concurrency",
    "user_rate_limit_exceeded": "requests", "provisioned_throughput_exceeded": "requests",
    "priority_request_quota_exceeded": "requests", "model_not_ready": "overloaded",
    # the request
    "context_length_exceeded": "context_length", "string_above_max_length": "invalid_request",
    "tokens_limit_reached": "context_length", "max_tokens_exceeded": "context_length",
    "exceed_context_size": "context_length", "request_too_large": "payload_too_large",
    "payload_too_large": "payload_too_large", "content_too_large": "payload_too_large",
    "request_entity_too_large": "payload_too_large", "unsupported_parameter": "invalid_request",
    "unsupported_value": "invalid_request", "invalid_value": "invalid_request", "invalid_type": "invalid_request",
    "missing_required_parameter": "invalid_request", "unknown_parameter": "invalid_request",
    "invalid_function_parameters": "invalid_request", "tool_use_failed": "invalid_request",
    "json_validate_failed": "invalid_request", "invalid_image": "invalid_request", "invalid_json": "invalid_request",
    "integer_above_max_value": "invalid_request", "invalid_prompt": "content_filter", "refusal": "content_filter",
    "data_inspection_failed": "content_filter", "hooks_failed": "content_filter",
    "content_blocked": "content_filter", "blocked_prompt": "content_filter",
    # models and what they can do
    "model_not_found": "model_not_found", "model_not_exist": "model_not_found", "model_decommissioned":
    "model_not_found", "model_deprecated": "model_not_found", "model_not_available": "model_not_found",
    "deployment_not_found": "model_not_found", "invalid_model": "model_not_found", "unknown_model": "model_not_found",
    "model_not_supported": "model_not_found", "not_supported": "unsupported", "unimplemented": "unsupported",
    "not_implemented": "unsupported", "operation_not_supported": "unsupported", "unsupported_operation": "unsupported",
    "unsupported_model": "unsupported", "invalid_url": "not_found", "unknown_url": "not_found",
    # the provider's health
    "model": "server_error", "model_stream": "server_error", "incomplete_generation": "server_error",
    "server_is_overloaded": "overloaded", "unavailable": "overloaded", "service_unavailable": "overloaded",
    "temporarily_unavailable": "overloaded", "deadline_exceeded": "timeout", "request_timeout": "timeout",
    "model_timeout": "timeout", "timeout": "timeout", "cancelled": "cancelled", "client_closed_request": "cancelled",
}  # fmt: skip

_PARTS: tuple[tuple[str, str], ...] = (
    ("country", "region_blocked"), ("territory", "region_blocked"), ("user_location", "region_blocked"),
    ("content_filter", "content_filter"), ("content_policy", "content_filter"), ("moderation", "content_filter"),
    ("responsible_ai", "content_filter"), ("safety", "content_filter"), ("prohibited_content", "content_filter"),
    ("sensitive", "content_filter"), ("guardrail", "content_filter"), ("policy_violation", "content_filter"),
    ("context_length", "context_length"), ("context_window", "context_length"), ("context_size", "context_length"),
    ("prompt_too_long", "context_length"), ("input_too_long", "context_length"),
    ("prompt_tokens_exceeded", "context_length"),
    ("balance", "quota"), ("credit", "quota"), ("billing", "quota"), ("spend", "quota"), ("budget", "quota"),
    ("arrear", "quota"), ("payment", "quota"), ("usage_limit", "quota"), ("free_tier", "quota"),
    ("weight_exceeds", "quota"), ("per_day", "quota"), ("daily", "quota"), ("monthly", "quota"),
    ("rate_quota", "requests"), ("burst_rate", "requests"), ("allocation_quota", "tokens"), ("quota", "quota"),
    ("concurren", "concurrency"), ("overload", "overloaded"), ("capacity", "capacity"),
    ("rate_limit", "requests"), ("ratelimit", "requests"), ("throttl", "requests"), ("too_many_requests", "requests"),
    ("bad_gateway", "gateway"), ("cf_", "gateway"), ("gateway_timeout", "timeout"), ("timed_out", "timeout"),
    ("timeout", "timeout"), ("unavailable", "overloaded"), ("expired", "expired"),
    ("deployment_not", "model_not_found"), ("model_not", "model_not_found"),
    ("api_key", "invalid_key"), ("apikey", "invalid_key"), ("unauthor", "invalid_key"), ("auth_", "invalid_key"),
    ("access_denied", "permission"), ("permission", "permission"),
    ("too_large", "payload_too_large"),
)  # fmt: skip

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = str.maketrans({" ": "_", "-": "_", ".": "_", "/": "_"})


def normal_form(code: str) -> str:
    """The one spelling of a code: snake case, without namespace, address and the words *error* and *exception*."""
    name = code.strip()[:160].partition(":http")[0].rpartition("#")[2]
    words = _HUMP.sub("_", name).translate(_SEPARATORS).lower().strip("_")
    for ending in ("_exception", "_error"):
        words = words.removesuffix(ending)
    return words


def is_status(code: str) -> bool:
    """Whether a code only repeats an HTTP status."""
    return len(code) == 3 and code.isascii() and code.isdigit()


def code_kind(code: str, provider: str | None) -> str | None:
    """The kind that one code says by itself; None for generic and unknown ones."""
    whose = (provider or "").lower()
    own = _OWN.get(_ALSO_KNOWN_AS.get(whose, whose), {})
    name = normal_form(code)
    if name in own:
        return own[name]
    if name in GENERIC or is_status(code):
        return None
    if name in _WORDS:
        return _WORDS[name]
    return next((kind for part, kind in _PARTS if part in name), None)


def family_kind(code: str) -> str | None:
    """The kind that a generic code stands for when nothing else is known."""
    return GENERIC.get(normal_form(code))

"""What an error's sentences say: the last resort, and only within the family that status and codes have set.

Sentences change without notice and quote what the caller sent, so a phrase never makes a failure retryable that its
status or code called final, except where a rate limit hides behind 403.  Plain substring search keeps the cost linear
in the text.
"""

from __future__ import annotations

import re

_Phrases = tuple[tuple[str, ...], ...]
_Rules = tuple[tuple[str, _Phrases], ...]


def _any(*lines: str) -> _Phrases:
    """Phrases separated by ``|``, whose pieces, separated by ``&``, must all occur."""
    phrases = (phrase for line in lines for phrase in line.split("|"))
    return tuple(tuple(piece.strip() for piece in phrase.split(" & ")) for phrase in phrases)


_CONTEXT = _any(
    "context length | context window | context size | context limit | max_model_len | reduce the length",
    "prompt is too long | prompt too long | input is too long | input & too long | prompt & longer than",
    "too many tokens | input token count | token count & exceeds | maximum number of tokens",
    "exceeds the token limit | maximum input length",
    "max_new_tokens & must be <= | inputs & tokens & must have less than | input length & exceed",
    "input tokens & exceed | tokens & exceed & maximum & input | tokens & exceed & model's | range of input length",
    "max size & tokens | too large for & model & token | maximum prompt length",
)
_TOO_LONG = _any(
    "prompt & too long | conversation & too long | sequence & too long | reduce your prompt | reduce the prompt",
    "tokens & exceed | exceed & token limit | tokens & over the limit | tokens & more than | tokens & greater than",
    "tokens & larger than",
    "prompt & length & exceed | input & length & exceed | sequence & length & exceed | max_seq_len | max input tokens",
)
"""Less sure: the same words with ``_OUTPUT`` are about the answer's length, which a shorter prompt does not mend."""

_CONTEXT_OVER = _any("prompt is too long | maximum context length is") + _any(
    *(
        f"context {what} & {how}"
        for what in ("size", "length", "window")
        for how in (
            "exceed",
            "too long",
            "too large",
            "too small",
            "longer than",
            "larger than",
            "greater than",
            "reduce",
        )
    )
)
"""Surer: a server that fails may have failed in whatever it says about the context."""

_OUTPUT = _any("max_tokens | max_completion_tokens | max_output_tokens | output tokens | completion tokens")
_OUTPUT += _any("maximum tokens you requested")
_CONTENT = _any(
    "content filter | content_filter | content management policy | content policy | usage polic | safety system",
    "flagged | moderation | responsible ai | blocked by & polic | violat & polic | violat & terms of service",
    "violat & guidelines | prohibited content | inappropriate content | sensitive content | guardrail",
    "content blocked | content was blocked | content is blocked | content & blocked by | blocked content",
    "blocked & safety | deny-listed | content exists risk | violat & terms of use | prompt & blocked | risk & content",
    "harmful & content | unsafe & content | unsafe & input | sexual & content | violen & content | nsfw & content",
    "toxic & content | self-harm & content | sensitive word | sensitive information | \u654f\u611f | \u8fdd\u89c4",
)
_SPENT = _any(
    "credit balance | insufficient & balance | insufficient & credit | insufficient & funds | available credits",
    "out of credit | run out of credit | credits & exhausted | credits & depleted | credits are required",
    "extra usage is required | out of extra usage | out of usage | spend limit | spending limit",
    "spending cap | over budget | balance & too low",
    "negative & balance | account & overdue | overdue & balance | arrears | account & not active & billing",
    "payment instrument | \u4f59\u989d\u4e0d\u8db3 | \u6b20\u8d39 | \u989d\u5ea6 & \u7528\u5c3d",
    "\u989d\u5ea6 & \u4e0d\u8db3 | \u9884\u6263\u8d39 & \u5931\u8d25",
)
"""Money that is gone, said so plainly that no other word in the answer takes it back."""

_MONEY = _SPENT + _any(
    "insufficient & quota | current quota | usage limit | monthly limit | hard limit | more credits | no credit",
    "exceeded & budget | exceeded your monthly | exceeded the quota | service quota | quota & used up",
    "quota & exhausted | out of call volume quota | free allocation | free tier & exhausted | trial & ended",
    "key limit exceeded | trial & expired | balance & ran out | balance & run out",
    "credit & ran out | usage cap | \u4f7f\u7528\u4e0a\u9650",
)
_QUOTA_OVER = _any(
    "quota & exceeded | quota & reached | daily & limit | weekly & limit | monthly & limit | requests this month",
)
_PER_MINUTE = _any(
    "quota & per minute | quota & per-minute | quota & per second | limit & per minute | limit & per second",
    "tokens per minute | requests per minute | too many tokens & wait before | too many requests & wait before",
)
_BILLING = _any("billing | payment | purchase & credits | add & credits | top up | recharge")
_BILLING_SET_UP = _any(
    "plans & billing | enable billing | billing & enabled | billing account | billing & not active | payment method",
    "payment required | purchase credits",
)
_KEY = _any(
    "incorrect api key | invalid api key | api key not valid | api key & invalid | invalid x-api-key | no api key",
    "api key & leaked | api key not found | missing & api key | didn't provide an api key | api key & malformed",
    "security token & invalid | signature & not match | invalid & credential | not validate credentials",
    "invalid authentication | no auth | invalid api token | access key & does not exist | signature & does not conform",
    "\u65e0\u6548\u7684\u4ee4\u724c",
)
_EXPIRED = _any(
    "api key expired | token & expired | signature expired | have expired | has expired | is expired",
    "expired timestamp",
)
_REGION = _any(
    "country, region, or territory | unsupported country | country & not supported | your country | this country",
    "location is not supported | from your location | supported region | your region | in your country",
)
_MODEL = _any(
    "model & not found | model & not exist | no such model | unknown model | invalid model | not a valid model",
    "model & not available | model & decommissioned | model & has been deprecated | model & no longer",
    "model & end of its life | model & end of life | model & not supported by any | model & as legacy",
    "model is not supported | unsupported model | model & retired | model & shut down | could not find model",
    "model & not deployed | model_not_found | cannot find model | model is disabled",
    "model & is not served | model & not supported for generatecontent",
    "deployment & not exist | foundation model | publisher model | model identifier",
    "no endpoints found | no available model provider | no allowed providers",
)
_UNSUPPORTED = _any(
    "does not support | doesn't support | do not support | isn't supported | not supported by this model",
    "that support tool | that support image | that support the | not implemented",
    "operation does not work | does not work with the specified model",
)
_MEMORY = _any("system memory | out of memory | not enough memory | insufficient memory | insufficient resources")
_OVERLOADED = _any("overloaded | high demand | high traffic | high load | server busy | server is busy | too busy")
_TOKENS = _any(
    "tokens per | tokens_per | token rate limit | token limit | token quota | too many tokens | input tokens",
    "output tokens | input_token | inputtoken | token_count | tpm | tpd",
)
_RATE = _any("rate limit | rate-limit | ratelimit | too many requests | throttl | error code: 1015")
_LIMITED = _any("limited to & calls | limited to & requests | limit exceeded | limit was reached | limit reached")
_BLOCKED = _any(
    "have been blocked | error code: 1020 | error code: 1010 | attention required | firewall | request blocked"
)
_MEMBER = _any(
    "member of an organization | member of the organization | not authorized to | does not have access",
    "don't have access | do not have access | lacks the required",
    "have permission | deactivated | ip & not authorized | not allowed for this",
)

_HEALTH: _Rules = (
    ("insufficient_resources", _MEMORY),
    ("context_length", _CONTEXT_OVER),
    ("model_not_found", _any("no available model provider | model & not found | no such model")),
    ("quota", (*_SPENT, *_any("insufficient_quota | current quota"))),
    ("content_filter", _any("content management policy | responsible ai policy")),
    ("overloaded", _OVERLOADED),
)
_FAMILIES: dict[str, _Rules] = {
    "invalid_request": (
        ("context_length", _CONTEXT),
        ("payload_too_large", _any("payload size | body too large | entity too large")),
        ("content_filter", _CONTENT),
        ("quota", _MONEY),
        ("region_blocked", _REGION),
        ("quota", _BILLING_SET_UP),
        ("expired", _EXPIRED),
        ("invalid_key", _KEY),
        ("unsupported", _UNSUPPORTED),
        ("model_not_found", _MODEL),
        ("permission", _any("organization & has been disabled | account & has been disabled | not authorized to")),
        ("invalid_request", _OUTPUT),
        ("context_length", _TOO_LONG),
    ),
    "payload_too_large": (("context_length", _CONTEXT),),
    "invalid_key": (("quota", _MONEY), ("expired", _EXPIRED), ("permission", _MEMBER), ("region_blocked", _REGION)),
    "permission": (
        ("requests", _PER_MINUTE),
        ("quota", (*_MONEY, *_QUOTA_OVER)),
        ("quota", _BILLING),
        ("content_filter", _CONTENT),
        ("context_length", _any("token & context length")),
        ("region_blocked", _REGION),
        ("expired", _EXPIRED),
        ("invalid_key", _KEY),
        ("blocked", _BLOCKED),
        ("requests", _RATE),
    ),
    "blocked": (("requests", _any("error code: 1015 | rate limit")),),
    "not_found": (
        ("unsupported", _any("that support | not a chat model")),
        ("model_not_found", (*_MODEL, ("model:",))),
    ),
    "requests": (
        ("request_too_large_for_tier", _any("request too large")),
        ("quota", _MONEY),
        ("overloaded", _any("overloaded")),
        ("concurrency", _any("concurren | parallel request")),
        ("capacity", _any("capacity | high demand | high traffic")),
        ("tokens", _TOKENS),
        ("upstream", _any("provider returned error | upstream")),
    ),
    "server_error": _HEALTH,
    "overloaded": tuple(rule for rule in _HEALTH if rule[0] != "overloaded"),
    # An error without a status, in a stream or an answer that began well: all families in one.
    "unknown": (
        ("requests", _PER_MINUTE),
        ("context_length", _CONTEXT),
        ("quota", (*_MONEY, *_QUOTA_OVER, *_BILLING_SET_UP, *_any("paid plan | credit card"))),
        ("overloaded", _OVERLOADED),
        ("requests", _RATE),
        ("content_filter", _CONTENT),
        ("insufficient_resources", _MEMORY),
        ("region_blocked", _REGION),
        ("expired", (*_EXPIRED, *_any("jwt expired"))),
        ("permission", (*_MEMBER, *_any("not allowed | sufficient permission | is gated | permission denied"))),
        ("invalid_key", (*_KEY, *_any("unauthorized | unauthorised | authorization header | invalid token"))),
        ("invalid_key", _any("api key & disabled | api key & revoked | api key & expired")),
        ("unsupported", _UNSUPPORTED),
        ("model_not_found", _MODEL),
        ("context_length", _TOO_LONG),
        ("requests", _LIMITED),
        ("permission", _any("access denied | forbidden | restricted access")),
        ("invalid_request", _any("invalid request | malformed | bad request")),
    ),
}

_FAMILIES["unknown_4xx"] = _FAMILIES["invalid_request"]

_LIMIT = re.compile(r"\blimit:?[ ]?([0-9][0-9,]{0,15})")
_REQUESTED = re.compile(r"\brequested:?[ ]?([0-9][0-9,]{0,15})")
_DENIED = re.compile(
    r"\bnot (?:(?:due|related) to |because of |caused by |about |from |against |count(?:ed)? (?:against|towards?) )?"
    r"(?:your|the|an?|any) (?:[a-z-]{1,20} ){0,3}?(?:limits?|quotas?|billing|credits?|balance|plan|caps?)\b"
    r"|\bno (?:credits?|tokens?|quota|usage) (?:was|were|is|are|has been|have been|will be) "
    r"(?:charged|used|deducted|consumed|billed|counted)\b"
)
_ZERO = re.compile(r"\b(?:limit: ?|quotavalue=)0(?![0-9.])")
_LONG_PERIODS = (
    "per day", "/ day", "/day", "daily", "per month", "/ month", "/month", "monthly", "per week", "/ week", "weekly",
    "this month", "this week", "billing period", "billing cycle",
    "per-day", "per_day", "perday", "(rpd)", "(tpd)", "rpd rate", "tpd rate", "rpd limit", "tpd limit",
    "per_month", "permonth", "per-month", "per_week", "perweek",
)  # fmt: skip


def refine(kind: str, text: str) -> str:
    """A finer kind than *kind* if *text* (in lower case) says so, else *kind*.  Addresses in the text do not count."""
    words = _without_addresses(text)
    if kind == "overloaded" and words.startswith("slow down"):
        return "slow_down"
    for finer, phrases in _FAMILIES.get(kind, ()):
        if _found(phrases, words):
            return finer
    return kind


def _found(phrases: _Phrases, text: str) -> bool:
    return any(all(piece in text for piece in phrase) for phrase in phrases)


def without_denials(text: str) -> str:
    """*text* less what it says is not the matter: *(not your usage limit)*, *No credits were charged*."""
    return _DENIED.sub(" ; ", text) if "not " in text or "no " in text else text


def larger_than_limit(text: str) -> bool:
    """Whether one request alone asks for more than the limit allows: *Limit 30000, Requested 342389*."""
    limit, requested = _LIMIT.search(text), _REQUESTED.search(text)
    if limit is None or requested is None:
        return False
    return int(requested.group(1).replace(",", "")) > int(limit.group(1).replace(",", ""))


def never_opens(text: str) -> bool:
    """Whether the limit itself is 0 (a model that is not part of the plan), so that no wait can help."""
    return _ZERO.search(text) is not None


def without_money(text: str) -> str:
    """*text* less the phrases that may speak of a spent quota, for when something surer says that it is not spent."""
    if _found(_SPENT, text):
        return text
    for phrase in _MONEY:
        for piece in phrase:
            text = text.replace(piece, " ; ")  # lest its neighbours make a new phrase
    return text


def long_period(text: str) -> bool:
    """Whether the limit that was hit counts days or longer."""
    return any(period in text for period in _LONG_PERIODS)


def _without_addresses(text: str) -> str:
    # "Upgrade at https://.../settings/billing" stands below plain rate limits and is no word about money.
    return " ".join(word for word in text.split() if "://" not in word)

"""Whose failure this is: guessed from the address, the headers and the shape of the body, in this order.

Only codes that are bare numbers need it: 1300 is a rate limit at Mistral and a blocked prompt at Zhipu.
"""

from __future__ import annotations

from clippy_hookspecs import Failure

from .bodies import ErrorBody

_HOSTS = (
    ("openai.azure.com", "azure_openai"), ("services.ai.azure.com", "azure_openai"),
    ("cognitiveservices.azure.com", "azure_openai"), ("models.inference.ai.azure.com", "azure_openai"),
    ("openai.com", "openai"), ("anthropic.com", "anthropic"), ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "gemini"), ("amazonaws.com", "bedrock"), ("openrouter.ai", "openrouter"),
    ("groq.com", "groq"), ("mistral.ai", "mistral"), ("cohere.com", "cohere"), ("cohere.ai", "cohere"),
    ("deepseek.com", "deepseek"), ("together.xyz", "together"), ("together.ai", "together"),
    ("fireworks.ai", "fireworks"), ("x.ai", "xai"), ("bigmodel.cn", "zhipu"), ("z.ai", "zhipu"),
    ("minimax.io", "minimax"), ("minimaxi.com", "minimax"), ("minimax.chat", "minimax"),
    ("api.cloudflare.com", "cloudflare_ai"), ("cerebras.ai", "cerebras"), ("moonshot.ai", "moonshot"),
    ("moonshot.cn", "moonshot"), ("aliyuncs.com", "dashscope"),
)  # fmt: skip
_HEADERS = (
    ("x-amzn-errortype", "bedrock"), ("x-amzn-requestid", "bedrock"), ("apim-request-id", "azure_openai"),
    ("x-ms-region", "azure_openai"), ("anthropic-organization-id", "anthropic"), ("x-groq-region", "groq"),
    ("openai-organization", "openai"), ("openai-processing-ms", "openai"), ("mistral-correlation-id", "mistral"),
)  # fmt: skip
_GOOGLE_STATUSES = frozenset({
    "INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED",
    "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL",
})  # fmt: skip

_ZHIPU = frozenset({"error", "contentFilter", "type", "request_id", "id", "created"})
"""What stands in Zhipu's errors: its own, those of its content filter, and those in Anthropic's form.  Its number is
their first code; a router that quotes somebody else's has a code of its own before it."""


def guess_provider(failure: Failure, body: ErrorBody) -> str | None:
    """The name of the provider, None if nothing tells."""
    host = _host(failure.url)
    for ending, name in _HOSTS:
        if host == ending or host.endswith("." + ending):
            return name
    for header, name in _HEADERS:
        if header in failure.headers:
            return name
    if body.limits or _GOOGLE_STATUSES.intersection(body.codes):
        return "gemini"
    if "raw_status_code" in body.fields or ("object" in body.fields and _numbered(body.codes, "1", "2", "3")):
        return "mistral"
    if "base_resp" in body.fields:
        return "minimax"
    if "success" in body.fields and "errors" in body.fields:
        return "cloudflare_ai"
    if "error" in body.fields and body.fields <= _ZHIPU and _numbered(body.codes[:1], "1"):
        return "zhipu"
    return "anthropic" if failure.api == "anthropic.messages" else None


def _host(url: str) -> str:
    rest = url.partition("://")[2].partition("/")[0].partition("?")[0]
    return rest.rpartition("@")[2].partition(":")[0].lower()


def _numbered(codes: tuple[str, ...], *first: str) -> bool:
    return any(len(code) == 4 and code.isdecimal() and code.startswith(first) for code in codes)

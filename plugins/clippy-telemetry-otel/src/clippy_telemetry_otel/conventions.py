"""The names and words of OpenTelemetry's GenAI conventions, and what of ours each of them says.

Names as of semantic conventions 1.41.0, the last version that was published with GenAI in it:
https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen
from clippy_hookspecs import Endpoint, ErrorInfo, Headers

Attributes = dict[str, Any]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
LONGEST = 256
"""Characters of a text of ours; what is longer was not meant as a name."""

_OPERATIONS = {"embeddings": "embeddings", "completions": "text_completion"}
GENERATES = frozenset({"chat", "embeddings", "text_completion"})
"""The operations that the conventions' metrics are about; a list of models is none of them."""

_PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
"""The well-known values of gen_ai.provider.name by what a host's name ends with."""


@frozen
class Server:
    """Where a request goes: host and port, and the address without credentials and without a query."""

    address: str = ""
    port: int = 0
    url: str = ""
    provider: str = ""


@lru_cache(maxsize=256)
def server(url: str, api: str) -> Server:
    """What *url* says of its server; of an address that is none only the provider whose *api* it is."""
    flavor = api.partition(".")[0] or "unknown"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return Server(provider=text(flavor))
    if not host:
        return Server(provider=text(flavor))
    shown = f"[{host}]" if ":" in host else host
    netloc = f"{shown}:{parts.port}" if parts.port else shown
    return Server(
        text(host), port, text(urlunsplit((parts.scheme, netloc, parts.path, "", ""))), _provider(host, flavor)
    )


def _provider(host: str, flavor: str) -> str:
    """gen_ai.provider.name: who is at *host*, else the one whose API it speaks, as the conventions want it."""
    if host.startswith("bedrock") and host.endswith(".amazonaws.com"):
        return "aws.bedrock"
    return next((name for end, name in _PROVIDERS.items() if host == end or host.endswith(f".{end}")), text(flavor))


def operation(endpoint: Endpoint) -> str:
    """gen_ai.operation.name of a call; its endpoint's own name where the conventions have none."""
    return "chat" if endpoint.chat else _OPERATIONS.get(endpoint.name, endpoint.name)


def error_type(info: ErrorInfo | None) -> str:
    """error.type: the kind of failure, else its status, else its category; never its message."""
    if info is None:
        return "_OTHER"
    if info.kind and info.kind != "unknown":
        return text(info.kind)
    return str(info.status) if info.status else text(info.category)


def text(value: str) -> str:
    """*value* as a name: not too long, and without halves of characters, with which an exporter loses its batch."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value[:LONGEST]


def signed(headers: Headers, query: str) -> bool:
    """Whether a signature may cover the headers of a request, so that nobody may add one: SigV4, RFC 9421."""
    return (
        headers.get("authorization", "").startswith("AWS4-")
        or "x-amz-date" in headers
        or "signature-input" in headers
        or "content-digest" in headers
        or "x-amz-signature" in query.lower()
    )


def request_attributes(params: Mapping[str, Any]) -> Attributes:
    """What a request asks for besides its content, as far as it has the right type."""
    found: Attributes = {}
    for name, keys, kind in _PARAMETERS:
        value = next((params[key] for key in keys if key in params), None)
        # Beyond 64 bits nothing can be exported, and the whole batch would be lost with it.
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63:
            found[name] = kind(value)
    if found.get("gen_ai.request.choice.count") == 1:
        del found["gen_ai.request.choice.count"]
    shape = params.get("response_format")
    if isinstance(shape, Mapping) and shape.get("type") in ("json_object", "json_schema"):
        found["gen_ai.output.type"] = "json"
    return found


_PARAMETERS: tuple[tuple[str, tuple[str, ...], type], ...] = (
    ("gen_ai.request.temperature", ("temperature",), float),
    ("gen_ai.request.top_p", ("top_p",), float),
    ("gen_ai.request.top_k", ("top_k",), float),
    ("gen_ai.request.frequency_penalty", ("frequency_penalty",), float),
    ("gen_ai.request.presence_penalty", ("presence_penalty",), float),
    ("gen_ai.request.max_tokens", ("max_completion_tokens", "max_tokens", "max_output_tokens"), int),
    ("gen_ai.request.seed", ("seed",), int),
    ("gen_ai.request.choice.count", ("n",), int),
)

"""What an HTTP status means when the body says nothing more.

Sources: RFC 9110, RFC 6585 (429, 431), RFC 8470 (425), Cloudflare's 520 to 530, nginx's 494 to 499, Anthropic's 529,
Portkey's 446 (a guardrail said no), and 498 and 499, which Groq, Cohere and Google use each in their own way.
"""

from __future__ import annotations

from .bodies import ErrorBody

_KINDS = {
    400: "invalid_request", 401: "invalid_key", 402: "quota", 403: "permission", 404: "not_found", 405: "unsupported",
    406: "invalid_request", 407: "proxy_auth", 408: "timeout", 409: "conflict", 410: "not_found",
    411: "invalid_request", 412: "invalid_request", 413: "payload_too_large", 414: "payload_too_large",
    415: "invalid_request", 416: "invalid_request", 417: "invalid_request", 421: "misdirected",
    422: "invalid_request", 423: "conflict", 424: "server_error", 425: "too_early", 426: "unsupported",
    428: "invalid_request", 429: "requests", 431: "payload_too_large", 446: "content_filter", 451: "blocked",
    494: "payload_too_large", 495: "tls", 496: "tls", 497: "config", 499: "cancelled", 500: "server_error",
    501: "unsupported", 502: "server_error", 503: "overloaded", 504: "timeout", 505: "unsupported",
    507: "insufficient_resources", 511: "blocked", 529: "overloaded",
}  # fmt: skip

_GATEWAY_SERVERS = (
    "cloudflare", "envoy", "nginx", "awselb", "cloudfront", "varnish", "haproxy", "istio", "akamai", "openresty",
    "traefik", "caddy", "kong",
)  # fmt: skip


def status_kind(status: int, body: ErrorBody, server: str) -> str:
    """The kind of a status from 300 on, with the body's shape; *server* is the ``server`` header.

    Providers answer in JSON; a gateway in front of them in HTML, in a line of text, or in nothing.
    """
    if status < 400:
        return "redirect"
    foreign = body.shape in ("html", "text")
    if status == 403 and (foreign or (body.shape == "empty" and _gateway(server))):
        return "blocked"
    if 520 <= status <= 530 and status != 529:
        return "gateway"
    if status in (502, 504) and body.shape in ("html", "text", "empty"):
        return "gateway"
    if status == 503 and (foreign or (body.shape == "empty" and _gateway(server))):
        return "gateway"
    if status == 498:  # Groq: no capacity on the flex tier.  Cohere: a blocked token in the prompt or the answer
        return "overloaded" if "capacity" in " ".join((*body.codes, body.text)) else "content_filter"
    return _KINDS.get(status, "unknown_4xx" if status < 500 else "server_error")


def _gateway(server: str) -> bool:
    low = server.lower()
    return any(name in low for name in _GATEWAY_SERVERS)

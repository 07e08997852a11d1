"""Which header of a caller may go further as it is: one decision, for every value that is not ours."""

from __future__ import annotations

import re

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""``token`` of RFC 9110 section 5.6.2; the class has no repetition within repetition, so it is linear."""

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
"""Control characters except the tab (RFC 9110 section 5.5), and what one octet cannot say."""

_C1 = re.compile(r"[\x80-\x9f]")
"""Control characters beyond ASCII: octets that are also within the UTF-8 of many a letter."""

PLAIN = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
"""The bytes that a value may have."""

_CREDENTIALS = frozenset(
    {
        "cookie", "cookie2", "set-cookie", "set-cookie2", "openai-organization", "openai-project",
        "x-goog-user-project", "dpop",
    }
)  # fmt: skip
_KEY = re.compile(
    r"(?:api-?key|authorization(?:-auxiliary)?|(?:^|-)(?:auth|authentication|bearer|credentials?|jwt|password|secret|token)"
    r"|(?:^|-)(?:access|admin|application|auth|functions|license|master|private|secret|service|subscription|virtual)-key)$"
)
"""Every provider and every router before one has a name of its own for its key: xi-api-key, cf-aig-authorization."""
_FRAMING = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
        "proxy-authenticate", "te", "trailer", "upgrade", "expect", "content-encoding", "http2-settings", "via",
    }
)  # fmt: skip
_IN_FRONT = re.compile(
    r"(?:x-|ssl-|x-ssl-)?client-(?:ssl-)?(?:cert|dn|s-dn|i-dn|verify|principal)\b.*"
    r"|(?:x-)?(?:auth|remote|webauth)-user"
    r"|(?:x-consumer|x-credential|x-auth-request|x-authenticated|x-goog-authenticated|x-goog-iap|x-ms-client-principal|x-amzn-oidc|cf-access"
    r"|tailscale-user)\b.*"
)
"""What a proxy in front of a server says of who is asking, once it has asked for a certificate or a login."""
_ROUTING = frozenset(
    {"forwarded", "x-forwarded", "x-original-forwarded-for", "x-original-url", "x-original-uri", "x-original-host",
     "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override", "x-scheme", "x-url-scheme",
     "front-end-https", "proxy"}
)  # fmt: skip
"""``Proxy`` names none, but a server that hands headers on as variables takes its value for one (CVE-2016-5385)."""
_SENDER = re.compile(
    r"(?:.*-)?(?:client|real|remote|connecting|originating|proxyuser|socket|source|user)-?ip(?:v6)?|(?:.*-)?remote-addr"
)
"""X-Real-IP, True-Client-IP, CF-Connecting-IP: every proxy has a name of its own for whom it speaks for."""


def holds_key(name: str) -> bool:
    """Whether a header of this name, in lower case, has a key for its value."""
    return _KEY.search(name) is not None


def header_fault(name: str, value: str) -> str | None:
    """Why a header that somebody else chose must not be sent on, in a sentence; None for one that may.

    Its name is a token and its value has no control character but the tab (RFC 9110 sections 5.1 and 5.5); it neither
    says who is asking, nor where the message ends, nor where it goes, as our own ``X-Clippy-`` do.  Servers that hand
    headers on as variables (RFC 3875, section 4.1.18) read an underscore as a hyphen, and so it is read here.
    """
    if not _NAME.fullmatch(name):
        return "the name of a header holds a character that no name has, or is empty"
    if _FORBIDDEN.search(value):
        return f"the value of the header {name} holds a control character or one outside of Latin-1"
    if _C1.search(value) and not _is_utf8(value):
        return f"the value of the header {name} holds a control character"
    lower = name.lower().replace("_", "-")
    if lower in _CREDENTIALS or holds_key(lower) or _IN_FRONT.fullmatch(lower):
        return f"the header {name} says who is asking, and only the configuration may say that"
    if lower in _FRAMING:
        return f"the header {name} belongs to the connection and is written anew for each"
    if lower in _ROUTING or lower.startswith(("x-forwarded-", "x-envoy-", "x-clippy-")) or _SENDER.fullmatch(lower):
        return f"the header {name} says where a message comes from or goes, and a caller may not say that"
    return None


def _is_utf8(value: str) -> bool:
    """Whether the octets of *value* are text in UTF-8 without a control character of its own."""
    try:
        return not _C1.search(value.encode("latin-1").decode())
    except UnicodeDecodeError:
        return False

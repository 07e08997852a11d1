"""Who may read the page: decided from a request's head alone.

What a handler gets does not say from where a request came, and behind a proxy everything comes from loopback.  So
nothing here goes by addresses: without a token the page is for those alone who may ask models without a key, at a
gateway that therefore listens at loopback or a unix socket only; where callers need keys, readers need the token.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping
from typing import Final

from clippy_hookspecs.services import RawRequest

_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{0,5})?", re.ASCII)
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_OWN: Final = ("", "none", "same-origin")

WANTS_SETTING: Final = (
    "The callers of this gateway need keys, so who reads its numbers needs a token: set "
    "plugins.telemetry-prometheus.token, and send it as a bearer. A caller's key is none.\n"
)
WANTS_BEARER: Final = "Send the token of plugins.telemetry-prometheus.token as a bearer; a caller's key is none.\n"
IS_A_KEY: Final = (
    "plugins.telemetry-prometheus.token is also the key of a caller, who shall not read this: set another one.\n"
)
NOT_LOOPBACK: Final = (
    "Without plugins.telemetry-prometheus.token this page answers to localhost, 127.0.0.1 and [::1] only, and not "
    "through a proxy.\n"
)
NOT_A_PAGE: Final = "This is not for web pages of other addresses.\n"


def refusal(request: RawRequest, token: str | None, keys: Collection[str] | None) -> tuple[int, str] | None:
    """Why *request* does not get the page, as a status and a sentence; None: it does.

    *keys* are those of the callers: without any, whoever can connect to this gateway may ask models; None: nobody
    knows.
    """
    headers = request.headers
    if "origin" in headers or headers.get("sec-fetch-site", "") not in _OWN:
        return 403, NOT_A_PAGE
    if token is not None:
        if token in (keys or ()):
            return 401, IS_A_KEY
        return None if hmac.compare_digest(_bearer(headers), token.encode()) else (401, WANTS_BEARER)
    if keys is None or keys:
        return 401, WANTS_SETTING
    # A name that leads here is not this machine's (DNS rebinding), and who comes through a proxy is not of it.
    if not _LOOPBACK.fullmatch(headers.get("host", "").lower()) or any(name in headers for name in _OF_PROXIES):
        return 403, NOT_LOOPBACK
    return None


def _bearer(headers: Mapping[str, str]) -> bytes:
    kind, _, rest = headers.get("authorization", "").partition(" ")
    return rest.strip().encode("utf-8", "replace") if kind.lower() == "bearer" else b""

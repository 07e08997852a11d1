"""An address that the caller names itself (``X-Clippy-Base-URL``): denied unless its key has a list of hosts.

LiteLLM sent the provider's key to whatever address a request named (CVE-2024-6587).  Here such a request goes without
any key of the configuration's: the route is not used, and of the caller's headers none that says who is asking goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote

from clippy_hookspecs import Headers, Scope
from clippy_hookspecs.services import RawRequest

from .addresses import address_fault
from .callers import Caller
from .forms import Refused
from .headers import header_fault

Pair = tuple[bytes, bytes]


def request_elsewhere(
    base: str,
    caller: Caller,
    scope: Scope | None,
    method: str,
    target: str,
    fields: Sequence[Pair],
    body: bytes,
    cut_by: Callable[[], str] | None = None,
) -> RawRequest:
    """The request to the address that its caller named.  Raises Refused for one that this caller may not name."""
    allow = () if caller.key is None else caller.key.base_urls
    if not allow:
        raise Refused(403, "base_url_not_allowed", "this key may not name an address (X-Clippy-Base-URL)")
    fault = address_fault(base, trusted=False, allow=allow)
    if fault is not None:
        raise Refused(403, "base_url_not_allowed", f"nothing is sent to the address in X-Clippy-Base-URL: {fault}")
    decoded = unquote(unquote(target.partition("?")[0])).replace("\\", "/")
    steps = [step.partition(";")[0] for step in decoded.split("/")]
    if ".." in steps or "." in steps:
        raise Refused(400, "bad_path", "the path of a request names no place of its own: it has . or .. in it")
    kept = [(name, value) for name, value in fields if _goes_on(name, value)]
    below = target[3:] if target.startswith("/v1/") else target  # else "/v1%2f@other" would end the name of the host
    return RawRequest(method, base.rstrip("/") + below, Headers.undecoded(kept), body, "", scope, caller.routes, cut_by)


def _goes_on(name: bytes, value: bytes) -> bool:
    text = name.decode("latin-1")
    ours = text.startswith("x-clippy-")  # to plugins; the host takes them out
    return ours or header_fault(text, value.decode("latin-1")) is None

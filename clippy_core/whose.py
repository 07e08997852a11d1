"""On whose behalf a request is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from clippy_hookspecs import Headers, Request, Scope
from clippy_hookspecs.headers import beginning, picked

from .host import OWN_HEADERS
from .records import new_scope
from .settings import Settings
from .untouched import retouch

_NOBODY = Scope()
_NOTHING: Mapping[str, str] = MappingProxyType({})
_PARTS = ("tenant", "user", "session")


def whose(
    request: Request, said: Scope | None, settings: Settings, caller: str | None = None, *, by_credential: bool
) -> tuple[Scope, Request, str | None, Mapping[str, str]]:
    """The scope of a request, the request without the headers that are for us, the digest of its credentials, and what
    those headers say, by their names without the prefix.

    *said* is what ``with host.scope(...)`` says.  Where nobody says anything the caller's credential tells callers
    apart; a route's credential is no caller's, so that ``by_credential`` is false for our own client.  The digest is
    *caller*, if that is known already, and None where it was not needed.
    """
    scope, who = said or _NOBODY, caller
    ours = beginning(request.headers, OWN_HEADERS)
    told = _told(request.headers) if ours else _NOTHING
    if ours and settings.trust_headers:
        parts = {part: kept if (kept := getattr(scope, part)) is not None else told.get(part) for part in _PARTS}
        scope = Scope(**parts)
    if by_credential and (scope is _NOBODY or scope == _NOBODY):
        who = caller or settings.identity(request.headers, request.query)
        scope = new_scope(None, f"key-{who[:16]}") if who else scope
    if not ours:
        return scope, request, who, told
    return scope, retouch(request, headers=request.headers.without(*ours)), who, told


def _told(headers: Headers) -> Mapping[str, str]:
    """What the headers for us say.  Several lines of one name say what one line with all their values says (RFC 9110,
    section 5.3): a program's own default must not hide the no-store of one call.
    """
    found: dict[str, dict[str, None]] = {}
    for name, value in picked(headers, lambda name: name.startswith(OWN_HEADERS)):
        found.setdefault(name[len(OWN_HEADERS) :], {})[value] = None
    return {name: ", ".join(values) for name, values in found.items()}

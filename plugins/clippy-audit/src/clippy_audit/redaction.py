"""Takes secrets and personal data out of texts, JSON values, URLs and headers.

Known prefixes, field and header names, URL passwords and configured literals decide; entropy alone does not, because it
takes out hashes and ids and leaves passwords (reliability.md 4.3).  Every rule runs in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from urllib.parse import urlsplit

from clippy_hookspecs import Headers, Json

from .credentials import find_credentials
from .decoded import Decoded, blanked, decode, may_hold_escapes
from .fields import find_fields, keeps
from .literals import find_literals, forms_of, holds_literals
from .names import Trust, trust
from .pairs import find_pairs
from .personal import find_personal
from .spans import Span, mark, replace
from .tokens import find_tokens

DEEPEST = 100
"""Levels of a JSON value that are looked into; what lies deeper is taken out whole."""

SECRET_HEADERS = frozenset((
    "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "cookie", "set-cookie",
    "x-api-key", "api-key", "x-goog-api-key", "xi-api-key", "ocp-apim-subscription-key", "x-auth-token",
    "x-amz-security-token", "x-functions-key", "x-csrf-token", "x-xsrf-token", "x-vault-token",
    "x-goog-iap-jwt-assertion", "cf-access-client-secret", "x-ms-token-aad-access-token", "authentication-info",
    "x-hub-signature-256",
))  # fmt: skip
"""Headers whose values are never shown, in small letters; a header whose name says secret joins them."""


def redact(text: str, literals: Sequence[str] = (), *, personal: bool = True) -> str:
    """*text* with each secret replaced by ``[redacted:KIND]``.

    ``literals`` are exact secrets of your own; they go first, also URL-encoded, JSON-escaped and in base64.
    ``personal`` also takes out mail addresses, phone, card and account numbers and network addresses.
    The time is linear in the length of the text, and redacting twice changes nothing more.
    """
    if literals and _may_hold(text, known := tuple(literals)):
        return _redacted(text, known, personal)
    if len(text) <= SHORT:
        return remembered(text) if personal else _remembered_actor(text)
    return _redacted(text, (), personal)


def redact_value(value: Json, literals: Sequence[str] = (), *, personal: bool = True) -> Json:
    """A JSON value without secrets: texts by :func:`redact`, and what the name of a field says is one.

    A list of a name and a value (``["x-api-key", "..."]``) and an object of both count as a field.
    """
    return _walk(value, Trust.NONE, tuple(literals), personal, DEEPEST)


def redact_url(url: str, literals: Sequence[str] = ()) -> str:
    """A URL without secrets.  The host stays, whatever it looks like: an audit has to say who was asked."""
    if literals and _may_hold(url, known := tuple(literals)):
        return _redacted_url(url, known)
    return _remembered_url(url) if len(url) <= 2 * SHORT else _redacted_url(url, ())


def says_secret(name: str) -> bool:
    """Whether a field of this *name* may hold a secret, so that its value must be looked at beside it."""
    return trust(name) is not Trust.NONE


def _redacted_url(url: str, literals: tuple[str, ...]) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    cleaned = redact(url, literals, personal=False)
    before, found, after = cleaned.partition(host) if host else (cleaned, "", "")
    return redact(before, personal=True) + found + redact(after, personal=True) if found else redact(cleaned)


def redact_headers(headers: Headers, literals: Sequence[str] = ()) -> Headers:
    """*headers* with the values of :data:`SECRET_HEADERS`, and of headers named like them, taken out."""
    return Headers((name, _header(name, value, tuple(literals))) for name, value in headers.pairs)


def _header(name: str, value: str, literals: tuple[str, ...]) -> str:
    if _says_secret(name):
        return mark("header")
    return _walk(value, trust(name), literals, True, 1)  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _says_secret(name: str) -> bool:
    return name.lower() in SECRET_HEADERS or trust(name) in (Trust.HEADER, Trust.COOKIE, Trust.KEY, Trust.SECRET)


def _may_hold(text: str, literals: tuple[str, ...]) -> bool:
    """Whether *literals* make a difference to *text*: it holds one, or could once its escapes are undone."""
    return len(text) >= forms_of(literals).shortest and (may_hold_escapes(text) or holds_literals(text, literals))


def _redacted(text: str, literals: tuple[str, ...], personal: bool) -> str:
    if _PLAIN.match(text):
        # Most strings of a record are such names; without a digit or a sign no rule but an exact match concerns them.
        return replace(text, find_literals(text, literals)) if literals else text
    decoded = decode(text)
    cleaned = _take_out(text, decoded, partial(_find_secrets, literals))
    if not personal:
        return cleaned
    return _take_out(cleaned, decoded if cleaned is text else decode(cleaned), find_personal)


def _take_out(text: str, decoded: Decoded | None, find: Callable[[str], Iterable[Span]]) -> str:
    """*text* without what *find* finds in it, or in *decoded*: what it says once its escapes are undone."""
    spans = list(find(text if decoded is None else blanked(text)))
    if decoded is not None:
        spans += (decoded.original(span) for span in find(decoded.text))
    return replace(text, spans) if spans else text


def _find_secrets(literals: tuple[str, ...], text: str) -> list[Span]:
    lowered = _lower(text)
    spans = list(find_literals(text, literals)) if literals else []
    spans += find_tokens(text)
    spans += find_credentials(text, lowered)
    spans += find_fields(text, lowered)
    spans += find_pairs(text, lowered)
    return spans


@lru_cache(maxsize=1024)
def remembered(text: str) -> str:
    """A short text redacted: models, routes, plugins and header values come again with every request."""
    return text if is_id(text) else _redacted(text, (), True)


def is_id(text: str) -> bool:
    """Whether *text* is an id of a request, as hosts make them: no rule but an exact match concerns it."""
    return _ID.match(text) is not None


def is_in_id(form: str) -> bool:
    """Whether *form* can stand in one of those ids."""
    return _IN_ID.match(form) is not None


@lru_cache(maxsize=256)
def _remembered_actor(text: str) -> str:
    """A short text that may hold personal data, without secrets."""
    return _redacted(text, (), False)


@lru_cache(maxsize=256)
def _remembered_url(url: str) -> str:
    return _redacted_url(url, ())


def _lower(text: str) -> str:
    """*text* in small letters, character by character: places in the one are places in the other."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_SMALL)


SHORT = 128
"""Characters of a text, or half those of a URL, that is worth remembering."""
_PLAIN = re.compile(r"[A-Za-z_. -]{0,24}\Z", re.ASCII)
_ID = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{1,32}\Z", re.ASCII)
_IN_ID = re.compile(r"[0-9a-f]{1,32}\Z", re.ASCII)
_SMALL = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _walk(value: Json, sure: Trust, literals: tuple[str, ...], personal: bool, depth: int) -> Json:
    """*value* found under a name of this *sure*ness."""
    if isinstance(value, str):
        return redact(value, literals, personal=personal) if keeps(value, sure) else mark("field")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return mark("field") if sure is Trust.SECRET else value
    if depth <= 0:
        return mark("depth")
    if isinstance(value, Mapping):
        named = _named_pair(value) or sure
        return {
            redact(str(key), literals, personal=personal): _walk(
                item, named if key == "value" else trust(str(key)), literals, personal, depth - 1
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str) and not sure:
            return [
                _walk(value[0], sure, literals, personal, 0),
                _walk(value[1], trust(value[0]), literals, personal, 0),
            ]
        return [_walk(item, sure, literals, personal, depth - 1) for item in value]
    return redact(str(value), literals, personal=personal)


def _named_pair(value: Mapping[str, Json]) -> Trust:
    """``{"name": "Authorization", "value": "..."}``: what the name says about the value."""
    for label in ("name", "key", "header"):
        if "value" in value and isinstance(value.get(label), str):
            return trust(value[label])
    return Trust.NONE


__all__ = ["SECRET_HEADERS", "redact", "redact_headers", "redact_url", "redact_value", "says_secret"]

"""Cache keys: SHA-256 over canonical JSON of everything that can change an answer.

Fields are left out by name, never chosen by name: a parameter that appears tomorrow is in the key.  Nothing is
concatenated, so no value can be mistaken for another's part.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

import orjson
from clippy_hookspecs import Headers, Json, Opaque, Request, Response, RouteInfo, Scope
from clippy_hookspecs.headers import having, picked

from .jsonio import canonical, loads
from .wire import APIS, parsed_body, unread

SCHEMA = 2

NOT_IN_KEY = frozenset({"stream", "stream_options"})
"""Body fields that change how an answer travels and not what it says."""

SEMANTIC_HEADERS = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "x-goog-user-project",
        "x-amzn-bedrock-guardrailidentifier",
        "x-amzn-bedrock-guardrailversion",
        "azureml-model-deployment",
        "extra-parameters",
        "accept-language",
        "x-portkey-provider",
        "x-portkey-config",
        "x-portkey-custom-host",
        "helicone-target-url",
        "helicone-openai-api-base",
        "helicone-fallbacks",
    }
)
"""Request headers that can change an answer; gateways are told by the last of them who shall answer."""

_SEMANTIC = tuple(sorted(SEMANTIC_HEADERS))
_STATEFUL = ("previous_response_id", "conversation", "background", "container")
"""Parameters that make an answer depend on what the provider keeps: the Responses API's, and Anthropic's container."""
_TELLING = frozenset({*_STATEFUL, "prompt"})

_LONGEST_KEY = hashlib.blake2b.MAX_KEY_SIZE
_CONVERSATION = frozenset({"messages", "input"})
_COMES_AGAIN = frozenset({int, float, bool, type(None)})
_CREDENTIAL_WORDS = frozenset({"authorization", "auth", "key", "apikey", "token", "secret", "cookie", "credential"})
_CREDENTIAL_WORDS |= {"authentication", "bearer", "credentials", "jwt", "password"}
_NO_CREDENTIALS = frozenset({"idempotency-key", "sec-websocket-key"})
_NO_HEADERS, _NO_SCOPE = Headers(), Scope()
_NO_LINES: tuple[tuple[str, str], ...] = ()
_NOT_STORED = (
    "set-cookie",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
)

_PORTS = {"https": ":443", "http": ":80"}
_FOR_OTHERS = ("content-type", "content-language", "date")


def cache_key(
    *,
    body: Mapping[str, Json],
    api: str = "",
    base_url: str = "",
    scope: Scope | None = None,
    auth: str = "",
    headers: Mapping[str, str] | None = None,
    route: str = "",
    fingerprint: str = "",
    query: str = "",
) -> str:
    """The key of one request, as 64 hexadecimal digits.

    ``body`` is the request's JSON body.  ``auth`` identifies the credential (a digest, not the credential itself),
    ``fingerprint`` the plugins that shape requests.  Two calls share an answer if and only if their keys are equal.
    """
    sent = headers if isinstance(headers, Headers) else Headers(headers) if headers else _NO_HEADERS
    _, begun = _around(api, base_url, query, scope or _NO_SCOPE, auth, sent, route, fingerprint)
    return _digest(begun, {name: item for name, item in body.items() if name not in NOT_IN_KEY})


def cache_keys(
    request: Request, scope: Scope, auth: str, route: RouteInfo, fingerprint: str, salt: bytes
) -> tuple[str | None, Callable[[], str | None] | None, Callable[[], dict[str, str]]]:
    """The key of *request*, what makes its partition, and what makes its parts.

    The partition is the key of everything but the messages.  The parts are of each part of the key a digest, salted,
    by its name: enough to see which part of two keys differs.  There is neither key nor partition of a body that is no
    JSON object, or nested deeper than Python's stack.
    """
    opened = unread(request)
    body = parsed_body(request) if opened is None else opened.whole
    around, begun = _around(
        request.api, request.url, request.query, scope, auth, request.headers, route.name, fingerprint
    )
    if body is None:
        return None, None, lambda: _parts(around, {}, salt)
    said = body if NOT_IN_KEY.isdisjoint(body) else {name: body[name] for name in body if name not in NOT_IN_KEY}
    parts = lambda: _parts(around, said, salt)  # noqa: E731 - both are made for every request, and seldom called
    try:
        key = _digest(begun, said, opened is not None and opened.flat)
    except ValueError:  # nested deeper than what is left of Python's stack, which differs from call to call
        return None, None, parts
    return key, lambda: _digest_if_any(begun, _beside_conversation(said)), parts


def shared_with(share: str, scope: Scope, auth: str, fingerprint: str) -> tuple[Scope, str, str]:
    """What stands in a key for its caller, the credentials and the plugins, where others may get the same answers.

    *share* is that of :class:`~clippy_hookspecs.CacheControl`.  A caller without a tenant shares with no tenant.
    """
    if share == "everyone":
        return _NO_SCOPE, "", f"{fingerprint} for everyone"
    if share == "tenant" and scope.tenant:  # an empty one, as of a header without a value, is nobody's
        return Scope(scope.tenant), "", f"{fingerprint} for the tenant"
    return scope, auth, fingerprint


def _beside_conversation(said: Mapping[str, Json]) -> dict[str, Json]:
    return {name: item for name, item in said.items() if name not in _CONVERSATION}


def _parts(around: bytes, said: Mapping[str, Json], salt: bytes) -> dict[str, str]:
    """The digests are keyed, so that nobody finds out a short text or a temperature by trying."""
    salt = salt[:_LONGEST_KEY]
    parts, begun = _fields_around(around, salt).copy(), _salted(salt)
    for name, item in said.items():
        kind = type(item)
        if kind is list and name in _CONVERSATION:
            for place, one in enumerate(item):
                digest = begun.copy()
                digest.update(canonical(one))
                parts[f"body.{name}[{place}]"] = digest.hexdigest()
        else:
            again = kind in _COMES_AGAIN or (kind is str and name == "model")
            parts[f"body.{name}"] = (_digest_again if again else _part_digest)(item, salt)
    return parts


@functools.lru_cache(maxsize=256)
def _fields_around(around: bytes, salt: bytes) -> dict[str, str]:
    """:func:`_parts` of what is around the body, which all calls of one caller to one address share."""
    parts = loads(around)
    told = {f"header.{name}": item for name, item in parts.pop("headers").items()} | parts
    return {name: _part_digest(item, salt) for name, item in told.items()}


def _part_digest(item: Json, salt: bytes) -> str:
    digest = _salted(salt).copy()
    digest.update(canonical(item))
    return digest.hexdigest()


_digest_again = functools.lru_cache(maxsize=256, typed=True)(_part_digest)
"""Of a model or a temperature, which come again: what was said is remembered by nobody.  1 is not true here."""


@functools.lru_cache(maxsize=16)
def _salted(key: bytes) -> hashlib.blake2b:
    """A digest that has read its key and nothing else: to copy one takes a tenth of making it."""
    return hashlib.blake2b(key=key, digest_size=8)


def _digest(begun: hashlib._Hash, body: Mapping[str, Json], flat: bool = False) -> str:
    """SHA-256 of one JSON array: what is around the body, which is *begun*, and the body."""
    digest = begun.copy()
    digest.update(canonical(body, flat=flat) + b"]")
    return digest.hexdigest()


def _digest_if_any(begun: hashlib._Hash, body: Mapping[str, Json]) -> str | None:
    """The same; None for a body that is nested too deep for where it is asked."""
    try:
        return _digest(begun, body)
    except ValueError:
        return None


def _around(
    api: str, base_url: str, query: str, scope: Scope, auth: str, headers: Headers, route: str, fingerprint: str
) -> tuple[bytes, hashlib._Hash]:
    """What is around the body, and a digest that has read it."""
    found, semantic = having(headers, _SEMANTIC), _NO_LINES
    if found:
        semantic = tuple([(name, headers[name]) for name in found])
        if len(headers.pairs) != len(headers):
            # One name on several lines says what one line with all its values says (RFC 9110, section 5.3).
            lines = [(name.lower(), value) for name, value in headers.pairs]
            semantic = tuple([(name, ", ".join([said for line, said in lines if line == name])) for name in found])
    return _known(api, base_url, query, scope.tenant, scope.user, auth, semantic, route, fingerprint)


@functools.lru_cache(maxsize=256)
def _known(
    api: str,
    base_url: str,
    query: str,
    tenant: str | None,
    user: str | None,
    auth: str,
    semantic: tuple[tuple[str, str], ...],
    route: str,
    fingerprint: str,
) -> tuple[bytes, hashlib._Hash]:
    """Everything in a key but the body: often longer than it, and the same for all calls of one caller to one address.

    The digest is to be copied, for each body that follows.
    """
    around = canonical(
        {
            "schema": SCHEMA,
            "scope": [tenant, user],
            "auth": auth,
            "base_url": _normal(base_url),
            "query": query,
            "api": api,
            "headers": dict(semantic),
            "route": route,
            "fingerprint": fingerprint,
        }
    )
    return around, hashlib.sha256(b"[" + around + b",")


def may_cache(request: Request) -> bool:
    """Whether an equal request would have an equal answer, as far as its endpoint and its parameters tell.

    An answer of the Responses API that builds on state kept by the provider depends on more than its request.
    """
    if not request.endpoint.cacheable or request.method != "POST":
        return False
    opened = unread(request)
    body = None if opened is None else opened.whole
    if body is not None and APIS[request.api].plain(body):
        return _TELLING.isdisjoint(body) or not (any(map(body.get, _STATEFUL)) or isinstance(body.get("prompt"), dict))
    if request.endpoint.chat and not request.messages:
        return False  # a stranger's call that only looks like one of ours
    if any(map(request.params.get, _STATEFUL)) or isinstance(request.params.get("prompt"), Mapping):
        return False
    blocks = (block for message in request.messages for block in message.blocks)
    return not any(isinstance(block, Opaque) and block.kind == "item_reference" for block in blocks)


def storable(response: Response, request: Request) -> bool:
    """Whether an answer is whole and may be given to others: finished of its own accord, no refusal and no error.

    OpenAI's APIs finish a refusal as they finish an answer; a second sending may well be answered.
    """
    if response.status != 200 or response.provenance.source != "provider":
        return False
    if request.endpoint.chat or response.finish_reason is not None:  # legacy completions finish for a reason as well
        if not response.complete or response.message.refusal:
            return False
        more = response.more
        return not more or not any(choice.message.refusal for choice in more)
    return bool(response.params)


def storable_headers(headers: Headers, share: str = "caller") -> Headers:
    """The headers of an answer that may be given to others later.

    Others than the caller get no more than they need: limits, organizations and projects are those of its account.
    """
    if share == "caller":
        return headers.without(*_NOT_STORED)
    return headers.without(*[name for name in headers if name.lower() not in _FOR_OTHERS])


def credential_digest(headers: Headers, query: str, salt: bytes) -> str:
    """Who calls, as a keyed BLAKE2b (RFC 7693) of the credentials in the request.

    It says "the same key" and nothing else.  HMAC would do as well, at eight times the cost.
    """
    parts = [f"{name}\0{_who(value)}" for name, value in picked(headers, is_credential)]
    parts.sort()
    if query:
        parts += [part for part in query.split("&") if part.startswith(("key=", "api_key=", "api-key="))]
    return _digest_of_credentials(parts, salt) if parts else ""


def _digest_of_credentials(parts: list[str], salt: bytes) -> str:
    """Made anew each time: to remember what was digested would be to keep credentials, for less than a microsecond."""
    try:
        told = orjson.dumps(parts)
    except TypeError:  # half a surrogate pair
        told = canonical(parts)
    return keyed_digest(told, salt)


def keyed_digest(told: bytes, salt: bytes) -> str:
    """What stands for *told* where that must not be kept."""
    digest = _keyed(salt).copy()
    digest.update(told)
    return digest.hexdigest()


@functools.lru_cache(maxsize=16)
def _keyed(salt: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=salt[:_LONGEST_KEY], digest_size=32)


def _who(value: str) -> str:
    """Of a signature (AWS SigV4) only whose it is: the rest is another for each request."""
    if not value.startswith("AWS4-"):
        return value
    return value.partition("Credential=")[2].partition("/")[0]


@functools.lru_cache(maxsize=1024)
def is_credential(header: str) -> bool:
    """Whether a request header says who calls: any gateway has a name of its own for its keys."""
    name = header.lower().replace("_", "-")  # as servers read it that hand headers on as variables
    return not _CREDENTIAL_WORDS.isdisjoint(name.split("-")) and name not in _NO_CREDENTIALS


def _normal(url: str) -> str:
    """One spelling for one address: scheme and host in lower case, no port that goes without saying, no slash last."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # not an address; whoever sends to it will say so
    user, at, host = parts.netloc.rpartition("@")  # a password keeps its case
    host = host.lower().removesuffix(_PORTS.get(parts.scheme, ""))
    return urlunsplit((parts.scheme, user + at + host, parts.path.rstrip("/"), parts.query, ""))

"""Which calls are passed on at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from attrs import frozen

from .bodies import read_json
from .choosing import api_of, model_in
from .forms import Refused, is_anthropic

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_ROOTS = frozenset(
    {
        "assistants", "audio", "batches", "chat", "completions", "containers", "conversations", "embeddings", "evals",
        "files", "fine_tuning", "images", "messages", "models", "moderations", "realtime", "rerank", "responses",
        "threads", "uploads", "vector_stores", "videos",
    }
)  # fmt: skip
"""First steps of the providers' addresses, for clients that leave out ``/v1``."""

_ONLY_POSTED = ("/messages", "/messages/count_tokens", "/embeddings", "/moderations")
_PART = re.compile(r"(?:[a-z_]{1,24}|v[0-9]{1,2}(?:(?:alpha|beta)[0-9]?)?)?\Z", re.ASCII)
_PARTS, _LONGEST = 12, 200
_READ_AS_JSON = ("/chat/completions", "/completions", "/responses", "/messages", "/embeddings")


@frozen
class Place:
    """What an address is, whoever asks for it."""

    api: str
    """The provider's wire API, so far as the address tells."""
    read_as_json: bool
    """Whether its body is a JSON object that somebody looks into."""


def place_of(method: str, path: str, raw: bytes) -> Place:
    """The place that a request goes to: *path* is decoded once, *raw* is what was sent.

    Raises Refused for a call that no provider has: 404 or 405, which no SDK repeats; and where a call that plugins look
    into is spelt so that they would not know it, but a provider might.
    """
    return (_known if len(raw) <= _LONGEST else _judged)(method, path, raw)


def _judged(method: str, path: str, raw: bytes) -> Place:
    _judge_spelling(path, raw)
    _judge_call(method, path)
    read = method == "POST" and path.rstrip("/").endswith(_READ_AS_JSON)
    return Place(api_of(path, is_anthropic(path, {})), read)


_known = lru_cache(maxsize=256)(_judged)


def _judge_spelling(path: str, raw: bytes) -> None:
    if path.islower() and b"%" not in raw and b"//" not in raw and b";" not in raw:
        return
    steps = [step.partition(";")[0] for step in path.lower().split("/")]
    if _looked_into("/" + "/".join(filter(None, steps))) != _looked_into(raw.decode("ascii").rstrip("/")):
        raise Refused(400, "bad_path", "this address is spelt in another way than the providers' own", close=True)


def _looked_into(path: str) -> str | None:
    return next((end for end in (*_READ_AS_JSON, *_ONLY_POSTED) if path.endswith(end)), None)


def _judge_call(method: str, path: str) -> None:
    if not path.startswith("/v1/") and path.split("/", 2)[1] not in _ROOTS:
        raise Refused(404, "not_found", "there is no such address; the providers' own begin with /v1/", close=True)
    if method not in _METHODS:
        raise Refused(
            405,
            "method_not_allowed",
            f"{method[:20]} is not passed on",
            close=True,
            headers=_allowed(*sorted(_METHODS)),
        )
    if method != "POST" and path.rstrip("/").endswith(_ONLY_POSTED):
        raise Refused(405, "method_not_allowed", "this address takes POST only", close=True, headers=_allowed("POST"))


def judge_type(place: Place, head: Mapping[bytes, bytes]) -> None:
    """Raises Refused for a body that says it is no JSON where a provider reads nothing else: 415."""
    if place.read_as_json and head.get(b"content-type", b"json").lower().find(b"json") < 0:
        raise Refused(415, "not_json", "the body must be JSON: send Content-Type: application/json", close=True)


def judge_object(body: bytes) -> str:
    """The model that the body of a call to one asks for, "" where it names none.

    Raises Refused for a body that is no JSON object: no provider can read it, and no plugin.
    """
    try:
        found = read_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "not_json", "the body is no JSON object")
    return model_in(found)


def _allowed(*methods: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"allow", ", ".join(methods).encode()),)


def shape(path: str) -> str:
    """*path* with a star for each part that is no word of an API: an id, a name, a key that went to the wrong place."""
    return _shape(path) if len(path) <= _LONGEST else "/*"


@lru_cache(maxsize=1024)
def _shape(path: str) -> str:
    parts = path.split("/")
    return "/".join(part if _PART.match(part) else "*" for part in parts[:_PARTS]) + ("/*" * (len(parts) > _PARTS))

"""The provider's other addresses: embeddings, models, files, and bodies of every awkward sort.

Paths are given without the version prefix (``/v1``).  Beside what providers offer:

    ANY  /echo                        what the server got: method, path, query, content type, size and SHA-256
    GET  /large?size=N                a JSON object of exactly N bytes (at least 32)
    GET  /gzip                        compressed JSON
    GET  /bytes?size=N&type=T         N bytes that are no text, of any content type
    GET  /ndjson?lines=N              a stream of JSON lines
    GET  /redirect?to=PATH&status=N   a redirect
    GET  /empty                       204 without a body
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import struct
from collections.abc import Callable
from typing import Any

from clippy_hookspecs import Json

from . import wires
from .frames import CREATED, Draft, Ids, WireEvent, dumps
from .seen import SeenRequest

_PIECE = 65536
_DIMENSIONS = 16


def answer(seen: SeenRequest, ids: Ids) -> Draft:
    """The answer of an address that is not chat; an HTTP error 404 in the provider's shape where there is none."""
    path = seen.path.removeprefix("/v1")
    if path.startswith("/models/"):
        return _json(seen, ids, _model(seen, path.removeprefix("/models/")))
    methods, reply = _ENDPOINTS.get(path, ("", _unknown))
    if methods and seen.method not in methods.split():
        return wires.error(seen, ids, "invalid_request", 405)
    return reply(seen, ids)


def _unknown(seen: SeenRequest, ids: Ids) -> Draft:
    return wires.error(seen, ids, "not_found")


def _json(seen: SeenRequest, ids: Ids, value: Json) -> Draft:
    return Draft(200, wires.headers(seen, ids, "application/json"), (WireEvent(dumps(value)),))


def _embeddings(seen: SeenRequest, ids: Ids) -> Draft:
    given = seen.fields.get("input")
    if given is None:
        return wires.error(seen, ids, "invalid_request")
    texts = given if isinstance(given, list) and not all(isinstance(x, int) for x in given) else [given]
    vectors = [_vector(dumps(text)) for text in texts]
    packed = seen.fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = max(1, len(seen.body) // 4)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json(seen, ids, {"object": "list", "data": data, "model": seen.model, "usage": usage})


def _vector(text: bytes) -> list[float]:
    """A direction that depends on the text alone; exact as 32-bit floats, so that both encodings agree."""
    return [(byte - 128) / 128 for byte in hashlib.shake_256(text).digest(_DIMENSIONS)]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _model(seen: SeenRequest, name: str) -> dict[str, Json]:
    if "anthropic-version" in seen.headers:
        return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}


def _models(seen: SeenRequest, ids: Ids) -> Draft:
    names = ("fake-model", "fake-model-mini")
    listed: dict[str, Any] = {"object": "list", "data": [_model(seen, name) for name in names]}
    if "anthropic-version" in seen.headers:
        listed = {"data": listed["data"], "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return _json(seen, ids, listed)


def _files(seen: SeenRequest, ids: Ids) -> Draft:
    parts = _multipart(seen)
    if "file" not in parts:
        return wires.error(seen, ids, "invalid_request")
    name, content = parts["file"]
    told = {
        "id": f"file-{ids.word('file', 22)}",
        "object": "file",
        "bytes": len(content),
        "created_at": CREATED,
        "filename": name or "file",
        "purpose": parts.get("purpose", ("", b"assistants"))[1].decode("utf-8", "replace"),
        "status": "processed",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return _json(seen, ids, told)


def _multipart(seen: SeenRequest) -> dict[str, tuple[str, bytes]]:
    """File name and content of each part of a form upload."""
    _, found, boundary = seen.headers.get("content-type", "").partition("boundary=")
    if not found:
        return {}
    parts: dict[str, tuple[str, bytes]] = {}
    mark = b"--" + boundary.split(";")[0].strip('" ').encode()
    for part in (b"\r\n" + seen.body).split(b"\r\n" + mark)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        labels = {
            key.strip().lower(): value.strip('" ')
            for item in head.decode("utf-8", "replace").replace("\r\n", ";").split(";")
            for key, _, value in (item.partition("="),)
        }
        parts[labels.get("name", "")] = (labels.get("filename", ""), content)
    return parts


def _echo(seen: SeenRequest, ids: Ids) -> Draft:
    told = {
        "method": seen.method,
        "path": seen.path,
        "query": dict(seen.query),
        "content_type": seen.headers.get("content-type"),
        "size": len(seen.body),
        "sha256": hashlib.sha256(seen.body).hexdigest(),
    }
    return _json(seen, ids, told)


def _large(seen: SeenRequest, ids: Ids) -> Draft:
    frame = dumps({"object": "large", "data": ""})
    fill = max(0, _size(seen, 1 << 20) - len(frame))
    body = frame[:-2] + b"x" * fill + frame[-2:]
    return Draft(200, wires.headers(seen, ids, "application/json"), _cut(body))


def _gzip(seen: SeenRequest, ids: Ids) -> Draft:
    body = gzip.compress(dumps({"object": "compressed", "data": "words " * 200}), mtime=0)
    return Draft(200, (*wires.headers(seen, ids, "application/json"), ("content-encoding", "gzip")), (WireEvent(body),))


def _bytes(seen: SeenRequest, ids: Ids) -> Draft:
    size = _size(seen, 1024)
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    return Draft(200, wires.headers(seen, ids, seen.query.get("type", "application/x-unheard-of")), _cut(body))


def _ndjson(seen: SeenRequest, ids: Ids) -> Draft:
    count = max(0, min(10_000, int(seen.query.get("lines", "5"))))
    lines = tuple(WireEvent(dumps({"line": n, "done": n == count - 1}) + b"\n", "delta") for n in range(count))
    return Draft(200, wires.headers(seen, ids, "application/x-ndjson"), lines, streamed=True)


def _redirect(seen: SeenRequest, ids: Ids) -> Draft:
    head = (*wires.headers(seen, ids, "text/plain"), ("location", seen.query.get("to", "/v1/models")))
    return Draft(int(seen.query.get("status", "307")), head, (WireEvent(b""),))


def _empty(seen: SeenRequest, ids: Ids) -> Draft:
    return Draft(204, wires.headers(seen, ids, "application/json")[1:], ())


def _size(seen: SeenRequest, usual: int) -> int:
    # Bounded: a test with a slip of the finger must not eat the machine.
    return max(0, min(64 << 20, int(seen.query.get("size", str(usual)))))


def _cut(body: bytes) -> tuple[WireEvent, ...]:
    return tuple(WireEvent(body[i : i + _PIECE]) for i in range(0, len(body), _PIECE)) or (WireEvent(b""),)


_ENDPOINTS: dict[str, tuple[str, Callable[[SeenRequest, Ids], Draft]]] = {
    "/embeddings": ("POST", _embeddings),
    "/models": ("GET HEAD", _models),
    "/files": ("POST", _files),
    "/echo": ("GET HEAD POST PUT PATCH DELETE OPTIONS", _echo),
    "/large": ("GET HEAD", _large),
    "/gzip": ("GET HEAD", _gzip),
    "/bytes": ("GET HEAD", _bytes),
    "/ndjson": ("GET HEAD", _ndjson),
    "/redirect": ("GET HEAD POST", _redirect),
    "/empty": ("GET HEAD DELETE POST", _empty),
}

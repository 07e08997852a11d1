"""What the host itself knows about failures and answers: just enough to ask the plugins about them."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable

from clippy_hookspecs import (
    UNKNOWN_ERROR,
    Chunk,
    ErrorInfo,
    Failure,
    Headers,
    PluginError,
    ProviderError,
    RawReply,
    Refusal,
    Request,
    Response,
    evolve,
)

from .chains import Chains, Step
from .jsonio import dumps, loads
from .wire import APIS, decode_response
from .wire.errors import named_status
from .wire.translate import ErrorTold

NO_RETRY = "x-should-retry"
"""Both official SDKs obey this response header (openai and anthropic ``_base_client.py``)."""


def unjudged(failure: Failure, judged: ErrorInfo | None) -> ErrorInfo:
    """The classifier's word; where there is none, what our own deadlines say of themselves; else unknown."""
    info = judged or UNKNOWN_ERROR
    if info.category == "unknown" and isinstance(failure.exception, ProviderError):
        info = failure.exception.info
    return evolve(info, status=info.status or failure.status, committed=failure.committed)


def refusal_info(refusal: Refusal) -> ErrorInfo:
    """A refusal, for the record."""
    return ErrorInfo("permanent", refusal.code, False, refusal.retry_after, status=refusal.status, message=str(refusal))


def event_json(chunk: Chunk) -> bytes:
    """The JSON of an error event inside a stream as its provider wrote it, for the classifier."""
    return dumps(dict(chunk.extra.own if isinstance(chunk.extra, ErrorTold) else chunk.extra))


def is_event_stream(headers: Headers) -> bool:
    """Whether an answer says that it is a stream of server-sent events."""
    return headers.get("content-type", "").split(";")[0].strip().lower() == "text/event-stream"


def looked_at(request: Request, chains: Chains, wants_values: bool, storable: bool, shared: bool) -> bool:
    """Whether anybody wants to look at the answer; otherwise it passes through untouched and undecoded."""
    return request.endpoint.body == "json" and bool(
        wants_values
        or shared
        or chains.want_answers
        or chains.on_chunk
        or chains.classify_error
        or chains.observe
        or (chains.cache_store and storable)
    )


def harmless(request: Request) -> bool:
    """Whether a second sending can do no harm, whatever became of the first."""
    return request.endpoint.retryable or request.method in ("GET", "HEAD")


def guards(steps: Iterable[Step]) -> bool:
    """Whether one of these looks at answers to change or withhold them; one that only observes is no guard."""
    return any(not getattr(step.owner, "observes_only", False) for step in steps)


def signed(headers: Headers) -> bool:
    """Whether a request's body is covered by a signature: AWS SigV4, RFC 9530 digests, RFC 9421 signatures."""
    return (
        headers.get("authorization", "").startswith("AWS4-")
        or "content-digest" in headers
        or "signature-input" in headers
    )


def check_signature(request: Request) -> None:
    """A signed body may not be changed: the provider would refuse it for a reason nobody understands."""
    if request.raw is None and request.endpoint.body == "json" and signed(request.headers):
        raise PluginError(
            "a plugin changed a request whose body is signed (SigV4 or content-digest), so it cannot be sent; "
            "disable the plugins that change requests for this client",
            hook="pre_request",
        )


def socket_shutdown(reply: RawReply) -> Callable[[], None] | None:
    """What cuts the connection under a blocked read, from another thread; None where we do not reach the socket."""
    if reply.extensions.get("http_version") == b"HTTP/2":
        return None  # others use the connection as well
    stream = reply.extensions.get("network_stream")
    get = getattr(stream, "get_extra_info", None)
    connection = get("socket") if get is not None else None
    if not isinstance(connection, socket.socket):
        return None

    def shut() -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was closed already: nothing reads from it any more

    return shut


def status_meant(status: int, body: bytes) -> int:
    """The status of a failure that came with *status*.

    Where that says that all is well, the body's own word for it counts; of one that names none 502 is said.
    """
    if status >= 400:
        return status
    try:
        return named_status(loads(body)) or 502
    except ValueError:  # it breaks off
        return 502


def error_for(request: Request, status: int, body: bytes, info: ErrorInfo) -> Response:
    """An error in the wire API of *request*, for a failure that another one told of in *body*, whatever its status."""
    return answer(
        request, status_meant(status, body), info.code or info.kind, info.message or info.kind, info.retry_after
    )


def answer(request: Request, status: int, code: str, message: str, retry_after: float | None) -> Response:
    """An error of ours as an HTTP answer that no SDK repeats."""
    api = APIS.get(request.api)
    if api is not None:
        body = api.error_body(status, code, message)
    else:
        body = {"error": {"message": message, "type": code, "code": code}}
    headers = [("content-type", "application/json"), (NO_RETRY, "false")]
    if retry_after is not None:  # RFC 9110 section 10.2.3 knows whole seconds; both SDKs look for milliseconds first
        headers.append(("retry-after", str(math.ceil(retry_after))))
        headers.append(("retry-after-ms", str(math.ceil(retry_after * 1000))))
    return decode_response(api, status, Headers(headers), dumps(body))

"""What all entrances share: how failures look from outside, and how an SDK is kept from repeating them."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import astuple, evolve
from clippy_hookspecs import AttemptRefused, PluginError, Refusal, Request, Response, Scope

from .attempt import AttemptsFailed
from .forks import follow_forks
from .jsonio import canonical
from .judging import NO_RETRY, answer, harmless
from .keys import is_credential
from .runtime import FlowCancelled
from .untouched import retouch

if TYPE_CHECKING:
    from .host import Host

RETRY_COUNT = "x-stainless-retry-count"
"""Both official SDKs say with this request header that they are repeating a request."""


CANCELLED = 499
"""Client closed request, as nginx calls it: nobody repeats it."""


def error_answer(
    request: Request, error: Refusal | PluginError | AttemptsFailed | FlowCancelled
) -> Response | AttemptsFailed:
    """*error* as an HTTP answer in the request's own wire API; network failures stay what they are."""
    if isinstance(error, FlowCancelled):
        return answer(request, CANCELLED, "cancelled", f"the request was cancelled: {error}", None)
    if isinstance(error, AttemptsFailed):
        if not isinstance(error.cause, AttemptRefused):
            return error
        info = error.info
        return answer(request, info.status or 503, info.kind, info.message or info.kind, info.retry_after)
    if isinstance(error, Refusal):
        return answer(request, error.status, error.code, str(error), error.retry_after)
    return answer(request, 500, "plugin_error", str(error), None)


class GaveUp:
    """What we gave up on lately.

    An SDK that still has retries of its own sends the request again; it gets the same failure at once, without hooks:
    otherwise three tries of ours times three of its own make nine (features.md P12).  What the host would not send
    again of itself (an upload, a call of an unknown address) is left to the SDK, unless the host took its retries over:
    ``instead_of`` says how many those were.
    """

    KEEP = 64
    SECONDS = 60.0

    def __init__(self, host: Host) -> None:
        self._host = host
        self.instead_of = 0
        self._begin()
        follow_forks(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[bytes, tuple[float, Response | AttemptsFailed]] = OrderedDict()

    def find(self, request: Request, scope: Scope | None) -> Response | AttemptsFailed | None:
        """The failure that *request* repeats, None if it is a request of its own."""
        if not self._failures or request.headers.get(RETRY_COUNT, "0") == "0":
            return None
        with self._lock:
            noted = self._failures.get(_same(request, scope))
        if noted is None or time.monotonic() - noted[0] >= self.SECONDS:
            return None
        self._host.repeats.note(step.plugin for step in self._host.chains.on_error)
        return noted[1] if isinstance(noted[1], Response) else _bare(noted[1])

    def note(
        self, request: Request, scope: Scope | None, result: Response | AttemptsFailed
    ) -> Response | AttemptsFailed:
        """Remember a failure, and forget it when the same call went well; a failed answer says "do not repeat"."""
        if not (harmless(request) or self.instead_of):
            return result
        if isinstance(result, Response):
            if result.status < 400:
                if self._failures:
                    with self._lock:
                        self._failures.pop(_same(request, scope), None)
                return result
            result = retouch(result, headers=result.headers.replace(NO_RETRY, "false"))
        with self._lock:
            kept = result if isinstance(result, Response) else _bare(result)
            self._failures[_same(request, scope)] = (time.monotonic(), kept)
            while len(self._failures) > self.KEEP:
                self._failures.popitem(last=False)
        return result


def _bare(failure: AttemptsFailed) -> AttemptsFailed:
    """*failure* as new: without a traceback, whose frames hold bodies, and without the request that httpx puts in it.

    An exception that cannot be made again of its arguments is left out; the caller then gets a general one.
    """
    cause = failure.cause
    try:
        cause = None if cause is None else type(cause)(*cause.args)
    except Exception:
        cause = None
    return AttemptsFailed(evolve(failure.info, partial=None), cause)


def _same(request: Request, scope: Scope | None) -> bytes:
    """What two tries of one call have in common, and calls of two callers never have."""
    who = [pair for pair in request.headers.pairs if is_credential(pair[0]) or pair[0].lower().startswith("x-clippy-")]
    said: list[Any] = [
        request.method,
        request.url,
        request.query,
        sorted(who),
        None if scope is None else astuple(scope),
    ]
    if request.endpoint.body == "stream":
        # We do not read the body, and the SDK writes another boundary for each try.  Its length tells some apart; who
        # sends it tells the rest: all tries of a call are made one after another by one task or thread.
        said += [request.headers.get("content-length"), _sender()]
    return hashlib.sha256(canonical(said) + b"\0" + (request.raw or b"")).digest()


def _sender() -> list[int]:
    """The running task, or the thread where there is none."""
    if "anyio" in sys.modules:  # the async runtime loads it
        import anyio

        try:
            return [threading.get_ident(), anyio.get_current_task().id]
        except RuntimeError:
            pass  # no event loop runs here
    return [threading.get_ident()]

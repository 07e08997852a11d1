"""The verdict on a failure, from the surest witness to the least sure one.

An exception's type, then the status with the body's codes, then the details (which limit, whose upstream), then the
headers, and the sentences last.  A pure function: everything it knows is in its arguments.
"""

from __future__ import annotations

from attrs import evolve
from clippy_hookspecs import DeadlineExceeded, ErrorInfo, Failure, ProviderError

from .bodies import ErrorBody, read_body
from .codes import code_kind, family_kind, is_status, normal_form
from .delays import moment_or_length, rate_limit_reset, retry_after, sentence
from .evidence import with_evidence
from .exceptions import exception_verdict, judged_by_us, words
from .kinds import KINDS, Verdict
from .phrases import larger_than_limit, long_period, never_opens, refine, without_denials, without_money
from .providers import guess_provider
from .statuses import status_kind
from .wording import identifier, one_line

MAX_WAIT = 60.0
"""Seconds: a longer server-directed wait is told to the caller instead of being slept through."""

_REQUEST_IDS = (
    "x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-ms-request-id", "cf-ray",
)  # fmt: skip
_CODE_HEADERS = ("x-amzn-errortype", "x-ms-error-code")
_TELLING_FAMILIES = frozenset({"requests", "invalid_key", "permission", "not_found"})
"""Generic codes that say more than the statuses 400 and 500 do."""

_FAILING_PAGES = frozenset({500, 502, 504})
"""Statuses whose HTML pages come from a server in trouble: challenges and queues for browsers come with 403 and 503."""

_TIMES_OUT = frozenset({400, 408, 409, 424, 425, 429, 498})
"""Statuses below 500 under which a code may say that the same request can succeed later."""


def classify(failure: Failure, *, provider: str | None = None, max_wait: float = MAX_WAIT) -> ErrorInfo:
    """Say what kind of failure this is.

    ``provider`` is a name such as ``mistral``; None guesses it from the address, the headers and the body.  A failure
    whose server asks for more than ``max_wait`` seconds is not retryable, with the wait in ``retry_after``.
    Never raises and never looks at a clock: dates are compared with ``failure.now``.
    """
    failure = with_evidence(failure)
    ours = judged_by_us(failure.exception) if failure.exception is not None else None
    if isinstance(ours, DeadlineExceeded):
        return _commit(_timed_out(ours), failure)
    if ours is not None and ours.info.category != "unknown":
        return _commit(ours.info, failure)
    body = read_body(failure.body)
    verdict = _verdict(failure, body, provider or guess_provider(failure, body))
    wait = _wait(failure, body, verdict)
    too_long = wait is not None and wait > max_wait
    if too_long or (verdict.kind == "budget_inflight" and wait is None):
        verdict = evolve(verdict, retryable=False)
    # Under a status that said "well" the header was about the answer, not about what became of it.
    word = failure.headers.get("x-should-retry", "") if (failure.status or 0) >= 300 else ""
    verdict, should_retry = _obey(verdict, word, too_long)
    info = ErrorInfo(
        category=verdict.category,
        kind=verdict.kind,
        retryable=verdict.retryable,
        retry_after=wait,
        scope=verdict.scope,
        outage=verdict.outage,
        status=failure.status,
        code=_code(failure, body),
        message=_message(failure, body, verdict),
        request_id=_request_id(failure, body),
        should_retry=should_retry,
    )
    return _commit(info, failure)


def _timed_out(error: DeadlineExceeded) -> ErrorInfo:
    """The host's own deadlines: when the total is over nothing helps, the others are like any timeout."""
    info = error.info
    if info.category == "unknown":
        total = error.which == "total"
        info = ErrorInfo(
            "transient", f"{error.which}_timeout", outage=not total, message=f"the {error.which} deadline passed"
        )
    return evolve(info, retryable=error.which != "total", scope="request" if error.which == "total" else "route")


def _commit(info: ErrorInfo, failure: Failure) -> ErrorInfo:
    if not failure.committed:
        return info
    # The caller has a part of the answer; the same request again would say it twice.
    return evolve(info, retryable=False, committed=True)


def _verdict(failure: Failure, body: ErrorBody, provider: str | None) -> Verdict:
    answered = failure.status is not None and failure.status >= 300
    if failure.exception is not None and not answered and not (body.failed and body.shape == "json"):
        found = exception_verdict(failure.exception, connecting=failure.phase == "connect")
        if found is not None:
            return found
    if failure.status is None and not body.failed:
        return KINDS["unknown"]
    status = failure.status if answered else body.status if body.failed else None
    return KINDS[
        _kind_within_success(failure, body, provider) if status is None else _kind(failure, body, provider, status)
    ]


def _kind_within_success(failure: Failure, body: ErrorBody, provider: str | None) -> str:
    """What is wrong with an answer whose status said that all was well."""
    if body.failed and (body.shape == "json" or (body.shape == "truncated" and body.codes)):
        return _kind(failure, body, provider, None)
    if body.finish is not None:
        return body.finish
    if failure.phase == "stream" and body.shape in ("empty", "json"):
        return "truncated_body"  # a stream that ended before its terminal event
    kinds = {"empty": "empty_body", "html": "html_body", "text": "bad_body", "truncated": "truncated_body"}
    return kinds.get(body.shape, "unknown")


def _kind(failure: Failure, body: ErrorBody, provider: str | None, status: int | None) -> str:
    codes = [code for name in _CODE_HEADERS if (code := failure.headers.get(name))] + list(body.codes)
    codes += _final_quoted(codes, body, provider)
    text = without_denials(body.text)
    stated = kind = _kind_of_codes(codes, provider, status)
    if kind is None:
        family = next((found for code in codes if (found := family_kind(code))), None)
        if status is None:
            kind = refine("unknown", text) if family is None else family
            kind = "server_error" if kind == "unknown" else kind
        else:
            kind = status_kind(status, body, failure.headers.get("server", ""))
            if kind in ("invalid_request", "server_error", "unknown_4xx") and family in _TELLING_FAMILIES:
                kind = family
            elif kind == "invalid_key" and family == "permission":
                kind = family  # Azure: 401 for a key that is known and may not do this
    if kind == "quota" and status == 402 and not any(code_kind(code, provider) == "quota" for code in codes):
        return kind if retry_after(failure.headers, failure.now) is None else "budget_inflight"
    if kind in ("requests", "tokens"):
        return _rate_kind(failure, body, kind, codes)
    if kind == "payload_too_large" and larger_than_limit(text):
        return "request_too_large_for_tier"
    finer = refine(kind, text)
    # "Terminated for a violation of our policies" is about the account when the code says so, not about this prompt.
    return kind if (stated, finer) == ("permission", "content_filter") else finer


def _final_quoted(codes: list[str], body: ErrorBody, provider: str | None) -> list[str]:
    """The codes in a quote that end retries, which may be another's words: they begin none, and excuse no outage.

    A code of the answer's own is surer, but for a rate limit, which many call a spent quota as well.
    """
    own = {KINDS[kind].category for code in codes if (kind := code_kind(code, provider)) is not None}
    if own - {"rate_limit"}:
        return []
    told = [(code, kind) for code in body.quoted if (kind := code_kind(code, provider)) is not None]
    return [code for code, kind in told if (kind == "quota" if own else not KINDS[kind].retryable)]


def _kind_of_codes(codes: list[str], provider: str | None, status: int | None) -> str | None:
    """The kind that a code states by itself, unless the status makes that impossible.

    Of several codes, one that no retry can help wins: a spent quota is often called a rate limit as well.
    """
    if status == 498:
        return None
    final = status is not None and 300 <= status < 500 and status not in _TIMES_OUT
    found = [KINDS[kind] for code in codes if (kind := code_kind(code, provider)) is not None]
    able = [v for v in found if not (final and v.retryable and v.category != "rate_limit")]
    first = next((v for v in able if not v.retryable), able[0] if able else None)
    return None if first is None else first.kind


def _rate_kind(failure: Failure, body: ErrorBody, kind: str, codes: list[str]) -> str:
    """Which limit was hit, and whether waiting can help at all."""
    text, limits = without_denials(body.text), " ".join(body.limits).lower()
    if larger_than_limit(text):
        return "request_too_large_for_tier"
    said = _said(failure, body)
    if limits or any(normal_form(code) == "resource_exhausted" for code in (*codes, *body.quoted)):
        # Google has one sentence for the minute and the day ("your current quota"); only the limit's name tells, or a
        # wait.  With neither it is what it is elsewhere: a plan that is used up, closed until midnight or for good.
        closed = never_opens(f"{text} {limits}") or long_period(f"{text} {limits}")
        closed = closed or (not limits and said is None and "current quota" in text)
        return "quota" if closed else refine(kind, f"{without_money(text)} ; {limits}")
    if said is None and long_period(text):
        return "quota"
    # Where prose speaks of money and the server says when to come back, its word on the time wins.
    return refine(kind, text if said is None else without_money(text))


def _wait(failure: Failure, body: ErrorBody, verdict: Verdict) -> float | None:
    """The seconds the server asks for, from its headers, its body's fields, its words, its limits: in this order."""
    if verdict.category not in ("rate_limit", "transient"):
        return None
    wait = _said(failure, body)
    for headers in (failure.headers, body.headers) if wait is None and verdict.category == "rate_limit" else ():
        wait = wait or rate_limit_reset(headers, verdict.kind, failure.now)
    return wait


def _said(failure: Failure, body: ErrorBody) -> float | None:
    """The wait that is meant for this very request, unlike the limits that come with every answer."""
    wait = retry_after(failure.headers, failure.now)
    if wait is None:
        said = [retry_after(body.headers, failure.now), *(moment_or_length(one, failure.now) for one in body.waits)]
        wait = max((found for found in said if found is not None), default=None)
    # A challenge page's "wait 5 seconds" is meant for browsers; a server that fails means whoever asked.
    spoken = (
        sentence(" \n".join(body.texts), failure.now)
        if body.shape != "html" or (failure.status or 0) in _FAILING_PAGES
        else None
    )
    if wait is None or spoken is None:
        return spoken if wait is None else wait
    # Google says 3.56 s to people and cuts it to 3 s for programs, which is too early.
    return spoken if wait.is_integer() and wait < spoken < wait + 1 else wait


def _obey(verdict: Verdict, word: str, too_long: bool) -> tuple[Verdict, bool | None]:
    """The verdict after the server's own word in ``x-should-retry``; it cannot make money come back."""
    word = word.strip().lower()
    if word == "false":
        return evolve(verdict, retryable=False), False
    if word != "true" or verdict.kind == "quota" or too_long:
        return verdict, None
    if verdict.kind in ("invalid_request", "unknown_4xx"):
        # "Your request is wrong" and "send it again" cannot both be meant: the state is the server's.
        verdict = evolve(KINDS["server_error"], outage=False)
    return evolve(verdict, retryable=True), True


def _code(failure: Failure, body: ErrorBody) -> str | None:
    header = next((code for name in _CODE_HEADERS if (code := failure.headers.get(name))), "")
    codes = [header.partition(":")[0], *body.codes]
    return next((found for code in codes if not is_status(code) and (found := identifier(code))), None)


def _message(failure: Failure, body: ErrorBody, verdict: Verdict) -> str:
    if body.texts:
        return one_line(body.texts[0])
    exc = failure.exception
    if exc is not None and not isinstance(exc, ProviderError):
        said = words(exc)
        return one_line(f"{type(exc).__name__}: {said}" if said else type(exc).__name__)
    return verdict.kind.replace("_", " ")


def _request_id(failure: Failure, body: ErrorBody) -> str | None:
    values = [failure.headers.get(name, "") for name in _REQUEST_IDS]
    return next((found for value in [*values, body.request_id or ""] if (found := identifier(value, 200))), None)

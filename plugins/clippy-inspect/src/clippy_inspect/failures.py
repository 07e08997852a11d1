"""What became of a request that got no answer: a failure as a sentence, and what its caller had of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clippy_recorder import Exchange, Step

NOTHING = "There is none."
WITHHELD = "what is said in a request that was refused is withheld, for it may be what it was refused for"


def unkept(exchange: Exchange) -> str:
    """Why something of a request is not there, as the end of a sentence."""
    if exchange.state == "refused":
        return WITHHELD
    return "they came as a stream, or the recorder keeps content at level “detailed” only"


def failure_of(exchange: Exchange) -> str:
    """Why a request failed, as a sentence; "" where it did not."""
    error = exchange.error
    if error is None or exchange.state != "refused":
        return "" if error is None else why(error)
    return why({**error, "message": error.get("message") or f"its message is not here: {WITHHELD}"})


def why(error: Mapping[str, Any]) -> str:
    """A failure as a sentence."""
    kind = error.get("kind") or error.get("category") or "failure"
    wait = error.get("retry_after")
    asked = f" (asked to wait {wait:g} s)" if isinstance(wait, int | float) else ""
    return f"{kind}: {error.get('message') or 'its message was not kept'}{asked}"


def not_sent(exchange: Exchange) -> Step | None:
    """Who refused the last attempt of a failed request before it was sent, as an open breaker does; None if nobody."""
    if exchange.state != "failed":
        return None
    sent = max((attempt.at for attempt in exchange.attempts), default=-1)
    refusals = [one for one in exchange.steps if (one.hook, one.action) == ("pre_attempt", "attemptrefused")]
    return next((one for one in reversed(refusals) if one.at >= sent), None)


def got(exchange: Exchange) -> str:
    """What a caller had in place of an answer, as a sentence.

    A recorder sees what happens inside of a host.  How a failure that was made there looks depends on the entrance
    that the caller came by, so both forms are told.
    """
    error = exchange.error
    if error is None or exchange.state not in ("failed", "refused"):
        return NOTHING
    because, by = failure_of(exchange), not_sent(exchange)
    if by is not None:
        return _made_here(f"{by.plugin} refused it before it was sent: {because}", error.get("status") or 503)
    if exchange.state == "refused":
        return _made_here(f"A plugin refused it: {because}", error.get("status") or 403)
    if error.get("category") == "plugin":
        return _made_here(f"A plugin failed: {because}", 500)
    if exchange.status is not None and exchange.attempts:
        return f"The failure of the last attempt below, with status {exchange.status}: {because}"
    return f"No answer but the failure: {because}"


def _made_here(said: str, status: int) -> str:
    return f"{said}. Over HTTP (an SDK, the gateway) its caller got this as status {status}, else as an exception."

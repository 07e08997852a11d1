"""What a recorded call asked, as it can be asked again, and why it may not be there."""

from __future__ import annotations

from .exchange import Exchange, Message


def sent_of(exchange: Exchange) -> Message:
    """The request that the provider got."""
    return exchange.attempts[-1].sent if exchange.attempts else exchange.came


def question_of(exchange: Exchange) -> Message | None:
    """The request to make again: as it came, else as it was sent; None where what it said was not kept."""
    came = exchange.came if exchange.came.body else sent_of(exchange)
    says_nothing = not came.size and (exchange.method != "POST" or not exchange.api)
    return came if came.body or says_nothing else None


def not_kept(exchange: Exchange) -> str:
    """Why a recording has a call without what was said in it."""
    if exchange.state == "refused":
        return "what is said in a call that was refused is withheld, for it may be what it was refused for"
    return 'what was said in it was not recorded; record with level = "detailed"'

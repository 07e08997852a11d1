"""What a hook may decide.  A hook decides; the host sleeps, sends, switches, joins and answers."""

from __future__ import annotations

from typing import Union

from attrs import field, frozen
from attrs.validators import ge, gt

from .types import Response


@frozen
class Answer:
    """Answer the caller with this response; from pre_request without asking anybody, from on_error instead of raising.

    Never stored in a cache.
    """

    response: Response
    reason: str | None = None


@frozen
class Join:
    """cache_lookup: share the flight of the request that is already under way with this key, or begin one.

    Asked after every cache: an entry of another cache goes first.  ``key`` must be the one that cache_lookup was called
    with, which holds the caller's scope and credentials; with any other the Join is a fault of the plugin and a miss.
    ``shared``: also with other processes, where the host's StateStore is one that they share.
    """

    key: str
    shared: bool = False


@frozen
class Retry:
    """on_error: try the same route again after ``after`` seconds."""

    after: float = field(default=0.0, validator=ge(0))


@frozen
class Switch:
    """on_error: go on with another route, by its name in the configuration.

    One that could only answer another question (it has no JSON mode, or not the files of this account), or that the
    request's caller may not use (``RawRequest.routes``), is not asked: on_error is called
    again, with an ErrorInfo of kind ``route_unfit`` whose message says why.
    """

    route: str
    reason: str | None = None


@frozen
class Restart:
    """on_error after the commit point: begin the stream anew; the consumer is told to discard what it got.

    Only a reader of our own client can be told, by a chunk of kind *restart*; under an SDK the failure is raised.
    """

    after: float = field(default=0.0, validator=ge(0))


@frozen
class Continue:
    """on_error after the commit point: ask the model to go on from what was delivered.

    ``method``: *prefill* gives the model its answer so far as the beginning of its own (Anthropic's API, for models
    that take it), *prompt* asks it to go on and leaves out what it repeats.  Refused, so that the failure is raised,
    within a tool call, for JSON, for several answers beside each other and after signed reasoning.
    """

    after: float = field(default=0.0, validator=ge(0))
    method: str = "prefill"


@frozen
class Stale:
    """on_error: answer with what a cache still keeps, at most ``within`` seconds past its time, and marked as stale.

    The caches are asked once more with ``ctx.stale_within``; those that keep nothing beyond its time have nothing.
    ``otherwise`` is carried out if none has an answer; None raises.  As ``stale-if-error`` of RFC 5861.
    """

    within: float = field(validator=gt(0))
    reason: str | None = None
    otherwise: Retry | Switch | Answer | None = None


ErrorDecision = Union[Retry, Switch, Answer, Stale, Restart, Continue]

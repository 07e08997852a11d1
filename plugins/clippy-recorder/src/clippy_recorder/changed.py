"""What plugins made of a call: each hook that did more than look, with the values before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen
from clippy_hookspecs import Event, HookCall, Request, Response

FOLDS = frozenset({"pre_request", "compress_context", "pre_attempt", "on_response"})


@frozen
class Change:
    """The hook call at ``place`` of the trace, ``at`` nanoseconds of the host's clock; ``after`` is None where it made
    no other value, and ``before`` where there was none before."""

    place: int
    at: int
    before: Any = None
    after: Any = None


def changes(events: Sequence[Event], trace: Sequence[HookCall]) -> Iterator[Change]:
    """Those of a call, in their order."""
    hooks = [event for event in events if event.kind == "hook"]
    if not hooks:  # as nearly always
        return
    places = {id(call): place for place, call in enumerate(trace)}
    entered: Any = next((event.data for event in events if isinstance(event.data, Request)), None)
    attempt: Any = None
    answer: Any = None
    for event in events:
        if event.kind == "attempt":
            attempt = None
            continue
        if event.kind != "hook" or id(event.data) not in places:
            continue
        call, made = event.data, event.value
        before: Any = None
        if isinstance(made, Request):
            if call.hook == "pre_attempt":
                before, attempt = attempt or entered, made
            elif call.hook in FOLDS:
                before, entered = entered, made
        elif isinstance(made, Response) and call.hook == "on_response":
            before, answer = answer, made
        yield Change(places[id(call)], event.at, before, made if call.hook in FOLDS else None)

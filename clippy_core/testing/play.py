"""A step of the script turned into what happens on the connection, byte by byte.

The in-process transports and the loopback server perform the same :class:`Play`, so that they cannot differ in anything
but the medium.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal, Union

from attrs import evolve, field, frozen

from . import endpoints, wires
from .faults import Fault, Pairs
from .frames import Draft, Ids, WireEvent
from .script import Part, Raw, Reply, Step
from .seen import SeenRequest


@frozen
class Send:
    """Give the client one piece of the body."""

    data: bytes = field(repr=False)


@frozen
class Wait:
    """Let *seconds* pass; infinity waits until the client gives up."""

    seconds: float


@frozen
class Break:
    """End the connection: reset it, close it in order, refuse it, or never accept it."""

    how: Literal["reset", "hangup", "refuse", "connect_timeout"]


Action = Union[Send, Wait, Break]


@frozen
class Play:
    """One exchange: what happens before the head, the head, and what happens after it.

    ``body`` ends at its first :class:`Break`; without one the answer is whole.  ``chunked`` tells the transfer coding,
    else the headers hold the content-length.  ``faults`` names what goes wrong, for the records.
    """

    before: tuple[Action, ...]
    status: int
    headers: Pairs
    body: tuple[Action, ...]
    chunked: bool = False
    faults: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The words beside the status."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "Overloaded" if self.status == 529 else "Unknown"


def compose(seen: SeenRequest, step: Step, seed: int) -> Play:
    """What happens to *seen* under *step*.  Raises TypeError for a step that is none."""
    reply, faults = _parts(step)
    ids = Ids(seed, seen.number)
    draft = _draft(seen, reply, faults, ids)
    for fault in faults:
        draft = _spoil(draft, fault, seen, ids)
    if not draft.streamed and any(map(_placed, faults)):
        draft = evolve(draft, events=_halves(draft.events))
    return _perform(seen, draft, reply, faults)


def _parts(step: Step) -> tuple[Reply | Raw, tuple[Fault, ...]]:
    parts: Sequence[Part] = (step,) if isinstance(step, (Reply, Raw, Fault)) else tuple(step)
    replies = [part for part in parts if isinstance(part, (Reply, Raw))]
    faults = tuple(part for part in parts if isinstance(part, Fault))
    if len(replies) > 1 or len(replies) + len(faults) != len(parts):
        raise TypeError(
            f"a step is a Reply, a Raw, a Fault, or several faults with at most one of the others: {step!r}"
        )
    return (replies[0] if replies else Reply(echo=True)), faults


def _draft(seen: SeenRequest, reply: Reply | Raw, faults: tuple[Fault, ...], ids: Ids) -> Draft:
    status = next((fault for fault in faults if fault.kind == "status"), None)
    if status is not None:
        draft = wires.error(seen, ids, status.error, status.code)
        events = draft.events if status.body is None else (WireEvent(status.body),)
        return evolve(draft, headers=wires.merge(draft.headers, status.headers), events=events)
    if isinstance(reply, Raw):
        several = len(reply.body) > 1
        events = tuple(WireEvent(piece, "delta" if several else "other") for piece in reply.body)
        return Draft(reply.status, reply.headers, events, streamed=several)
    if not seen.api:
        return endpoints.answer(seen, ids)
    if not seen.fields:
        return wires.error(seen, ids, "invalid_request")
    return wires.render(seen, reply, ids)


# --- faults that change what is said --------------------------------------------------------------------------------


def _spoil(draft: Draft, fault: Fault, seen: SeenRequest, ids: Ids) -> Draft:
    if fault.kind == "content_type":
        head = wires.merge(draft.headers, (("content-type", fault.media_type),))
        if fault.body is None:
            return evolve(draft, headers=head)
        return evolve(draft, headers=head, events=(WireEvent(fault.body),), streamed=False)
    if fault.kind == "truncated_json":
        return evolve(draft, events=_truncated(draft, fault))
    if fault.kind == "error_event" and fault.error is not None:
        if not draft.streamed:
            return wires.error(seen, ids, fault.error)
        at = _index(draft.events, fault)
        return evolve(draft, events=(*draft.events[:at], wires.error_event(seen, ids, fault.error, at)))
    if fault.kind == "no_terminal" and draft.streamed:
        lost = {"done"} if fault.keep_finish else {"finish", "usage", "done"}
        return evolve(draft, events=tuple(event for event in draft.events if event.kind not in lost))
    return draft


def _truncated(draft: Draft, fault: Fault) -> tuple[WireEvent, ...]:
    if not draft.streamed or not draft.events:
        whole = b"".join(event.data for event in draft.events)
        return (WireEvent(whole[: len(whole) // 2]),)
    at = _index(draft.events, fault)
    event = draft.events[at]
    start = event.data.rfind(b"data: ") + len(b"data: ")
    cut = event.data[: start + (len(event.data) - start) // 2] + b"\n\n"
    return (*draft.events[:at], evolve(event, data=cut), *draft.events[at + 1 :])


def _index(events: Sequence[WireEvent], fault: Fault) -> int:
    """How many events come through before *fault*; never all of them."""
    last = max(0, len(events) - 1)
    if fault.at_event is not None:
        return min(fault.at_event, last)
    content = [index for index, event in enumerate(events) if event.kind == "delta"]
    passed = fault.at_delta or 0
    if passed > len(content) or not content:
        return last
    return content[passed - 1] + 1 if passed else content[0]


def _placed(fault: Fault) -> bool:
    """Whether *fault* stops the answer between two events."""
    return fault.kind in ("reset", "hangup", "stall") and not fault.before_head and fault.at_byte is None


def _halves(events: tuple[WireEvent, ...]) -> tuple[WireEvent, ...]:
    whole = b"".join(event.data for event in events)
    return (WireEvent(whole[: len(whole) // 2], "delta"), WireEvent(whole[len(whole) // 2 :]))


# --- faults that change how it comes --------------------------------------------------------------------------------


def _perform(seen: SeenRequest, draft: Draft, reply: Reply | Raw, faults: tuple[Fault, ...]) -> Play:
    kinds = tuple(fault.kind for fault in faults)
    pieces = [_inside_code_points(event.data) if "split_utf8" in kinds else [event.data] for event in draft.events]
    headers = draft.headers
    if "gzip" in kinds:
        headers = wires.merge(headers, (("content-encoding", "gzip"),))
        pieces = _compressed(pieces)
    if draft.streamed:
        headers = wires.merge(headers, (("transfer-encoding", "chunked"),))
    elif draft.status != 204:
        size = sum(len(part) for parts in pieces for part in parts)
        headers = wires.merge(headers, (("content-length", str(size)),))
    bodiless = seen.method == "HEAD" or draft.status in (204, 304)
    body = () if bodiless else _timed(draft, pieces, reply, faults)
    return Play(_before(reply, faults), draft.status, headers, body, draft.streamed, kinds)


def _compressed(pieces: list[list[bytes]]) -> list[list[bytes]]:
    """The pieces compressed as one gzip stream, flushed after each so that a client can read it at once."""
    press = zlib.compressobj(wbits=31)
    pressed = [[press.compress(part) + press.flush(zlib.Z_SYNC_FLUSH) for part in parts] for parts in pieces]
    if pressed:
        pressed[-1].append(press.flush())
    return pressed


def _before(reply: Reply | Raw, faults: tuple[Fault, ...]) -> tuple[Action, ...]:
    before: list[Action] = []
    if isinstance(reply, Reply) and reply.delay:
        before.append(Wait(reply.delay))
    for fault in faults:
        if fault.kind == "connect_error":
            return (Break("refuse"),)
        if fault.kind == "connect_timeout":
            return (Break("connect_timeout"),)
        if fault.before_head and fault.kind in ("reset", "hangup"):
            before.append(Break("reset" if fault.kind == "reset" else "hangup"))
        elif fault.before_head and fault.kind in ("stall", "read_timeout"):
            before.append(Wait(fault.seconds))
    return tuple(before)


def _timed(
    draft: Draft, pieces: list[list[bytes]], reply: Reply | Raw, faults: tuple[Fault, ...]
) -> tuple[Action, ...]:
    """The pieces with the waits and breaks between them, up to the first break."""
    pause = max((f.seconds for f in faults if f.kind == "slow"), default=0.0)
    pause = max(pause, reply.chunk_delay if isinstance(reply, Reply) else 0.0)
    placed: dict[int, list[Action]] = {}
    for fault in faults:
        if _placed(fault):
            action: Action = Wait(fault.seconds) if fault.kind == "stall" else Break(_how(fault))
            placed.setdefault(_index(draft.events, fault), []).append(action)
    acts: list[Action] = []
    for index, parts in enumerate(pieces):
        acts += [Wait(pause)] if pause and index else []
        acts += sorted(placed.get(index, ()), key=lambda act: isinstance(act, Break))
        acts += [Send(part) for part in parts if part]
    for fault in faults:
        if fault.at_byte is not None:
            acts = _broken_at(acts, fault.at_byte, Break(_how(fault)))
    end = next((i for i, act in enumerate(acts) if isinstance(act, Break)), None)
    return tuple(acts if end is None else acts[: end + 1])


def _how(fault: Fault) -> Literal["reset", "hangup"]:
    return "reset" if fault.kind == "reset" else "hangup"


def _broken_at(acts: list[Action], at: int, stop: Break) -> list[Action]:
    size = sum(len(act.data) for act in acts if isinstance(act, Send))
    left = max(0, min(at, size - 1))
    passed: list[Action] = []
    for act in acts:
        if isinstance(act, Send):
            if len(act.data) > left:
                return [*passed, *([Send(act.data[:left])] if left else []), stop]
            left -= len(act.data)
        passed.append(act)
    return [*passed, stop]


def _inside_code_points(data: bytes) -> list[bytes]:
    """*data* cut after the first byte of every code point that has more, in halves when there is none."""
    cuts = [i + 1 for i in range(len(data) - 1) if data[i] >= 0xC0 and data[i + 1] & 0xC0 == 0x80]
    edges = [0, *(cuts or [len(data) // 2]), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


__all__ = ["Action", "Break", "Play", "Send", "Wait", "compose"]

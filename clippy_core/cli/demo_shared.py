"""The scene of one answer for many calls: under way, stored, asked for anew, and past its time while nobody answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from clippy_hookspecs import AuditRecord

from ..config_structure import setting_fields
from ..testing import Fault, Reply
from .demo_scene import Proof, check, need
from .demo_stage import Stage
from .demo_words import count, ms, requests, source_of
from .screen import Line, line

CALLERS = 20
QUESTION = "What do many people ask at once?"
ANSWERS = ("The same thing.", "The same thing, asked anew.", "The same thing, for a moment.")
THINKING = 0.25
"""Seconds that the provider takes, so that all callers are there before it answers."""
MOMENT = 0.1
"""Seconds that the last answer is kept."""
KEPT_FOR = "stale_if_error"
"""The setting of caches, and of who asks them, for how long an answer may be given past its time."""
DOWN = Fault.status(503, retry_after=0.01)
"""It says when to come back, so that the scene takes no seconds."""


def shared_answers(stage: Stage) -> Proof:
    """Many equal calls at once, another one, one that wants no stored answer, and one while the provider is down."""
    need(stage, "cache", "cache_lookup", "cache_store")
    told = [plugin.name for plugin in stage.found if plugin.status == "loaded" and _has_setting(plugin.cls)]
    first = len(stage.recorder.records)
    with stage.told("".join(f"[plugins.{name}]\n{KEPT_FOR} = 600\n" for name in told)):
        together = _at_once(stage)
        text, again = _ask(stage)
        check(again == 0, f"{requests(again)} when the answer was stored")
        check(text == ANSWERS[0], f"the cache gave {text!r}")
        below = [_together_line(stage, first, together), line("      once more: 0 requests, it was stored")]
        text, anew = _ask(stage, ANSWERS[1], cache="no-cache")
        stale = 0
        if anew == 0:
            below.append(line("      X-Clippy-Cache: nobody here reads it"))
        else:
            check((anew, text) == (1, ANSWERS[1]), f"{requests(anew)} with no-cache, and {text!r}")
            below.append(line(f"      X-Clippy-Cache: no-cache: {requests(anew)}"))
            if set(told).intersection(stage.implementing("on_error")):
                stale = 1
                below.append(_while_down(stage))
    made = stage.recorder.records[first:]
    sent = sum(source_of(one) == "provider" for one in made)
    joined, stored = sum(map(_joined, made)), sum(source_of(one) == "cache" for one in made)
    said = f"{count(len(made), 'call')}, the provider answered {sent}: {joined} joined, {stored - joined} stored"
    facts = {"calls": len(made), "together": together, "joined": joined, "stored": stored - joined, "stale": stale}
    return Proof(said, tuple(below), {**facts, "answered_by_provider": sent, "anew": anew})


def _has_setting(cls: type | None) -> bool:
    return cls is not None and any(one.name == KEPT_FOR for one in setting_fields(cls))


def _at_once(stage: Stage) -> int:
    """Let all callers ask at once; the requests that reached the provider.

    At temperature 0: who asks twice at a higher one may want two answers.
    """
    with _always(stage, Reply(ANSWERS[0], delay=THINKING)), ThreadPoolExecutor(CALLERS) as callers:
        before = stage.sent
        asked = [callers.submit(stage.primary.chat, stage.host, QUESTION, temperature=0) for _ in range(CALLERS)]
        texts = {one.result() for one in asked}
    check(texts == {ANSWERS[0]}, f"the callers got {texts}")
    return stage.sent - before


def _together_line(stage: Stage, first: int, sent: int) -> Line:
    joined = sum(map(_joined, stage.recorder.records[first:]))
    if not joined:
        return line(f"      {CALLERS} callers at once: {requests(sent)}, nobody here lets them share one under way")
    check(sent == 1, f"{requests(sent)} for {CALLERS} callers, {joined} of whom joined another's")
    return line(f"      {CALLERS} callers at once: {requests(sent)}")


def _while_down(stage: Stage) -> Line:
    """Ask for what is stored for a moment only, after that moment, of a provider that is down."""
    _ask(stage, ANSWERS[2], cache=f"no-cache, ttl={MOMENT:g}")
    time.sleep(MOMENT * 1.5)
    with _always(stage, DOWN):
        text, _ = _ask(stage)
    record = stage.recorder.records[-1]
    given = record.provenance
    check(given is not None and given.stale and text == ANSWERS[2], f"{text!r} is not the stored answer, marked stale")
    why = given.reason if given else None
    _ask(stage, ANSWERS[0])  # it is back
    return line(f"      provider down, time over: the stored answer, marked stale ({why}), after {ms(record.duration)}")


def _ask(stage: Stage, *answers: str, cache: str = "") -> tuple[str, int]:
    """Ask once; what the caller got, and the requests that reached the provider."""
    stage.acts.planned.extend(Reply(text) for text in answers)
    before = stage.sent
    text = stage.primary.chat(stage.host, QUESTION, cache=cache, temperature=0)
    stage.acts.planned.clear()
    return text, stage.sent - before


def _joined(record: AuditRecord) -> bool:
    return record.provenance is not None and record.provenance.reason == "flight"


@contextmanager
def _always(stage: Stage, step: Reply | Fault) -> Iterator[None]:
    stage.acts.always = step
    try:
        yield
    finally:
        stage.acts.always = None

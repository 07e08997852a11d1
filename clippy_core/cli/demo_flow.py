"""The scene of a stream that is steered while it comes: paused, slowed and let go, from another thread."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..testing import Reply
from .demo_scene import Proof, check
from .demo_stage import Stage
from .demo_words import COUNTED, quoted
from .screen import Line, Span, line

PAUSE = 0.4
"""Seconds."""
SLOWED = 25.0
"""Chunks a second."""
_WIDTH = 24


def steered_stream(stage: Stage) -> Proof:
    """A stream that is paused after a quarter, slowed after a third, and let go near its end."""
    stage.acts.planned.append(Reply(COUNTED))
    pieces: list[str] = []
    gaps: list[float] = []
    resumed = threading.Event()
    last = time.monotonic()
    for piece in stage.primary.stream(stage.host, "Count from one to twelve, and take your time."):
        flow, now = _flow(stage), time.monotonic()
        gaps.append(now - last)
        last = now
        before, share = _share(pieces), _share([*pieces, piece])
        pieces.append(piece)
        stage.show(_bar(share, flow.state))
        if before < 0.25 <= share:
            flow.pause()
            stage.show(_bar(share, flow.state))
            threading.Timer(PAUSE, _resume, (flow, resumed)).start()
        elif before < 0.35 <= share:
            flow.limit(SLOWED)
        elif before < 0.8 <= share:
            flow.limit(None)
    text, record = "".join(pieces), stage.recorder.records[-1]
    check(text == COUNTED, f"the caller read {text!r}")
    check(resumed.is_set() and max(gaps) >= PAUSE * 0.9, f"the longest wait for a chunk was {max(gaps):.2f} s")
    slow = sum(0.8 / SLOWED <= gap < PAUSE * 0.9 for gap in gaps)
    check(slow >= 2, f"{slow} chunks came slowed")
    check(record.outcome in ("answered", "cached"), f"its record says {record.outcome}")
    said = f"nothing read for {max(gaps):.2f} s, {slow} chunks at {SLOWED:g} a second, nothing lost: {quoted(text)}"
    return Proof(said, (_bar(1.0, "completed"),), {"longest_gap": max(gaps), "slowed": slow, "chunks": len(pieces)})


def _resume(flow: Any, resumed: threading.Event) -> None:
    resumed.set()
    flow.resume()


def _flow(stage: Stage) -> Any:
    assert stage.recorder.live is not None
    return stage.recorder.live.flow


def _share(pieces: list[str]) -> float:
    """How much of the answer is there; of this one it is known how long it will be."""
    return sum(map(len, pieces)) / len(COUNTED)


def _bar(share: float, state: str) -> Line:
    done = round(share * _WIDTH)
    style = "warn" if state == "paused" else "good"
    return line("      [", Span("#" * done, style), f"{'.' * (_WIDTH - done)}] {share:4.0%} {state}")

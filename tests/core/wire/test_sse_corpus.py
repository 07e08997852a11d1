"""Every case of the event-stream corpus, at every split."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clippy_core.wire.sse import SseDecoder

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "sse-dev.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text().splitlines()] if CORPUS.exists() else []
EVERY_SPLIT_UP_TO = 3000


def input_of(case: dict[str, Any]) -> bytes:
    if "input_b64" in case:
        return base64.b64decode(case["input_b64"])
    return b"".join(text.encode() * times for text, times in case["input_parts"])


def expected(case: dict[str, Any]) -> dict[str, Any]:
    events = []
    for event in case["expect"]["events"]:
        parts = event.get("data_parts")
        data = "".join(text * times for text, times in parts) if parts else event["data"]
        events.append({"event": event["event"], "data": data, "id": event["id"]})
    return {**case["expect"], "events": events}


def decoded(parts: list[bytes]) -> dict[str, Any]:
    decoder = SseDecoder()
    events = [event for part in parts for event in decoder.feed(part)] + decoder.finish()
    return {
        "events": [{"event": event.event, "data": event.data, "id": event.id} for event in events],
        "retry": decoder.retry,
        "last_event_id": decoder.last_event_id,
    }


def splits(stream: bytes) -> Iterator[list[bytes]]:
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    if len(stream) <= EVERY_SPLIT_UP_TO:
        yield from ([stream[:at], stream[at:]] for at in range(len(stream)))
    chance = random.Random(7)
    for _ in range(5):
        cuts = [0, *sorted(chance.randrange(len(stream) + 1) for _ in range(6)), len(stream)]
        yield [stream[start:end] for start, end in pairwise(cuts)]


@pytest.mark.skipif(not CASES, reason="the corpus ../shared/data/sse-dev.jsonl is not beside this checkout")
def test_the_corpus_is_decoded_at_every_split() -> None:
    """Whole, byte by byte, cut in two at each place and cut at random, each case gives its events."""
    wrong = {case["name"] for case in CASES for parts in splits(input_of(case)) if decoded(parts) != expected(case)}
    assert not wrong

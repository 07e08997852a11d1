"""Every transcript of the streams corpus, at every split."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clippy_core.wire import APIS
from clippy_core.wire.assemble import StreamResult, assemble_stream

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "streams-dev.jsonl"
DIALECTS = {"openai": "openai.chat", "anthropic": "anthropic.messages", "openai_responses": "openai.responses"}
"""Ollama's own NDJSON is none of the wire APIs."""
CASES = [json.loads(line) for line in CORPUS.read_text().splitlines()] if CORPUS.exists() else []


def said(result: StreamResult) -> dict[str, Any]:
    usage, error = result.usage, result.error
    return {
        "text": result.text,
        "reasoning": result.reasoning,
        "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in result.tool_calls],
        "finish_reason": result.finish_reason,
        "usage": {"input": usage.input, "output": usage.output} if usage is not None else None,
        "error": {"category": error.category, "retryable": error.retryable} if error is not None else None,
        "complete": result.complete,
        "refusal": result.refusal,
    }


def splits(stream: bytes) -> Iterator[list[bytes]]:
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    yield from ([stream[:at], stream[at:]] for at in range(len(stream)))
    chance = random.Random(7)
    for _ in range(5):
        cuts = [0, *sorted(chance.randrange(len(stream) + 1) for _ in range(6)), len(stream)]
        yield [stream[start:end] for start, end in pairwise(cuts)]


@pytest.mark.skipif(not CASES, reason="the corpus ../shared/data/streams-dev.jsonl is not beside this checkout")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_corpus_is_assembled_at_every_split(dialect: str) -> None:
    """Whole, byte by byte, cut in two at each place and cut at random, each transcript comes to what it says."""
    wrong = set()
    for case in CASES:
        if case["dialect"] == dialect:
            stream = base64.b64decode(case["input_b64"])
            results = (said(assemble_stream(APIS[DIALECTS[dialect]], parts)) for parts in splits(stream))
            wrong |= {case["name"] for result in results if result != case["expect"]}
    assert not wrong

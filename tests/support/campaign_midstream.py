"""Streams that break, under the official SDKs: before the first word, after it, and gone on with.

    python tests/support/campaign_midstream.py --n 1000 [--seed 1]

Each stream is broken at a random place in a random way: reset, error event, truncated JSON, an end without the terminal
event.  Three questions are put, each *n* times, over both SDKs, three wire APIs, threads, asyncio and trio:

unseen   broken before its first word: does the SDK read one whole answer, and nobody a failure?
raised   broken after it: does the SDK raise, with exactly what was delivered in the cause, and no chunk twice?
joined   gone on with: is the text the whole text?  The provider plays a model that begins by repeating the last words
         of what it said, or everything, or nothing, as it falls.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import anthropic
import anyio
import httpx2
import openai
from attrs import frozen
from clippy_errors import ErrorClassifier
from clippy_hookspecs import StreamInterrupted
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Fault, Reply, SeenRequest, VirtualClock

APIS = ("openai.chat", "openai.responses", "anthropic.messages")
COLOURS = ("sync", "asyncio", "trio")
QUESTIONS = ("unseen", "raised", "joined")
VOCABULARY = [
    first + second
    for first in ["ba", "do", "ke", "lu", "mi", "no", "pa", "ri", "so", "tu", "we", "za"]
    for second in ["lon", "mer", "nit", "par", "sum", "tan"]
]
FAULTS: tuple[Callable[[int], Fault], ...] = (
    lambda at: Fault.reset(at_delta=at),
    lambda at: Fault.error_event(at_delta=at),
    lambda at: Fault.truncated_json(at_delta=at),
    lambda at: Fault.hangup(at_delta=at),
)


@frozen
class Plan:
    """One stream: what the model wants to say, where that breaks and how, and how much it says again."""

    text: str
    pieces: tuple[str, ...]
    at: int
    fault: int
    repeats: int

    @classmethod
    def of(cls, question: str, dice: random.Random) -> Plan:
        words = dice.sample(VOCABULARY, dice.randint(6, 30))
        text = " ".join(words) + "."
        cuts = sorted({0, len(text), *dice.sample(range(1, len(text)), min(len(text) - 1, dice.randint(3, 25)))})
        pieces = tuple(text[one:other] for one, other in itertools.pairwise(cuts))
        at = 0 if question == "unseen" else dice.randint(1, len(pieces) - 1)
        return cls(text, pieces, at, dice.randrange(len(FAULTS)), dice.choice((1, 2, 5, 99)))

    def answer(self, seen: SeenRequest) -> Any:
        """What the provider does: breaks the first time, and goes on from what it is told that it said."""
        said = _said(seen)
        if said is None:
            if seen.number == 1:
                return [FAULTS[self.fault](self.at), Reply(chunks=self.pieces)]
            return Reply(chunks=self.pieces)
        again = "" if not self.repeats else _last_words(said, self.repeats)
        return Reply(again + self.text[len(said) :] if again else self.text[len(said) :].lstrip(), chunks=7)


def _said(seen: SeenRequest) -> str | None:
    """The beginning of its answer that a model is told of, None in a first request."""
    turns = seen.json.get("messages", seen.json.get("input"))
    told = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "assistant"] if turns else []
    if not told or isinstance(turns, str):
        return None
    content = told[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _last_words(said: str, count: int) -> str:
    """The last *count* words of *said*, the one that was cut among them."""
    starts = [at for at in range(len(said)) if (at == 0 or said[at - 1] == " ") and said[at] != " "]
    return said[starts[max(0, len(starts) - count)] :]


@frozen
class Outcome:
    text: str
    error: BaseException | None
    requests: int


def _interrupted(error: BaseException | None) -> StreamInterrupted | None:
    while error is not None and not isinstance(error, StreamInterrupted):
        error = error.__cause__
    return error


def judge(question: str, plan: Plan, got: Outcome) -> str | None:
    """What is wrong, None if nothing is."""
    if question == "raised":
        delivered = "".join(plan.pieces[: plan.at])
        partial = _interrupted(got.error)
        told = partial.partial.text if partial is not None and partial.partial is not None else None
        if got.error is None or got.requests != 1:
            return f"{got.requests} requests and {type(got.error).__name__}"
        # An error event carries its failure in the SDK's own exception, which has no cause of ours.
        exact = told == delivered or (told is None and plan.fault == 1)
        return None if got.text == delivered and exact else f"read {got.text!r}, told {told!r}, not {delivered!r}"
    if got.error is not None:
        return f"raised {got.error!r}"
    return None if (got.text, got.requests) == (plan.text, 2) else f"{got.requests} requests, read {got.text!r}"


# --- calls -----------------------------------------------------------------------------------------------------------

ASKED: Any = [{"role": "user", "content": "Say it."}]


class SaidFailed(Exception):
    """The SDK for the Responses API hands an error event to the program, which has to look for it."""


async def _read(events: Any, words: Callable[[Any], str], said: list[str]) -> None:
    failed = False
    if hasattr(events, "__aiter__"):
        async for event in events:
            said.append(words(event))
            failed = failed or getattr(event, "type", "") in ("error", "response.failed")
    else:
        for event in events:
            said.append(words(event))
            failed = failed or getattr(event, "type", "") in ("error", "response.failed")
    if failed:
        raise SaidFailed


def _chat_words(chunk: Any) -> str:
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


def _responses_words(event: Any) -> str:
    return event.delta if event.type == "response.output_text.delta" else ""


def _messages_words(event: Any) -> str:
    return event.delta.text if event.type == "content_block_delta" and event.delta.type == "text_delta" else ""


async def _value(made: Any) -> Any:
    return await made if hasattr(made, "__await__") else made


async def call(client: Any, api: str, said: list[str]) -> None:
    """One streamed call by the SDK of *api*."""
    if api == "openai.chat":
        stream = await _value(client.chat.completions.create(model="m", messages=ASKED, stream=True))
        return await _read(stream, _chat_words, said)
    if api == "openai.responses":
        return await _read(
            await _value(client.responses.create(model="m", input="Say it.", stream=True)), _responses_words, said
        )
    stream = await _value(client.messages.create(model="m", max_tokens=999, messages=ASKED, stream=True))
    return await _read(stream, _messages_words, said)


def one(question: str, api: str, colour: str, plan: Plan) -> Outcome:
    """One stream in a host of its own, on a virtual clock."""
    clock = VirtualClock()
    provider = FakeProvider(plan.answer, clock=clock)
    policy = RetryPolicy(on_mid_stream="continue" if question == "joined" else "raise")
    host = clippy_core.Host({"errors": ErrorClassifier(), "retry": policy}, clock=clock)
    is_async = colour != "sync"
    http = (
        httpx2.AsyncClient(transport=provider.async_transport(httpx2))
        if is_async
        else httpx2.Client(transport=provider.transport(httpx2))
    )
    kinds: Any = (openai.AsyncOpenAI, anthropic.AsyncAnthropic) if is_async else (openai.OpenAI, anthropic.Anthropic)
    kind, base = (kinds[0], "http://fake.test/v1") if api.startswith("openai") else (kinds[1], "http://fake.test")
    client = host.wrap(kind(api_key="k", base_url=base, http_client=http))
    said: list[str] = []
    error: BaseException | None = None
    try:
        if is_async:
            anyio.run(call, client, api, said, backend=colour)
        else:
            drive(call(client, api, said))
    except Exception as raised:
        error = raised
    host.close()
    return Outcome("".join(said), error, len(provider.requests))


def campaign(n: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many of each question went well, and what did not."""
    well: Counter[str] = Counter()
    wrong: list[str] = []
    for question in QUESTIONS:
        for number in range(n):
            dice = random.Random(f"{seed}-{question}-{number}")
            api, colour = APIS[number % 3], COLOURS[number // 3 % 3]
            plan = Plan.of(question, dice)
            fault = judge(question, plan, one(question, api, colour, plan))
            if fault is None:
                well[question] += 1
            else:
                wrong.append(f"{question} {number} ({api}, {colour}): {fault}; {json.dumps(plan.pieces)} at {plan.at}")
    return well, wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    well, wrong = campaign(given.n, given.seed)
    for question in QUESTIONS:
        print(f"{question}: {well[question]} of {given.n}")
    for what in wrong[:20]:
        print(what)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

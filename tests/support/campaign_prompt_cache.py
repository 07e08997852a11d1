"""How much of each prompt a provider's prompt cache could read of the one before it, with plugins in between.

    python tests/support/campaign_prompt_cache.py --talks 20 --turns 30 --seed 1

Conversations of 30 requests are made from a seed: tools, long instructions, questions, tool calls with results,
answers.  Each goes in each wire API through a host, and what arrives at the provider is compared with the request
before: the share of the bytes of the previous prompt (tools, instructions, messages; without the marks that steer the
cache) with which the next prompt begins.

Three hosts: with every plugin of the extra ``all`` as it comes; the same with ``plan = "auto"``; and with
clippy-context-window set to a limit that half of the conversation passes, where every cut costs what lies behind it.

For Anthropic also what its cache would really read: it keeps an entry for each mark of a request, and finds one at a
mark or at most twenty blocks before it.  Without marks it reads nothing.

Exit status 1 if a share with the default plugins, planned or not, is below 99 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cache_talk import requests_of

from clippy_core.testing import Bench, Reply
from clippy_core.testing.contracts.bench import PATHS

LEAST = 0.99
LOOK_BACK = 20
"""Blocks before a mark in which an entry is found (Anthropic, *Prompt caching*)."""
CUT_AT = 0.5
"""Of the last prompt's tokens, the limit of the context window in the third host."""
_BYTES = 4
"""Of a token, about."""

ROOT = Path(__file__).resolve().parents[2]


def default_plugins(folder: Path, **settings: Mapping[str, Any]) -> dict[str, object]:
    """Every plugin of the extra ``all``, with its files in *folder*."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {line.partition(">=")[0] for line in project["optional-dependencies"]["all"]}
    paths: dict[str, Mapping[str, Any]] = {
        "audit": {"path": folder / "audit.jsonl"},
        "cache-sqlite": {"path": folder / "cache.db"},
    }
    found = [point for point in entry_points(group="clippy") if point.dist is not None and point.dist.name in wanted]
    return {one.name: one.load()(**paths.get(one.name, {}), **settings.get(one.name, {})) for one in found}


def prompt(body: Mapping[str, Any]) -> bytes:
    """What the provider reads of *body*, in the order in which it caches it."""
    turns = body.get("input") or body.get("messages") or []
    parts = [body.get("tools"), body.get("system"), body.get("instructions"), *turns]
    return b"\n".join(json.dumps(_bare(part)).encode() for part in parts if part is not None)


def _bare(value: Any) -> Any:
    """Without marks, and a content of one text as that text."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if name != "cache_control"}
    if isinstance(value, list):
        bare = [_bare(one) for one in value]
        plain = len(bare) == 1 and isinstance(bare[0], dict) and bare[0].keys() == {"type", "text"}
        return bare[0]["text"] if plain else bare
    return value


def read_by_marks(bodies: Sequence[Mapping[str, Any]]) -> float:
    """The share of the prompts' bytes, but for the first, that Anthropic's cache has from the requests before."""
    entries: set[bytes] = set()
    read = total = 0
    for number, body in enumerate(bodies):
        digest, ends, marks = sha256(), [], []
        size = 0
        for at, (text, marked) in enumerate(_blocks(body)):
            digest.update(text)
            size += len(text)
            ends.append((digest.digest(), size))
            marks += [at] if marked else []
        near = [end for mark in marks for end in ends[max(0, mark - LOOK_BACK) : mark + 1]]
        if number:
            read += max((size for entry, size in near if entry in entries), default=0)
            total += size
        entries.update(ends[mark][0] for mark in marks)
    return read / total if total else 0.0


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[bytes, bool]]:
    """The blocks of an Anthropic request and whether they are marked."""
    for tool in body.get("tools", ()):
        yield json.dumps(_bare(tool)).encode(), "cache_control" in tool
    for turn in [{"role": "system", "content": body.get("system", "")}, *body["messages"]]:
        blocks = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        for block in blocks:
            yield json.dumps([turn["role"], _bare(block)]).encode(), "cache_control" in block


def sent(api: str, turns: int, seed: object, **settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The bodies of one conversation as they arrive at the provider."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(default_plugins(Path(folder), **settings), Reply("Yes."))
        for body in requests_of(api, turns, seed):
            got = bench.post(PATHS[api], body)
            if got.status != 200:
                raise SystemExit(f"{api}, seed {seed}: status {got.status}: {got.error or got.pieces}")
        bench.close()
    if bench.blamed or bench.provider.calls != turns:
        raise SystemExit(f"{api}, seed {seed}: {bench.blamed or bench.provider.calls}")
    return [seen.fields for seen in bench.provider.requests]


def shares(bodies: Sequence[Mapping[str, Any]]) -> list[float]:
    """For each request but the first, the share of the previous prompt that it begins with."""
    prompts = [prompt(body) for body in bodies]
    return [_common(old, new) / len(old) for old, new in pairwise(prompts)]


def _common(one: bytes, other: bytes) -> int:
    """How long the common beginning is."""
    different = (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(different, min(len(one), len(other)))


def hosts(api: str, turns: int, seed: object) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
    """The hosts by name, with the settings of their plugins."""
    *_, last = requests_of(api, turns, seed)
    limit = int(len(prompt(last)) / _BYTES * CUT_AT)
    plan = {"plan": "auto", "key_hosts": ("fake.test",)}
    yield "as installed", {}
    yield "planned", {"prompt-cache": plan}
    yield "context window", {"prompt-cache": plan, "context-window": {"max_tokens": limit, "reserve": 0}}


def main() -> int:
    """Measure, print, and say whether the share is what it must be."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--talks", type=int, default=20)
    options.add_argument("--turns", type=int, default=30)
    options.add_argument("--seed", default="1")
    given = options.parse_args()
    found: dict[tuple[str, str], list[list[float]]] = {}
    reads: dict[str, list[float]] = {}
    for number in range(given.talks):
        for api in PATHS:
            seed = f"{given.seed} {number}"
            for name, settings in hosts(api, given.turns, seed):
                bodies = sent(api, given.turns, seed, **settings)
                found.setdefault((name, api), []).append(shares(bodies))
                if api == "anthropic.messages":
                    reads.setdefault(name, []).append(read_by_marks(bodies))
    print(f"{given.talks} conversations of {given.turns} requests in each wire API, seed {given.seed}")
    print(f"{'host':16} {'wire API':20} {'least':>8} {'mean':>8} {'breaks in a conversation':>26}")
    worst = 1.0
    for (name, api), talks in found.items():
        every = [share for talk in talks for share in talk]
        breaks = mean(sum(share < LEAST for share in talk) for talk in talks)
        print(f"{name:16} {api:20} {min(every):8.2%} {mean(every):8.2%} {breaks:26.1f}")
        if name != "context window":
            worst = min(worst, *every)
    for name, each in reads.items():
        print(
            f"{name:16} Anthropic's cache reads {mean(each):.2%} of the prompts behind the first, least {min(each):.2%}"
        )
    return 0 if worst >= LEAST else 1


if __name__ == "__main__":
    raise SystemExit(main())

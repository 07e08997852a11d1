"""How many questions a semantic cache answers rightly and wrongly, at its own settings, and how long that takes.

    python tests/support/campaign_semantic.py --data ../shared/data/nlp

Every pair is two requests under the real host: the first is asked, the second is served or not.  With ``--data`` the
pairs of fow-cache (CC BY 4.0) and Quora (their terms: research only; read, never trained on) are used, each file if
it is there.  Of fow's pairs one half was looked at when the rules were written and the other was not.  Then come pairs
from templates with words of their own, and times against those of the bare embedder.

Exit status 1 if any pair of the templates or any conversation of fow is answered wrongly.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from clippy_cache_semantic import SemanticCache
from clippy_cache_semantic.guards import PROFILES, aligned, content, difference, kind
from clippy_cache_semantic.phrases import OPPOSITES
from clippy_cache_semantic.reading import Reading
from clippy_cache_semantic.shelf import Shelf, unit
from clippy_embed_minilm import MiniLMEmbedder
from semantic_variants import Pair, pairs

import clippy_core
from clippy_core.testing import FakeProvider, FakeUpstream

ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-none", "model": "fake-model"}}
EMBEDDER = MiniLMEmbedder()
SERVED_BY = "cache-semantic"


def served(one: Any, other: Any, profile: str) -> bool:
    """Whether a host with an empty cache answers *other* with what it was told for *one*."""
    plugins = [SemanticCache(mode="serve", profile=profile), EMBEDDER, FakeUpstream(FakeProvider())]
    with clippy_core.Host(plugins, config={"routes": ROUTES}) as host, clippy_core.Client(host) as client:
        client.chat(one)
        return client.chat(other).provenance.by == SERVED_BY


def tell(title: str, found: Iterable[tuple[str, bool, bool]]) -> tuple[int, int]:
    """Print shares of (category, same, served) by category; how many were missed and how many wrong."""
    of: Counter[tuple[bool, str]] = Counter()
    was: Counter[tuple[bool, str]] = Counter()
    for category, same, hit in found:
        of[same, category] += 1
        was[same, category] += hit
    total = {same: sum(count for (kind, _), count in of.items() if kind is same) for same in (True, False)}
    hits = {same: sum(count for (kind, _), count in was.items() if kind is same) for same in (True, False)}
    share = {same: hits[same] / total[same] if total[same] else 0.0 for same in total}
    print(
        f"{title}: served {hits[True]}/{total[True]} = {share[True]:.1%},"
        f" wrong {hits[False]}/{total[False]} = {share[False]:.1%}"
    )
    for (same, category), count in sorted(of.items(), key=lambda one: (not one[0][0], one[0][1])):
        print(f"    {'served' if same else 'wrong '} {was[same, category]:4}/{count:<4} {category}")
    return total[True] - hits[True], hits[False]


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none if it is not there."""
    if not path.exists():
        print(f"({path.name} is not there)")
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def looked_at(row: Mapping[str, Any]) -> bool:
    """Whether a pair of fow belongs to the half that was looked at."""
    return int(hashlib.md5(row["a"].encode(), usedforsecurity=False).hexdigest(), 16) % 2 == 0


def fow(folder: Path) -> int:
    """Single questions by half and profile, then conversations; how many conversations were wrong."""
    every, wrong = rows(folder / "fow_pairs_dev.jsonl.gz"), 0
    for profile in ("strict", "balanced"):
        for half, name in ((True, "looked at"), (False, "not looked at")):
            some = [row for row in every if looked_at(row) is half]
            found = [(row["category"], row["same_answer"], served(row["a"], row["b"], profile)) for row in some]
            if found:
                tell(f"fow pairs, {profile}, {name}", found)
    talks = rows(folder / "fow_conv_dev.jsonl.gz")
    found = [(row["subtype"], row["same_answer"], served(row["a"], row["b"], "strict")) for row in talks]
    if found:
        wrong += tell("fow conversations, strict", found)[1]
    return wrong


def quora(folder: Path, count: int) -> None:
    """Recall where one in a hundred of the others is served, by a threshold of its own; and at the plugin's."""
    some = rows(folder / "qqp_dev.jsonl.gz")[:count]
    if not some:
        return
    threshold = SemanticCache().threshold
    # Beside the plugin's own: the cosine times the share of words that have a counterpart, behind all guards but two.
    shared = "cosine times the aligned share, strict but for kind and content"
    fewer = [guard for guard in PROFILES["strict"] if guard not in (kind, content)]
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in ("cosine alone", "strict", "balanced", shared)}
    for row in some:
        one, other = Reading(row["a"]), Reading(row["b"])
        mine, yours = map(unit, EMBEDDER.embed([one.normal, other.normal]))
        cosine = float(mine @ yours)
        equal, label = one.normal == other.normal, row["same_answer"]
        found["cosine alone"].append((cosine, label))
        for profile in ("strict", "balanced"):
            passes = equal or difference(one, other, PROFILES[profile]) is None
            found[profile].append((cosine if passes else 0.0, label))
        twins, left, right = aligned(one, other)
        share = 1.0 if equal else 2 * len(twins) / (2 * len(twins) + len(left) + len(right) or 1)
        found[shared].append((cosine * share if equal or difference(one, other, fewer) is None else 0.0, label))
    for name, scored in found.items():
        same = [score for score, is_same in scored if is_same]
        others = sorted((score for score, is_same in scored if not is_same), reverse=True)
        cut = others[len(others) // 100]
        recall = sum(score > cut for score in same) / len(same)
        at = (
            sum(score >= threshold for score in same) / len(same),
            sum(score >= threshold for score in others) / len(others),
        )
        print(f"QQP, {len(some)} pairs, {name}: recall {recall:.3f} at 1 % false hits (cosine > {cut:.3f});", end=" ")
        print(f"at the plugin's threshold {at[0]:.3f} recall, {at[1]:.3f} false hits")


def variants(seed: int, each: int) -> int:
    """Pairs from templates; how many were answered wrongly."""
    told = frozenset(
        frozenset((a, b))
        for line in OPPOSITES
        for one, others in [line.split(" / ")]
        for a in one.split()
        for b in others.split()
    )
    made: list[Pair] = list(dict.fromkeys(pairs(seed, each, told)))
    return tell("templates, strict", [(p.category, p.same, served(p.one, p.other, "strict")) for p in made])[1]


def times(count: int) -> None:
    """Milliseconds of the parts of a lookup among *count* entries, beside the bare embedding."""
    rng = np.random.default_rng(1)
    shelf = Shelf(384)
    for number in range(count):
        shelf.put(str(number), unit(rng.standard_normal(384).tolist()))
    texts = [f"How do I register my violin number {n} with the office in Norway?" for n in range(40)]
    other = Reading("How can I register my cello with the office in Sweden?")
    difference(Reading(texts[0]), other)
    fresh = MiniLMEmbedder(max_bytes=0)
    vector = unit(fresh.embed(["warm"])[0])
    parts: dict[str, Callable[[str], object]] = {
        "normalised words": lambda text: Reading(text).normal,
        "embedding": lambda text: fresh.embed([text]),
        "search": lambda text: shelf.near(vector, 0.6, 8),
        "reading and guards of one neighbour": lambda text: _guarded(Reading(text), other),
        "whole lookup": lambda text: (
            shelf.near(unit(fresh.embed([Reading(text).normal])[0]), 0.6, 8), difference(Reading(text), other),
        ),
    }  # fmt: skip
    median = {name: statistics.median(_seconds(part, texts)) * 1000 for name, part in parts.items()}
    for name, milliseconds in median.items():
        print(
            f"{name}, {count} entries: p50 {milliseconds:.3f} ms"
            f" = {milliseconds / median['embedding']:.3f} of the embedding"
        )


def _guarded(one: Reading, other: Reading) -> list[str | None]:
    """What every guard says: all of them, as for two questions that are one."""
    return [guard(one, other) for guard in PROFILES["strict"]]


def _seconds(part: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    found = []
    for text in texts:
        begun = time.perf_counter()
        part(text)
        found.append(time.perf_counter() - begun)
    return found


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="the folder of the development data")
    parser.add_argument("--qqp", type=int, default=2000, help="pairs of Quora's")
    parser.add_argument("--each", type=int, default=25, help="pairs of each kind from the templates")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    wrong = 0
    if given.data is not None:
        wrong += fow(given.data)
        quora(given.data, given.qqp)
    wrong += variants(given.seed, given.each)
    times(10_000)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

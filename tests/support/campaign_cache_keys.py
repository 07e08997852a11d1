"""Fuzzes pairs of requests: two share a cache key if and only if they are the same question of one scope.

    python tests/support/campaign_cache_keys.py --pairs 1000000 --seed 1

Each pair is a request that the SDKs send, or one of random JSON, and another made of it: the same with its names in
another order and other ways to travel; for another tenant or user, by other credentials, to another address; with one
value changed; with text moved from one field into the next.  Whether both are the same is decided without the code
under test, by comparing all parts.  Every key of the whole run is kept with its scope: none may come up for two.

Exit status 1 and the first failures of each kind, with what repeats them, if anything was otherwise.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from clippy_hookspecs import Scope

sys.path.insert(0, str(Path(__file__).parent))

from captured_requests import at, captured, changed, drop, others, paths, put, shuffled

from clippy_core.keys import NOT_IN_KEY, SEMANTIC_HEADERS, cache_key

SHOWN = 3
"""Failures of each kind that are printed."""

NAMES = (
    None, "", "None", "null", "t", "t1", "T1", "t1 ", " t1", "t1\0", "t1/u1", "t1:u1", "t1|u1", "t1,u1", '["t1"',
    "t\u0131",    "ｔ1", "т1", "t1\u200b", "../t1", "0", "true", "e\u0301", "\xe9",
)  # fmt: skip
"""Tenants and users that a careless key takes for one another."""

TEXTS = ("", "a", "b", "ab", "a\0b", "a|b", "a:b", "[", '"', "main", "spare", "v1=1", "key", "\xe9", "e\u0301")


@frozen
class Question:
    """All that makes an answer, as the parts of a key."""

    body: dict[str, Any]
    scope: Scope
    auth: str = ""
    base_url: str = "https://api.example.org/v1"
    query: str = ""
    api: str = "openai.chat"
    route: str = ""
    fingerprint: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def key(self) -> str:
        return cache_key(
            body=self.body, api=self.api, base_url=self.base_url, scope=self.scope, auth=self.auth,
            headers=dict(self.headers), route=self.route, fingerprint=self.fingerprint, query=self.query,
        )  # fmt: skip

    @property
    def who(self) -> tuple[Any, ...]:
        """Whose answer it is: nobody else may ever get it."""
        return self.scope.tenant, self.scope.user, self.auth

    def same_as(self, other: Question) -> bool:
        """Whether both ask the same for the same caller."""
        mine, theirs = (
            (one.who, one.base_url, one.query, one.api, one.route, one.fingerprint,
             {name.lower(): value for name, value in one.headers if name.lower() in SEMANTIC_HEADERS})
            for one in (self, other)
        )  # fmt: skip
        bodies = [{name: item for name, item in one.body.items() if name not in NOT_IN_KEY} for one in (self, other)]
        return mine == theirs and same(*bodies)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: 1 and 1.0 are one number, true is none."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return (type(one) is type(other) or {type(one), type(other)} == {int, float}) and one == other


# --- making questions -------------------------------------------------------------------------------------------------


def json_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [json_value(chance, depth + 1) for _ in range(chance.randrange(3))]
    if kind == 6:
        return {chance.choice(TEXTS): json_value(chance, depth + 1) for _ in range(chance.randrange(3))}
    return (chance.choice(TEXTS), chance.randrange(-3, 4), chance.choice((0.0, 1.0, -1.0, 0.5)), None, True)[kind]


def question(chance: random.Random) -> Question:
    """A request of an SDK, or of anything."""
    if chance.random() < 0.5:
        body = chance.choice(captured()).body
    else:
        body = {chance.choice(TEXTS): json_value(chance) for _ in range(chance.randrange(1, 5))}
        body["messages"] = [{"role": chance.choice(TEXTS), "content": json_value(chance)}]
    return Question(
        body, Scope(chance.choice(NAMES), chance.choice(NAMES)), chance.choice(TEXTS),
        query=chance.choice(TEXTS), route=chance.choice(TEXTS), fingerprint=chance.choice(TEXTS),
        headers=(("anthropic-version", chance.choice(TEXTS)), ("x-request-id", chance.choice(TEXTS))),
    )  # fmt: skip


def reordered(one: Question, chance: random.Random) -> Question:
    body = {**shuffled(one.body, chance), "stream": chance.random() < 0.5, "stream_options": {"n": chance.random()}}
    headers = [(name.upper(), value) for name, value in one.headers if name != "x-request-id"]
    chance.shuffle(headers)
    return evolve(one, body=body, headers=tuple(headers))


def of_another(one: Question, chance: random.Random) -> Question:
    """For another tenant, another user, or both names moved."""
    tenant, user = one.scope.tenant, one.scope.user
    moved = Scope((tenant or "") + (user or ""), "") if chance.random() < 0.3 else Scope(user, tenant)
    scopes = (Scope(chance.choice(NAMES), user), Scope(tenant, chance.choice(NAMES)), moved)
    return evolve(one, scope=chance.choice(scopes), body=shuffled(one.body, chance))


def around(one: Question, chance: random.Random) -> Question:
    """With another of the parts that stand around the body."""
    name = chance.choice(("auth", "query", "route", "fingerprint", "api", "base_url", "headers"))
    if name == "headers":
        return evolve(one, headers=(*one.headers, (chance.choice(sorted(SEMANTIC_HEADERS)), chance.choice(TEXTS))))
    value = chance.choice(TEXTS)
    return evolve(one, **{name: f"https://{value}.example.org" if name == "base_url" else value})


def one_value(one: Question, chance: random.Random) -> Question:
    """With one value of the body changed, removed or added."""
    found = [path for path in paths(one.body) if path[0] not in NOT_IN_KEY]
    path = chance.choice(found)
    change = drop if chance.random() < 0.2 else put(chance.choice([*others(at(one.body, path)), json_value(chance)]))
    return evolve(one, body=changed(one.body, path, change))


def moved(one: Question, chance: random.Random) -> Question:
    """With text moved from the end of one part to the beginning of the next."""
    first, second = chance.sample(("auth", "query", "route", "fingerprint"), 2)
    text = getattr(one, first) + getattr(one, second)
    cut = chance.randrange(len(text) + 1)
    return evolve(one, **{first: text[:cut], second: text[cut:]})


def unlike(one: Question, chance: random.Random) -> Question:
    """Another one altogether, by chance sometimes the same."""
    return question(chance)


WAYS: dict[Callable[[Question, random.Random], Question], int] = {
    reordered: 3, of_another: 3, around: 2, one_value: 2, moved: 1, unlike: 1,
}  # fmt: skip
"""How the second of a pair is made, and how often."""


# --- the campaign -----------------------------------------------------------------------------------------------------


@define(eq=False)
class Tally:
    """What was tried, and what was wrong."""

    pairs: Counter[str] = field(factory=Counter)
    equal: Counter[str] = field(factory=Counter)
    scopes: dict[int, int] = field(factory=dict)
    numbers: dict[tuple[Any, ...], int] = field(factory=dict)
    failures: dict[str, list[str]] = field(factory=lambda: defaultdict(list))

    def note(self, key: str, who: tuple[Any, ...], where: str) -> None:
        """Keep whose *key* is."""
        number = self.numbers.setdefault(who, len(self.numbers))
        # 64 of its 256 bits: by chance two of two million would be one in one run of nine million.
        if self.scopes.setdefault(int(key[:16], 16), number) != number:
            self.failures["one key came up for two scopes"].append(where)

    def report(self, seconds: float) -> None:
        for name, count in self.pairs.items():
            print(f"{name:<12} {count:>9} pairs, {self.equal[name]:>8} of them the same question")
        print(f"{self.pairs.total()} pairs, {len(self.scopes)} different keys of {len(self.numbers)} callers")
        for what, places in sorted(self.failures.items(), key=lambda item: -len(item[1])):
            print(f"FAILED {len(places)} times: {what}")
            for place in places[:SHOWN]:
                print(f"    {place}")
        if not self.failures:
            print("no key of two scopes, and the same key if and only if the same question")
        print(f"{seconds:.0f} seconds")


def try_pair(seed: str, number: int, tally: Tally) -> None:
    """One pair, which its seed and number repeat."""
    chance = random.Random(f"{seed}-{number}")
    one = question(chance)
    way = chance.choices([*WAYS], [*WAYS.values()])[0]
    other = way(one, chance)
    keys, wanted, where = (one.key(), other.key()), one.same_as(other), f"seed {seed} pair {number}: {way.__name__}"
    tally.pairs[way.__name__] += 1
    tally.equal[way.__name__] += wanted
    if (keys[0] == keys[1]) != wanted:
        tally.failures["different questions share a key" if not wanted else "the same question has two keys"].append(
            where
        )
    if way is reordered and not wanted:
        tally.failures["the campaign made another question where it meant the same"].append(where)
    tally.note(keys[0], one.who, where)
    tally.note(keys[1], other.who, where)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", default="1", help="decides every pair")
    parser.add_argument("--pair", type=int, help="show one pair")
    options = parser.parse_args()
    tally, began = Tally(), time.monotonic()
    for number in range(options.pairs) if options.pair is None else [options.pair]:
        try_pair(options.seed, number, tally)
    tally.report(time.monotonic() - began)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())

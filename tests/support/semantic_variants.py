"""Pairs of questions made from templates: what may share an answer, and what differs in one telling word.

The words are of their own: of opposites and synonyms a pair that the plugin lists in ``phrases`` is left out, so that
what the rules do in general shows and not what they have been told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from attrs import frozen

NAMES = (
    ("Zendesk", "Freshdesk"), ("Santander", "Monzo"), ("Netflix", "Hulu"), ("Lufthansa", "Ryanair"),
    ("Trello", "Asana"), ("Airtable", "Notion"), ("Vodafone", "Telekom"), ("Stripe", "Adyen"), ("Okta", "Keycloak"),
)  # fmt: skip
PLACES = (
    ("Norway", "Sweden"), ("Lisbon", "Porto"), ("Kenya", "Uganda"), ("Bavaria", "Saxony"), ("Osaka", "Kyoto"),
    ("Ohio", "Iowa"), ("Chile", "Peru"), ("Leeds", "Derby"),
)  # fmt: skip
THINGS = (
    ("aspirin", "naproxen"), ("hamster", "gerbil"), ("lentil soup", "onion soup"), ("sofa", "wardrobe"),
    ("violin", "cello"), ("passport", "visa"), ("tulip", "orchid"), ("kayak", "canoe"), ("salmon", "trout"),
    ("scooter", "moped"), ("executor", "beneficiary"), ("nurse", "surgeon"), ("widow", "orphan"), ("referee", "coach"),
)  # fmt: skip
OPPOSITES = (
    ("inflate", "deflate"), ("hire", "fire"), ("tighten", "loosen"), ("fold", "unfold"), ("plug", "unplug"),
    ("hide", "reveal"), ("promote", "demote"), ("stretch", "compress"), ("freeze", "thaw"), ("arm", "disarm"),
    ("widen", "narrow"), ("sharpen", "blunt"), ("soften", "harden"), ("assemble", "dismantle"), ("wrap", "unwrap"),
)  # fmt: skip
QUALITIES = (
    ("permanent", "temporary"), ("natural", "artificial"), ("rural", "urban"), ("deep", "shallow"), ("thick", "thin"),
    ("ripe", "unripe"), ("reversible", "irreversible"), ("edible", "inedible"), ("guilty", "innocent"),
    ("major", "minor"), ("transparent", "opaque"), ("sterile", "contaminated"), ("obsolete", "current"),
    ("waterproof", "porous"),
)  # fmt: skip
MODIFIERS = (
    "commercial",
    "heated",
    "retired",
    "joint",
    "Scottish",
    "wireless",
    "emergency",
    "organic",
    "overnight",
    "refurbished",
)
UNITS = (("litres", "gallons"), ("miles", "kilometres"), ("grams", "ounces"), ("weeks", "months"), ("euros", "dollars"))
DAYS, MONTHS = (("Tuesday", "Thursday"), ("Friday", "Monday")), (("March", "April"), ("July", "November"))
VERBS = (
    ("sue", "sued"), ("pay", "paid"), ("train", "trained"), ("audit", "audited"), ("buy", "bought"), ("copy", "copied"),
    ("warn", "warned"), ("fund", "funded"), ("choose", "chosen"), ("own", "owned"), ("teach", "taught"),
)  # fmt: skip
"""Verbs whose two sides may change places, with their participles."""
ROLES = (
    ("Does {one} {verb} {other}?", "Does {other} {verb} {one}?"), ("Who {done} {one}?", "Who was {done} by {one}?"),
    ("Does {one} {verb} {other}?", "Is {one} {done} by {other}?"), ("Can I ship from {one}?", "Can I ship to {one}?"),
    ("Is {one} {done} by {other}?", "Is {other} {done} by {one}?"),
    ("Is {one} part of {other}?", "Is {other} part of {one}?"),
    ("Which firms {verb} {one}?", "Which firms does {one} {verb}?"),
    ("Does the office of {one} report to {other}?", "Does the office of {other} report to {one}?"),
)  # fmt: skip
SAME_ROLES = (
    ("Does {one} {verb} {other}?", "Is {other} {done} by {one}?"),
    ("Why did {one} {verb} {other}?", "Why was {other} {done} by {one}?"),
    ("What is the address of {one}?", "What is {one}'s address?"),
    ("When was {one} {done}?", "When did they {verb} {one}?"),
)
QUESTIONS = (
    "How do I register my {thing} with {name}?", "What does {name} charge for moving a {thing} to {place}?",
    "Where can I leave my {thing} while I am in {place}?", "Why does {name} ask for the weight of my {thing}?",
    "Can I take a {thing} on the ferry to {place}?", "How long does {name} need to check a {thing}?",
    "Who pays for a damaged {thing} in {place}?", "What is the minimum age for owning a {thing} in {place}?",
)  # fmt: skip
REWORDED = (
    ("How do I register my {thing} with {name}?", "What is the process for registering my {thing} with {name}?"),
    ("How do I register my {thing} with {name}?", "I want to register my {thing} with {name}, how do I do that?"),
    ("How long does {name} need to check a {thing}?", "How much time does {name} need to check a {thing}?"),
    ("Is there a fee for taking a {thing} to {place}?", "Do I have to pay a fee to take a {thing} to {place}?"),
    ("What is the price of a {thing} in {place}?", "How much does a {thing} cost in {place}?"),
    ("Where do I buy a {thing} in {place}?", "Where can you purchase a {thing} in {place}?"),
    ("How do I repair a broken {thing}?", "How can I fix a damaged {thing}?"),
    ("Can you send my {thing} to {place}?", "Is it possible to send my {thing} to {place}?"),
    ("What documents do I need for a {thing} in {place}?", "Which documents are required for a {thing} in {place}?"),
    ("How often should a {thing} be cleaned?", "How often do I need to clean a {thing}?"),
    ("When does {name} open in {place}?", "What time does {name} open in {place}?"),
    ("How do I get my money back from {name}?", "How can I get a refund from {name}?"),
    ("Why was my {thing} rejected by {name}?", "Why did {name} reject my {thing}?"),
    ("What is the difference between a {thing} and a bus?", "How does a {thing} differ from a bus?"),
    ("How big is a {thing}?", "What is the size of a {thing}?"),
    ("Do I need insurance for my {thing}?", "Is insurance necessary for my {thing}?"),
)  # fmt: skip


@frozen
class Pair:
    """Two questions; ``same``: whether they may share an answer."""

    category: str
    one: str
    other: str
    same: bool


def pairs(seed: int, each: int, told: frozenset[frozenset[str]]) -> Iterator[Pair]:
    """*each* pairs of each category.  ``told``: pairs of words that are left out."""
    rng = random.Random(seed)
    opposites = [pair for pair in OPPOSITES if frozenset(pair) not in told]
    qualities = [pair for pair in QUALITIES if frozenset(pair) not in told]
    for _ in range(each):
        question = rng.choice(QUESTIONS)
        name, place, thing = rng.choice(NAMES), rng.choice(PLACES), rng.choice(THINGS)
        now = {"name": name[0], "place": place[0], "thing": thing[0]}
        text = question.format(**now)
        yield Pair("same words", text, _dressed(rng, text), True)
        yield Pair("typo", text, _slip(rng, text), True)
        yield Pair("no capitals", text, text.lower(), True)
        one, other = rng.choice(REWORDED)
        yield Pair("reworded", one.format(**now), other.format(**now), True)
        yield Pair(
            "place in front",
            f"How do I find a {thing[0]} in {place[0]}?",
            f"In {place[0]}, how do I find a {thing[0]}?",
            True,
        )
        swapped = rng.choice([key for key in now if "{" + key + "}" in question])
        others = {"name": name[1], "place": place[1], "thing": thing[1]}
        changed = question.format(**{**now, swapped: others[swapped]})
        yield Pair(f"other {swapped}", text, changed, False)
        yield Pair(f"other {swapped}", text.lower(), changed.lower(), False)
        yield Pair("other opposite", *_both(f"How do I {{}} a {thing[0]} safely?", rng.choice(opposites)), False)
        yield Pair(
            "other quality", *_both(f"Which {{}} materials does {name[0]} accept?", rng.choice(qualities)), False
        )
        yield Pair("other quality", *_both(f"Is the {thing[0]} from {place[0]} {{}}?", rng.choice(qualities)), False)
        yield from _numbers(rng, name[0], place[0], thing[0])
        yield Pair(
            "negated",
            f"Which {thing[0]}s are insured in {place[0]}?",
            f"Which {thing[0]}s are not insured in {place[0]}?",
            False,
        )
        yield Pair("negated", f"Can I travel with a {thing[0]}?", f"Can I travel without a {thing[0]}?", False)
        modifier = rng.choice(MODIFIERS)
        yield Pair(
            "narrower",
            f"What is the fee for a {thing[0]} in {place[0]}?",
            f"What is the fee for a {modifier} {thing[0]} in {place[0]}?",
            False,
        )
        yield Pair(
            "narrower",
            f"Can I return a {thing[0]} to {name[0]}?",
            f"Can I only return a {thing[0]} to {name[0]}?",
            False,
        )
        yield Pair(
            "turned round",
            f"How long is the drive from {place[0]} to {place[1]}?",
            f"How long is the drive from {place[1]} to {place[0]}?",
            False,
        )
        yield Pair(
            "turned round",
            f"Is a {thing[0]} heavier than a {thing[1]}?",
            f"Is a {thing[1]} heavier than a {thing[0]}?",
            False,
        )
        yield Pair(
            "turned round",
            f"Move my data from {name[0]} to {name[1]}",
            f"Move my data from {name[1]} to {name[0]}",
            False,
        )
        (verb, done), other = rng.choice(VERBS), rng.choice([pair[1] for pair in NAMES if pair[0] != name[0]])
        filled = {"one": name[0], "other": other, "verb": verb, "done": done}
        here, there = rng.choice(ROLES)
        yield Pair("who and whom", here.format(**filled), there.format(**filled), False)
        here, there = rng.choice(SAME_ROLES)
        yield Pair("passive or genitive", here.format(**filled), there.format(**filled), True)
        yield Pair(
            "other question", f"When did {name[0]} open in {place[0]}?", f"Why did {name[0]} open in {place[0]}?", False
        )
        yield Pair(
            "other question", f"How many {thing[0]}s are in {place[0]}?", f"Where are {thing[0]}s in {place[0]}?", False
        )
        yield Pair(
            "other code",
            f"What does `list_{thing[0][:4]}(x)` return?",
            f"What does `list_{thing[1][:4]}(x)` return?",
            False,
        )


def _both(template: str, words: tuple[str, str]) -> tuple[str, str]:
    return template.format(words[0]), template.format(words[1])


def _numbers(rng: random.Random, name: str, place: str, thing: str) -> Iterator[Pair]:
    low = rng.randint(3, 90)
    high = low + rng.randint(1, 40)
    unit, day, month = rng.choice(UNITS), rng.choice(DAYS), rng.choice(MONTHS)
    yield Pair("other number", *_both(f"Does {name} deliver {{}} {thing}s at once?", (str(low), str(high))), False)
    yield Pair("other unit", *_both(f"How heavy is a box of {low} {{}} in {place}?", unit), False)
    yield Pair("other day", *_both(f"Is {name} open on {{}} in {place}?", day), False)
    yield Pair("other month", *_both(f"Can I visit {place} in {{}} with a {thing}?", month), False)
    hour = rng.randint(1, 11)
    yield Pair("other time", *_both(f"Does the {thing} shop close at {{}}?", (f"{hour}am", f"{hour}pm")), False)
    year = rng.randint(1950, 2020)
    yield Pair("other year", *_both(f"Who ran {name} in {{}}?", (str(year), str(year + 1))), False)


def _dressed(rng: random.Random, text: str) -> str:
    low = text[0].lower() + text[1:]
    return rng.choice((
        text.upper(), f"  {text}  ", f"{text.rstrip('?')} ??", f"Good morning, {low} Many thanks!",
            f"Could you please tell me: {low}",
        f"erm, {low}", text.replace(" ", "  ", 2), f"{text.rstrip('?')}, please?", text.rstrip("?") + ".",
    ))  # fmt: skip


def _slip(rng: random.Random, text: str) -> str:
    """One long word of small letters with a letter left out, doubled or swapped with the next."""
    words = text.split()
    at = rng.choice([n for n, word in enumerate(words) if word.isalpha() and word.islower() and len(word) > 4])
    word, place = words[at], rng.randint(1, len(words[at]) - 3)
    a, b = word[place], word[place + 1]
    words[at] = word[:place] + rng.choice([b, a + a + b, b + a if a != b else a]) + word[place + 2 :]
    return " ".join(words)

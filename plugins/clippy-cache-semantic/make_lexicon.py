"""Write the plugin's lexicon from WordNet's files: ``python make_lexicon.py FOLDER``, the folder that has data.noun.

WordNet 3.1 (Princeton University; its licence is beside the lexicon) says which words there are, which mean the same,
which are opposites and which come from each other.  One line for each word, tab between its parts: the word, the sets
of synonyms that it is in (its commonest senses), its opposites, what is derived from it.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

OUT = Path(__file__).parent / "src" / "clippy_cache_semantic" / "lexicon.tsv.gz"
SENSES = 4
"""Senses of one word and part of speech that count, the commonest first: by rarer ones nearly all words are alike."""
_PARTS = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*(?: (?:up|down|on|off|out|in|over|away|back))?")


def ranks(folder: Path) -> dict[tuple[str, str, str], int]:
    """How common a sense is among those of its word and part of speech, from 1."""
    found = {}
    for line in (folder / "index.sense").read_text("latin-1").splitlines():
        key, offset, number, _ = line.split(" ")
        lemma, _, rest = key.partition("%")
        part = {"1": "1", "2": "2", "3": "3", "4": "4", "5": "3"}[rest[0]]
        found[lemma, part, offset] = int(number)
    return found


def synsets(folder: Path) -> Iterator[tuple[str, str, list[str], list[list[str]]]]:
    """Part, offset, words and pointers (symbol, offset, part, source/target) of every set of synonyms."""
    for name, part in _PARTS.items():
        for line in (folder / f"data.{name}").read_text("latin-1").splitlines():
            if line.startswith("  "):
                continue
            parts = line.partition(" | ")[0].split(" ")
            count = int(parts[3], 16)
            words = [re.sub(r"\([a-z]+\)$", "", word) for word in parts[4 : 4 + 2 * count : 2]]
            at = 4 + 2 * count
            pointers = [parts[begin : begin + 4] for begin in range(at + 1, at + 1 + 4 * int(parts[at]), 4)]
            yield part, parts[1 - 1], words, pointers


def main(folder: Path) -> None:
    """Read *folder*, write the lexicon."""
    rank = ranks(folder)
    members: dict[tuple[str, str], list[str]] = {}
    links: list[tuple[str, str, str, str, int, int]] = []
    marks = {"n": "1", "v": "2", "a": "3", "s": "3", "r": "4"}
    for part, offset, words, pointers in synsets(folder):
        members[part, offset] = words
        for symbol, target, kind, ends in pointers:
            if symbol in ("!", "+") and ends != "0000":
                links.append((symbol, words[int(ends[:2], 16) - 1], marks[kind], target, int(ends[2:], 16), 0))
    known: set[str] = set()
    senses: defaultdict[str, list[str]] = defaultdict(list)
    opposite: defaultdict[str, set[str]] = defaultdict(set)
    derived: defaultdict[str, set[str]] = defaultdict(set)
    number = 0
    for (part, offset), words in members.items():
        plain = [word.lower().replace("_", " ") for word in words if word[:1].islower()]
        known.update(word for word in plain if _WORD.fullmatch(word))
        common = {word for word in plain if rank.get((word.replace(" ", "_"), part, offset), 99) <= SENSES}
        common = {word for word in common if _WORD.fullmatch(word)}
        if len(common) > 1:
            number += 1
            for word in common:
                senses[word].append(_base36(number))
    for symbol, word, part, target, index, _ in links:
        one, other = word.lower(), members[part, target][index - 1].lower()
        if one != other and one in known and other in known:
            (opposite if symbol == "!" else derived)[one].add(other)
    lines = [
        "\t".join(
            (word, " ".join(senses[word]), " ".join(sorted(opposite[word])), " ".join(sorted(derived[word])))
        ).rstrip("\t")
        for word in sorted(known)
    ]
    OUT.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return (_base36(number // 36) if number >= 36 else "") + digits[number % 36]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

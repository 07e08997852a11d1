"""Words as sets, and how far two spellings are apart."""

from __future__ import annotations


def words(*lines: str) -> frozenset[str]:
    """The words of *lines*, parted by blanks."""
    return frozenset(word for line in lines for word in line.split())


def slips(one: str, other: str) -> int:
    """Letters that were left out, added, replaced or swapped with their neighbour; 9 for more than a few."""
    # Each slip changes at most two letters: most pairs of words are told apart by that, and what follows takes long.
    if abs(len(one) - len(other)) > 2 or len({*one} ^ {*other}) > 4:
        return 9
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1]

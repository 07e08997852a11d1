"""Foreign words made fit to show: one line, short, without secrets.

Providers quote back what they were sent ("Incorrect API key provided: sk-..."), so an error's text may hold a key.
"""

from __future__ import annotations

import re

LIMIT = 300
"""Characters of a message that we keep."""

_MASK = "[...]"
_KEY_PREFIXES = (
    "sk-", "sk_", "pk-", "rk-", "gsk_", "xai-", "aiza", "akia", "asia", "ya29.", "hf_", "r8_", "eyj", "fw_", "nvapi-",
    "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox", "pplx-", "tgp_", "csk-", "co-", "abskey", "org-", "proj_",
)  # fmt: skip
_ANNOUNCED = ("key:", "key=", "provided:", "token:", "token=", "bearer", "basic", "secret:", "password:")
_WRAPPING = "\"'`()[]{}<>,;:.!*"
_RUN = re.compile(r"[A-Za-z0-9+/_]{20,}")


def one_line(text: str, limit: int = LIMIT) -> str:
    """*text* on one line of at most *limit* characters, with everything masked that could be a secret."""
    words: list[str] = []
    announced = False
    # Controls forge log lines, bidirectional marks reorder them, lone surrogates cannot be written at all.
    plain = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    for word in plain.split():
        bare = word.strip(_WRAPPING)
        words.append(word.replace(bare, _MASK) if bare and (announced or _secret(bare)) else _bare_address(word))
        announced = word.lower().endswith(_ANNOUNCED)
    line = " ".join(words)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def identifier(text: str, limit: int = 100) -> str | None:
    """*text* if it is a code or an id and no prose and no secret, else None."""
    text = text.strip()
    if not text or len(text) > limit or not text.isascii() or not text.isprintable() or " " in text:
        return None
    return None if text.lower().startswith(_KEY_PREFIXES[:6]) else text


def _secret(word: str) -> bool:
    if word.lower().startswith(_KEY_PREFIXES):
        return len(word) > 5
    run = _RUN.search(word)
    if run is None or "://" in word:
        return False
    found = run.group()
    return any(c.isdigit() for c in found) and any(c.isalpha() for c in found)


def _bare_address(word: str) -> str:
    """An address without its user name, password and query: the places where keys are put."""
    if "://" not in word:
        return word
    scheme, _, rest = word.partition("://")
    path = rest.partition("?")[0]
    host, slash, tail = path.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{tail}"

"""Which calls ask a model to generate: the numbers of the pages are of these, and what else was asked stands apart."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_ENDS: Final = frozenset(
    {
        *("completions", "completion", "responses", "messages", "complete", "chat", "generate"),
        *("generations", "edits", "variations", "speech", "transcriptions", "translations", "videos", "remix"),
        *("invoke", "invoke-with-response-stream", "converse", "converse-stream"),
        *("generateContent", "streamGenerateContent", "rawPredict", "streamRawPredict"),
        *("predict", "predictLongRunning", "predictions"),
        *("submit_tool_outputs", "invoke-with-bidirectional-stream"),
    }
)
"""What the paths end with, or their verbs behind a colon, by which the providers' APIs have something generated."""
_KEPT: Final = frozenset({"threads", "conversations"})
"""Below these, messages are what a server keeps."""
_BESIDE: Final = ("embed", "bge-", "rerank")
"""In the names of models that are run by the same verb and generate nothing."""


@lru_cache(maxsize=1024)  # a program calls few addresses
def generates(method: str, url: str) -> bool:
    """Whether this call asks a model to generate something.

    Uploads, batches, counts of tokens, embeddings, moderations and lists do not, though they may be posted and may
    name a model: each is another kind of work, quicker or slower, and would make the models look so.
    """
    address = path(url).rstrip("/")
    parts = address.split("/")
    last = parts[-1].rpartition(":")
    if method.upper() != "POST" or last[0] == "count-tokens":
        return False
    if last[2] == "runs":
        return "threads" in parts
    if "conversations" in parts and "mistral" in url.partition("?")[0]:  # others only keep what is posted there
        return "conversations" in parts[-2:] or last[2] == "restart"
    runs = "/ai/run/" in address  # Cloudflare's, with the model's name behind
    if (runs or last[2].startswith("predict")) and any(name in address.lower() for name in _BESIDE):
        return False
    return runs or (last[2] in _ENDS and not (last[2] == "messages" and _KEPT.intersection(parts)))


def path(url: str) -> str:
    """The path of *url*, which may be one already, and may have a query; of what is no address, whatever comes first.

    Not by ``urlsplit``, which raises for some of what a caller may send.
    """
    address = url.partition("?")[0].partition("#")[0]
    _, scheme, behind = address.partition("://")
    return f"/{behind.partition('/')[2]}" if scheme else address

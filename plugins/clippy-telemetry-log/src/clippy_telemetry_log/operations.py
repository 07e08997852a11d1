"""What a request was for: an answer of a model, a vector, or a file that is kept."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_WORDS: Final = frozenset(
    {
        *("chat", "completions", "responses", "messages", "complete", "generate", "invoke"),
        *("converse", "converse-stream", "threads", "runs", "steps", "assistants", "conversations", "items"),
        *("generateContent", "streamGenerateContent", "countTokens", "embedContent", "rawPredict", "streamRawPredict"),
        *("embeddings", "moderations", "rerank", "search", "count_tokens", "input_tokens", "models", "tags"),
        *("images", "generations", "edits", "variations", "videos"),
        *("audio", "speech", "transcriptions", "translations"),
        *("files", "uploads", "parts", "content", "batches", "results", "cancel", "fine_tuning", "jobs"),
        *("vector_stores", "file_batches"),
    }
)
"""Words of the providers' paths.  Everything else in one is a name or an id, and may be a tenant's or a secret."""


@lru_cache(maxsize=256)  # a program calls few addresses
def operation(url: str) -> str | None:
    """``chat.completions``, ``embeddings``, ``files.content``: the words of the APIs in the path of *url*, if any."""
    address = url.partition("?")[0].partition("#")[0]
    _, scheme, behind = address.partition("://")
    path = behind.partition("/")[2] if scheme else address
    return ".".join(word for word in path.replace(":", "/").split("/") if word in _WORDS) or None

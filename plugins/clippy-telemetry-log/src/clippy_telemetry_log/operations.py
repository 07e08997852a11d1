"""What a request was for: an answer of a model, a vector, or a file that is kept."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_WORDS: Final = frozenset(
    {
        *(
            "chat",
            "completions",
            "responses",
            "messages",
            "complete",
            "generate",
            "converse",
            "converse-stream",
            "invoke",
        ),
        *("embeddings", "moderations", "rerank", "count_tokens", "input_tokens", "models", "tags", "runs", "steps"),
        *(
            "images",
            "generations",
            "edits",
            "variations",
            "videos",
            "audio",
            "speech",
            "transcriptions",
            "translations",
        ),
        *("files", "uploads", "parts", "batches", "content", "results", "cancel", "search", "fine_tuning", "jobs"),
        *("vector_stores", "file_batches", "assistants", "threads", "conversations", "items"),
        *("generateContent", "streamGenerateContent", "countTokens", "embedContent", "rawPredict", "streamRawPredict"),
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

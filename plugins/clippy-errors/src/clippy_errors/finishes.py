"""Answers that came with status 200 and yet are none: what their finish reason stands for.

Sources: the finish and stop reasons documented by OpenAI (chat, Responses), Anthropic, Gemini, Bedrock (Converse),
Cohere, Mistral and OpenRouter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clippy_hookspecs import Json

_FINISHES = {
    # OpenAI, Azure, DeepSeek and everybody who speaks their API
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "insufficient_system_resource": "overloaded",
    "model_context_window_exceeded": "context_length",
    # Anthropic
    "refusal": "content_filter",
    # Bedrock
    "guardrail_intervened": "content_filter",
    # Gemini
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "model_armor": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "language": "unsupported",
    "malformed_function_call": "server_error",
    # Cohere, Mistral, OpenRouter
    "error_toxic": "content_filter",
    "error_limit": "context_length",
    "error": "server_error",
    # OpenAI Responses: incomplete_details.reason
    "max_output_tokens": "max_tokens",
}


def finish_kind(root: Mapping[str, Json]) -> str | None:
    """The kind of failure that an answer's finish reason stands for, None for an answer that ended well."""
    for reason in _reasons(root):
        if isinstance(reason, str) and reason.lower() in _FINISHES:
            return _FINISHES[reason.lower()]
    feedback = root.get("promptFeedback")
    return "content_filter" if isinstance(feedback, dict) and feedback.get("blockReason") else None


def _reasons(root: Mapping[str, Json]) -> Iterator[Json]:
    for choice in _objects(root.get("choices")):
        # "error" says only that there is one; a choice's own error object says which.
        if not choice.get("error"):
            yield choice.get("finish_reason")
    for candidate in _objects(root.get("candidates")):
        yield candidate.get("finishReason")
    yield root.get("stop_reason")
    yield root.get("stopReason")
    yield root.get("finish_reason")
    delta = root.get("delta")
    if isinstance(delta, dict):
        yield delta.get("stop_reason")
    for node in (root, root.get("response")):
        details = node.get("incomplete_details") if isinstance(node, dict) else None
        if isinstance(details, dict):
            yield details.get("reason")


def _objects(value: Json) -> Iterator[Mapping[str, Json]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))

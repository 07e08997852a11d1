"""What was asked and answered, for people: the messages of a body and the parts of an answer, of any wire API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from clippy_recorder import Exchange
from clippy_recorder.har import answer_of, answer_pieces
from clippy_recorder.rerunning import said as words_of

_EXCERPT: Final = 160
_NOT_A_SETTING: Final = frozenset({"messages", "input", "system", "instructions", "model"})


@frozen
class Said:
    """One message, or one part of it: who, what kind of thing, and its words.

    ``name`` is the tool's where one is called.  ``repeats``: it is the answer of the step before.
    """

    role: str
    kind: str
    text: str
    name: str = ""
    repeats: bool = False


# --- what was asked -----------------------------------------------------------------------------------------------


def body_of(exchange: Exchange) -> Mapping[str, Any]:
    """The JSON object that came in, else the one that went out first; empty where there is none."""
    return read(exchange.came.body or (exchange.attempts[0].sent.body if exchange.attempts else b""))


def read(body: bytes) -> Mapping[str, Any]:
    """*body* as a JSON object; empty where it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def messages_of(body: Mapping[str, Any]) -> list[Any]:
    """The messages of a body, of whichever wire API; system text that stands beside them first."""
    found = body.get("messages", body.get("input", []))
    messages = [{"role": "user", "content": found}] if isinstance(found, str) else found
    messages = list(messages) if isinstance(messages, list) else []
    first = body.get("system") or body.get("instructions")
    return [{"role": "system", "content": first}, *messages] if first else messages


def settings_of(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a body says beside its messages and its model, each in a line; of tools their names."""
    found = []
    for name, value in body.items():
        if name in _NOT_A_SETTING:
            continue
        tools = [_tool(one) for one in value] if name == "tools" and isinstance(value, list) else [""]
        found.append((str(name), ", ".join(tools) if all(tools) else _short(value, 400)))
    return found


def _tool(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    function = value.get("function")
    known = function if isinstance(function, Mapping) else value
    return str(known.get("name") or known.get("type") or "")


def excerpt(exchange: Exchange) -> str:
    """The beginning of the newest that a user said, in one line; "" where nothing of it is known."""
    for message in reversed(messages_of(body_of(exchange))):
        if not isinstance(message, Mapping) or message.get("role") != "user":
            continue
        for one in said_in(message):
            if one.kind in ("text", "input_text") and (words := " ".join(one.text[: 4 * _EXCERPT].split())):
                return words if len(words) <= _EXCERPT else f"{words[: _EXCERPT - 1].rstrip()}…"
    return ""


def said_in(message: Any) -> Iterator[Said]:
    """What a message says, part by part."""
    if not isinstance(message, Mapping):
        return
    role = str(message.get("role") or message.get("type") or "?")
    if isinstance(thought := message.get("reasoning_content"), str) and thought:
        yield Said(role, "reasoning", thought)
    content = message.get("content")
    if isinstance(content, str) and content:
        yield Said(role, "text", content)
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping):
            yield _block(role, block)
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        yield Said(role, "refusal", refusal)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield Said(role, "tool call", laid(function.get("arguments")), str(function.get("name")))
    for name in ("arguments", "output"):  # the Responses API's calls and results are items of their own
        if isinstance(message.get(name), str):
            yield Said(role, str(message.get("type", name)), laid(message[name]), str(message.get("name") or ""))


def _block(role: str, block: Mapping[str, Any]) -> Said:
    kind = str(block.get("type", "text"))
    words = next((block[key] for key in ("text", "thinking", "refusal", "content", "input") if block.get(key)), None)
    name = str(block.get("name") or "")
    if isinstance(words, str):
        return Said(role, kind, words, name)
    return Said(role, kind, _short(words if words is not None else block), name)


def laid(value: Any) -> str:
    """The arguments of a call in one line, as they were written or as JSON."""
    return value if isinstance(value, str) else _short(value)


def _short(value: Any, most: int = 2000) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[:most]} ... ({len(text)} characters)"


# --- what was answered --------------------------------------------------------------------------------------------


def answered(exchange: Exchange) -> tuple[Said, ...]:
    """What the caller got, part by part; of a stream that runs, so far.  Empty where that is no answer of a model."""
    outs = [piece.chunk for piece in exchange.pieces if piece.kind == "chunk_out"]
    if any(chunk.get("delta") or chunk.get("name") for chunk in outs):
        return tuple(_streamed(outs))
    whole = exchange.answered.body if exchange.answered is not None else b""
    if not whole and exchange.stream and (body := b"".join(piece.data for piece in answer_pieces(exchange))):
        return (Said("assistant", "text", words_of(body)),)  # nobody made chunks of it
    if not whole and exchange.state in ("answered", "cached"):
        whole = answer_of(exchange).body
    return tuple(one for message in _answers(read(whole)) for one in said_in(message))


_KINDS: Final = {"tool_call": "tool call"}
_SHOWN: Final = frozenset({"text", "reasoning", "refusal", "tool_call"})


def _streamed(chunks: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
    """The blocks that chunks make, in the order in which they began."""
    words: dict[tuple[Any, ...], list[str]] = {}
    names: dict[tuple[Any, ...], str] = {}
    for chunk in chunks:
        kind = chunk.get("kind")
        if kind not in _SHOWN:
            continue
        key = (chunk.get("choice", 0), chunk.get("block", 0), kind)
        words.setdefault(key, []).append(str(chunk.get("delta") or ""))
        if chunk.get("name"):
            names[key] = str(chunk["name"])
    for key, parts in words.items():
        text = "".join(parts)
        if text or key in names:
            kind = str(key[2])
            yield Said("assistant", _KINDS.get(kind, kind), text, names.get(key, ""))


def _answers(body: Mapping[str, Any]) -> list[Any]:
    """The messages of an answer: of its choices, of its output items, or the one that it is."""
    if isinstance(choices := body.get("choices"), list):
        return [one.get("message") for one in choices if isinstance(one, Mapping)]
    if isinstance(output := body.get("output"), list):
        return [_item(one) for one in output]
    return [body] if body.get("role") == "assistant" else []


def _item(value: Any) -> Any:
    """An item of the Responses API as a message: what it thought is in a summary."""
    if isinstance(value, Mapping) and value.get("type") == "reasoning" and not value.get("content"):
        return {
            "role": "assistant",
            "content": [{**one, "type": "reasoning"} for one in _mappings(value.get("summary"))],
        }
    return {"role": "assistant", **value} if isinstance(value, Mapping) else value


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []

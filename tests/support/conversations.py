"""Conversations that say the same in each wire API: written as its JSON, and read from it again."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from hypothesis import strategies as st

PATHS = {"openai.chat": "/chat/completions", "openai.responses": "/responses", "anthropic.messages": "/messages"}
PIXEL = "aGVsbG8="


@define
class Shown:
    """An image, as its base64 text."""

    data: str = PIXEL


@define
class Asked:
    """A turn of the user's."""

    parts: list[Any]


@define
class Called:
    """A turn of the model's: words, calls in parallel with their arguments, and what came of each."""

    words: str
    calls: list[tuple[str, dict[str, Any]]] = field(factory=list)
    results: list[list[Any]] = field(factory=list)
    thought: str = ""


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    str.strip
)
parts = st.lists(st.one_of(words, st.builds(Shown)), min_size=1, max_size=3)
arguments = st.dictionaries(words, st.one_of(st.integers(-9, 9), words), max_size=2)


@st.composite
def called(draw: st.DrawFn) -> Called:
    calls = draw(st.lists(st.tuples(st.sampled_from(["look", "find"]), arguments), max_size=3))
    said = draw(st.one_of(st.just(""), words)) if calls else draw(words)
    results = [draw(st.one_of(st.lists(words, min_size=1, max_size=1), parts)) for _ in calls]
    return Called(said, calls, results, draw(st.sampled_from(["", "hm"])))


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    """Turns of both, beginning and ending where a request is sent."""
    turns: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Asked(draw(parts)))
        turns += draw(st.lists(called(), max_size=3))
    turns.append(Asked(draw(parts)))
    return turns


# --- writing ------------------------------------------------------------------------------------------------------


def body_of(api: str, turns: list[Any], system: str, ids: list[str]) -> dict[str, Any]:
    """The JSON body of a request; the calls get *ids* in turn."""
    names = iter(range(10**6))

    def next_id() -> str:
        number = next(names)
        return f"{ids[number % len(ids)]}{number}"

    messages = [item for turn in turns for item in _WRITE[api](turn, next_id)]
    body: dict[str, Any] = {"model": "m"}
    if api == "openai.responses":
        return {**body, "instructions": system, "input": messages}
    if api == "anthropic.messages":
        return {**body, "max_tokens": 9, "system": system, "messages": messages}
    return {**body, "messages": [{"role": "system", "content": system}, *messages]}


def _chat(turn: Any, next_id: Any) -> list[dict[str, Any]]:
    def part(one: Any) -> dict[str, Any]:
        if isinstance(one, Shown):
            return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{one.data}"}}
        return {"type": "text", "text": one}

    if isinstance(turn, Asked):
        return [{"role": "user", "content": [part(one) for one in turn.parts]}]
    named = [(next_id(), name, given) for name, given in turn.calls]
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for id_, name, given in named
    ]
    message: dict[str, Any] = {"role": "assistant", "content": turn.words}
    if turn.thought:
        message["reasoning_content"] = turn.thought
    if calls:
        message["tool_calls"] = calls
    results = [
        {"role": "tool", "tool_call_id": id_, "content": "".join(one for one in result if isinstance(one, str))}
        for (id_, _, _), result in zip(named, turn.results, strict=True)
    ]
    return [message, *results]


def _responses(turn: Any, next_id: Any) -> list[dict[str, Any]]:
    def part(one: Any) -> dict[str, Any]:
        if isinstance(one, Shown):
            return {"type": "input_image", "image_url": f"data:image/png;base64,{one.data}"}
        return {"type": "input_text", "text": one}

    if isinstance(turn, Asked):
        return [{"role": "user", "content": [part(one) for one in turn.parts]}]
    named = [(next_id(), name, given) for name, given in turn.calls]
    items: list[dict[str, Any]] = []
    if turn.thought:
        items.append({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": turn.thought})
    if turn.words:
        said = [{"type": "output_text", "text": turn.words, "annotations": []}]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": said})
    items += [
        {"type": "function_call", "id": f"fc_{id_}", "call_id": id_, "name": name, "arguments": json.dumps(given)}
        for id_, name, given in named
    ]
    items += [
        {"type": "function_call_output", "call_id": id_, "output": [part(one) for one in result]}
        for (id_, _, _), result in zip(named, turn.results, strict=True)
    ]
    return items


def _anthropic(turn: Any, next_id: Any) -> list[dict[str, Any]]:
    def part(one: Any) -> dict[str, Any]:
        if isinstance(one, Shown):
            return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": one.data}}
        return {"type": "text", "text": one}

    if isinstance(turn, Asked):
        return [{"role": "user", "content": [part(one) for one in turn.parts]}]
    named = [(next_id(), name, given) for name, given in turn.calls]
    thought = [{"type": "thinking", "thinking": turn.thought, "signature": "sig"}] if turn.thought else []
    said = [part(turn.words)] if turn.words else []
    calls = [{"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in named]
    turns: list[dict[str, Any]] = [{"role": "assistant", "content": [*thought, *said, *calls]}]
    results = [
        {"type": "tool_result", "tool_use_id": id_, "content": [part(one) for one in result]}
        for (id_, _, _), result in zip(named, turn.results, strict=True)
    ]
    return [*turns, {"role": "user", "content": results}] if results else turns


_WRITE = {"openai.chat": _chat, "openai.responses": _responses, "anthropic.messages": _anthropic}


# --- reading --------------------------------------------------------------------------------------------------------


@define
class Told:
    """What a provider is told, and how its calls and results stand."""

    user: list[Any] = field(factory=list)
    model: list[str] = field(factory=list)
    system: str = ""
    calls: dict[str, tuple[str, Any]] = field(factory=dict)
    results: dict[str, list[Any]] = field(factory=dict)
    faults: list[str] = field(factory=list)

    def call(self, id_: str, name: str, given: Any) -> None:
        if id_ in self.calls:
            self.faults.append(f"two calls with the id {id_}")
        self.calls[id_] = (name, given)

    def result(self, id_: str, found: list[Any]) -> None:
        if id_ not in self.calls or id_ in self.results:
            self.faults.append(f"a result without a call, or a second one: {id_}")
        self.results[id_] = found

    def pairs(self) -> list[tuple[str, Any, list[Any]]]:
        """Each call with its result, in the order of the calls."""
        return [(*call, self.results.get(id_, [])) for id_, call in self.calls.items()]


def told(api: str, body: dict[str, Any]) -> Told:
    """What *body* tells a provider of *api*, with what that would refuse."""
    found = Told()
    _READ[api](body, found)
    if found.calls.keys() != found.results.keys():
        found.faults.append(f"calls without a result: {found.calls.keys() - found.results.keys()}")
    return found


def _part(value: Any) -> Any:
    kind = value["type"]
    if kind in ("text", "input_text", "output_text"):
        return value["text"]
    if kind == "image":
        return Shown(value["source"]["data"])
    url = value["image_url"]
    return Shown((url if isinstance(url, str) else url["url"]).partition(",")[2])


def _parts(content: Any) -> list[Any]:
    return [content] if isinstance(content, str) else [_part(one) for one in content]


def _read_chat(body: dict[str, Any], found: Told) -> None:
    waiting: set[str] = set()
    for message in body["messages"]:
        role = message["role"]
        if waiting and role != "tool":
            found.faults.append(f"{role} stands between calls and their results")
            waiting = set()
        if role == "system":
            found.system += message["content"]
        elif role == "user":
            found.user += _parts(message["content"])
        elif role == "tool":
            parts = _parts(message["content"])
            if any(isinstance(one, Shown) for one in parts):
                found.faults.append("an image in a tool's message")
            found.result(message["tool_call_id"], parts)
            waiting.discard(message["tool_call_id"])
        else:
            if "reasoning_content" in message:
                found.faults.append("reasoning")
            found.model += [one for one in _parts(message.get("content") or []) if one]
            for call in message.get("tool_calls", []):
                if len(call["id"]) > 40:
                    found.faults.append("an id of more than 40 characters")
                function = call["function"]
                found.call(call["id"], function["name"], json.loads(function["arguments"]))
                waiting.add(call["id"])


def _read_responses(body: dict[str, Any], found: Told) -> None:
    found.system = body.get("instructions", "")
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        kind = item.get("type", "message")
        if "id" in item or kind == "reasoning":
            found.faults.append("something that is bound to its account")
        if kind == "reasoning":
            continue
        if kind == "function_call":
            found.call(item["call_id"], item["name"], json.loads(item["arguments"]))
        elif kind == "function_call_output":
            found.result(item["call_id"], _parts(item["output"]))
        elif item["role"] == "system":
            found.system += "".join(_parts(item["content"]))
        elif item["role"] == "user":
            found.user += _parts(item["content"])
        else:
            found.model += [one for one in _parts(item["content"]) if one]


def _read_anthropic(body: dict[str, Any], found: Told) -> None:
    system = body.get("system", "")
    found.system = "".join(_parts(system))
    waiting: list[str] = []
    for message in body["messages"]:
        content = message["content"]
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not content or any(block["type"] == "text" and not block["text"].strip() for block in content):
            found.faults.append("a blank text or an empty message")
        kinds = [block["type"] for block in content]
        answered = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        if waiting and (sorted(answered) != sorted(waiting) or "tool_result" in kinds[len(answered) :]):
            found.faults.append("calls that the next message does not answer first")
        waiting = [block["id"] for block in content if block["type"] == "tool_use"]
        for block in content:
            if block["type"] == "tool_use":
                found.call(block["id"], block["name"], block["input"])
            elif block["type"] == "tool_result":
                found.result(block["tool_use_id"], _parts(block.get("content", [])))
            elif block["type"] in ("thinking", "redacted_thinking"):
                found.faults.append("thinking")
            else:
                (found.user if message["role"] == "user" else found.model).append(_part(block))


_READ = {"openai.chat": _read_chat, "openai.responses": _read_responses, "anthropic.messages": _read_anthropic}

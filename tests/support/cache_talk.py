"""Conversations as a program holds them with each wire API: every request is the one before it and a turn more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

_WORDS = """
invoice order parcel refund account warehouse delivery schedule address window contract meter reading tariff customer
Ada Grace branch release merge failing test suite deploy rollback latency budget report quarter revenue forecast region
42 17% €300 “quoted” naïve Zürich 東京 "key": C:\\temp
"""
TOOLS = ("search_orders", "read_file", "run_tests", "send_mail", "look_up_tariff", "convert_currency")


def words(dice: Random, least: int, most: int) -> str:
    """A text of so many words."""
    return " ".join(dice.choices(_WORDS.split(), k=dice.randint(least, most)))


def tools_of(api: str, dice: Random, number: int = 6) -> list[dict[str, Any]]:
    """The tools of a program, in an API's shape."""
    tools = []
    for name in TOOLS[:number]:
        schema = {
            "type": "object",
            "properties": {part: {"type": "string", "description": words(dice, 8, 30)} for part in ("query", "limit")},
            "required": ["query"],
        }
        known = {"name": name, "description": words(dice, 20, 60)}
        if api == "anthropic.messages":
            tools.append({**known, "input_schema": schema})
        elif api == "openai.responses":
            tools.append({"type": "function", **known, "parameters": schema})
        else:
            tools.append({"type": "function", "function": {**known, "parameters": schema}})
    return tools


def requests_of(
    api: str, turns: int, seed: object, *, system_words: int = 400, turn_words: int = 120, calls: int = 2
) -> Iterator[dict[str, Any]]:
    """The bodies of one conversation, *turns* requests: questions, tool calls with their results, answers."""
    dice = Random(f"{api} {seed}")
    system, tools = words(dice, system_words, system_words), tools_of(api, dice)
    said: list[dict[str, Any]] = []
    for turn in range(turns):
        if turn:
            said += _answer(api, dice, turn, turn_words, calls if dice.random() < 0.4 else 0)
        said.append({"role": "user", "content": f"Question {turn}: {words(dice, 5, turn_words)}"})
        yield json.loads(json.dumps(_body(api, system, tools, said)))


def _body(api: str, system: str, tools: list[Any], said: list[Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "claude-sonnet-5" if api == "anthropic.messages" else "gpt-5"}
    if api == "openai.responses":
        return {**body, "instructions": system, "input": said, "tools": tools}
    if api == "anthropic.messages":
        return {"max_tokens": 1024, "messages": said, **body, "system": system, "tools": tools}
    return {"messages": [{"role": "system", "content": system}, *said], **body, "tools": tools}


def _answer(api: str, dice: Random, turn: int, most: int, calls: int) -> list[dict[str, Any]]:
    """What the program appends when the model has answered: its calls and their results, and its words."""
    ids = [f"call_{turn}_{number}" for number in range(calls)]
    given = [(one, dice.choice(TOOLS), {"query": words(dice, 1, 6)}, words(dice, 10, most)) for one in ids]
    spoken = words(dice, 10, most)
    if api == "openai.responses":
        asked: list[dict[str, Any]] = [
            {"type": "function_call", "call_id": one, "name": name, "arguments": json.dumps(arguments)}
            for one, name, arguments, _ in given
        ]
        results = [{"type": "function_call_output", "call_id": one, "output": result} for one, *_, result in given]
        text = {"type": "output_text", "text": spoken, "annotations": []}
        return [*asked, *results, {"type": "message", "id": f"msg_{turn}", "role": "assistant", "content": [text]}]
    if api == "anthropic.messages":
        uses = [{"type": "tool_use", "id": one, "name": name, "input": arguments} for one, name, arguments, _ in given]
        back = [{"type": "tool_result", "tool_use_id": one, "content": result} for one, *_, result in given]
        first = [{"role": "assistant", "content": uses}, {"role": "user", "content": back}] if given else []
        return [*first, {"role": "assistant", "content": [{"type": "text", "text": spoken}]}]
    tool_calls = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for one, name, arguments, _ in given
    ]
    first = [{"role": "assistant", "content": None, "tool_calls": tool_calls}] if given else []
    results = [{"role": "tool", "tool_call_id": one, "content": result} for one, *_, result in given]
    return [*first, *results, {"role": "assistant", "content": spoken}]

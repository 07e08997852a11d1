"""What was asked and answered, as people read it: the same for every wire API, streamed or whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from clippy_inspect.one import asked
from clippy_inspect.reading import answered, excerpt
from clippy_recorder import Message, Piece
from inspect_world import Kept, Site, exchange, streamed

ARGUMENTS = '{"city": "Ulm"}'
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
WHOLE: list[Any] = [
    {
        "choices": [
            {"message": {"role": "assistant", "reasoning_content": "Hm.", "content": None, "tool_calls": [CALL]}}
        ]
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Ulm"}},
        ],
    },
    {
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "name": "get_weather", "arguments": ARGUMENTS, "call_id": "call_1"},
        ]
    },
]


def message(value: Any) -> Message:
    body = json.dumps(value).encode()
    return Message((), body, len(body), 200)


def chunks(*values: dict[str, Any]) -> tuple[Piece, ...]:
    return tuple(Piece(at, "chunk_out", chunk=value) for at, value in enumerate(values))


@pytest.mark.parametrize("body", WHOLE, ids=["chat", "messages", "responses"])
def test_an_answer_says_what_was_thought_and_which_tool_is_called_with_what(body: Any) -> None:
    said = answered(exchange(answered=message(body)))
    assert [(one.name, one.text) for one in said] == [("", "Hm."), ("get_weather", ARGUMENTS)]


def test_a_streamed_call_of_tools_is_no_empty_answer() -> None:
    """Each call has its name, whichever chunk told it, and its own arguments."""
    pieces = chunks(
        {"kind": "start"},
        {"kind": "reasoning", "delta": "Hm."},
        {"kind": "tool_call", "block": 1, "name": "get_weather"},
        {"kind": "tool_call", "block": 1, "delta": '{"city": '},
        {"kind": "tool_call", "block": 1, "delta": '"Ulm"}'},
        {"kind": "stop", "block": 1},
        {"kind": "tool_call", "block": 2, "name": "get_map"},
    )
    call = streamed(pieces=pieces, answered=Message(status=200))
    told = [(one.kind, one.name, one.text) for one in answered(call)]
    assert told == [("reasoning", "", "Hm."), ("tool call", "get_weather", ARGUMENTS), ("tool call", "get_map", "")]
    with Site(Kept([call])) as site:
        page, talk = site.get(f"/requests/{call.id}").text, site.get(f"/conversations/{call.id}").text
    for text in (page, talk):
        assert "tool call <code>get_map</code>" in text
    assert "Empty." not in page


def test_a_stream_of_which_nobody_made_chunks_is_read_from_its_bytes() -> None:
    call = streamed(answered=Message(status=200))
    call = evolve(call, pieces=tuple(one for one in call.pieces if one.kind == "bytes"))
    assert [one.text for one in answered(call)] == ["It rains today."]
    with Site(Kept([call])) as site:
        assert "data: {" in site.get(f"/requests/{call.id}").text


def test_a_long_conversation_begins_with_its_instructions_and_its_end_is_read_first() -> None:
    turns = [{"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {n}"} for n in range(9)]
    body = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, *turns], "temperature": 0.5}
    found = asked(exchange(came=message(body)))
    assert found is not None
    assert [one.text for one in found.first] == ["Be brief."]
    assert [one.text for one in found.earlier] == [f"turn {n}" for n in range(5)]
    assert [one.text for one in found.last] == [f"turn {n}" for n in range(5, 9)]
    assert found.settings == (("temperature", "0.5"),)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"messages": [{"role": "user", "content": "First"}, {"role": "user", "content": " Then\n that "}]},
            "Then that",
        ),
        ({"messages": [{"role": "user", "content": "First"}, {"role": "tool", "content": "17"}]}, "First"),
        ({"input": "x" * 500}, "x" * 159 + "…"),
        ({"messages": 3}, ""),
        ([], ""),
    ],
)
def test_the_newest_that_a_user_said_is_told_in_a_line(body: Any, said: str) -> None:
    assert excerpt(exchange(came=message(body), attempts=())) == said


def test_a_request_leads_to_its_neighbours_and_to_its_conversation() -> None:
    with Site(Kept([exchange(1), exchange(2), exchange(3)])) as site:
        page = site.get("/requests/req-0002").text
        assert '<a id="newer" rel="prev" href="/requests/req-0003">' in page
        assert '<a id="older" rel="next" href="/requests/req-0001">' in page
        assert site.get("/conversations/req-0002").status_code == 200
        assert 'id="newer"' not in site.get("/requests/req-0003").text


def test_bytes_that_went_out_as_they_came_are_said_to_be_the_same() -> None:
    other = exchange(2)
    other = evolve(other, came=message({"model": "m", "messages": []}))
    with Site(Kept([exchange(1), other])) as site:
        assert "The same bytes as came in." in site.get("/requests/req-0001").text
        assert "The same bytes as came in." not in site.get("/requests/req-0002").text

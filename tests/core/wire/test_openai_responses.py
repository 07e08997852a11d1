"""OpenAI Responses bodies: read and written back without loss."""

from __future__ import annotations

import json
from typing import Any

import attrs
import httpx2
import openai
import pytest
from clippy_hookspecs import (
    Image,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    evolve,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.wire.openai_responses import API


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(max_size=5), inner, max_size=3)


# --- bodies of every shape the API documents, with fields nobody knows ------------------------------------------------

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=6)
unknown = st.dictionaries(st.sampled_from(["x_new", "input_hint", "block", "0"]), scalars, max_size=2)
ids = st.text("abc", max_size=3)


def shape(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields and some that are unknown."""
    known = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda more, fields: {**more, **fields}, unknown, known)


def a(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object with this type; a field given as a pair is optional."""
    required = {name: field for name, field in fields.items() if not isinstance(field, tuple)}
    optional = {name: field[0] for name, field in fields.items() if isinstance(field, tuple)}
    return shape({"type": st.just(kind), **required}, optional)


statuses = st.sampled_from(["completed", "incomplete", None])
odd = st.one_of(
    scalars, st.just({"type": "message"}), st.just({"type": "function_call", "name": 3}), st.just({"type": ["a"]})
)
urls = st.sampled_from(
    [
        "https://x.example/a.png",
        "data:image/png;base64,iVBO",
        "data:;base64,x",
        "data:image/png;q=1;base64,x",
        "data:,x",
    ]
)
parts = st.one_of(
    a("input_text", text=st.text(max_size=9)),
    a("output_text", text=st.text(max_size=9), annotations=(st.lists(objects(scalars), max_size=2),)),
    a("refusal", refusal=st.text(max_size=9)),
    a("input_image", image_url=(urls | st.none(),), file_id=(ids,), detail=(st.just("auto"),)),
    a("input_file", file_id=ids),
    a("input_audio", input_audio=objects(scalars)),
)
roles = st.sampled_from(["user", "assistant", "system", "developer"])
content = st.text(max_size=9) | st.lists(parts, max_size=3)
messages = shape(
    {"role": roles, "content": content},
    {"type": st.just("message"), "id": ids, "status": statuses, "phase": st.just("commentary")},
)
strange = a("message", role=roles, content=st.lists(parts | a("hologram", data=values), max_size=3), id=(ids,))
calls = st.one_of(
    a("function_call", call_id=ids, name=ids, arguments=st.text(max_size=6), id=(ids,), status=(statuses,)),
    a("custom_tool_call", call_id=ids, name=ids, input=st.text(max_size=6), id=(ids,)),
)
outputs = st.text(max_size=6) | st.lists(parts, max_size=2)
results = st.one_of(
    a("function_call_output", call_id=ids, output=outputs, id=(ids,)),
    a("custom_tool_call_output", call_id=ids, output=outputs),
)
thoughts = a(
    "reasoning",
    id=(ids,),
    summary=(st.lists(a("summary_text", text=st.text(max_size=6)), max_size=3),),
    content=(st.lists(a("reasoning_text", text=st.text(max_size=6)), max_size=2) | st.none(),),
    encrypted_content=(ids | st.none(),),
    status=(statuses,),
)
opaques = st.one_of(
    a("item_reference", id=ids),
    a("web_search_call", id=ids, action=values),
    a("computer_call_output", call_id=ids, output=objects(scalars)),
    a("mcp_approval_response", approve=st.booleans()),
    a("reasoning", summary=st.just([{"type": "hieroglyph"}])),
)
items = st.one_of(messages, strange, calls, results, thoughts, opaques)
tools = st.one_of(
    a(
        "function",
        name=ids,
        parameters=objects(values) | st.none(),
        strict=(st.booleans(),),
        description=(ids | st.none(),),
    ),
    a("function", name=ids),
    a("custom", name=ids, format=(values,)),
    a("web_search_preview", search_context_size=(st.just("low"),)),
    odd,
)
usages = shape(
    {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(0, 99)},
    {
        "total_tokens": st.integers(0, 99),
        "input_tokens_details": st.just({"cached_tokens": 3}),
        "output_tokens_details": st.just({"reasoning_tokens": 2}) | st.none(),
    },
)
requests = shape(
    {"model": st.text(max_size=5)},
    {
        "input": st.text(max_size=5) | st.lists(items | odd, max_size=4),
        "instructions": st.text(max_size=5) | st.none(),
        "tools": st.lists(tools, min_size=1, max_size=3),
        "stream": st.just(True),
        "previous_response_id": ids,
        "text": values,
    },
)
answer_messages = a(
    "message", role=st.just("assistant"), id=(ids,), status=(statuses,), content=st.lists(parts, max_size=3)
)
strange_answers = a(
    "message", role=st.just("assistant"), id=ids, content=st.lists(parts | a("hologram", data=values), max_size=3)
)
answers = shape(
    {"id": ids, "object": st.just("response"), "model": ids},
    {
        "status": st.sampled_from(["completed", "incomplete", "failed", "in_progress", "cancelled"]),
        "incomplete_details": st.none() | st.just({"reason": "max_output_tokens"}),
        "usage": usages | st.none(),
        "error": st.none(),
        "output": st.lists(st.one_of(answer_messages, strange_answers, calls, thoughts, opaques, odd), max_size=5),
    },
)


def bare(value: Any) -> Any:
    """*value* anew, without the wire form of anything in it."""
    if isinstance(value, tuple):
        return tuple(bare(item) for item in value)
    if not attrs.has(type(value)):
        return value
    fields = [field.name for field in attrs.fields(type(value)) if field.init and field.name != "endpoint"]
    return evolve(value, **{name: bare(getattr(value, name)) for name in fields})


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def read(body: dict[str, Any]) -> Request:
    return Request(api=API.name, **API.request_fields(body))


def read_answer(body: dict[str, Any]) -> Response:
    return Response(api=API.name, **API.response_fields(body))


def without_emptiness(body: dict[str, Any]) -> dict[str, Any]:
    """What the contract's values cannot tell from nothing: the host keeps it beside them."""
    return {name: value for name, value in body.items() if name != "model" or value}


@settings(max_examples=80, deadline=None)
@given(requests)
def test_a_request_is_written_as_it_was_read_with_and_without_its_wire_form(body: dict[str, Any]) -> None:
    """Decode then encode is the identity on JSON values, also when every value in it was made anew."""
    expected = canonical(without_emptiness(body))
    assert canonical(API.request_body(read(body))) == expected
    assert canonical(API.request_body(bare(read(body)))) == expected


@settings(max_examples=80, deadline=None)
@given(answers)
def test_an_answer_is_written_as_it_was_read_with_and_without_its_wire_form(body: dict[str, Any]) -> None:
    """Decode then encode is the identity on JSON values, also when every value in it was made anew."""
    expected = {"output": [], **body}
    assert canonical(API.response_body(read_answer(body))) == canonical(expected)
    assert canonical(API.response_body(bare(read_answer(body)))) == canonical(expected)


@settings(max_examples=50, deadline=None)
@given(objects(values))
def test_reading_never_fails(body: dict[str, Any]) -> None:
    """A body that is not what its address promises gives what it can and loses nothing."""
    assert read(body).params == body
    if body:
        assert canonical(API.response_body(read_answer(body))) == canonical(body)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(answer_messages, calls, thoughts, opaques), min_size=1, max_size=5))
def test_an_answer_can_be_put_into_the_next_request(output: list[dict[str, Any]]) -> None:
    """One message of an answer is the same items again when it becomes a part of the input."""
    message = read_answer({"output": output}).message
    request = Request(api=API.name, messages=(Message("user", (Text("Hi"),)), message))
    assert canonical(API.request_body(request)["input"][1:]) == canonical(output)
    assert canonical(API.request_body(bare(request))["input"][1:]) == canonical(output)


def test_an_error_body_stays_what_it_is() -> None:
    """An answer that is no answer keeps everything in params."""
    body = {"error": {"message": "m", "type": "server_error", "param": None, "code": None}}
    response = read_answer(body)
    assert response.message == Message("assistant")
    assert API.response_body(bare(response)) == body


# --- what is where ----------------------------------------------------------------------------------------------------


def test_the_items_of_a_conversation_become_messages() -> None:
    """Each item is a message; calls and results are found by their id."""
    request = read(
        {
            "model": "m",
            "instructions": "Be brief.",
            "store": False,
            "input": [
                {"role": "user", "content": "Hi"},
                {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,iVBO"}]},
                {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"},
                {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "4"},
                {"type": "item_reference", "id": "x"},
            ],
        }
    )
    assert request.messages[0].text == "Be brief."
    assert request.messages[1] == Message("user", (Text("Hi"),))
    assert request.messages[2].blocks == (Image(None, "iVBO", "image/png"),)
    assert request.messages[3].blocks == (
        Reasoning("", "e", {"item": {"type": "reasoning", "id": "rs", "summary": []}}),
    )
    assert request.messages[4].tool_calls == (ToolCall("c1", "f", "{}", {"id": "fc"}),)
    assert request.messages[5] == Message("tool", (ToolResult("c1", (Text("4"),)),))
    assert request.messages[6].blocks == (Opaque("item_reference", {"type": "item_reference", "id": "x"}),)
    assert [message.role for message in request.messages] == [
        "system",
        "user",
        "user",
        "assistant",
        "assistant",
        "tool",
        "assistant",
    ]
    assert request.params == {"store": False}


def test_the_items_of_an_answer_become_one_message() -> None:
    """In the order of the items, whatever item they came in."""
    message = read_answer(
        {
            "output": [
                {"type": "reasoning", "id": "rs", "encrypted_content": "e", "summary": [
                    {"type": "summary_text", "text": "Hm"}]},
                {"type": "message", "id": "m1", "role": "assistant", "content": [
                    {"type": "output_text", "text": "Hi", "annotations": []}, {"type": "refusal", "refusal": "No."}]},
                {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}"},
            ]
        }
    ).message  # fmt: skip
    assert [type(block) for block in message.blocks] == [Reasoning, Text, RefusalText, ToolCall]
    assert (message.text, message.reasoning, message.refusal) == ("Hi", "Hm", "No.")
    assert message.blocks[0].signature == "e"  # type: ignore[union-attr]


def test_a_changed_text_is_the_only_thing_that_changes() -> None:
    """Redacting one part leaves every other field as it came; only log probabilities would tell the old text."""
    part = {
        "type": "output_text",
        "text": "my key",
        "annotations": [],
        "logprobs": [{"token": "my key", "bytes": None, "logprob": -1.0}],
    }
    body = {
        "object": "response",
        "status": "completed",
        "output_text": "my key",
        "output": [
            {"type": "message", "id": "m", "status": "completed", "role": "assistant", "x": 1, "content": [part, part]}
        ],
    }
    response = read_answer(body)
    first, second = response.message.blocks
    changed = evolve(response, message=evolve(response.message, blocks=(evolve(first, text="***"), second)))
    written = API.response_body(changed)
    assert written["output"][0]["content"] == [{**part, "text": "***", "logprobs": []}, part]
    assert {**written["output"][0], "content": None} == {**body["output"][0], "content": None}
    assert written["output_text"] == "***my key"


def test_what_a_plugin_adds_becomes_items() -> None:
    """Calls, results and texts of one message are items of their own; unknown ones keep their type."""
    request = Request(
        api=API.name,
        messages=(
            Message("system", (Text("S"),)),
            Message(
                "assistant", (Text("Let me see."), ToolCall("c1", "f", "{}"), Opaque("web_search_call", {"id": "w"}))
            ),
            Message("tool", (ToolResult("c1", (Text("4"), Image("https://x.example/a.png"))),)),
            Message("user", (Text("a"), Text("b"))),
        ),
        tools=(Tool("f", "d", {"type": "object"}),),
    )
    assert API.request_body(request) == {
        "input": [
            {"role": "system", "content": "S"},
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "web_search_call", "id": "w"},
            {"type": "function_call_output", "call_id": "c1", "output": [
                {"type": "input_text", "text": "4"}, {"type": "input_image", "image_url": "https://x.example/a.png"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
    }  # fmt: skip


def test_a_string_as_input_stays_a_string_until_there_is_more() -> None:
    """A second message makes a list of it; instructions stay what they are."""
    request = bare(read({"model": "m", "input": "Hi", "instructions": "S"}))
    assert API.request_body(request) == {"model": "m", "input": "Hi", "instructions": "S"}
    more = evolve(request, messages=(*request.messages, Message("user", (Text("there"),))))
    assert API.request_body(more)["input"] == [{"role": "user", "content": "Hi"}, {"role": "user", "content": "there"}]


@pytest.mark.parametrize(
    ("body", "reason", "complete"),
    [
        ({"status": "completed", "incomplete_details": None}, "completed", True),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens", False),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", False),
        ({"status": "incomplete"}, "incomplete", False),
        ({"status": "failed", "error": {"code": "server_error"}}, "failed", False),
        ({"status": "in_progress"}, "in_progress", False),
        ({}, None, False),
    ],
)
def test_the_finish_reason_says_whether_the_answer_is_whole(
    body: dict[str, Any], reason: str | None, complete: bool
) -> None:
    """Only a completed answer is; an incomplete one says why."""
    response = read_answer(body)
    assert (response.finish_reason, response.complete) == (reason, complete)


def test_usage_is_told_in_the_wires_words() -> None:
    """Unchanged numbers are written as they came, changed ones into the same object."""
    told = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 5, "x": 1},
        "output_tokens": 4,
        "total_tokens": 13,
    }
    response = read_answer({"output": [], "usage": told})
    assert response.usage == Usage(9, 4, 5, extra=told)
    assert API.response_body(response)["usage"] == told
    written = API.response_body(evolve(response, usage=evolve(response.usage, output=7)))["usage"]
    assert (written["output_tokens"], written["total_tokens"], written["input_tokens_details"]["x"]) == (7, 16, 1)


# --- endpoints, errors, the SDK ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/responses", "responses"),
        ("POST", "/openai/v1/responses/", "responses"),
        ("POST", "/v1/responses/input_tokens", "responses.input_tokens"),
        ("POST", "/v1/responses/compact", None),
        ("GET", "/v1/responses/resp_1", None),
        ("DELETE", "/v1/responses/resp_1", None),
        ("POST", "/v1/responses/resp_1/cancel", None),
        ("GET", "/v1/responses/resp_1/input_items", None),
    ],
)
def test_the_end_of_the_path_says_what_may_be_done(method: str, path: str, name: str | None) -> None:
    """Making an answer and counting its input are known; what reads or changes the server's state is not."""
    endpoint = API.endpoint(method, path)
    assert (endpoint and endpoint.name) == name
    if endpoint is not None:
        assert endpoint.chat == endpoint.streams == (name == "responses")


def sdk(answer: Any) -> openai.OpenAI:
    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(api_key="k", max_retries=0, http_client=openai.DefaultHttpxClient(transport=transport))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
def test_the_sdk_reads_our_errors_as_its_own(status: int, error: type[openai.APIStatusError]) -> None:
    """An error body has a type that belongs to its status, our code, and our words."""
    body = API.error_body(status, "over_budget", "No budget left.")
    with pytest.raises(error, match=r"No budget left\.") as caught:
        sdk(lambda _: httpx2.Response(status, json=body)).responses.create(model="m", input="Hi")
    assert caught.value.code == "over_budget"


def test_the_sdk_sees_the_same_answer_before_and_after() -> None:
    """What the SDK makes of a body equals what it makes of the body that was read and written anew."""
    part = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-x",
        "output": [
            {
                "type": "reasoning",
                "id": "rs",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "e",
            },
            {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]},
            {
                "type": "function_call",
                "id": "fc",
                "call_id": "c1",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    }
    sent: list[Any] = []

    def answer(with_body: dict[str, Any]) -> Any:
        def reply(request: httpx2.Request) -> httpx2.Response:
            sent.append(json.loads(request.content))
            return httpx2.Response(200, json=with_body)

        return reply

    ask: dict[str, Any] = {
        "model": "gpt-x",
        "instructions": "S",
        "input": [{"role": "user", "content": "Hi"}, {"type": "function_call_output", "call_id": "c", "output": "4"}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
    }
    before = sdk(answer(body)).responses.create(**ask)
    after = sdk(answer(API.response_body(bare(read_answer(body))))).responses.create(**ask)
    assert before == after
    assert API.request_body(bare(read(sent[0]))) == sent[0]


def test_a_plugins_own_answer_is_one_the_sdk_can_read() -> None:
    """A Response made of a message alone has what the SDK looks at."""
    message = Message("assistant", (Reasoning("Hm"), Text("Hi"), ToolCall("c", "f", "{}")))
    body = API.response_body(Response(API.name, message=message))
    heard = sdk(lambda _: httpx2.Response(200, json=body)).responses.create(model="m", input="Hi")
    assert (heard.output_text, heard.status, heard.output[1].content[0].annotations) == ("Hi", "completed", [])
    assert [item.type for item in heard.output] == ["reasoning", "message", "function_call"]

"""What crosses to another route and what stays behind; what keeps a request from crossing at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import ErrorInfo, Headers, Request, RequestContext, Switch, hookimpl
from conversations import PATHS, told

from clippy_core.config import RouteConfig
from clippy_core.config_values import Secret
from clippy_core.routes import obstacle, redirect
from clippy_core.testing import Fault, Reply
from clippy_core.wire import decode_request, encode_request

CHAT, RESPONSES, MESSAGES = "openai.chat", "openai.responses", "anthropic.messages"
HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def sent(api: str, url: str = "https://a.test/v1", headers: Any = (), **body: Any) -> Request:
    own = {MESSAGES: ("x-api-key", "sk-caller")}.get(api, ("authorization", "Bearer sk-caller"))
    given = {} if {"messages", "input"} & body.keys() else {"input" if api == RESPONSES else "messages": HI}
    raw = json.dumps({"model": "m", **given, **body}).encode()
    return decode_request("POST", f"{url}{PATHS[api]}", "", Headers([own, *headers]), raw)


def route(api: str, url: str = "https://b.test/v1", key: str = "sk-other", **more: Any) -> RouteConfig:
    return RouteConfig(api=api, base_url=url, key=Secret(key), **more)


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*parts]}]}


def moved(request: Request, to: RouteConfig) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(redirect(request, to)))
    return body


# --- parameters -----------------------------------------------------------------------------------------------------


def test_temperatures_stay_within_what_anthropic_takes_and_it_gets_one_of_two() -> None:
    assert moved(sent(CHAT, temperature=1.7, top_p=0.5), route(MESSAGES))["temperature"] == 1.0
    assert "top_p" not in moved(sent(CHAT, temperature=1.7, top_p=0.5), route(MESSAGES))
    assert moved(sent(CHAT, top_p=0.5), route(MESSAGES))["top_p"] == 0.5
    assert moved(sent(MESSAGES, temperature=0.3, top_p=0.5, max_tokens=5), route(CHAT))["temperature"] == 0.3


@pytest.mark.parametrize(
    ("to", "name"),
    [
        (route(CHAT, ""), "max_completion_tokens"),
        (route(CHAT, "https://x.openai.azure.com/openai/v1"), "max_completion_tokens"),
        (route(CHAT, "https://api.mistral.ai/v1"), "max_tokens"),
        (route(CHAT, "https://notopenai.com/v1"), "max_tokens"),
        (route(RESPONSES), "max_output_tokens"),
        (route(MESSAGES), "max_tokens"),
    ],
    ids=["openai", "azure", "mistral", "another", "responses", "anthropic"],
)
def test_the_limit_has_the_name_that_each_provider_knows(to: RouteConfig, name: str) -> None:
    body = moved(sent(CHAT if to.api != CHAT else MESSAGES, max_tokens=77), to)
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 77}


TOOL = {
    CHAT: {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}},
    RESPONSES: {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}},
    MESSAGES: {"name": "look", "input_schema": {"type": "object", "properties": {}}},
}


def test_one_call_at_a_time_is_asked_for_in_each_apis_words() -> None:
    for api in (CHAT, RESPONSES):
        there = moved(sent(api, tools=[TOOL[api]], parallel_tool_calls=False), route(MESSAGES))
        assert there["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
        choice = {"type": "any", "disable_parallel_tool_use": True}
        back = moved(sent(MESSAGES, tools=[TOOL[MESSAGES]], tool_choice=choice), route(api))
        assert (back["tool_choice"], back["parallel_tool_calls"]) == ("required", False)
    assert "parallel_tool_calls" not in moved(sent(MESSAGES, tools=[TOOL[MESSAGES]]), route(CHAT))


@pytest.mark.parametrize(
    ("api", "own"),
    [
        (CHAT, {"type": "web_search"}),
        (RESPONSES, {"type": "web_search"}),
        (RESPONSES, {"type": "mcp", "server_label": "x", "server_url": "https://x.test"}),
        (MESSAGES, {"type": "web_search_20250305", "name": "web_search"}),
    ],
)
def test_tools_that_a_provider_runs_itself_stay_behind(api: str, own: Any) -> None:
    """Elsewhere they would be functions that the caller does not have."""
    other = CHAT if api == MESSAGES else MESSAGES
    body = moved(sent(api, tools=[own, TOOL[api]]), route(other))
    assert len(body["tools"]) == 1
    assert "look" in str(body["tools"])
    assert "tools" not in moved(sent(api, tools=[own], tool_choice="auto"), route(other))


MUST = {
    CHAT: [{"type": "function", "function": {"name": "other"}}, "required",
           {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}],
    RESPONSES: [{"type": "function", "name": "other"}, "required", {"type": "web_search"}, {"type": "mcp"},
                {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "x"}]}],
    MESSAGES: [{"type": "tool", "name": "web_search"}, {"type": "any"}],
}  # fmt: skip
SERVERS = {MESSAGES: {"type": "web_search_20250305", "name": "web_search"}}


@pytest.mark.parametrize(("api", "choice"), [(api, choice) for api in MUST for choice in MUST[api]])
def test_a_call_that_must_be_made_is_not_asked_of_who_cannot_make_it(api: str, choice: Any) -> None:
    """Without the tool the choice would be refused, or words would come where a call was to."""
    hosted = SERVERS.get(api, {"type": "web_search"})
    named = isinstance(choice, dict) and choice["type"] != "any"
    request = sent(api, tools=[hosted, *([TOOL[api]] if named else [])], tool_choice=choice)
    other = CHAT if api == MESSAGES else MESSAGES
    assert "must be called" in (obstacle(request, route(other)) or "")
    assert obstacle(request, route(api)) is None


@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize("other", PATHS)
def test_only_the_tools_that_are_allowed_are_offered(mode: str, other: str) -> None:
    """No other API can offer a tool and forbid it."""
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "look"}}]}
    asked: dict[str, Any] = {
        CHAT: {"type": "allowed_tools", "allowed_tools": allowed},
        RESPONSES: {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "look"}]},
    }
    for api in asked.keys() - {other}:
        more = json.loads(json.dumps(TOOL[api]).replace("look", "other"))
        request = sent(api, tools=[TOOL[api], more], tool_choice=asked[api])
        assert obstacle(request, route(other)) is None
        body = moved(request, route(other))
        assert (len(body["tools"]), "look" in str(body["tools"])) == (1, True)
        words = {"auto": {"type": "auto"}, "required": {"type": "any"}}
        assert body["tool_choice"] == (words[mode] if other == MESSAGES else mode)


def test_a_tool_stays_as_strict_as_it_was() -> None:
    """Responses holds a model to the schema unless told otherwise, the others only if told so."""
    strict = {api: json.loads(json.dumps(TOOL[api])) for api in PATHS}
    (strict[CHAT]["function"]["strict"], strict[RESPONSES]["strict"], strict[MESSAGES]["strict"]) = (True, True, True)
    for api in PATHS:
        for other in PATHS.keys() - {api}:
            loose = {**TOOL[other], "strict": False} if other == RESPONSES else TOOL[other]
            assert moved(sent(api, tools=[strict[api]]), route(other))["tools"] == [strict[other]]
            assert moved(sent(api, tools=[TOOL[api]]), route(other))["tools"] == [loose]
    bare = {"type": "function", "function": {"name": "look"}}
    assert moved(sent(CHAT, tools=[bare]), route(RESPONSES))["tools"][0]["parameters"]["type"] == "object"


def test_a_limit_below_what_responses_takes_is_raised_to_it() -> None:
    """Programs ask for one token to see whether a model is there (farion1231/cc-switch 7287)."""
    assert moved(sent(MESSAGES, max_tokens=1), route(RESPONSES))["max_output_tokens"] == 16
    assert moved(sent(MESSAGES, max_tokens=17), route(RESPONSES))["max_output_tokens"] == 17


@pytest.mark.parametrize(("content", "said"), [("no file", "Error: no file"), ("Error 5", "Error 5"), (None, "Error")])
@pytest.mark.parametrize("other", [CHAT, RESPONSES])
def test_that_a_tool_failed_is_said_in_words_where_there_is_no_field_for_it(
    other: str, content: Any, said: str
) -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": True}
    asked = [*THINKS[:2], {"role": "user", "content": [result]}]
    there = moved(sent(MESSAGES, messages=asked), route(other))
    assert (there["messages"][-1]["content"] if other == CHAT else there["input"][-1]["output"]) == said


# --- the form of the answer -----------------------------------------------------------------------------------------

NAMED = {"name": "answer", "schema": SCHEMA, "strict": True}
ASKS = {
    CHAT: {"response_format": {"type": "json_schema", "json_schema": NAMED}},
    RESPONSES: {"text": {"format": {"type": "json_schema", **NAMED}}},
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}  # fmt: skip


def test_stop_sequences_cross_where_they_can() -> None:
    assert moved(sent(CHAT, stop="END"), route(MESSAGES))["stop_sequences"] == ["END"]
    there = sent(MESSAGES, stop_sequences=["a", "b"])
    assert obstacle(there, route(CHAT)) is None
    assert moved(there, route(CHAT))["stop"] == ["a", "b"]


@pytest.mark.parametrize("other", PATHS)
@pytest.mark.parametrize("api", PATHS)
def test_a_schema_is_asked_for_everywhere(api: str, other: str) -> None:
    request = sent(api, **ASKS[api])
    assert obstacle(request, route(other)) is None
    body = moved(request, route(other))
    assert {name: body[name] for name in ASKS[other]} == ASKS[other]


def test_json_without_a_schema_is_not_asked_of_who_has_no_way_to_promise_it() -> None:
    chat, responses = (
        sent(CHAT, response_format={"type": "json_object"}),
        sent(RESPONSES, text={"format": {"type": "json_object"}}),
    )
    assert moved(chat, route(RESPONSES))["text"] == {"format": {"type": "json_object"}}
    assert moved(responses, route(CHAT))["response_format"] == {"type": "json_object"}
    for request in (chat, responses):
        assert "form json_object" in (obstacle(request, route(MESSAGES)) or "")


@pytest.mark.parametrize(
    ("api", "other", "asked"),
    [
        (CHAT, RESPONSES, {"n": 2}),
        (CHAT, MESSAGES, {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}),
        (CHAT, MESSAGES, {"response_format": {"type": "grammar"}}),
        (CHAT, RESPONSES, {"stop": ["END"]}),
        (CHAT, MESSAGES, {"stop": "\n"}),
        (MESSAGES, CHAT, {"stop_sequences": ["1", "2", "3", "4", "5"]}),
        (MESSAGES, CHAT, {"messages": [*HI, {"role": "assistant", "content": "{"}]}),
        (CHAT, MESSAGES, {"functions": [{"name": "look", "parameters": {}}]}),
        (RESPONSES, CHAT, {"tools": [{"type": "custom", "name": "code"}]}),
        (CHAT, MESSAGES, {"tools": [{"type": "custom", "custom": {"name": "code"}}]}),
        (CHAT, MESSAGES, user({"type": "input_audio", "input_audio": {}})),
        (CHAT, MESSAGES, user({"type": "file", "file": {"file_data": "x"}})),
        (MESSAGES, CHAT, user({"type": "document", "source": {"type": "text"}})),
        (MESSAGES, CHAT, user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "search_result"}]})),
        (CHAT, MESSAGES, {"logprobs": True, "top_logprobs": 2}),
        (RESPONSES, CHAT, {"include": ["message.output_text.logprobs"]}),
        (RESPONSES, MESSAGES, {"top_logprobs": 3}),
        (CHAT, MESSAGES, {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": " "}]}),
        (CHAT, RESPONSES, {"messages": []}),
        (RESPONSES, CHAT, {"input": [*HI, {"role": 7, "content": "x"}]}),
        (CHAT, RESPONSES, {"messages": [*HI, {"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}]}),
        (RESPONSES, CHAT, {"input": [*HI, {"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}]}),
        (RESPONSES, CHAT, {"input": [*HI, {"type": "function_call_output", "call_id": "a", "output": {"x": 1}}]}),
        (RESPONSES, CHAT, {"input": [*HI, {"type": "local_shell_call_output", "id": "a", "output": "x"}]}),
        (MESSAGES, CHAT, {"messages": [*HI, {"role": "assistant", "content": [{"type": "tool_use"}]}]}),
        (MESSAGES, CHAT, {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        (RESPONSES, CHAT, {"tools": [{"type": "apply_patch"}]}),
        (RESPONSES, MESSAGES, {"tools": [{"type": "namespace", "name": "n", "tools": []}]}),
    ],
)  # fmt: skip
def test_what_would_be_another_question_or_another_kind_of_answer_does_not_cross(
    api: str, other: str, asked: Any
) -> None:
    assert obstacle(sent(api, **asked), route(other))
    assert obstacle(sent(api, **asked), route(api)) is None, "its own API can say it"


@pytest.mark.parametrize("other", PATHS)
@pytest.mark.parametrize(
    ("api", "asked"),
    [
        (RESPONSES, {"previous_response_id": "resp_1"}),
        (RESPONSES, {"conversation": "conv_1"}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}),
        (RESPONSES, {"input": [{"type": "compaction", "encrypted_content": "x"}]}),
        (CHAT, user({"type": "file", "file": {"file_id": "file-1"}})),
        (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        (MESSAGES, {"container": "container_1"}),
        (MESSAGES, user({"type": "image", "source": {"type": "file", "file_id": "f"}})),
        (MESSAGES, user({"type": "document", "source": {"type": "file", "file_id": "f"}})),
    ],
)  # fmt: skip
def test_what_only_one_account_keeps_is_asked_of_no_other(api: str, asked: Any, other: str) -> None:
    request = sent(api, **asked)
    assert obstacle(request, route(other))
    assert obstacle(request, route(api, "https://a.test/v1", "sk-caller", model="another")) is None


CODE = {"id": "call_1", "name": "code", "input": 'print("a")'}
FREEFORM = {
    CHAT: {"messages": [
        *HI,
        {"role": "assistant", "tool_calls": [
            {"id": CODE["id"], "type": "custom", "custom": {"name": CODE["name"], "input": CODE["input"]}},
        ]},
        {"role": "tool", "tool_call_id": CODE["id"], "content": "a"},
    ]},
    RESPONSES: {"input": [
        *HI,
        {"type": "custom_tool_call", "call_id": CODE["id"], "name": CODE["name"], "input": CODE["input"]},
        {"type": "custom_tool_call_output", "call_id": CODE["id"], "output": "a"},
    ]},
}  # fmt: skip


@pytest.mark.parametrize(("api", "other"), [(one, other) for one in FREEFORM for other in PATHS if other != one])
def test_a_call_with_any_text_in_the_history_crosses_as_one_with_that_text_as_its_argument(
    api: str, other: str
) -> None:
    """What was done then is still true, though the tool is not offered any more: arguments elsewhere are JSON."""
    request = sent(api, **FREEFORM[api])
    assert obstacle(request, route(other)) is None
    found = told(other, moved(request, route(other)))
    assert found.faults == []
    assert found.pairs() == [(CODE["name"], {"input": CODE["input"]}, ["a"])]


# --- what is bound --------------------------------------------------------------------------------------------------

THINKS = [
    {"role": "user", "content": "Look"},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "tool_use", "id": "a", "name": "look", "input": {}},
    ]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "seen"}]},
]  # fmt: skip
ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        (route(MESSAGES, "https://a.test", "sk-caller"), True),
        (route(MESSAGES, "https://a.test", "sk-other"), False),
        (route(MESSAGES, "https://b.test", "sk-caller"), False),
        (route(MESSAGES, "https://a.test", "sk-caller", model="another"), False),
    ],
    ids=["same", "key", "place", "model"],
)
def test_signed_thinking_goes_only_to_the_model_and_account_that_signed_it(to: RouteConfig, kept: bool) -> None:
    body = moved(sent(MESSAGES, messages=THINKS, **ENABLED), to)
    kinds = [block["type"] for block in body["messages"][1]["content"]]
    assert ("thinking" in kinds, "redacted_thinking" in kinds, "tool_use" in kinds) == (kept, kept, True)
    assert ("thinking" in body) is kept, "who asks for thinking amid a tool call must bring what was thought"


def test_thinking_is_still_asked_for_where_none_is_missing() -> None:
    asked = [*THINKS, {"role": "assistant", "content": "Done"}, {"role": "user", "content": "And now?"}]
    assert moved(sent(MESSAGES, messages=asked, **ENABLED), route(MESSAGES))["thinking"] == ENABLED["thinking"]


REASONS = [
    {"role": "user", "content": "Look"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "id": "fo_1", "call_id": "a", "output": "seen"},
    {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Done"}]},
]


def test_reasoning_items_and_ids_go_to_no_other_account() -> None:
    """An id links an item to reasoning that is not sent along, and is refused for that."""
    there = moved(sent(RESPONSES, input=REASONS), route(RESPONSES))
    assert [item.get("type") for item in there["input"]] == [None, "function_call", "function_call_output", "message"]
    assert not any("id" in item for item in there["input"])
    assert told(RESPONSES, there).faults == []
    own = route(RESPONSES, "https://a.test/v1", "sk-caller", model="another")
    assert moved(sent(RESPONSES, input=REASONS), own)["input"] == REASONS


def test_another_organization_is_another_account() -> None:
    request = sent(RESPONSES, input=REASONS, headers=[("openai-organization", "org-1")])
    assert len(moved(request, route(RESPONSES, "https://a.test/v1", "sk-caller"))["input"]) == 4


def test_unsigned_reasoning_stays_where_its_provider_wants_it_back() -> None:
    """DeepSeek's: another key of it may have it, another provider refuses the field."""
    said = {"role": "assistant", "content": "Hi", "reasoning_content": "hm", "reasoning_details": [{"type": "x"}]}
    request = sent(CHAT, messages=[*HI, said, *HI])
    assert moved(request, route(CHAT, "https://a.test/v1"))["messages"][1]["reasoning_content"] == "hm"
    assert moved(request, route(CHAT))["messages"][1] == {"role": "assistant", "content": "Hi"}


def test_signatures_in_calls_stay_behind() -> None:
    """Gemini's, in its form of OpenAI's chat."""
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "s"}}}
    done = {"role": "tool", "tool_call_id": "a", "content": "seen"}
    request = sent(CHAT, messages=[*HI, {"role": "assistant", "tool_calls": [signed]}, done])
    assert moved(request, route(CHAT))["messages"][1]["tool_calls"] == [call]


def test_an_address_that_is_none_is_left_to_whoever_sends_to_it() -> None:
    assert moved(sent(CHAT), route(MESSAGES, "http://[::1/v1"))["messages"]
    assert moved(sent(CHAT), route(CHAT, "http://host:port/v1"))["messages"]


def test_what_nothing_is_bound_in_goes_as_it_came() -> None:
    request = sent(
        MESSAGES, messages=[{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]}]
    )
    assert redirect(request, route(MESSAGES)).raw == request.raw


def test_what_says_how_a_body_is_to_be_read_goes_along_within_its_api() -> None:
    request = sent(MESSAGES, headers=[("anthropic-beta", "context-1m"), ("x-secret", "s")])
    there = redirect(request, route(MESSAGES)).headers
    assert (there.get("anthropic-beta"), there.get("x-api-key"), "x-secret" in there) == (
        "context-1m",
        "sk-other",
        False,
    )
    assert "anthropic-beta" not in redirect(request, route(CHAT)).headers
    own = redirect(request, route(MESSAGES, headers={"Anthropic-Beta": Secret("other")})).headers
    assert [value for name, value in own.pairs if name.lower() == "anthropic-beta"] == ["other"]


def test_a_result_that_comes_after_other_words_stands_first_at_anthropic() -> None:
    items = [REASONS[0], REASONS[3], {"role": "user", "content": "meanwhile"}, REASONS[4]]
    body = moved(sent(RESPONSES, input=items), route(MESSAGES))
    assert told(MESSAGES, body).faults == []
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_arguments_that_are_no_object_are_wrapped_for_anthropic() -> None:
    def call(arguments: str) -> Any:
        asked = {"id": "a", "type": "function", "function": {"name": "look", "arguments": arguments}}
        done = {"role": "tool", "tool_call_id": "a", "content": "no"}
        body = moved(sent(CHAT, messages=[*HI, {"role": "assistant", "tool_calls": [asked]}, done]), route(MESSAGES))
        return body["messages"][1]["content"][0]["input"]

    assert call('{"a":') == {"INVALID_JSON": '{"a":'}
    assert call("[1]") == {"INVALID_JSON": "[1]"}
    assert call("") == {}


# --- in a host ------------------------------------------------------------------------------------------------------

ROUTES: dict[str, Any] = {
    "claude": {"api": MESSAGES, "base_url": "http://claude.test", "key": "sk-ant", "model": "claude"},
    "second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
}


@define(eq=False)
class Goes:
    """Switches to its routes in turn, whatever it is told."""

    routes: tuple[str, ...]
    told: list[ErrorInfo] = field(factory=list)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        self.told.append(error)
        return Switch(self.routes[len(self.told) - 1]) if len(self.told) <= len(self.routes) else None


JSON = {"model": "m", "messages": HI, "response_format": {"type": "json_object"}}


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_route_that_cannot_take_the_request_is_passed_over_and_the_plugin_is_told_why(colour: str) -> None:
    goes = Goes(("claude", "second"))
    caller = Caller(colour, httpx).start([goes], [Fault.status(503), Reply('{"a":1}')], routes=ROUTES)
    sent_ = caller.send(json=JSON)
    assert sent_.status == 200
    assert [request.url.partition("/v1")[0] for request in caller.provider.requests] == [
        "http://fake.test",
        "http://second.test",
    ]
    assert [one.kind for one in goes.told][1:] == ["route_unfit"]
    assert goes.told[1].message == (
        "route claude is passed over: anthropic.messages has no way to ask for an answer of the form json_object"
    )


@pytest.mark.parametrize("routes", [("claude",), ("claude", "claude", "claude")])
def test_without_a_route_that_can_the_caller_gets_the_providers_failure(routes: tuple[str, ...]) -> None:
    goes = Goes(routes)
    caller = Caller("sync", httpx).start([goes], [Fault.status(503), Reply("x")], routes=ROUTES)
    assert caller.send(json=JSON).status == 503
    assert len(caller.provider.requests) == 1
    assert len(goes.told) == 2


@pytest.mark.parametrize(("api", "to"), [(MESSAGES, "second"), (CHAT, "claude")])
def test_reasoning_of_another_provider_is_not_streamed_to_the_caller(api: str, to: str) -> None:
    """It would come back unsigned with the next question, and be refused with the whole thread."""
    script = [Fault.status(503), Reply("Hello", reasoning="hm hm")]
    caller = Caller("sync", httpx).start([Goes((to,))], script, routes=ROUTES)
    body = caller.send(path=PATHS[api], json={"model": "m", "max_tokens": 9, "messages": HI, "stream": True}).body
    assert b"Hello" in body
    assert b"hm" not in body

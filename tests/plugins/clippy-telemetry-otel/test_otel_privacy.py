"""What is in no span and in no metric: keys, prompts, answers, what an error said, who called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clippy_errors import ErrorClassifier
from clippy_hookspecs import (
    AuditRecord,
    Endpoint,
    ErrorInfo,
    Image,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from clippy_telemetry_otel.content import content_attributes
from clippy_telemetry_otel.conventions import Server, error_type, request_attributes, server, text
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import Raw, Reply, call

SECRETS = Path(__file__).parents[4] / "shared" / "data" / "secrets-dev.jsonl"
KEY = "sk-proj-" + "Zq8" * 20


def everything(otel: Any) -> str:
    """All that left the plugin, as text."""
    return "".join(span.to_json() for span in otel.spans) + str(otel.reader.get_metrics_data())


def secrets() -> list[str]:
    """The texts of the corpus that no record may hold, and one of ours."""
    if not SECRETS.exists():
        return [KEY]
    rows = [json.loads(line) for line in SECRETS.read_text().splitlines()]
    return [KEY, *(text for row in rows if row["label"] == "attack" for text in row["must_not_contain"])]


@pytest.mark.parametrize("content", [False, True], ids=["without content", "with content"])
def test_no_key_is_in_a_span_or_a_metric(otel: Any, content: bool) -> None:
    """Wherever a request carries one: in headers, in its query, in the address; and where an error repeats it."""
    for number, secret in enumerate(secrets()):
        carried = json.dumps(secret)[1:-1].encode("ascii", "replace").decode()
        fate = Raw(
            json.dumps({"error": {"message": f"Incorrect API key provided: {secret}", "code": secret}}).encode(), 401
        )
        bench = otel.bench([fate, Reply("Hello")], {"errors": ErrorClassifier()}, content=content, identity=False)
        for _ in range(2):
            bench.post(
                f"/chat/completions?key={number}{_quoted(secret)}&alt=sse",
                {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
                authorization=f"Bearer {_header(secret)}",
                **{"x-goog-api-key": _header(secret)},
            )
        bench.close()
        told = everything(otel)
        assert secret not in told, secret
        assert carried not in told, secret
        otel.exporter.clear()
    assert server(f"https://user:{KEY}@api.openai.com/v1?key={KEY}#{KEY}", "openai.chat") == Server(
        "api.openai.com", 443, "https://api.openai.com/v1", "openai"
    )


def _quoted(secret: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in secret)


def _header(secret: str) -> str:
    return "".join(letter if 32 < ord(letter) < 127 else "_" for letter in secret)


@pytest.mark.parametrize("given", [False, True], ids=["content for those who ask", "content for all"])
def test_prompts_and_answers_are_in_no_span_by_default(otel: Any, given: bool) -> None:
    """Plain and streamed; also where the host gives content to every plugin."""
    fate = Reply("the answer is a canary", tool_calls=[call("canary_tool", {"q": "canary"})])
    bench = otel.bench(fate, config={"audit": {"content": given}})
    tools = [{"type": "function", "function": {"name": "canary_tool", "parameters": {}}}]
    said = [{"role": "system", "content": "be a canary"}, {"role": "user", "content": "canary?"}]
    for way in (bench.chat, bench.stream):
        way(said, tools=tools, stop="canary")
    assert len(otel.requests) == 2
    assert "canary" not in everything(otel)
    assert not bench.host.plugins["telemetry-otel"].reads_content


def test_who_called_is_told_only_when_asked_for_and_never_in_metrics(otel: Any) -> None:
    for identity in (False, True):
        bench = otel.bench(Reply("Hello"), identity=identity)
        with bench.host.scope(tenant="acme", user="ada@example.org", session="s-17"):
            bench.chat()
    without, with_it = otel.requests
    keys = ("clippy.tenant", "user.id", "gen_ai.conversation.id")
    assert [without.attributes.get(key) for key in keys] == [None] * 3
    assert [with_it.attributes.get(key) for key in keys] == ["acme", "ada@example.org", "s-17"]
    assert not any(said in str(otel.reader.get_metrics_data()) for said in ("acme", "ada@", "s-17"))


def test_metrics_have_no_id(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"))
    bench.chat()
    (record,) = bench.records
    assert record.id not in str(otel.reader.get_metrics_data())
    assert record.id in everything(otel)


# --- content, for those who want it ----------------------------------------------------------------------------------


def test_with_content_a_span_has_what_was_said(otel: Any) -> None:
    """In the conventions' form, with instructions apart; and the answer's own id and model."""
    bench = otel.bench(Reply("Hello yourself", tool_calls=[call("look", {"at": 1}, "call_1")]), content=True)
    bench.chat([{"role": "system", "content": "be kind"}, {"role": "user", "content": "Hello"}])
    (request,) = otel.requests
    told = {key: json.loads(request.attributes[f"gen_ai.{key}"]) for key in ("input.messages", "output.messages")}
    assert told["input.messages"] == [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]
    (answer,) = told["output.messages"]
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "tool_calls")
    assert answer["parts"] == [
        {"type": "text", "content": "Hello yourself"},
        {"type": "tool_call", "id": "call_1", "name": "look", "arguments": {"at": 1}},
    ]
    assert json.loads(request.attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": "be kind"}]
    assert request.attributes["gen_ai.response.model"] == "test-model"
    assert request.attributes["gen_ai.response.id"]


def test_the_content_of_every_block_has_its_form() -> None:
    """Pictures are named by their kind, never copied; an address loses its query, which may be a signature."""
    blocks = (
        Text("a"),
        RefusalText("b"),
        Reasoning("c", signature="signed"),
        ToolCall("1", "look", "no JSON"),
        ToolResult("1", (Text("seen"),)),
        Image(url="https://x.example/a.png?sig=abc"),
        Image(data="QUJD", media_type="image/png"),
        Image(url="data:image/png;base64,QUJD"),
        Opaque("web_search", {"query": "private"}),
    )
    chat = Endpoint("chat.completions", chat=True)
    request = Request("openai.chat", chat, messages=(Message("user", blocks),), tools=(Tool("look", "looks"),))
    found = content_attributes(AuditRecord("1", "answered", 0.0, 0.0, request=request))
    assert json.loads(found["gen_ai.input.messages"])[0]["parts"] == [
        {"type": "text", "content": "a"},
        {"type": "text", "content": "b"},
        {"type": "reasoning", "content": "c"},
        {"type": "tool_call", "id": "1", "name": "look", "arguments": "no JSON"},
        {"type": "tool_call_response", "id": "1", "response": [{"type": "text", "content": "seen"}]},
        {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png"},
        {"type": "blob", "modality": "image", "mime_type": None},
        {"type": "web_search"},
    ]
    assert json.loads(found["gen_ai.tool.definitions"])[0]["name"] == "look"


# --- values that nobody meant ----------------------------------------------------------------------------------------


@given(st.text())
def test_every_text_can_be_exported(value: str) -> None:
    """Halves of characters would cost an exporter its whole batch."""
    assert len(text(value).encode()) <= 4 * 256


@given(st.text(), st.sampled_from(["openai.chat", "anthropic.messages", ""]))
def test_every_address_has_a_server_or_none(url: str, api: str) -> None:
    found = server(url, api)
    assert found.provider
    assert bool(found.address) == bool(found.port) == bool(found.url)


PARAMETERS = (
    "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "seed", "n", "response_format",
)  # fmt: skip
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers())
    | st.fixed_dictionaries({"type": st.sampled_from(["json_object", "text"]) | st.integers()})
)


@given(st.dictionaries(st.sampled_from(PARAMETERS), VALUES))
def test_parameters_of_any_type_give_attributes_of_the_right_one(params: dict[str, Any]) -> None:
    """Whole numbers within 64 bits, numbers, and nothing else."""
    for name, value in request_attributes(params).items():
        if name == "gen_ai.output.type":
            assert value == "json"
        else:
            assert type(value) in (int, float)
            assert abs(value) <= 2**63


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (None, "_OTHER"),
        (ErrorInfo("transient", "overloaded", status=529), "overloaded"),
        (ErrorInfo("unknown", "unknown", status=418), "418"),
        (ErrorInfo("unknown", "unknown"), "unknown"),
    ],
)
def test_the_type_of_an_error_is_its_kind_and_never_its_message(info: ErrorInfo | None, expected: str) -> None:
    assert error_type(info) == expected


@pytest.mark.parametrize(
    ("url", "api", "expected"),
    [
        ("https://api.openai.com/v1", "openai.chat", "openai"),
        ("https://api.anthropic.com", "anthropic.messages", "anthropic"),
        ("https://mine.openai.azure.com/openai/v1", "openai.chat", "azure.ai.openai"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", "openai.chat", "aws.bedrock"),
        ("https://example.amazonaws.com/v1", "openai.chat", "openai"),
        ("https://api.groq.com/openai/v1", "openai.chat", "groq"),
        ("https://eu-aiplatform.googleapis.com/v1", "openai.chat", "openai"),
        ("https://eu.aiplatform.googleapis.com/v1", "openai.chat", "gcp.vertex_ai"),
        ("http://localhost:8000/v1", "openai.chat", "openai"),
        ("https://not-api.openai.com.example/v1", "anthropic.messages", "anthropic"),
        ("nowhere", "", "unknown"),
    ],
)
def test_the_provider_is_who_is_at_the_address_else_whose_api_it_speaks(url: str, api: str, expected: str) -> None:
    assert server(url, api).provider == expected

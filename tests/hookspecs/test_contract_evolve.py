"""A changed value never carries the bytes of the one it was made from."""

from __future__ import annotations

import inspect
import json
from typing import Any

import attrs
import clippy_hookspecs as contract
import pytest
from attrs.exceptions import FrozenInstanceError
from clippy_hookspecs import (
    Answer,
    AttemptRecord,
    AuditRecord,
    CacheControl,
    CacheEntry,
    Choice,
    Chunk,
    Continue,
    Deprecation,
    Endpoint,
    ErrorInfo,
    Event,
    Failure,
    Headers,
    HookCall,
    HookPolicy,
    Image,
    Join,
    Message,
    Opaque,
    Outcome,
    Provenance,
    RawReply,
    RawRequest,
    Reasoning,
    RefusalText,
    Request,
    Reservation,
    Response,
    Restart,
    Retry,
    RouteInfo,
    Scope,
    Selector,
    Stale,
    StatusTable,
    StoredEntry,
    Switch,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    evolve,
)
from clippy_hookspecs.types import with_raw

from clippy_core.wire import decode_request, decode_response, encode_request, encode_response, find

SAMPLES: dict[type[Any], Any] = {
    type(sample): sample
    for sample in (
        Answer(Response()), AttemptRecord(1, "main"), AuditRecord("id", "answered", 0.0, 1.0), CacheEntry(Response()),
        Choice(Message("assistant")), Chunk("text", "a"), Continue(), Deprecation("1", "2", "x"), Endpoint("chat"),
        ErrorInfo(), Event("bytes", 1),
        Failure(), HookCall("p", "audit", "passed"), HookPolicy("all", "skip"), Image("http://x"), Join("k"),
        Message("user", (Text("a"),)), Opaque("audio"), Outcome("ok"), Provenance(), RawReply(200, Headers(), b"", {}),
        RawRequest("GET", "u", Headers()), Reasoning("r"), RefusalText("no"), Request(), Response(), Restart(),
        Reservation("i", "k", 1.0, 2.0), Retry(), RouteInfo("main"), Scope(), Selector(),
        StatusTable("breakers", ("route",)), StoredEntry("k", 1, 0.0, 1.0), CacheControl(), Stale(1.0), Switch("other"),
        Text("a"), Tool("t"), ToolCall("i", "n"), ToolResult("i"), Usage(),
    )
}  # fmt: skip
FROZEN = [
    value
    for name in contract.__all__
    if inspect.isclass(value := getattr(contract, name)) and attrs.has(value) and value is not contract.RequestContext
]
OTHER: dict[str, Any] = {"message": Message("tool"), "response": Response(status=201), "after": 2.5, "within": 2.5}
OTHER |= {"ttl": 2.5, "stale_if_error": 2.5, "negative_ttl": 2.5, "max_age": 2.5, "max_stale": 2.5, "share": "tenant"}
"""Fields whose values are checked, or have methods: a value of their own type."""


FIELDS = [(cls, field.name) for cls in FROZEN for field in attrs.fields(cls) if field.init]
WITH_BYTES = [cls for cls in FROZEN if "raw" in {field.name for field in attrs.fields(cls)}]


def test_every_type_has_a_sample() -> None:
    """A type that is new in the contract is tested here without anybody thinking of it."""
    assert {cls.__name__ for cls in FROZEN} == {cls.__name__ for cls in SAMPLES}


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda one: getattr(one, "__name__", one))
def test_a_change_changes_one_field_and_drops_the_bytes(cls: type[Any], name: str) -> None:
    """The new value has the new field, everything else of the old one, and no wire form."""
    old = SAMPLES[cls]
    if cls in WITH_BYTES:
        old = with_raw(evolve(old), b"what came")
    other = OTHER.get(name, object())
    new = evolve(old, **{name: other})
    assert getattr(new, name) is other
    kept = [field.name for field in attrs.fields(cls) if field.init and field.name != name]
    assert all(getattr(new, one) is getattr(old, one) for one in kept)
    if cls in WITH_BYTES:
        assert new.raw is None
        assert old.raw == b"what came"


@pytest.mark.parametrize("cls", FROZEN, ids=lambda cls: cls.__name__)
def test_nothing_can_be_changed_in_place(cls: type[Any]) -> None:
    """Other plugins, the cache key and the record see the same objects."""
    for field in attrs.fields(cls):
        with pytest.raises(FrozenInstanceError):
            setattr(SAMPLES[cls], field.name, None)


@pytest.mark.parametrize("cls", WITH_BYTES, ids=lambda cls: cls.__name__)
def test_bytes_are_neither_compared_nor_given_nor_shown(cls: type[Any]) -> None:
    """Two values that say the same are equal, whatever they came from; only wire modules say what that was."""
    value = evolve(SAMPLES[cls])
    with_bytes = with_raw(evolve(value), b"a secret")
    assert value == with_bytes
    assert "a secret" not in repr(with_bytes)
    with pytest.raises(TypeError):
        cls(**{field.name: getattr(value, field.name) for field in attrs.fields(cls) if field.init}, raw=b"")


# --- on the wire -----------------------------------------------------------------------------------------------------

SECRET = "the-original-must-not-leave"
SAID = {"type": "output_text", "text": SECRET, "annotations": []}
ITEM = {"type": "message", "id": "o", "role": "assistant", "status": "completed", "content": [SAID]}
PARTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "openai.chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}]},
        {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": SECRET}}]},
    ),
    "openai.responses": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": SECRET}]}]},
        {"object": "response", "status": "completed", "output": [ITEM]},
    ),
    "anthropic.messages": (
        "/v1/messages",
        {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}]},
        {"role": "assistant", "content": [{"type": "text", "text": SECRET}], "stop_reason": "end_turn"},
    ),
}


def _request(api: str) -> Request:
    path, body, _ = PARTS[api]
    encoded = json.dumps({"model": "m", **body}).encode()
    request = decode_request("POST", f"http://fake.test{path}", "", Headers(), encoded)
    assert request.api == api
    return request


@pytest.mark.parametrize("api", PARTS)
def test_a_redacted_request_is_written_without_the_original(api: str) -> None:
    """A redactor changes one block deep inside; nothing that was said before leaves with the new body."""
    request = _request(api)
    (message,) = request.messages
    (block,) = message.blocks
    assert isinstance(block, Text)
    clean = evolve(request, messages=(evolve(message, blocks=(evolve(block, text="[gone]"),)),))
    written = encode_request(clean)
    assert SECRET.encode() not in written
    assert b"[gone]" in written
    assert SECRET.encode() in encode_request(request)


@pytest.mark.parametrize("api", PARTS)
def test_a_redacted_answer_is_written_without_the_original(api: str) -> None:
    """The same for what comes back."""
    path, _, body = PARTS[api]
    wire, _ = find("POST", path)
    response = decode_response(wire, 200, Headers(), json.dumps(body).encode())
    (block,) = response.message.blocks
    assert isinstance(block, Text)
    clean = evolve(response, message=evolve(response.message, blocks=(evolve(block, text="[gone]"),)))
    written = encode_response(clean)
    assert SECRET.encode() not in written
    assert b"[gone]" in written
    assert encode_response(response) == json.dumps(body).encode()


@pytest.mark.parametrize("field", [f.name for f in attrs.fields(Request) if f.init])
def test_a_change_to_a_request_that_nobody_read_decodes_it_first(field: str) -> None:
    """What was not looked at yet is neither lost nor kept as bytes beside the change."""
    request = _request("openai.chat")
    assert not request.decoded
    given: Any = {"headers": Headers({"x": "y"}), "stream": True}.get(field, "new")
    changed = evolve(request, **{field: given})
    assert changed.raw is None
    assert changed.decoder is None
    assert getattr(changed, field) == given
    if field not in ("messages", "model"):
        assert (changed.model, changed.messages[0].text) == ("m", SECRET)

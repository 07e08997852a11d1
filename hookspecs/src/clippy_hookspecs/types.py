"""The values that travel through the hooks.  All are frozen; change is :func:`attrs.evolve`.

What came over the wire is kept beside the decoded fields in ``raw``.  ``raw`` is not an init argument, so ``evolve``
drops it and a changed value is always encoded anew: without this a redactor would leak the original.  ``extra`` holds
the fields a wire API has and we do not model; it is an ordinary field, so unknown fields survive a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from attrs import evolve, field, frozen

if TYPE_CHECKING:
    from .errors import ErrorInfo

Json = Any
"""A JSON value as the standard library gives it."""

T = TypeVar("T")


def _raw() -> Any:
    return field(init=False, default=None, eq=False, repr=False)


def with_raw(value: T, raw: Any) -> T:
    """Give *value* the exact wire form it was decoded from.  Only the host's wire modules may call this."""
    object.__setattr__(value, "raw", raw)
    return value


class Headers(Mapping[str, str]):
    """HTTP headers: ordered, repeatable, found without regard to case; immutable.

    ``headers["Retry-After"]`` is the first value of that name; ``pairs`` keeps all of them as they came.
    """

    __slots__ = ("_index", "pairs")

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, source: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = (
            source.pairs if isinstance(source, Headers) else source.items() if isinstance(source, Mapping) else source
        )
        self.pairs = tuple(pairs)
        index: dict[str, str] = {}
        for name, value in self.pairs:
            index.setdefault(name.lower(), value)
        self._index = index

    def __getitem__(self, name: str) -> str:
        return self._index[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __eq__(self, other: object) -> bool:
        return self.pairs == other.pairs if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        """Names only: a header may hold a key."""
        return f"Headers({sorted(self._index)})"

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        return Headers, (self.pairs,)

    def without(self, *names: str) -> Headers:
        """These headers less all of those names."""
        drop = {name.lower() for name in names}
        return Headers(pair for pair in self.pairs if pair[0].lower() not in drop)

    def replace(self, name: str, value: str) -> Headers:
        """These headers with one value for *name*, at the end if it is new."""
        lower = name.lower()
        if lower not in self._index:
            return Headers((*self.pairs, (name, value)))
        kept: list[tuple[str, str]] = []
        done = False
        for pair in self.pairs:
            if pair[0].lower() != lower:
                kept.append(pair)
            elif not done:
                kept.append((pair[0], value))
                done = True
        return Headers(kept)


# --- blocks: what a message is made of ----------------------------------------------------------------------------


@frozen
class Text:
    """Words for a person or a model."""

    text: str
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class RefusalText:
    """The model's own words of refusal (OpenAI's ``refusal``).  The exception is :class:`~clippy_hookspecs.Refusal`."""

    text: str
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class Image:
    """An image by address or by value; ``data`` is base64 text, ``media_type`` as in ``image/png``."""

    url: str | None = None
    data: str | None = field(default=None, repr=False)
    media_type: str | None = None
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class ToolCall:
    """The model asks for a tool.  ``arguments`` is the JSON text as the model wrote it, which may be invalid JSON."""

    id: str
    name: str
    arguments: str = "{}"
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class ToolResult:
    """What a tool answered to the :class:`ToolCall` whose id is ``call_id``."""

    call_id: str
    content: tuple[Block, ...] = ()
    is_error: bool = False
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class Reasoning:
    """The model's thinking.  ``signature`` binds it to one provider: it must not travel to another."""

    text: str
    signature: str | None = field(default=None, repr=False)
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class Opaque:
    """A block we do not model, carried as it is.  ``kind`` is the wire's own type name."""

    kind: str
    data: Json = field(factory=dict)
    raw: Json = _raw()


Block = Union[Text, RefusalText, Image, ToolCall, ToolResult, Reasoning, Opaque]


@frozen
class Message:
    """One turn.  ``role`` is ``system``, ``developer``, ``user``, ``assistant``, ``tool`` or what the wire says."""

    role: str
    blocks: tuple[Block, ...] = ()
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """The text blocks joined."""
        return "".join(block.text for block in self.blocks if isinstance(block, Text))

    @property
    def reasoning(self) -> str:
        """The reasoning blocks joined."""
        return "".join(block.text for block in self.blocks if isinstance(block, Reasoning))

    @property
    def refusal(self) -> str | None:
        """The model's words of refusal, None if there are none."""
        return "".join(block.text for block in self.blocks if isinstance(block, RefusalText)) or None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools this turn asks for, in order."""
        return tuple(block for block in self.blocks if isinstance(block, ToolCall))

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool answers this turn brings, in order."""
        return tuple(block for block in self.blocks if isinstance(block, ToolResult))


@frozen
class Tool:
    """A tool the model may call.  ``parameters`` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Json] = field(factory=dict)
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


@frozen
class Usage:
    """Tokens.  ``input`` counts all input tokens, cached or not; ``estimated``: we counted, not the provider."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False
    extra: Mapping[str, Json] = field(factory=dict)

    @property
    def total(self) -> int:
        return self.input + self.output


# --- requests -----------------------------------------------------------------------------------------------------


@frozen
class Endpoint:
    """What the host may do with a call to this path.  Declared by the wire modules, one for each endpoint they know.

    ``body``: *json* is read and decoded when somebody looks; *stream* is passed on piece by piece and never read.
    """

    name: str
    chat: bool = False
    cacheable: bool = False
    retryable: bool = False
    streams: bool = False
    body: Literal["json", "stream"] = "stream"


UNKNOWN_ENDPOINT = Endpoint("unknown")
"""Not cached, retried only for GET and HEAD or before a byte was sent, bodies streamed."""

_REQUEST_LAZY = frozenset({"model", "messages", "tools", "params", "stream"})


@frozen(repr=False)
class Request:
    """One call to a provider, before it is sent.

    ``api`` names the wire API (``openai.chat``, ``openai.responses``, ``anthropic.messages``; ``""`` = not ours).
    ``url`` is the whole address without its query.  ``params`` are all top-level body fields that are not the model,
    messages, tools or the stream flag.  A call that is not chat is a Request without messages.

    A request from the wire decodes its body when one of model, messages, tools, params or stream is first read.
    ``raw`` is the body as it came, None once something in it was changed.
    """

    api: str = ""
    endpoint: Endpoint = UNKNOWN_ENDPOINT
    method: str = "POST"
    url: str = ""
    query: str = ""
    headers: Headers = field(factory=Headers)
    model: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    params: Mapping[str, Json] = field(factory=dict)
    stream: bool = False
    raw: bytes | None = field(init=False, default=None, eq=False)
    decoder: Callable[[Request], Mapping[str, Any]] | None = field(init=False, default=None, eq=False)

    @classmethod
    def undecoded(cls, decoder: Callable[[Request], Mapping[str, Any]], raw: bytes, **known: Any) -> Request:
        """A request whose body *decoder* will read when somebody first looks.  For the wire modules."""
        return _undecoded(cls, _REQUEST_LAZY, decoder, raw, known)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _decode_on_read(self, name, _REQUEST_LAZY)

    @property
    def decoded(self) -> bool:
        """Whether the body has been looked at."""
        return self.decoder is None

    def __repr__(self) -> str:
        """Never a body or a header value: prompts and keys stay out of logs."""
        return f"<Request {self.api or 'other'} {self.method} {self.url}>"


# --- responses ----------------------------------------------------------------------------------------------------

COMPLETE_REASONS = frozenset(
    {"stop", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence", "completed"}
)
"""Finish reasons after which an answer is whole.  ``length``, ``content_filter``, ``refusal`` and pauses are not."""


@frozen
class Provenance:
    """Who gave this answer and why.

    ``source``: ``provider``, ``cache`` or ``plugin``.  ``by``: the plugin that answered.  ``age`` in seconds for cached
    answers; ``stale`` when it was past its time.
    """

    source: Literal["provider", "cache", "plugin"] = "provider"
    by: str | None = None
    route: str | None = None
    age: float | None = None
    stale: bool = False
    reason: str | None = None


@frozen
class Choice:
    """An answer beside the first, when the caller asked for several (OpenAI's ``n``)."""

    message: Message
    finish_reason: str | None = None
    extra: Mapping[str, Json] = field(factory=dict)
    raw: Json = _raw()


_RESPONSE_LAZY = frozenset({"message", "finish_reason", "usage", "id", "model", "more", "params"})


@frozen(repr=False)
class Response:
    """One whole answer.  ``params`` are the top-level fields of the body that are not modelled.

    ``finish_reason`` is the provider's own word.  ``extensions`` are what the HTTP layer gave (never stored), with
    ``extensions["clippy"]`` the request's :class:`~clippy_hookspecs.RequestContext`.
    """

    api: str = ""
    status: int = 200
    headers: Headers = field(factory=Headers)
    message: Message = field(factory=lambda: Message("assistant"))
    finish_reason: str | None = None
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    more: tuple[Choice, ...] = ()
    params: Mapping[str, Json] = field(factory=dict)
    provenance: Provenance = field(factory=Provenance)
    extensions: Mapping[str, Any] = field(factory=dict, eq=False)
    raw: bytes | None = field(init=False, default=None, eq=False)
    decoder: Callable[[Response], Mapping[str, Any]] | None = field(init=False, default=None, eq=False)

    @classmethod
    def undecoded(cls, decoder: Callable[[Response], Mapping[str, Any]], raw: bytes, **known: Any) -> Response:
        """A response whose body *decoder* will read when somebody first looks.  For the wire modules."""
        return _undecoded(cls, _RESPONSE_LAZY, decoder, raw, known)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _decode_on_read(self, name, _RESPONSE_LAZY)

    @property
    def decoded(self) -> bool:
        """Whether the body has been looked at."""
        return self.decoder is None

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.message.text

    @property
    def complete(self) -> bool:
        """Whether every choice ended of its own accord: the condition for storing it."""
        return self.finish_reason in COMPLETE_REASONS and all(c.finish_reason in COMPLETE_REASONS for c in self.more)

    def __repr__(self) -> str:
        return f"<Response {self.api or 'other'} {self.status}>"


V = TypeVar("V", Request, Response)


def _undecoded(
    cls: type[V],
    lazy: frozenset[str],
    decoder: Callable[[V], Mapping[str, Any]],
    raw: bytes,
    known: Mapping[str, Any],
) -> V:
    """Fill every slot but the lazy ones: reading an empty slot falls through to ``__getattr__``, which decodes."""
    self = cls.__new__(cls)
    put = object.__setattr__
    for name, value in _EAGER_DEFAULTS[cls].items():
        put(self, name, known[name] if name in known else value() if callable(value) else value)
    put(self, "raw", raw)
    put(self, "decoder", decoder)
    for name in known.keys() & lazy:
        put(self, name, known[name])
    return self


def _decode_on_read(self: Any, name: str, lazy: frozenset[str]) -> Any:
    if name not in lazy:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    # A decoder never fails: a body that is not what its address promises gives empty fields and keeps its bytes.
    values = self.decoder(self)
    for key in lazy:
        object.__setattr__(self, key, values[key])
    object.__setattr__(self, "decoder", None)
    return values[name]


_EAGER_DEFAULTS: dict[type[Any], dict[str, Any]] = {
    Request: {
        "api": "",
        "endpoint": UNKNOWN_ENDPOINT,
        "method": "POST",
        "url": "",
        "query": "",
        "headers": Headers,
    },
    Response: {"api": "", "status": 200, "headers": Headers, "provenance": Provenance, "extensions": dict},
}


# --- streams ------------------------------------------------------------------------------------------------------

ChunkKind = Literal[
    "start",
    "text",
    "reasoning",
    "refusal",
    "tool_call",
    "usage",
    "finish",
    "ping",
    "error",
    "done",
    "other",
    "stop",
    "end",
]
CONTENT_KINDS: frozenset[str] = frozenset({"text", "reasoning", "refusal", "tool_call"})
"""The kinds that carry the answer; the first non-empty one is the commit point."""


@frozen
class Chunk:
    """One step of a streamed answer.

    ``kind``: *start* opens the message or a block; *text*, *reasoning*, *refusal* and *tool_call* carry ``delta``
    (for a tool call: a piece of its arguments' JSON text, with ``id`` and ``name`` on its first chunk); *usage* and
    *finish* bring ``usage`` and ``finish_reason``; *ping* keeps the line alive; *error* is an error event inside the
    stream; *done* is the protocol's terminal event; *other* is what we do not know and pass on.
    The host itself adds two kinds without bytes: *stop* when a content block ends, before whatever follows it, and
    exactly one *end* for each stream, with ``reason`` complete, interrupted or cancelled.  A plugin that holds text
    back gives it up on these two.

    ``block`` numbers the content blocks of a stream, ``choice`` the answers beside each other (OpenAI's ``n``).
    """

    kind: ChunkKind
    delta: str = ""
    block: int = 0
    choice: int = 0
    id: str | None = None
    name: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    reason: str | None = None
    extra: Mapping[str, Json] = field(factory=dict, repr=False)
    raw: bytes | None = _raw()

    @property
    def content(self) -> bool:
        """Whether this chunk carries a non-empty piece of the answer (a tool call's name counts)."""
        return self.kind in CONTENT_KINDS and bool(self.delta or self.name)


# --- outcomes -----------------------------------------------------------------------------------------------------


@frozen
class Scope:
    """On whose behalf a call is made.  None means not said, which is different from an empty name."""

    tenant: str | None = None
    user: str | None = None
    session: str | None = None


@frozen
class CacheEntry:
    """What a cache keeps: the provider's own answer, before any plugin changed it.

    ``events`` are the raw bytes of the provider's stream events, () for an answer that was not streamed.  Times are
    unix seconds; ``expires_at`` None means the cache decides.  ``origin`` is the id of the request that was answered.
    ``response.raw`` is the answer's JSON body; :mod:`clippy_hookspecs.stored` writes and reads entries.
    """

    response: Response
    events: tuple[bytes, ...] = field(default=(), repr=False)
    stored_at: float = 0.0
    expires_at: float | None = None
    tags: tuple[str, ...] = ()
    origin: str = ""


@frozen
class Selector:
    """Which stored entries to drop: by key, by tag, or all of one scope.  Empty means everything."""

    key: str | None = None
    tag: str | None = None
    scope: Scope | None = None


@frozen
class Failure:
    """What went wrong, as it was seen, before anybody has judged it.

    ``phase``: *connect* (no byte was sent), *request* (sent, no answer yet), *response* (an answer with an error in
    it) or *stream* (a stream that broke).  ``body`` is at most the first 64 KiB.  ``now`` is unix seconds, for dates in
    headers.  ``committed`` says that a part of the answer had already passed the commit point.
    """

    status: int | None = None
    headers: Headers = field(factory=Headers)
    body: bytes = field(default=b"", repr=False)
    exception: BaseException | None = None
    phase: Literal["connect", "request", "response", "stream"] = "response"
    committed: bool = False
    api: str = ""
    url: str = ""
    model: str | None = None
    now: float = 0.0


@frozen
class Outcome:
    """How one upstream attempt ended."""

    state: Literal["ok", "error", "cancelled"]
    error: ErrorInfo | None = None
    status: int | None = None
    usage: Usage | None = None
    duration: float = 0.0
    first_token: float | None = None


@frozen
class HookCall:
    """One call of one implementation: how long it took and what it did (passed, changed, answered, hit, failed ...)."""

    plugin: str
    hook: str
    action: str
    ns: int = 0
    calls: int = 1


@frozen
class AttemptRecord:
    """One upstream attempt, for the audit record.  Times in seconds."""

    number: int
    route: str
    status: int | None = None
    error: ErrorInfo | None = None
    waited: float = 0.0
    duration: float = 0.0


@frozen
class AuditRecord:
    """What became of one request; made exactly once, whatever happened.

    ``time`` is unix seconds at the start, durations are seconds.  ``request`` and ``response`` hold content: they are
    given only to a plugin with a true ``reads_content`` attribute, and never for a request refused in pre_request.
    """

    id: str
    outcome: Literal["answered", "cached", "refused", "failed", "cancelled", "abandoned"]
    time: float
    duration: float
    api: str = ""
    method: str = "POST"
    url: str = ""
    model: str | None = None
    stream: bool = False
    scope: Scope = field(factory=Scope)
    route: str | None = None
    parent: str | None = None
    status: int | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    first_token: float | None = None
    provenance: Provenance | None = None
    error: ErrorInfo | None = None
    trace: tuple[HookCall, ...] = ()
    request: Request | None = field(default=None, repr=False)
    response: Response | None = field(default=None, repr=False)


@frozen
class Event:
    """Something a recorder may want to see.  ``at`` is nanoseconds of the host's clock.

    ``kind``: attempt, head, bytes, chunk_in, chunk_out, hook, closed; ``data`` is what the kind says: the Request sent,
    the (status, Headers) of an answer, the bytes, the Chunk, the HookCall, the Outcome.
    """

    kind: Literal["attempt", "head", "bytes", "chunk_in", "chunk_out", "hook", "closed"]
    at: int
    data: Any = None


__all__ = [
    "COMPLETE_REASONS",
    "CONTENT_KINDS",
    "UNKNOWN_ENDPOINT",
    "AttemptRecord",
    "AuditRecord",
    "Block",
    "CacheEntry",
    "Choice",
    "Chunk",
    "Endpoint",
    "Event",
    "Failure",
    "Headers",
    "HookCall",
    "Image",
    "Json",
    "Message",
    "Opaque",
    "Outcome",
    "Provenance",
    "Reasoning",
    "RefusalText",
    "Request",
    "Response",
    "Scope",
    "Selector",
    "Text",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Usage",
    "evolve",
]

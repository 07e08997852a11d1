"""Requests, answers and the chunks of a stream.  All are frozen; change is :func:`attrs.evolve`.

What came over the wire is kept beside the decoded fields in ``raw``.  ``raw`` is not an init argument, so ``evolve``
drops it and a changed value is always encoded anew: without this a redactor would leak the original.  ``extra`` holds
the fields a wire API has and we do not model; it is an ordinary field, so unknown fields survive a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from .blocks import Json, Message, Tool, Usage, draft, raw_field
from .blocks import with_raw as with_raw
from .headers import Headers


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


UNREAD: Any = type("Unread", (), {"__repr__": lambda self: "<unread>"})()
"""What the host puts in the place of a field of a body that nobody has looked at."""

UNKNOWN_ENDPOINT = Endpoint("unknown")
"""Not cached, retried only for GET and HEAD or before a byte was sent, bodies streamed."""


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
    def undecoded(
        cls,
        decoder: Callable[[Request], Mapping[str, Any]],
        raw: bytes,
        *,
        api: str = "",
        endpoint: Endpoint = UNKNOWN_ENDPOINT,
        method: str = "POST",
        url: str = "",
        query: str = "",
        headers: Headers | None = None,
    ) -> Request:
        """A request whose body *decoder* will read when somebody first looks.  For the wire modules."""
        self = _RequestDraft()
        self._model = self._messages = self._tools = self._params = self._stream = UNREAD
        self.api, self.endpoint, self.method, self.url, self.query = api, endpoint, method, url, query
        self.headers = Headers() if headers is None else headers
        self.raw, self.decoder = raw, decoder
        self.__class__ = cls
        return self  # type: ignore[no-any-return]  # it is one now

    @property
    def decoded(self) -> bool:
        """Whether the body has been looked at."""
        return self.decoder is None

    def __repr__(self) -> str:
        """Never a body or a header value: prompts and keys stay out of logs."""
        return f"<Request {self.api or 'other'} {self.method} {self.url}>"


_RequestDraft = draft(Request)


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
    raw: Json = raw_field()


_PROVIDER = Provenance()


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
    def undecoded(
        cls,
        decoder: Callable[[Response], Mapping[str, Any]],
        raw: bytes,
        *,
        api: str = "",
        status: int = 200,
        headers: Headers | None = None,
        provenance: Provenance = _PROVIDER,
        extensions: Mapping[str, Any] | None = None,
    ) -> Response:
        """A response whose body *decoder* will read when somebody first looks.  For the wire modules."""
        self = _ResponseDraft()
        self._message = self._finish_reason = self._usage = UNREAD
        self._id = self._model = self._more = self._params = UNREAD
        self.api, self.status, self.provenance = api, status, provenance
        self.headers = Headers() if headers is None else headers
        self.extensions = {} if extensions is None else extensions
        self.raw, self.decoder = raw, decoder
        self.__class__ = cls
        return self  # type: ignore[no-any-return]  # it is one now

    @property
    def decoded(self) -> bool:
        """Whether the body has been looked at."""
        return self.decoder is None

    @property
    def text(self) -> str:
        """The answer's text."""
        # As with ``some``: a decoder of the host's can tell it without making the message, if it is not made yet.
        tell = getattr(self.decoder, "text", None)
        words: str | None = None if tell is None else tell(self)
        return self.message.text if words is None else words

    @property
    def complete(self) -> bool:
        """Whether every choice ended of its own accord: the condition for storing it."""
        if self.finish_reason not in COMPLETE_REASONS:
            return False
        more = self.more
        return not more or all(c.finish_reason in COMPLETE_REASONS for c in more)

    def __repr__(self) -> str:
        return f"<Response {self.api or 'other'} {self.status}>"


_ResponseDraft = draft(Response)

_Put = Callable[[Any, Any], None]
"""Fills one slot of a frozen value."""


def _lazily(cls: type[Any], *names: str) -> None:
    """Have these fields of *cls* read from the body when somebody first looks: their slots hold UNREAD until then.

    A property for each: with one ``__getattr__`` the interpreter looks up every other field, too, by its name.  The
    slots themselves can be filled under their names with an underscore before; empty ones, which raise when they are
    read, would cost three times as much.
    """
    slots = {name: getattr(cls, name) for name in names}
    fill: dict[str, _Put] = {name: slot.__set__ for name, slot in slots.items()}

    def lazy(name: str, kept: Callable[[Any], Any]) -> property:
        def read(self: Any) -> Any:
            value = kept(self)
            return value if value is not UNREAD else _decode_on_read(self, name, kept, fill)

        return property(read, fill[name])

    for name, slot in slots.items():
        setattr(cls, name, lazy(name, slot.__get__))
        setattr(cls, f"_{name}", slot)


def _decode_on_read(self: Any, name: str, kept: Callable[[Any], Any], lazy: Mapping[str, _Put]) -> Any:
    decoder = self.decoder
    if decoder is None:  # another thread was here first
        return kept(self)
    # A decoder never fails: a body that is not what its address promises gives empty fields and keeps its bytes.
    # One of the host's also has ``some``: the field alone, if it can be told without making all the others.
    some = getattr(decoder, "some", None)
    values = None if some is None else some(self, name)
    if values is not None:
        value = values[name]
        lazy[name](self, value)
        return value
    values = decoder(self)
    for field_name, put in lazy.items():
        put(self, values[field_name])
    object.__setattr__(self, "decoder", None)
    return values[name]


_lazily(Request, "model", "messages", "tools", "params", "stream")
_lazily(Response, "message", "finish_reason", "usage", "id", "model", "more", "params")


# --- streams ------------------------------------------------------------------------------------------------------

ChunkKind = Literal[
    "start", "text", "reasoning", "refusal", "tool_call", "usage", "finish", "ping",
    "error", "done", "other", "restart", "stop", "end",
]  # fmt: skip
CONTENT_KINDS: frozenset[str] = frozenset({"text", "reasoning", "refusal", "tool_call"})
"""The kinds that carry the answer; the first non-empty one is the commit point."""


@frozen
class Chunk:
    """One step of a streamed answer.

    ``kind``: *start* opens the message or a block; *text*, *reasoning*, *refusal* and *tool_call* carry ``delta``
    (for a tool call: a piece of its arguments' JSON text, with ``id`` and ``name`` on its first chunk); *usage* and
    *finish* bring ``usage`` and ``finish_reason``; *ping* keeps the line alive; *error* is an error event inside the
    stream; *done* is the protocol's terminal event; *other* is what we do not know and pass on.
    *restart* comes after a plugin decided ``Restart``, to readers of our own client only: what came before it is void,
    and the answer begins anew.  A text of a plugin's ``Continue`` says ``reason="resumed"`` where it joins.
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
    raw: bytes | None = raw_field()

    @property
    def content(self) -> bool:
        """Whether this chunk carries a non-empty piece of the answer (a tool call's name counts)."""
        return self.kind in CONTENT_KINDS and bool(self.delta or self.name)

"""What a wire module is: one for each wire API, all pure functions over JSON values.

A wire module turns the JSON of its API into the contract's values and back.  Two rules make it lossless: every value
keeps the JSON it came from in ``raw`` (set by :func:`clippy_hookspecs.types.with_raw`), and is written back as exactly
that while nobody changed it; a changed value is written from its fields, and what we do not model is in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import field, frozen
from clippy_hookspecs import Chunk, Endpoint, Json, Request, Response

from ..jsonio import loads
from .sse import SseEvent

_ENDS = ("done", "error")


@frozen
class StreamEvent:
    """One event of a stream: its bytes as they came, and what it says.

    ``chunks`` may begin with the host's zero-byte *stop* chunks.  If the event says exactly one thing that chunk's
    ``raw`` is the bytes too.  ``ends``: it ends a choice or the stream, or tells of an error, so that there is more to
    be done than to hand it on.
    """

    raw: bytes
    chunks: tuple[Chunk, ...]
    ends: bool = field(init=False)

    @ends.default
    def _whether_it_ends(self) -> bool:
        return any(chunk.kind in _ENDS or chunk.finish_reason is not None for chunk in self.chunks)


class StreamReader(Protocol):
    """Reads the events of one stream; keeps what must be remembered between them (open blocks, finished choices)."""

    traceless: frozenset[str]
    """The kinds of chunks of which one more, in a block that is open, leaves the reader as it was."""

    @property
    def complete(self) -> bool:
        """Whether the stream may end here: its terminal event came, or every choice has finished."""
        ...

    def apart(self) -> StreamReader:
        """A reader of its own that goes on from here, for events that were not sent."""
        ...

    def read(self, event: SseEvent, parse: Callable[[str], Json] = loads) -> tuple[Chunk, ...]:
        """What one event says; *parse* reads its JSON.

        Raises :class:`CorruptEvent` for data that is not what the API promises.
        """
        ...


class StreamWriter(Protocol):
    """Writes the chunks of one stream; learns the envelope (id, model ...) from the chunks that pass."""

    def write(self, chunk: Chunk) -> bytes:
        """The bytes of *chunk*: its ``raw`` if it is unchanged, b"" for the host's own kinds."""
        ...


class CorruptEvent(ValueError):
    """A stream event that cannot be read: a failure of the provider or of something between us and it."""


Glances = Mapping[str, Callable[[Mapping[str, Json]], Any]]
"""What reads one field from a JSON body, by the field's name."""


class WireApi(Protocol):
    """One wire API."""

    name: str
    """openai.chat, openai.responses or anthropic.messages"""

    @property
    def of_request(self) -> Glances:
        """How to tell single fields of a request's body: what they are when all are read."""
        ...

    @property
    def of_response(self) -> Glances:
        """The same for the body of an answer."""
        ...

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """What may be done with a call to *path* (without query), None if it is not of this API.

        Base URLs have prefixes (``/v1``, ``/openai/deployments/x``, a gateway's own), so the end of the path decides.
        """
        ...

    def request_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """model, messages, tools, params and stream of a request body (the lazy fields of Request), in a new dict."""
        ...

    def plain(self, body: Mapping[str, Json]) -> bool:
        """Whether *body* is a request of messages that are one text each, the usual: False if that takes looking."""
        ...

    def request_body(self, request: Request) -> dict[str, Json]:
        """The JSON body of *request*."""
        ...

    def response_fields(self, body: Mapping[str, Json]) -> dict[str, Any]:
        """message, finish_reason, usage, id, model, more and params of an answer's body, in a new dict."""
        ...

    def response_body(self, response: Response) -> dict[str, Json]:
        """The JSON body of *response*."""
        ...

    def error_body(self, status: int, code: str, message: str) -> dict[str, Json]:
        """An error in this API's own shape, as an SDK expects it."""
        ...

    def reader(self) -> StreamReader: ...

    def writer(self) -> StreamWriter: ...

    def split(self, response: Response, request: Request) -> tuple[bytes, ...]:
        """*response* as the events of a stream that ends with the terminal event, as *request* asked for it."""
        ...

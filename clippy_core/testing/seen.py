"""A request as the fake provider saw it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen
from clippy_hookspecs import Headers, Json

_APIS = {
    "/chat/completions": "openai.chat",
    "/responses": "openai.responses",
    "/messages": "anthropic.messages",
}


@frozen
class SeenRequest:
    """One request, with the bytes that came.

    ``number`` counts the provider's requests from 1, ``connection`` its connections from 1.  ``head`` is the request
    line and the header lines with their final empty line, ``body`` the body without transfer coding, ``raw`` all bytes
    as they were on the wire.  In process there is no wire: head and raw are what an HTTP/1.1 client would have sent.
    """

    number: int
    method: str
    url: str
    headers: Headers
    body: bytes = field(repr=False)
    connection: int
    head: bytes = field(default=b"", repr=False)
    raw: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        """The path of the address, still percent-encoded."""
        return urlsplit(self.url).path

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each query parameter."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def api(self) -> str:
        """``openai.chat``, ``openai.responses``, ``anthropic.messages``, or ``""`` for everything else."""
        if self.method != "POST":
            return ""
        return next((api for end, api in _APIS.items() if self.path.endswith(end)), "")

    @property
    def json(self) -> Json:
        """The body as JSON.  Raises ValueError when it is not."""
        return json.loads(self.body)

    @functools.cached_property
    def fields(self) -> Mapping[str, Json]:
        """The body's JSON object, empty when the body is anything else."""
        try:
            value = self.json
        except (ValueError, RecursionError):  # not JSON, or nested deeper than this Python reads
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def stream(self) -> bool:
        """Whether the caller asked for a stream."""
        return self.fields.get("stream") is True

    @property
    def model(self) -> str:
        """The model asked for, ``fake-model`` when none is named."""
        model = self.fields.get("model")
        return model if isinstance(model, str) else "fake-model"

    @property
    def last_user_text(self) -> str:
        """The text of the newest user turn, ``""`` without one."""
        turns = self.fields.get("messages", self.fields.get("input"))
        if isinstance(turns, str):
            return turns
        for turn in reversed(turns if isinstance(turns, list) else []):
            if isinstance(turn, dict) and turn.get("role") == "user":
                return "".join(_texts(turn.get("content")))
        return ""


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]

"""Answers to HTTP/1.0, which knows no chunks (RFC 9112 section 6.1): one without a length ends with its connection."""

from __future__ import annotations

import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class UntilTheEnd(RequestResponseCycle):
    """uvicorn's answer, which it would send in chunks whatever the request's version."""

    _delimited = False

    async def send(self, message: Any) -> None:
        """As uvicorn's own."""
        if not self.response_started and message["type"] == "http.response.start":
            self._delimited = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._delimited:
                self.chunked_encoding, self.expected_content_length = False, sys.maxsize
        elif self.response_started and not self._delimited and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

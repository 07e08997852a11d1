"""Where ``clippy top`` takes its numbers from: a running inspector, or a recording."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import define, field

from .access import LOOPBACK
from .dashboard import as_json, summed
from .recordings import Recording

_PATIENCE: Final = 10.0
_MOST_BYTES: Final = 8_000_000
_CODE: Final = re.compile("/open/[A-Za-z0-9_-]{20,100}")
_REFUSED: Final = (
    "does not take this token; it is the one in [plugins.inspect] when that was started. Without one there, it has a "
    "random one that nobody is told: set token and start it again"
)
_TOKEN: Final = re.compile("[\x21-\x7e]{1,4096}")


class CannotTell(Exception):
    """There are no numbers now; the message says why and what to do."""


class Watched(Protocol):
    """Whatever has a dashboard."""

    @property
    def name(self) -> str: ...
    def look(self) -> Mapping[str, Any]:
        """The dashboard as ``/api/dashboard`` tells it.  Raises :class:`CannotTell`."""
        ...


@define(eq=False)
class Inspector:
    """The pages of a running program or gateway.

    Asked by itself, whatever proxies the environment names, and never redirected: the token is for this server alone.
    """

    url: str
    token: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise CannotTell("that is no address; give one such as http://127.0.0.1:8765")
        if parts.scheme == "http" and parts.hostname not in (*LOOPBACK, "::1"):
            raise CannotTell("the token would go through the network in the clear; give an https address or a loopback")
        if not _TOKEN.fullmatch(self.token):
            raise CannotTell("that is no token: it is one line of letters, digits and signs")

    @property
    def name(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def look(self) -> Mapping[str, Any]:
        return self._asked("GET", "/api/dashboard", {"hx-request": "true"})  # as a page that keeps itself fresh

    def link(self) -> str:
        """Another one-time link to the pages.  Raises :class:`CannotTell`."""
        path = self._asked("POST", "/api/link").get("path")
        if not isinstance(path, str) or not _CODE.fullmatch(path):
            raise CannotTell(f"what {self.name} answers is no link")
        return f"{urlsplit(self.url).scheme}://{self.name}{path}"

    def _asked(self, method: str, path: str, more: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Any]:
        parts = urlsplit(self.url)
        opened = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            connection = opened(parts.hostname or "", parts.port, timeout=_PATIENCE)
            try:
                connection.request(method, path, headers={"authorization": f"Bearer {self.token}", **more})
                answer = connection.getresponse()
                body = answer.read(_MOST_BYTES + 1)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CannotTell(f"{self.name} does not answer: {error}") from error
        if answer.status == 401:
            raise CannotTell(f"{self.name} {_REFUSED}")
        if answer.status != 200:
            raise CannotTell(f"{self.name} answers with HTTP {answer.status}; is that where the pages are?")
        return _document(body, self.name)


def _document(body: bytes, name: str) -> Mapping[str, Any]:
    try:
        document = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CannotTell(f"what {name} answers is nothing of the pages")
    return document


@define(eq=False)
class Recorded:
    """A recording, looked at again when it has grown."""

    path: Path
    _recording: Recording = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            self._recording = Recording(self.path)
        except (OSError, ValueError) as error:
            raise CannotTell(f"{self.path} cannot be read: {error}") from error

    @property
    def name(self) -> str:
        return self.path.name

    def look(self) -> Mapping[str, Any]:
        try:
            self._recording.look()
        except (OSError, ValueError) as error:
            raise CannotTell(f"{self.path} cannot be read: {error}") from error
        calls = self._recording.latest(1_000_000)
        return as_json(summed(calls, max((one.began for one in calls), default=0.0)))

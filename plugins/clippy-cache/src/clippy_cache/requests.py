"""Requests in files, for the commands that fill caches and explain misses.

A line of JSON is a request either on a route of the configuration, as ``Client.chat`` sends it::

    {"route": "main", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}

or in the wire's own form, as an SDK under a host sends it::

    {"url": "https://api.openai.com/v1/chat/completions", "headers": {"authorization": {"env": "KEY"}}, "body": {...}}

Both may say ``"scope": {"tenant": ..., "user": ..., "session": ...}``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen
from clippy_hookspecs import Headers, RawReply, RawRequest

_SCOPE = ("tenant", "user", "session")
_HEADER = "x-clippy-cache"
_BLANK = re.compile(r"\s*+")
_FIRST = re.compile(r"\n(?=[^\s}\]])")


@frozen
class Asked:
    """What became of one: *hit*, *new* or *missed*, the cache that had it, the age of what it had in seconds, and its
    word on why it gives what was stored for another request.
    """

    how: str
    by: str | None = None
    age: float | None = None
    stale: bool = False
    why: str | None = None


@frozen
class FileRequest:
    """One request of a file; ``raw`` is its wire form, None for one on a route of the configuration."""

    scope: Mapping[str, str]
    params: Mapping[str, Any]
    raw: RawRequest | None = None

    def ask(self, cli: Any, host: Any, client: Any, directives: str = "") -> Asked:
        """Run it through *host*, whose client *client* is.  Raises ProviderError, Refusal or PluginError."""
        with host.scope(**self.scope):
            if self.raw is None:
                answer = client.chat(**self.params, directives={"cache": directives} if directives else {})
                return _asked(answer.provenance)
            headers = [*self.raw.headers.pairs, *([(_HEADER, directives)] if directives else [])]
            raw = RawRequest(self.raw.method, self.raw.url, Headers(headers), self.raw.body)
            return _answered(cli.run(host.answer(raw)))


def _asked(given: Any) -> Asked:
    if given.source == "cache":
        return Asked("hit", given.by, given.age, given.stale, given.reason)
    return Asked("new")


def _answered(reply: RawReply) -> Asked:
    body = reply.body
    if not isinstance(body, bytes):
        raise ValueError('the answer is a stream; leave out "stream", an answer in one piece serves both')
    if reply.status == 504 and b'"not_cached"' in body:
        return Asked("missed")
    if reply.status >= 300:
        raise ValueError(f"HTTP {reply.status}: {body[:200].decode('utf-8', 'replace')}")
    context = reply.extensions.get("clippy")
    return _asked(context.provenance) if context is not None else Asked("new")


def read_requests(text: str, faults: list[str]) -> Iterator[tuple[int, FileRequest]]:
    """Each request in *text* with the number of the line on which it begins: one a line, or written over several.

    What is none goes into *faults*, a sentence with its line for each.  Behind broken JSON it goes on at the next line
    that begins with neither a space nor the end of what was broken.
    """
    at = number = 0
    decoder = json.JSONDecoder()
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches nothing as well
        number += text.count("\n", at, begin)
        try:
            found, at = decoder.raw_decode(text, begin)
            yield number + 1, _request(found)
        except RecursionError:
            faults.append(f"line {number + 1}: it is nested too deep")
            at = _next_line(text, begin)
        except json.JSONDecodeError as error:
            # A request that breaks off is noticed at the next one's brace, and its own line is to be mended.
            said = begin + len(text[begin : error.pos].rstrip("\r\n"))
            line, column = number + text.count("\n", begin, said) + 1, said - text.rfind("\n", 0, said)
            faults.append(f"line {line}: {error.msg}, at column {column}")
            at = _next_line(text, said)
        except ValueError as error:
            faults.append(f"line {number + 1}: {error}")
        number += text.count("\n", begin, at)


def _next_line(text: str, at: int) -> int:
    """Where the next line begins that may be a request's first, the end if none does."""
    found = _FIRST.search(text, at)
    return found.end() if found else len(text)


def _request(found: Any) -> FileRequest:
    """The request that a JSON value says.  Raises ValueError for what is none."""
    if not isinstance(found, dict):
        raise ValueError("a request is a JSON object")
    scope = found.pop("scope", {})
    if not isinstance(scope, dict) or not all(
        name in _SCOPE and isinstance(value, str) for name, value in scope.items()
    ):
        raise ValueError('"scope" is an object with texts for tenant, user and session')
    if "url" in found:
        return FileRequest(scope, {}, _raw(found))
    messages = found.get("messages")
    if not isinstance(messages, (str, list)):
        raise ValueError('it has neither "messages" nor "url"')
    found.pop("stream", None)
    if "directives" in found:
        raise ValueError('"directives" are those of the command')
    return FileRequest(scope, found)


def _raw(found: dict[str, Any]) -> RawRequest:
    surplus = found.keys() - {"url", "headers", "body", "method"}
    if surplus:
        raise ValueError(f"beside url, method, headers, body and scope there is {', '.join(sorted(surplus))}")
    headers, body = found.get("headers", {}), found.get("body")
    if not isinstance(found["url"], str) or not isinstance(headers, dict) or not isinstance(body, dict):
        raise ValueError('"url" is a text, "headers" and "body" are objects')
    body.pop("stream", None)
    pairs = [("content-type", "application/json"), *((str(name), _value(value)) for name, value in headers.items())]
    method = found.get("method", "POST")
    if not isinstance(method, str):
        raise ValueError('"method" is a text')
    return RawRequest(method, found["url"], Headers(pairs), json.dumps(body).encode())


def _value(value: Any) -> str:
    """A header's value, or that of the environment variable which ``{"env": NAME}`` names."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"env"} and isinstance(value["env"], str):
        said = os.environ.get(value["env"])
        if not said:
            raise ValueError(f"the environment variable {value['env']} is not set")
        return said
    raise ValueError('a header is a text, or {"env": "NAME"}')

"""A recorded call in the words of other tools: curl, JSON lines, a program with the official SDK."""

from __future__ import annotations

import json
import pprint
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .exchange import Exchange, Message
from .files import recording
from .questions import not_kept, question_of

_LEFT_TO_THE_CLIENT = frozenset(
    {"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "user-agent", "accept"}
)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BREAKS = re.compile(r"[\r\n\0]+")
_KEYS = {"anthropic.messages": "ANTHROPIC_API_KEY"}
"""Environment variables with the caller's own key, where it is not OpenAI's."""


def to_jsonl(*exchanges: Exchange) -> str:
    """A recording of *exchanges* in JSON lines: everything that is known of them, for every reader of recordings."""
    return recording(exchanges).decode("ascii")


def to_curl(exchange: Exchange) -> str:
    """The request as a command for a POSIX shell; the key comes from the environment.

    What came from a model or a caller is quoted: nothing in it is acted upon, by the shell or by curl, to which a body
    that begins with ``@`` names a file to send, an address with a dash is an option, and braces are several addresses.
    Raises ValueError for a call whose body was not kept: the command would send none.
    """
    came = _request(exchange)
    words = ["curl", "--globoff", "--url", shlex.quote(exchange.url), "-X", shlex.quote(exchange.method)]
    if exchange.stream:
        words.append("--no-buffer")
    parts = [" ".join(words)]
    for name, value in came.headers:
        lower = name.lower()
        if lower in _LEFT_TO_THE_CLIENT or lower.startswith("x-stainless-") or not _NAME.fullmatch(name):
            continue
        if "[redacted" in value:
            parts.append(f'-H "{_credential(lower, exchange)}"')
        else:
            parts.append(f"-H {shlex.quote(_BREAKS.sub(' ', f'{name}: {value}') if value else f'{name};')}")
    if came.body:
        parts.append(f"--data-raw {shlex.quote(came.body.decode('utf-8', 'replace'))}")
    return " \\\n  ".join(parts) + "\n"


def _credential(name: str, exchange: Exchange) -> str:
    variable = _KEYS.get(exchange.api, "OPENAI_API_KEY")
    known = {"authorization": f"Authorization: Bearer ${variable}", "x-api-key": f"x-api-key: ${variable}"}
    return known.get(name) or f"{''.join(letter for letter in name if letter.isalnum() or letter == '-')}: ${variable}"


def _request(exchange: Exchange) -> Message:
    """What came, or what was sent where a client of ours made the request.  Raises ValueError if it was not kept."""
    asked = question_of(exchange)
    if asked is None:
        raise ValueError(not_kept(exchange))
    return asked


def to_python(exchange: Exchange) -> str:
    """A program that makes the call with the provider's own SDK; the key comes from the environment.

    Raises ValueError for a call of another API, or one whose body was not recorded.
    """
    calls = {
        "openai.chat": ("openai", "OpenAI", "chat.completions.create"),
        "openai.responses": ("openai", "OpenAI", "responses.create"),
        "anthropic.messages": ("anthropic", "Anthropic", "messages.create"),
    }
    if exchange.api not in calls:
        raise ValueError(f"there is no SDK for {exchange.api or 'this call'}; export it as curl")
    params = _params(_request(exchange).body)
    module, client, method = calls[exchange.api]
    try:
        known, more = _arguments(params)
        said = pprint.pformat(known, width=100, sort_dicts=False)
    except RecursionError as error:
        raise ValueError("the request's body is nested too deeply for a program; export it as curl") from error
    lines = [
        f"from {module} import {client}",
        "",
        f"client = {client}(base_url={_base(exchange)!r})  # the key: {_KEYS.get(exchange.api, 'OPENAI_API_KEY')}",
        f"answer = client.{method}(**{said}{more})",
    ]
    lines += ["for event in answer:", "    print(event)"] if exchange.stream else ["print(answer)"]
    return "\n".join(lines) + "\n"


def _params(body: bytes) -> Mapping[str, Any]:
    try:
        params = json.loads(body, parse_constant=_no_literal)
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, Mapping):
        raise ValueError("the request's body is no JSON object that Python can write; export it as curl")
    return params


def _no_literal(word: str) -> Any:
    raise ValueError(f"{word} is no literal of Python")


def _arguments(params: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Fields that are names go as arguments; others, which no signature has, in the body."""
    usual = {
        "model", "messages", "input", "instructions", "stream", "temperature", "top_p", "max_tokens", "tools",
        "max_completion_tokens", "max_output_tokens", "tool_choice", "system", "stop", "n", "seed", "response_format",
        "stop_sequences", "metadata", "stream_options", "reasoning", "store", "previous_response_id", "user",
    }  # fmt: skip
    known = {name: value for name, value in params.items() if name in usual}
    rest = {name: value for name, value in params.items() if name not in usual}
    return known, f", extra_body={pprint.pformat(rest, width=100, sort_dicts=False)}" if rest else ""


def _base(exchange: Exchange) -> str:
    parts = urlsplit(exchange.url)
    path = parts.path
    for tail in ("/chat/completions", "/responses", "/v1/messages"):
        path = path.removesuffix(tail)
    return f"{parts.scheme}://{parts.netloc}{path}"

"""The official SDKs, and our own client where there is none, behind one face: ask, and read a stream.

An SDK is imported by its name when it is first needed; none is a dependency.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from attrs import define, field

if TYPE_CHECKING:
    from ..host import Host

FAKE_MODEL = "demo-model"
MAX_TOKENS = 1024
TIMEOUT = 60.0
"""Seconds; the fake provider needs milliseconds."""

_SMALL = ("nano", "mini", "haiku", "small", "lite", "flash")
_NOT_CHAT = ("audio", "codex", "dall", "embed", "image", "moderation", "realtime", "search", "transcribe", "tts", "ocr")


@define
class Endpoint:
    """Where an SDK goes; without a model the provider is asked for its list."""

    base_url: str | None
    key: str = field(repr=False)
    model: str | None = None


class Driver(Protocol):
    """One way to call a model through a host."""

    name: str
    """What is called, with its version."""

    def chat(self, host: Host, prompt: str, *, cache: str = "", temperature: float | None = None) -> str:
        """The text of a whole answer; *cache* is what the header ``X-Clippy-Cache`` says."""
        ...

    def stream(self, host: Host, prompt: str) -> Iterator[str]:
        """The text of each chunk as the caller sees it, ``""`` for one without text."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def installed(package: str) -> bool:
    """Whether *package* can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def _imported(package: str) -> Any:
    """*package*, imported without collecting garbage: an SDK makes thousands of classes and throws nothing away.

    Imports are nearly all of the demo's work, so that they decide how long it takes on a busy machine.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(package)
    finally:
        if collecting:
            gc.enable()


def _named(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


@define(eq=False, slots=False)
class OpenAIDriver:
    """``openai.OpenAI`` through ``host.wrap``, with Chat Completions."""

    endpoint: Endpoint
    name: str = field(init=False, factory=lambda: _named("openai"))

    @cached_property
    def client(self) -> Any:
        """The SDK's client; importing the SDK takes a second or two."""
        sdk = _imported("openai")
        return sdk.OpenAI(api_key=self.endpoint.key, base_url=self.endpoint.base_url, timeout=TIMEOUT)

    def chat(self, host: Host, prompt: str, *, cache: str = "", temperature: float | None = None) -> str:
        """``client.chat.completions.create``."""
        answer = host.wrap(self.client).chat.completions.create(**self._call(prompt), **_asked(cache, temperature))
        return str(answer.choices[0].message.content)

    def stream(self, host: Host, prompt: str) -> Iterator[str]:
        """The same with ``stream=True``."""
        with host.wrap(self.client).chat.completions.create(**self._call(prompt), stream=True) as chunks:
            for chunk in chunks:
                yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

    def _call(self, prompt: str) -> dict[str, Any]:
        return {"model": _model(self.client, self.endpoint), "messages": [{"role": "user", "content": prompt}]}

    def close(self) -> None:
        """Close the connections."""
        if "client" in vars(self):
            self.client.close()


@define(eq=False, slots=False)
class AnthropicDriver:
    """``anthropic.Anthropic`` through ``host.wrap``, with Messages."""

    endpoint: Endpoint
    name: str = field(init=False, factory=lambda: _named("anthropic"))

    @cached_property
    def client(self) -> Any:
        """The SDK's client; importing the SDK takes a second or two."""
        sdk = _imported("anthropic")
        return sdk.Anthropic(api_key=self.endpoint.key, base_url=self.endpoint.base_url, timeout=TIMEOUT)

    def chat(self, host: Host, prompt: str, *, cache: str = "", temperature: float | None = None) -> str:
        """``client.messages.create``."""
        answer = host.wrap(self.client).messages.create(**self._call(prompt), **_asked(cache, temperature))
        return "".join(block.text for block in answer.content if block.type == "text")

    def stream(self, host: Host, prompt: str) -> Iterator[str]:
        """The same with ``stream=True``."""
        with host.wrap(self.client).messages.create(**self._call(prompt), stream=True) as events:
            for event in events:
                yield getattr(event.delta, "text", "") if event.type == "content_block_delta" else ""

    def _call(self, prompt: str) -> dict[str, Any]:
        model = _model(self.client, self.endpoint)
        return {"model": model, "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": prompt}]}

    def close(self) -> None:
        """Close the connections."""
        if "client" in vars(self):
            self.client.close()


@define(eq=False)
class OwnDriver:
    """``clippy_core.Client`` on the route *route*, for machines without an SDK."""

    route: str
    model: str = FAKE_MODEL
    name: str = "clippy_core.Client"
    _clients: dict[int, Any] = field(init=False, factory=dict, repr=False)

    def chat(self, host: Host, prompt: str, *, cache: str = "", temperature: float | None = None) -> str:
        """``client.chat``."""
        more = {} if temperature is None else {"temperature": temperature}
        said = {"cache": cache} if cache else None
        client = self._client(host)
        return str(client.chat(prompt, route=self.route, model=self.model, directives=said, **more).text)

    def stream(self, host: Host, prompt: str) -> Iterator[str]:
        """``client.stream``."""
        with self._client(host).stream(prompt, route=self.route, model=self.model) as chunks:
            for chunk in chunks:
                yield chunk.delta if chunk.kind == "text" else ""

    def _client(self, host: Host) -> Any:
        if id(host) not in self._clients:
            self._clients[id(host)] = importlib.import_module("clippy_core").Client(host)
        return self._clients[id(host)]

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


def _asked(cache: str, temperature: float | None) -> dict[str, Any]:
    """What a call says beside its words, as both SDKs take it."""
    said: dict[str, Any] = {"extra_headers": {"X-Clippy-Cache": cache}} if cache else {}
    return said if temperature is None else {**said, "temperature": temperature}


def _model(client: Any, endpoint: Endpoint) -> str:
    """The model to call: the one that was named, else a small one of those that the provider lists."""
    if endpoint.model is None:
        names = [str(model.id) for model in client.models.list()]
        endpoint.model = smallest(names)
    return endpoint.model


def smallest(names: list[str]) -> str:
    """The model of a list that is probably the cheapest for chat.  Raises ValueError for an empty list."""
    chat = [name for name in names if not any(word in name.lower() for word in _NOT_CHAT)] or names
    if not chat:
        raise ValueError("the provider lists no models; say which with --model")
    small = [name for name in chat if any(word in name.lower() for word in _SMALL)] or chat
    return min(small, key=lambda name: (len(name), name))


def with_model(endpoint: Endpoint, model: str | None) -> Endpoint:
    """*endpoint* with *model*, if there is one."""
    return attrs.evolve(endpoint, model=model) if model else endpoint

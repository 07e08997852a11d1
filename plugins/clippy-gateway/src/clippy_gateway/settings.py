"""What a caller may do, and what one request may take up: the tables below ``[plugins.gateway]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt, in_, min_len, optional

from .calls import allowed, fault_of_call

_POSITIVE: Any = optional(gt(0))


def _calls(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for one in value:
        fault = fault_of_call(one)
        if fault is not None:
            raise ValueError(fault)


def doc(text: str) -> dict[str, str]:
    """The metadata of a setting: what it is for, as the reference shows it."""
    return {"doc": text}


@frozen
class Key:
    """One caller's key, which is the gateway's own: it never goes to a provider."""

    key: str = field(
        repr=False, validator=min_len(16), metadata=doc('the key, at least 16 characters, best as {env = "NAME"}')
    )
    tenant: str | None = field(default=None, metadata=doc("the tenant that its calls are made for"))
    user: str | None = field(default=None, metadata=doc("the user that its calls are made for; None: the key's name"))
    routes: tuple[str, ...] = field(
        default=(), metadata=doc("the only routes it may use, the first is its default") | {"names": "routes"}
    )
    trusted: bool = field(
        default=False, metadata=doc("believe its X-Clippy-Tenant, -User and -Session headers: it speaks for others")
    )
    calls: tuple[str, ...] = field(
        default=(),
        validator=_calls,
        metadata=doc(
            'the only calls it may make: "models" (chats, embeddings and the list of models), or such as '
            '"POST /v1/audio/*"; none named: every one, files, batches and deleting too'
        ),
    )
    concurrency: int | None = field(
        default=None,
        validator=_POSITIVE,
        metadata=doc("requests of it at the same time in one worker; None: as many as all"),
    )
    base_urls: tuple[str, ...] = field(
        default=(),
        metadata=doc("hosts that its X-Clippy-Base-URL may name, *.example.com too; they get no key of yours"),
    )

    def allows(self, method: str, path: str) -> bool:
        """Whether it may make this call; *path* is decoded once."""
        return not self.calls or allowed(self.calls, method, path)


@frozen
class RequestLimits:
    """The most that one request may take up; what it brings is judged before anything reads it.  Sizes in bytes."""

    body: int = field(default=64 * 1024 * 1024, validator=gt(0), metadata=doc("the body"))
    depth: int = field(default=128, validator=gt(0), metadata=doc("objects and arrays in each other in a JSON body"))
    values: int = field(
        default=500_000, validator=gt(0), metadata=doc("values in a JSON body: texts, numbers, objects and arrays")
    )
    headers: int = field(default=100, validator=gt(0), metadata=doc("number of headers"))
    head: int = field(default=32 * 1024, validator=gt(0), metadata=doc("names and values of all headers together"))
    target: int = field(default=8 * 1024, validator=gt(0), metadata=doc("path and query"))
    seconds: float = field(default=60.0, validator=gt(0), metadata=doc("seconds until a body has come whole"))
    stall: float = field(
        default=300.0,
        validator=gt(0),
        metadata=doc("seconds that a caller may take nothing of an answer that waits for it"),
    )
    concurrency: int = field(default=2000, validator=gt(0), metadata=doc("requests at the same time in one worker"))


@frozen
class Connections:
    """Connections to the providers."""

    limit: int = field(default=0, validator=ge(0), metadata=doc("open at the same time; 0: as many as are needed"))
    keep: float = field(default=15.0, validator=gt(0), metadata=doc("seconds that an idle one is kept"))
    connect: float | None = field(default=10.0, validator=_POSITIVE, metadata=doc("seconds until it stands"))
    read: float | None = field(
        default=600.0, validator=_POSITIVE, metadata=doc("seconds until the next piece of an answer")
    )


@frozen
class AccessLog:
    """A line for each request."""

    to: str = field(default="", metadata=doc('"stderr", or the file to write; "": none'))
    format: Literal["text", "json"] = field(
        default="text", validator=in_(("text", "json")), metadata=doc("text for people, json for machines")
    )
    usage: bool = field(
        default=True,
        metadata=doc("also the model and the tokens, for which each request and answer is looked into"),
    )
    max_bytes: int = field(
        default=64 * 1024 * 1024, validator=ge(4096), metadata=doc("bytes at which a file is set aside")
    )
    keep: int = field(default=5, validator=ge(1), metadata=doc("files set aside that are kept"))

    @property
    def is_stderr(self) -> bool:
        """Whether it goes to standard error."""
        return self.to == "stderr"

    @property
    def path(self) -> Path:
        """The file that it goes to."""
        return Path(self.to).expanduser()

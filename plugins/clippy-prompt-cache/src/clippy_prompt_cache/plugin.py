"""The plugin: plans before each attempt, compares what is sent with what was sent before, counts what came back."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit
from weakref import WeakSet

from attrs import define, field
from attrs.validators import deep_iterable, ge, gt, in_, min_len, optional
from clippy_hookspecs import (
    AuditRecord,
    Headers,
    HookCall,
    Request,
    RequestContext,
    StashKey,
    TokenCounter,
    hookimpl,
)
from clippy_lines.looking import visible

from .counting import Counter, Statistics
from .lineage import Finding, Lineage, Seen, without_content
from .minimums import minimum
from .parts import Part, PartsReader, shows_its_prefix
from .planner import Tokens, sorted_tools, with_breakpoints, with_key

logger = logging.getLogger("clippy.prompt-cache")

_NAME: Final = "prompt-cache"
_FINDINGS: Final = 256
_OPENAI: Final = ("openai.chat", "openai.responses")
_FIELD: Final = re.compile(r"\w+")


@define(eq=False)
class _Way:
    """One request on its way: its prompt as it came and behind pre_request, and how long the trace was then."""

    reader: PartsReader
    request: Request
    came: tuple[Part, ...]
    trace_came: int
    entered: tuple[Part, ...]
    trace_entered: int


_WAY: Final[StashKey[_Way]] = StashKey("prompt-cache.way")
_SENT: Final[StashKey[Request]] = StashKey("prompt-cache.sent")


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@define(eq=False)
class PromptCache:
    """Plans, counts and lints the provider's own prompt cache."""

    plan: Literal["off", "auto"] = field(
        default="off",
        validator=in_(("off", "auto")),
        metadata=_doc("auto: sets Anthropic's cache_control and OpenAI's prompt_cache_key where they can pay"),
    )
    ttl: Literal["5m", "1h"] = field(
        default="5m",
        validator=in_(("5m", "1h")),
        metadata=_doc("how long Anthropic keeps what is marked; writing for an hour costs 2 instead of 1.25 times"),
    )
    min_tokens: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata=_doc("fewest tokens of a prefix that is marked; None: what the model's provider documents"),
    )
    key_hosts: tuple[str, ...] = field(
        default=("api.openai.com",),
        validator=deep_iterable(min_len(1)),
        metadata=_doc("hosts, and their subdomains, that take prompt_cache_key; other servers may refuse the field"),
    )
    retention: Literal["in_memory", "24h"] | None = field(
        default=None,
        validator=optional(in_(("in_memory", "24h"))),
        metadata=_doc("OpenAI's prompt_cache_retention, sent with the key; None: it is not sent"),
    )
    sort_tools: bool = field(
        default=False, metadata=_doc("send tools by name; for callers that list them in no fixed order")
    )
    lint: bool = field(default=False, metadata=_doc("compare each prompt with the one before it in its conversation"))
    content: bool = field(
        default=False, metadata=_doc("findings show the words that differ; never logged, for development")
    )
    keep: int = field(default=64, validator=gt(0), metadata=_doc("conversations that the linter remembers at once"))
    max_bytes: int = field(
        default=8 * 1024 * 1024, validator=gt(0), metadata=_doc("bytes of prompts that the linter remembers at once")
    )
    _known: dict[tuple[str, bytes], int] = field(init=False, repr=False, factory=dict)
    _counter: Counter = field(init=False, repr=False, factory=Counter)
    _lineage: Lineage = field(init=False, repr=False)
    _found: deque[Finding] = field(init=False, repr=False, factory=lambda: deque(maxlen=_FINDINGS))
    _told: set[tuple[tuple[str, ...], str]] = field(init=False, repr=False, factory=set)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    on_failure: ClassVar[str] = "skip"
    """A request is not refused because its cache could not be planned or watched."""

    @_lineage.default
    def _nothing_seen(self) -> Lineage:
        return Lineage(self.keep, self.max_bytes)

    def __attrs_post_init__(self) -> None:
        _plugins.add(self)

    @property
    def observes_only(self) -> bool:
        """What it adds is for the provider's cache and changes no answer; other tools in another order may."""
        return not self.sort_tools

    def statistics(self) -> Statistics:
        """What was read from the providers' caches and written to them since this process began."""
        with self._lock:
            return self._counter.statistics()

    def findings(self) -> tuple[Finding, ...]:
        """The breaks that the linter found, at most the newest 256, the newest last."""
        with self._lock:
            return tuple(self._found)

    # --- on the way in ------------------------------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """Look at the prompt as it came."""
        if self.lint and shows_its_prefix(request):
            reader = PartsReader()
            came = reader.parts(request)
            at = len(ctx.trace)
            ctx.stash[_WAY] = _Way(reader, request, came, at, came, at)

    @hookimpl(tryfirst=True)
    def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> None:
        """Look at the prompt behind pre_request; again after a switch, which has made another of it."""
        way = ctx.stash.get(_WAY)
        if way is not None:
            if request is not way.request:
                way.entered = way.reader.parts(request)
            way.trace_entered = len(ctx.trace)

    @hookimpl(trylast=True)
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        """Plan, and look at the prompt as it is sent."""
        sent = self._planned(request, ctx)
        ctx.stash[_SENT] = sent
        way = ctx.stash.get(_WAY)
        if way is not None:
            self._compare(way, sent, ctx)
        return None if sent is request else sent

    def _planned(self, request: Request, ctx: RequestContext) -> Request:
        if not request.endpoint.chat or (self.plan == "off" and not self.sort_tools) or _signed(request.headers):
            return request
        if self.sort_tools:
            request = sorted_tools(request)
        if self.plan == "off":
            return request
        fewest = minimum(request.api, request.model) if self.min_tokens is None else self.min_tokens
        tokens = Tokens(ctx.services.get(TokenCounter), self._known)
        if request.api == "anthropic.messages":
            return with_breakpoints(request, fewest, self.ttl, tokens)
        if request.api in _OPENAI and self._takes_keys(request.url):
            return with_key(request, ctx.scope, fewest, self.retention, tokens)
        return request

    def _takes_keys(self, url: str) -> bool:
        host = urlsplit(url).hostname or ""
        return any(host == known or host.endswith(f".{known}") for known in self.key_hosts)

    def _compare(self, way: _Way, sent: Request, ctx: RequestContext) -> None:
        parts = way.reader.parts(sent)
        trace = ctx.trace
        leaving = _changed(trace[way.trace_entered :], "compress_context", "pre_attempt")
        seen = Seen(
            ctx.id,
            ctx.scope,
            ctx.route.name,
            sent.api,
            sent.model,
            way.came,
            way.entered,
            parts,
            _changed(trace[: way.trace_came], "pre_request"),
            _changed(trace[way.trace_came : way.trace_entered], "pre_request"),
            leaving or ((_NAME,) if self.sort_tools else ()),
        )
        with self._lock:
            found = self._lineage.add(seen)
            if found is None:
                return
            self._found.append(found if self.content else without_content(found))
            field_name = _FIELD.match(found.at.path)
            what = found.by, field_name.group() if field_name else ""
            first = what not in self._told
            self._told.add(what)
        if first:
            logger.warning(
                "the prompt of request %s stops being the one before it at byte %d, in %s (%s): %d bytes that the "
                "provider could have read from its cache are new to it; changed by %s; said once for each culprit and "
                "field",
                found.id,
                found.at.offset,
                visible(found.at.path),  # which may have names of the caller's own JSON in it
                found.at.change,
                found.lost,
                found.culprit,
            )

    # --- on the way out -----------------------------------------------------------------------------------------------

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Count what the provider says that it used."""
        sent = ctx.stash.get(_SENT)
        if sent is not None:
            with self._lock:
                self._counter.add(record, sent.model)

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy prompt-cache``: looks into files of requests."""
        from .commands import prompt_cache_group

        cli.add_command(prompt_cache_group())


_plugins: WeakSet[PromptCache] = WeakSet()


def _after_fork_in_child() -> None:
    # A thread that is not here may have held a lock when the process was forked.
    for plugin in _plugins:
        plugin._lock = threading.Lock()  # noqa: SLF001 (of this module's own class)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _signed(headers: Headers) -> bool:
    """Whether a signature covers the body, which then cannot be changed: SigV4, RFC 9530 and RFC 9421."""
    return (
        headers.get("authorization", "").startswith("AWS4-")
        or "content-digest" in headers
        or "signature-input" in headers
    )


def _changed(trace: Iterable[HookCall], *hooks: str) -> tuple[str, ...]:
    """The plugins that changed a request in one of *hooks*, each once."""
    return tuple(dict.fromkeys(call.plugin for call in trace if call.hook in hooks and call.action == "changed"))

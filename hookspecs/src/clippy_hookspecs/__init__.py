"""The contract between clippy's host and its plugins; the only package a plugin has to depend on.

A plugin is one attrs class: its fields are its settings, its ``@hookimpl`` methods are its behaviour::

    @define(eq=False)
    class Shout(TextFilter):
        '''Answers in capitals.'''

        def filter(self, text, final, ctx):
            return text.upper(), ""

The hooks are documented in :mod:`clippy_hookspecs.specs`.
"""

from attrs import evolve

from . import specs
from .blocks import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    tool_link,
)
from .context import Flow, RequestContext, RouteInfo, Stash, StashKey
from .decisions import Answer, Continue, ErrorDecision, Join, Restart, Retry, Switch
from .errors import (
    UNKNOWN,
    AttemptRefused,
    Category,
    ClippyError,
    ConfigError,
    ContextBudgetError,
    CorruptEntry,
    DeadlineExceeded,
    ErrorInfo,
    PluginError,
    ProviderError,
    Refusal,
    StreamInterrupted,
)
from .headers import Headers
from .policy import POLICIES, PROJECT, HookPolicy, hookimpl
from .records import AttemptRecord, AuditRecord, CacheEntry, Event, Failure, HookCall, Outcome, Scope, Selector
from .services import (
    ByteStream,
    Clock,
    Embedder,
    Host,
    Prices,
    RawReply,
    RawRequest,
    Reservation,
    ServiceRegistry,
    Services,
    StateStore,
    Summarizer,
    TokenCounter,
    Upstream,
)
from .stored import dump_entry, load_entry
from .text_filter import TextFilter
from .types import (
    COMPLETE_REASONS,
    CONTENT_KINDS,
    UNKNOWN_ENDPOINT,
    Choice,
    Chunk,
    Endpoint,
    Provenance,
    Request,
    Response,
)

__all__ = [
    "COMPLETE_REASONS", "CONTENT_KINDS", "POLICIES", "PROJECT", "UNKNOWN", "UNKNOWN_ENDPOINT",
    "Answer", "AttemptRecord", "AttemptRefused", "AuditRecord", "Block", "ByteStream", "CacheEntry", "Category",
    "Choice", "Chunk", "ClippyError", "Clock", "ConfigError", "ContextBudgetError", "Continue", "CorruptEntry",
    "DeadlineExceeded", "Embedder", "Endpoint", "ErrorDecision", "ErrorInfo", "Event", "Failure", "Flow", "Headers",
    "HookCall", "HookPolicy", "Host", "Image", "Join", "Json", "Message", "Opaque", "Outcome", "PluginError", "Prices",
    "Provenance", "ProviderError", "RawReply", "RawRequest", "Reasoning", "Refusal", "RefusalText", "Request",
    "RequestContext", "Reservation", "Response", "Restart", "Retry", "RouteInfo", "Scope", "Selector",
    "ServiceRegistry", "Services", "Stash", "StashKey", "StateStore", "StreamInterrupted", "Summarizer", "Switch",
    "Text", "TextFilter", "TokenCounter", "Tool", "ToolCall", "ToolResult", "Upstream", "Usage",
    "dump_entry", "evolve", "hookimpl", "load_entry", "specs", "tool_link",
]  # fmt: skip

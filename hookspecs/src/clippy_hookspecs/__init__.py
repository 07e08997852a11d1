"""The contract between clippy's host and its plugins; the only package a plugin has to depend on.

A plugin is one attrs class: its fields are its settings, its ``@hookimpl`` methods are its behaviour::

    @define(eq=False)
    class Shout(TextFilter):
        '''Answers in capitals.'''

        def filter(self, text, final, ctx):
            return text.upper(), ""

The hooks are documented in :mod:`clippy_hookspecs.specs`.
"""

from typing import TYPE_CHECKING

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
from .decisions import Answer, Continue, ErrorDecision, Join, Restart, Retry, Stale, Switch
from .deprecation import Deprecation, former_names
from .errors import (
    UNKNOWN_ERROR,
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
from .records import (
    AttemptRecord,
    AuditRecord,
    CacheControl,
    CacheEntry,
    Event,
    Failure,
    HookCall,
    Outcome,
    Scope,
    Selector,
    StoredEntry,
)
from .services import (
    ByteStream,
    CacheListing,
    Clock,
    Embedder,
    Host,
    MatchVerifier,
    Prices,
    RawReply,
    RawRequest,
    Reservation,
    Routes,
    ServiceRegistry,
    Services,
    StateStore,
    Status,
    StatusTable,
    Summarizer,
    TokenCounter,
    Unopened,
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
    "COMPLETE_REASONS", "CONTENT_KINDS", "POLICIES", "PROJECT", "UNKNOWN_ENDPOINT", "UNKNOWN_ERROR",
    "Answer", "AttemptRecord", "AttemptRefused", "AuditRecord", "Block", "ByteStream", "CacheControl", "CacheEntry",
    "CacheListing", "Category",
    "Choice", "Chunk", "ClippyError", "Clock", "ConfigError", "ContextBudgetError", "Continue", "CorruptEntry",
    "DeadlineExceeded", "Deprecation", "Embedder", "Endpoint", "ErrorDecision", "ErrorInfo", "Event", "Failure", "Flow",
    "Headers", "HookCall", "HookPolicy", "Host", "Image", "Join", "Json", "MatchVerifier", "Message", "Opaque",
    "Outcome", "PluginError", "Prices", "Provenance", "ProviderError", "RawReply", "RawRequest", "Reasoning", "Refusal",
    "RefusalText", "Request", "RequestContext", "Reservation", "Response", "Restart", "Retry", "RouteInfo", "Routes",
    "Scope", "Selector", "ServiceRegistry", "Services", "Stale", "Stash", "StashKey", "StateStore", "Status",
    "StatusTable", "StoredEntry", "StreamInterrupted",
    "Summarizer", "Switch", "Text", "TextFilter", "TokenCounter", "Tool", "ToolCall", "ToolResult", "Unopened",
    "Upstream", "Usage",
    "dump_entry", "evolve", "former_names", "hookimpl", "load_entry", "specs", "tool_link",
]  # fmt: skip

FORMER_NAMES = {"UNKNOWN": Deprecation("0.1.1", "0.2", "UNKNOWN_ERROR")}
"""Public names that were renamed and still work."""

if TYPE_CHECKING:
    UNKNOWN = UNKNOWN_ERROR  # a __getattr__ would make every misspelt import right
else:
    __getattr__ = former_names(__name__, FORMER_NAMES)

"""What can go wrong, and who said so.

    ClippyError
    ├── Refusal              a plugin said no; not a failure: always reaches the caller, always audited
    ├── ProviderError        the provider failed and nobody recovered; ``.info`` says how
    │   ├── StreamInterrupted    it failed after a part was delivered; ``.partial`` is exactly that part
    │   └── DeadlineExceeded     the time the caller allowed is over
    ├── PluginError          a plugin failed where its failure may not be skipped
    ├── ConfigError          the configuration is wrong; lists every fault
    ├── ContextBudgetError   what must be kept is larger than what is allowed
    └── CorruptEntry         stored bytes that are not an entry of ours
    AttemptRefused           raised by pre_attempt; goes to on_error as a failed attempt

All errors pickle: their arguments are positional and kept in ``args``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from .types import Response

Category = Literal["transient", "rate_limit", "auth", "validation", "permanent", "cancelled", "plugin", "unknown"]


@frozen
class ErrorInfo:
    """What kind of failure this is.

    ``category`` is one of the plan's five (transient, rate_limit, auth, validation, permanent) or plugin, cancelled,
    unknown; ``kind`` is finer (quota, context_length, content_filter, overloaded, connect, read_timeout ...).
    ``retryable``: sending the same again can help.  ``retry_after``: seconds the server told us to wait, None if it did
    not; a wait is never shortened.  ``scope``: what the failure is about.  ``outage``: it speaks against the health of
    the route (breakers count only these).  ``committed``: a part of the answer was already delivered, so a retry is
    not possible any more; ``partial`` is that part.
    """

    category: Category = "unknown"
    kind: str = "unknown"
    retryable: bool = False
    retry_after: float | None = None
    scope: Literal["request", "key", "model", "route", "provider"] = "request"
    outage: bool = False
    status: int | None = None
    code: str | None = None
    message: str = ""
    request_id: str | None = None
    should_retry: bool | None = None
    committed: bool = False
    partial: Response | None = field(default=None, repr=False)


UNKNOWN_ERROR = ErrorInfo()
"""What a failure is while nobody has judged it: not retried."""


class ClippyError(Exception):
    """The root of everything we raise."""


class Refusal(ClippyError):
    """A plugin declines to let this call through.

    ``status`` and ``code`` are what a caller under an SDK sees, as an HTTP error in its wire API's own shape.
    ``retry_after`` in seconds, when waiting would help.
    """

    def __init__(
        self, message: str, status: int = 403, code: str = "refused", retry_after: float | None = None
    ) -> None:
        super().__init__(message, status, code, retry_after)
        self.message, self.status, self.code, self.retry_after = message, status, code, retry_after

    def __str__(self) -> str:
        return self.message


class AttemptRefused(ClippyError):
    """``pre_attempt`` declines this attempt (an open breaker, say); it counts as failed and goes to on_error."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info)
        self.info = info

    def __str__(self) -> str:
        return self.info.message or self.info.kind


class ProviderError(ClippyError):
    """The provider's failure, after everybody who might have helped was asked.  ``info.retry_after`` is in seconds."""

    def __init__(self, info: ErrorInfo, body: bytes = b"") -> None:
        super().__init__(info, body)
        self.info, self.body = info, body

    def __str__(self) -> str:
        info = self.info
        where = f"HTTP {info.status}: " if info.status else ""
        return f"{where}{info.message or info.kind} ({info.category}/{info.kind})"


class StreamInterrupted(ProviderError):
    """The stream broke after a part of it was delivered.  ``partial`` is exactly the delivered part."""

    def __init__(self, info: ErrorInfo, partial: Response | None = None) -> None:
        super().__init__(info)
        self.args = (info, partial)
        self.partial = partial


class DeadlineExceeded(ProviderError):
    """The time is over.  ``which``: connect, first_token, idle or total; ``seconds`` is what was allowed."""

    def __init__(self, info: ErrorInfo, which: str = "total", seconds: float = 0.0) -> None:
        super().__init__(info)
        self.args = (info, which, seconds)
        self.which, self.seconds = which, seconds


class PluginError(ClippyError):
    """A plugin failed.  The message names plugin, version and hook; the cause is the plugin's own exception."""

    def __init__(self, message: str, plugin: str = "", hook: str = "") -> None:
        super().__init__(message, plugin, hook)
        self.message, self.plugin, self.hook = message, plugin, hook

    def __str__(self) -> str:
        return self.message


class ConfigError(ClippyError):
    """The configuration is wrong.  ``faults`` holds one sentence for each fault, with its path and expected type."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class ContextBudgetError(ClippyError):
    """What may not be dropped needs ``needed`` tokens, ``budget`` are allowed."""

    def __init__(self, message: str, needed: int = 0, budget: int = 0) -> None:
        super().__init__(message, needed, budget)
        self.message, self.needed, self.budget = message, needed, budget

    def __str__(self) -> str:
        return self.message


class CorruptEntry(ClippyError):
    """Stored bytes that are not an entry of ours, or of another schema.  A cache treats this as a miss."""

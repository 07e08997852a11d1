"""A plugin that decides what happens after a failure."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge
from clippy_hookspecs import ErrorInfo, RequestContext, Retry, hookimpl


@define(eq=False)
class Plugin:
    """Tries again what is worth trying again."""

    attempts: int = field(default=3, validator=ge(1), metadata={"doc": "attempts on a route, the first one included"})
    wait: float = field(default=1.0, validator=ge(0), metadata={"doc": "seconds between two of them, at least"})
    max_wait: float = field(default=60.0, validator=ge(0), metadata={"doc": "seconds; for longer nobody waits"})

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        """Retry, or None: then the next plugin is asked.  The host waits; a wait the server asks for is kept.

        ``error.retryable`` is the word of the plugin that classifies errors; without one nothing is retried.
        """
        if not error.retryable or error.should_retry is False or error.committed or ctx.committed:
            return None
        wait, left = max(self.wait, error.retry_after or 0.0), ctx.time_left()
        late = wait > self.max_wait or (left is not None and wait >= left)
        return None if late or ctx.route_attempt >= self.attempts else Retry(after=wait)

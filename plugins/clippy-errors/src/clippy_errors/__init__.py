"""Says what kind of failure an upstream failure is, for every provider, without asking anybody.

:func:`classify` is the whole of it as a pure function; :class:`ErrorClassifier` is the plugin around it.
"""

from __future__ import annotations

from attrs import define, field
from attrs.validators import gt
from clippy_hookspecs import ErrorInfo, Failure, RequestContext, hookimpl

from .classifier import MAX_WAIT, classify
from .kinds import KINDS

__all__ = ["KINDS", "MAX_WAIT", "ErrorClassifier", "classify"]


@define(eq=False)
class ErrorClassifier:
    """Says what kind of failure an upstream failure is."""

    max_wait: float = field(
        default=MAX_WAIT,
        validator=gt(0),
        metadata={"doc": "seconds; a failure whose server asks for a longer wait is not retryable, only reported"},
    )
    providers: dict[str, str] = field(
        factory=dict,
        metadata={"doc": "provider names by route name, where the address does not tell (routes through a proxy)"},
    )

    @hookimpl
    def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
        """A verdict, or None when nothing about the failure is known, so that another classifier is asked."""
        info = classify(failure, provider=self.providers.get(ctx.route.name), max_wait=self.max_wait)
        return None if info.category == "unknown" else info

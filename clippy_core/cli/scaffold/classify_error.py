"""A plugin that says what kind of failure a failure is."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import ErrorInfo, Failure, hookimpl


@define(eq=False)
class Plugin:
    """Knows the answers of a provider that is overloaded."""

    overloaded: tuple[int, ...] = field(default=(503, 529), metadata={"doc": "HTTP statuses that mean so"})

    @hookimpl
    def classify_error(self, failure: Failure) -> ErrorInfo | None:
        """What kind of failure it is; None leaves it to the next plugin."""
        if failure.status not in self.overloaded:
            return None
        said = failure.headers.get("retry-after", "")
        return ErrorInfo(
            "transient",
            "overloaded",
            retryable=True,
            retry_after=float(said) if said.isascii() and said.isdigit() else None,
            outage=True,
            status=failure.status,
            committed=failure.committed,
        )

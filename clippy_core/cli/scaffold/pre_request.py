"""A plugin that looks at requests."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Refusal, Request, hookimpl


@define(eq=False)
class Plugin:
    """Lets only the models on a list through."""

    allowed: tuple[str, ...] = field(default=(), metadata={"doc": "names of models; none: every model"})

    @hookimpl
    def pre_request(self, request: Request) -> None:
        """Refuse a model that is not on the list: under an SDK that is an HTTP 403."""
        if self.allowed and request.model not in self.allowed:
            raise Refusal(f"{request.model} is not on the list of models", code="model_not_allowed")

"""Which route a request takes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from attrs import define, field
from clippy_hookspecs.context import RouteInfo

from .bodies import in_utf_8, read_json
from .callers import Caller
from .calls import fits
from .forms import Refused

ANTHROPIC = "anthropic.messages"


@define(eq=False)
class Choice:
    """The route that a header names, else the model's, else the first of the request's wire API, else the default.

    ``since`` is when this was offered first, in unix seconds.
    """

    routes: Mapping[str, RouteInfo]
    models: Mapping[str, str]
    since: int = field(factory=lambda: int(time.time()))
    _patterns: tuple[tuple[tuple[str, ...], str], ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._patterns = tuple((tuple(pattern.split("*")), route) for pattern, route in self.models.items())

    def route(self, caller: Caller, named: str | None, api: str, body: bytes, model: str | None = None) -> str:
        """The name of a route.  Raises Refused for one that there is not, or not for this caller.

        *model* is the one that *body* is known to name; None where nobody has looked yet.
        """
        if named is not None:
            if named not in self.routes:
                raise Refused(403, "unknown_route", f"there is no route {_shown(named)}; {self._open_to(caller)}")
            if not caller.may_use(named):
                raise Refused(403, "route_not_allowed", f"not the route {_shown(named)}: {self._open_to(caller)}")
            return named
        if self._patterns and body:
            of_model = self.of_model(_model_of(body) if model is None else model)
            if of_model is not None:
                if not caller.may_use(of_model):
                    message = f"the model that was asked for is the route {of_model}'s: {self._open_to(caller)}"
                    raise Refused(403, "model_not_allowed", message)
                return of_model
        own = caller.routes or tuple(self.routes)
        speaks = (name for name in own if self.routes[name].api == api)
        return next(speaks, own[0])

    def _open_to(self, caller: Caller) -> str:
        """What a caller may know of routes: its own."""
        own = [name for name in self.routes if caller.may_use(name)]
        return f"{'this key' if caller.key is not None else 'X-Clippy-Route'} may use {', '.join(own)}"

    def of_model(self, model: str) -> str | None:
        """The route of the first pattern that *model* fits."""
        return next((route for parts, route in self._patterns if fits(model, parts)), None)


def _shown(name: str) -> str:
    """A caller's own word, in one line of an answer."""
    return ascii(name if len(name) <= 60 else name[:60] + "...")


def model_in(value: object) -> str:
    """The model that the value of a JSON body names, "" where it names none."""
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else ""


def _model_of(body: bytes) -> str:
    try:
        return model_in(read_json(in_utf_8(body)))
    except ValueError:
        return ""


def api_of(path: str, anthropic: bool) -> str:
    """The wire API that a path belongs to; what is no chat is asked of a provider of the caller's own kind."""
    if anthropic:
        return ANTHROPIC
    parts = path.split("/")
    return "openai.responses" if "responses" in parts[:3] else "openai.chat"

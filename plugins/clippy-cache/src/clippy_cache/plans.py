"""What the settings ask of caches for the requests of one model and route."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, in_, optional
from clippy_hookspecs import CacheControl, Request
from clippy_hookspecs import evolve as changed

Share = Literal["caller", "tenant", "everyone"]
SHARES = ("caller", "tenant", "everyone")


def _doc(text: str) -> dict[str, Any]:
    return {"doc": text}


@frozen
class Rule:
    """Settings for the requests that ``model`` and ``route`` fit; what it does not say stays as it is for all.

    Both are patterns as for file names: ``*`` is any text, ``?`` one character.
    """

    model: str = field(default="*", metadata=_doc("pattern of the models that it is for"))
    route: str = field(default="*", metadata=_doc("pattern of the routes that it is for"))
    store: bool | None = field(default=None, metadata=_doc("false: nothing is looked up or kept"))
    ttl: float | None = field(default=None, validator=optional(gt(0)), metadata=_doc("seconds that an answer is given"))
    max_temperature: float | None = field(
        default=None, validator=optional(ge(0)), metadata=_doc("temperature above which nothing is looked up or kept")
    )
    tools: bool | None = field(default=None, metadata=_doc("false: no answer that calls a tool is kept"))
    max_bytes: int | None = field(default=None, validator=optional(gt(0)), metadata=_doc("bytes of an answer's words"))
    share: Share | None = field(default=None, validator=optional(in_(SHARES)), metadata=_doc("who else may get it"))
    tags: tuple[str, ...] = field(default=(), converter=tuple, metadata=_doc("names added to those for all"))

    def concerns(self, model: str, route: str) -> bool:
        """Whether it is for these."""
        return fnmatchcase(model, self.model) and fnmatchcase(route, self.route)


@frozen
class Plan:
    """All settings that hold for a request."""

    store: bool = True
    ttl: float | None = None
    max_temperature: float | None = None
    tools: bool = True
    max_bytes: int | None = None
    share: Share = "caller"
    tags: tuple[str, ...] = ()

    def under(self, rule: Rule) -> Plan:
        """This one, with what *rule* says."""
        names = ("store", "ttl", "max_temperature", "tools", "max_bytes", "share")
        said = {name: value for name in names if (value := getattr(rule, name)) is not None}
        return evolve(self, **said, tags=(*self.tags, *rule.tags))

    def applied(self, control: CacheControl, request: Request) -> CacheControl:
        """*control* with what is planned for *request*."""
        found: dict[str, Any] = {}
        why = "settings" if not self.store else "temperature" if self._too_warm(request) else None
        if why is not None:
            found = {"lookup": False, "store": False, "reason": control.reason or why}
        if self.ttl is not None:
            found["ttl"] = self.ttl
        if self.share != "caller":
            found["share"] = self.share
        if self.tags:
            found["tags"] = tuple(dict.fromkeys((*control.tags, *self.tags)))
        return changed(control, **found) if found else control

    def _too_warm(self, request: Request) -> bool:
        """Whether *request* wants another answer each time; all APIs take 1 where no temperature is given."""
        if self.max_temperature is None or not request.endpoint.chat:
            return False
        said = request.params.get("temperature")
        warmth = said if isinstance(said, (int, float)) and not isinstance(said, bool) else 1.0
        return warmth > self.max_temperature


def plan_for(plan: Plan, rules: Iterable[Rule], model: str, route: str) -> Plan:
    """*plan*, with what the first of *rules* says that is for this model and route."""
    for rule in rules:
        if rule.concerns(model, route):
            return plan.under(rule)
    return plan

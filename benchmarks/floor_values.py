"""What every floor has in common: the values that a program makes once, and a clock that is nobody's."""

from __future__ import annotations

from time import monotonic, time
from typing import Any

from clippy_hookspecs import Endpoint, RouteInfo, Scope

CHAT = Endpoint("chat", chat=True, cacheable=True, retryable=True, streams=True, body="json")
ROUTE, SCOPE = RouteInfo("main", "openai.chat", "http://127.0.0.1/v1"), Scope()
AROUND = b'{"api":"openai.chat","auth":"","base_url":"http://127.0.0.1/v1","route":"main","scope":[null,null]}'
"""What stands beside the body in the cache key."""


class _Clock:
    now = staticmethod(monotonic)
    time = staticmethod(time)


CLOCK: Any = _Clock()


def nothing(_: Any) -> Any:
    """Reads a value that nobody looks into."""
    raise AssertionError("no floor looks into its values")

"""A token counter whose figures a reader of a test can count himself."""

from __future__ import annotations

from typing import Any

from attrs import define
from clippy_hookspecs import TokenCounter, hookimpl


@define(eq=False)
class Words:
    """Counts words as tokens, and a message as one."""

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(TokenCounter, self)

    def count(self, text: str, model: str = "") -> int:
        return len(text.split())

    def count_message(self, message: Any, model: str = "") -> int:
        return 1

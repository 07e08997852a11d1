"""The plugin."""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class Inspect:
    """Shows requests in pages, on the gateway or beside a program."""

    enabled: bool = field(default=False, metadata={"doc": "show the pages; off in production by default"})

    @property
    def idle(self) -> str | None:
        """Why this plugin does nothing, None where it does something."""
        return None if self.enabled else "it shows nothing until enabled = true"

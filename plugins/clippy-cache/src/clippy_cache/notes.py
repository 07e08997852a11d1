"""What this plugin notes of one request between its hooks."""

from __future__ import annotations

from attrs import define
from clippy_hookspecs import Response, StashKey

from .forms import Form, weight


@define(eq=False)
class Notes:
    """What is known of one request.

    ``only_if_cached``: no provider may be asked, and ``refused``: one would have been.  ``tools`` and ``max_bytes`` are
    the settings of these names.  ``form``: what the answer to a ``chat`` must be.  ``stored``: the key that caches were
    given its answer with; ``withdrawn``: why they were not.  ``was_known``: whether its key had been stored when no
    cache had it, None until then.
    """

    only_if_cached: bool = False
    tools: bool = True
    max_bytes: int | None = None
    refused: bool = False
    chat: bool = False
    form: Form | None = None
    stored: str | None = None
    withdrawn: str | None = None
    was_known: bool | None = None

    def fault_of(self, response: Response) -> str | None:
        """Why the settings do not allow an answer to be kept, in a few words; None if they do."""
        if not self.tools and any(one.tool_calls for one in (response.message, *(c.message for c in response.more))):
            return "calls a tool"
        if self.max_bytes is not None and weight(response) > self.max_bytes:
            return "too large"
        return None


NOTES = StashKey[Notes]("cache.notes")

"""What the leader of a flight got, for those who wait."""

from __future__ import annotations

from typing import Union

from attrs import frozen
from clippy_hookspecs import CacheEntry, ErrorInfo, Provenance, Response
from clippy_hookspecs.stored import undecoded_entry


@frozen
class Landed:
    """A whole answer.  ``provenance`` is the leader's where the provider did not give it just now; ``answering_model``
    is the model that gave it, where that is another than the one asked for."""

    entry: CacheEntry
    route: str
    provenance: Provenance | None = None
    answering_model: str | None = None

    def own(self) -> CacheEntry:
        """The entry for one more request, which nobody else has looked into."""
        entry, response = self.entry, self.entry.response
        return undecoded_entry(
            response.raw or b"",
            response.api,
            response.status,
            response.headers,
            entry.events,
            entry.stored_at,
            entry.expires_at,
            entry.tags,
            entry.origin,
        )


@frozen
class Made:
    """What a plugin answered after the provider had failed."""

    response: Response


@frozen
class Told:
    """The failure that the leader's caller gets: the provider's answer, or an exception.  ``route`` is where it was."""

    info: ErrorInfo
    response: Response | None = None
    cause: BaseException | None = None
    route: str = ""


@frozen
class Alone:
    """What the leader gets cannot be shared: everybody asks for itself."""


Outcome = Union[Landed, Made, Told, Alone]
ALONE = Alone()

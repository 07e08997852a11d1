"""What callers say to plugins: which names somebody here reads, and what becomes of the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from attrs import define, field
from clippy_hookspecs import Refusal

from .config_names import near_names
from .host import OWN_HEADERS

logger = logging.getLogger("clippy")

OURS = ("tenant", "user", "session")
"""What the host itself reads, where it trusts its callers."""
_MOST_TOLD = 16
"""Names that are told of: whoever sends headers may make up any number."""
_SHOWN = 40


@define(eq=False)
class Readers:
    """The directives that the host and its plugins read.

    One that is nearly such a name is refused, since a misspelt ``cache: no-store`` must not leave an answer in a cache.
    One that is far from all of them may be for a plugin that was removed, which must not break the program: it is told
    of in the log, once.
    """

    names: frozenset[str] = frozenset(OURS)
    _told: set[str] = field(factory=set, init=False, repr=False)

    def check(self, said: Mapping[str, str]) -> None:
        """Raises Refusal for a misspelt name among *said*."""
        for name in said.keys() - self.names:
            near = self._near(name.removeprefix(OWN_HEADERS))
            if near:
                why = f"no plugin reads the directive {_shown(name)}; did you mean {' or '.join(near)}?"
                raise Refusal(why, 400, "unknown_directive")
            self._tell(name)

    def _near(self, name: str) -> list[str]:
        """What *name* may have been meant to be; ``cache-control`` and ``tenant-id`` are cache and tenant to people."""
        begun = [known for known in sorted(self.names) if name.startswith((f"{known}-", f"{known}_"))]
        return begun or near_names(name, self.names)

    def _tell(self, name: str) -> None:
        if name in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(name)
        logger.warning(
            "nobody reads the directive %s (header X-Clippy-%s), and it changes nothing: no active plugin declares it; "
            "read here are %s",
            _shown(name),
            _shown(name.title())[1:-1],
            ", ".join(sorted(self.names)),
        )


def readers_of(plugins: Iterable[object]) -> Readers:
    """What the host and *plugins* read; a plugin declares it as ``directives``, a tuple of names."""
    return Readers(frozenset((*OURS, *(name for plugin in plugins for name in _declared(plugin)))))


def _declared(plugin: object) -> list[str]:
    said = getattr(plugin, "directives", ())
    names = (said,) if isinstance(said, str) else said
    return [name.lower() for name in names if isinstance(name, str)] if isinstance(names, Iterable) else []


def as_headers(directives: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """What a caller of our own client says to plugins, as the headers that they are read from.

    Raises TypeError for what is no mapping of texts.
    """
    if not directives:
        return []
    if not isinstance(directives, Mapping):
        what = type(directives).__name__
        raise TypeError(f'directives is a mapping of texts, as in {{"cache": "no-store"}}, and not a {what}')
    for name, value in directives.items():
        if not isinstance(name, str) or not isinstance(value, str):
            what = f"directives[{name!r}] is a text, as in"
            raise TypeError(f'{what} {{"cache": "no-store, ttl=60"}}, and not a {type(value).__name__}')
    return [(OWN_HEADERS + name, value) for name, value in directives.items()]


def _shown(name: str) -> str:
    """A name that anybody may have written, short and in ASCII."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")

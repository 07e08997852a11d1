"""What lets a browser in, signed: whoever knows the secret tells a link or a cookie of ours from any other.

Nothing is kept but which links were used.  So the workers of a gateway, which know one secret, let in the same
browsers, also one that was started a minute ago.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from .access import Session

LINK_SECONDS: Final = 600.0
_SIGNATURE: Final = 43


@define(eq=False)
class Once:
    """Whether a name is heard for the first time in this process; forgotten after the seconds in which it counts."""

    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    _until: dict[str, float] = field(factory=dict, init=False, repr=False)

    def __call__(self, name: str, keep: float) -> bool:
        now = self.now()
        for old in [one for one, until in tuple(self._until.items()) if until < now]:
            self._until.pop(old, None)
        until = now + keep
        # The other of two threads gets the first one's value, or an equal one at the same moment: so by identity.
        return self._until.setdefault(name, until) is until


@define(eq=False)
class Keys:
    """One-time links and the sessions that browsers get for them.

    ``is_first`` says whether a link is used for the first time, among all who know the ``secret``.  ``now`` is a clock
    that all of them share and that is not set back.
    """

    secret: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    is_first: Callable[[str, float], bool] = field(factory=Once, repr=False)
    now: Callable[[], float] = field(default=time.monotonic, repr=False)

    def code(self) -> str:
        """What a link ends with; good for ten minutes."""
        return self._signed("link", f"{int(self.now() + LINK_SECONDS):x}-{secrets.token_urlsafe(16)}")

    def is_good(self, code: str) -> bool:
        """Whether *code* is of a link of ours whose time is not over.  It may have been used."""
        return self._is_ours("link", code) and int(code.partition("-")[0], 16) >= self.now()

    def entered(self, code: str) -> Session | None:
        """The session of the browser that came with *code*; None for a link that is not good, or was used."""
        if not self.is_good(code) or not self.is_first(code, LINK_SECONDS):
            return None
        return self.session(self._signed("cookie", secrets.token_urlsafe(24)))

    def session(self, cookie: str) -> Session | None:
        """The session with this cookie, None for a cookie that is not ours."""
        return Session(cookie, self._mac("csrf", cookie)) if self._is_ours("cookie", cookie) else None

    def _signed(self, what: str, text: str) -> str:
        return text + self._mac(what, text)

    def _is_ours(self, what: str, signed: str) -> bool:
        text, mac = signed[:-_SIGNATURE], signed[-_SIGNATURE:]
        return hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(what, text).encode())

    def _mac(self, what: str, text: str) -> str:
        made = hmac.digest(self.secret, f"{what}:{text}".encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

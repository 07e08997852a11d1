"""What lets a browser in, signed: whoever knows the secret tells a link or a cookie of ours from any other.

Nothing is kept but which links were used.  So the workers of a gateway, which know one secret, let in the same
browsers, also one that was started a minute ago.  Where the configuration has a token, cookies are signed with what is
made of it, and hold for the next start as well; links are not, since nobody knows then which were used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from .access import Session

LINK_SECONDS: Final = 600.0
SESSION_SECONDS: Final = 7 * 86400.0
_ROUNDS: Final = 100_000
"""Of PBKDF2: whoever has a cookie and guesses at the token pays so much for each guess."""
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


def lasting(token: str) -> bytes:
    """The secret of the cookies of all servers with this token, one after the other."""
    return hashlib.pbkdf2_hmac("sha256", token.encode("utf-8", "replace"), b"clippy-inspect cookie", _ROUNDS)


@define(eq=False)
class Keys:
    """One-time links and the sessions that browsers get for them.

    ``is_first`` says whether a link is used for the first time, among all who know the ``secret``.  ``now`` is a clock
    that all of them share and that is not set back, ``today`` says unix seconds.  Cookies are signed with ``lasting``,
    by default the same ``secret``, and are good for seven days.
    """

    secret: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    is_first: Callable[[str, float], bool] = field(factory=Once, repr=False)
    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    lasting: bytes = field(repr=False)
    today: Callable[[], float] = field(default=time.time, repr=False)

    @lasting.default
    def _no_longer(self) -> bytes:
        return self.secret

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
        return self.begun()

    def begun(self) -> Session:
        """The session of a browser that is let in now."""
        until = int(self.today() + SESSION_SECONDS)
        return self._of(self._signed("cookie", f"{until:x}-{secrets.token_urlsafe(24)}"))

    def session(self, cookie: str) -> Session | None:
        """The session with this cookie, None for a cookie that is not ours or whose time is over."""
        if not self._is_ours("cookie", cookie) or int(cookie.partition("-")[0], 16) < self.today():
            return None
        return self._of(cookie)

    def _of(self, cookie: str) -> Session:
        return Session(cookie, self._mac("csrf", cookie))

    def _signed(self, what: str, text: str) -> str:
        return text + self._mac(what, text)

    def _is_ours(self, what: str, signed: str) -> bool:
        text, mac = signed[:-_SIGNATURE], signed[-_SIGNATURE:]
        return hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(what, text).encode())

    def _mac(self, what: str, text: str) -> str:
        made = hmac.digest(
            self.secret if what == "link" else self.lasting, f"{what}:{text}".encode("utf-8", "replace"), "sha256"
        )
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

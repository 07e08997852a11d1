"""Who is calling: the gateway's own keys, and what each of them may do."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from attrs import define, field
from clippy_hookspecs import Scope

from .forms import Refused
from .heads import CREDENTIALS
from .settings import Key

_FINGERPRINT = 8
"""Hexadecimal digits: enough to tell clients apart, too few to tell of a long key that it was this one."""
_LOOPBACK = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{0,5})?")


@define(eq=False)
class Caller:
    """One of the configuration's callers, with how many requests of it are under way."""

    name: str
    key: Key | None = None
    busy: int = 0
    scope: Scope | None = None

    @property
    def routes(self) -> tuple[str, ...]:
        """The only routes that it may use, () for all of them."""
        return () if self.key is None else self.key.routes

    def may_use(self, route: str) -> bool:
        return not self.routes or route in self.routes

    def judge_call(self, method: str, path: str) -> None:
        """Raises Refused for a call that its key does not allow; *path* is decoded once."""
        if self.key is None or self.key.allows(method, path):
            return
        raise Refused(403, "call_not_allowed", "this key may make some calls, and not this one", close=True)

    def scope_of(self, head: Mapping[bytes, bytes]) -> Scope | None:
        """On whose behalf it calls: as its key says, and as it says itself where the configuration trusts it."""
        if self.key is None or not self.key.trusted or self.scope is None:
            return self.scope
        said = {part: head.get(b"x-clippy-" + part.encode()) for part in ("tenant", "user", "session")}
        told = {part: value.decode("latin-1") for part, value in said.items() if value is not None}
        known = {"tenant": self.scope.tenant, "user": self.scope.user, "session": None}
        return Scope(**{**known, **told})


@define(eq=False)
class Callers:
    """Finds the caller of a request.  Without any keys everybody who gets here is one caller."""

    keys: Mapping[str, Key]
    _known: dict[bytes, Caller] = field(init=False, repr=False)
    _anybody: Caller | None = field(init=False, default=None)
    _secret: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._known = {
            _digest(key.key.encode()): Caller(name, key, scope=Scope(key.tenant, key.user or name))
            for name, key in self.keys.items()
        }
        # Of the keys themselves: every worker, and the next life of the gateway, gives a stranger the same fingerprint,
        # and who reads a log without knowing them cannot find out by trying which key it was.
        self._secret = hashlib.sha256(b"".join(sorted(self._known))).digest()
        if not self.keys:
            self._anybody = Caller("")

    def find(self, head: Mapping[bytes, bytes]) -> Caller:
        """The caller with the key that *head* brings.  Raises Refused without a right one.

        Keys are compared as digests, and every one of them: how long it takes tells nothing of any key.
        """
        if self._anybody is not None:
            judge_local(head)
            return self._anybody
        given = _given(head)
        if not given:
            raise Refused(401, "missing_api_key", "no key was sent: this gateway wants one of its own", close=True)
        digest, found = _digest(given), None
        for known, caller in self._known.items():
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            stranger = hmac.digest(self._secret, given, "sha256").hex()[:_FINGERPRINT]
            raise Refused(
                401, "invalid_api_key", "this key is none of the gateway's own", close=True, stranger=stranger
            )
        return found


def name_of(caller: Caller | None) -> str:
    """The name of the caller's key, "" for who has none."""
    return caller.name if caller is not None and caller.key is not None else ""


def judge_local(head: Mapping[bytes, bytes]) -> None:
    """Where no key is asked for, a web page must not get in.  Raises Refused for what only a browser sends.

    A page can send to loopback what is no preflighted request, and with DNS rebinding anything (MCP's
    CVE-2025-66414); both show in Origin and Host.
    """
    if not _LOOPBACK.fullmatch(head[b"host"].lower()):
        raise Refused(
            403, "bad_host", "without keys the gateway answers to localhost, 127.0.0.1 and [::1] only", close=True
        )
    if b"origin" in head:
        raise Refused(403, "bad_origin", "without keys the gateway does not answer web pages", close=True)


def _given(head: Mapping[bytes, bytes]) -> bytes:
    for name in CREDENTIALS:
        value = head.get(name)
        if value:
            kind, _, rest = value.partition(b" ")
            if name != b"authorization":
                return value.strip()
            if kind.lower() == b"bearer" and rest.strip():
                return rest.strip()
    return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

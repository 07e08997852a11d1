"""Who may see the pages and act in them: one decision for each request, from its head alone.

A debugger on loopback is reached by every page that the same browser shows, by every name that resolves to 127.0.0.1,
and by every program of the machine.  So: a ``Host`` that is ours (DNS rebinding), an ``Origin`` that is ours (CSRF,
cross-site websockets), and a secret that no page of another origin can send.  Nothing here decodes a path: no page of
ours needs an escape, so a path with one is no page of ours.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from .paths import is_page

Fields = Mapping[str, str] | Iterable[tuple[str, str]]

CSRF_HEADER: Final = "x-clippy-csrf"
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
READING: Final = frozenset({"GET", "HEAD"})

_TLS = "https://"
_USUAL: Final = {"http": 80, "https": 443}
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_WRAPPED: Final = 3
"""How often a query may be encoded before nobody looks into it for the token."""
_LONGEST: Final = 2048
"""Characters of a target; no link of the pages comes near, and each place of one is looked at for the token."""
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?")


@frozen
class Decision:
    """Whether a request is let through; if not, the status to answer and a sentence for its sender."""

    allowed: bool
    status: int = 200
    reason: str = ""


@frozen
class Session:
    """What a browser got from a one-time link: ``cookie`` lets it read, ``csrf`` in a header also act."""

    cookie: str = field(repr=False)
    csrf: str = field(repr=False)


ALLOWED: Final = Decision(True)
NOT_ITS_ADDRESS: Final = (
    "This server answers only for its own address: open the link that it printed, or add the name by which you came "
    "to plugins.inspect.hosts."
)
NOT_IN: Final = "Open the link that the program printed, or send its token as a bearer."
UNKNOWN: Final = "That is not this server's token."
ENTER: Final = "/enter"
USED: Final = (
    "This link was used already, or its time is over. A program prints another when it starts, when it calls "
    "clippy_inspect.attach(host) again, or for clippy inspect --link ADDRESS, which asks for plugins.inspect.token; "
    "one that was started without such a token makes no other."
)


def decide(
    method: str,
    path: str,
    headers: Fields,
    *,
    websocket: bool = False,
    port: int | None,
    token: str,
    sessions: Collection[Session] = (),
    codes: Collection[str] = (),
    hosts: Collection[str] = (),
    known: Callable[[str, str], bool] = is_page,
) -> Decision:
    """Whether a request may have what it asks for.

    *path* is the target as it was sent, with its query.  *port* is where the server listens; None takes any that the
    Host header says, for pages on a server that is not ours.  *hosts* are further names (``name`` or ``name:port``)
    that it is reached by, beside loopback; ``https://name`` where something in front speaks TLS, and then an Origin
    must be of https: what a header says of that is not believed.  *codes* are the one-time links that are
    still good.  *known* says whether there is such a page for a method: what it does not know is denied.
    """
    fields = _Fields(headers)
    if port is None:
        port = port_of(fields.one("host") or "")
    websocket = websocket or "websocket" in fields.all("upgrade").lower()
    plain = path.partition("?")[0]
    where = _host(fields, port, hosts)
    if where is None:
        return Decision(False, 403, NOT_ITS_ADDRESS)
    if len(path) > _LONGEST:
        return Decision(False, 414, f"No page has an address of more than {_LONGEST} characters.")
    if not _PATH.fullmatch(plain) or any(part in {".", ".."} for part in plain.split("/")) or "//" in plain:
        return Decision(False, 400, "No page has such a path.")
    if _tells(path, token):
        return Decision(False, 400, "A token does not belong into an address; send it in the Authorization header.")
    if plain.startswith("/open/"):
        return _opening(method, plain, fields, codes, websocket)
    if (foreign := _foreign(method, fields, where, websocket)) is not None:
        return foreign
    if plain == ENTER:
        return _entering(method, fields, websocket)
    if (refused := _stranger(method, fields, port, token, sessions, websocket)) is not None:
        return refused
    return _page(method, plain, known)


def cookie_name(port: int) -> str:
    """Cookies are not kept apart by port: two servers on one machine need two names."""
    return f"clippy-inspect-{port}"


def cookies_of(headers: Fields, name: str) -> list[str]:
    """The values of all cookies of this name."""
    return _Fields(headers).cookies(name)


def port_of(host: str) -> int:
    """The port that a Host header says; 0 if it is none."""
    return named[1] if (named := _authority(host)) is not None else 0


class _Fields:
    def __init__(self, headers: Fields) -> None:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        pairs = getattr(headers, "pairs", pairs)  # a mapping of headers shows the first of a name alone
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value.strip(" \t"))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def one(self, name: str) -> str | None:
        """The value of a header that is there exactly once."""
        values = self._values.get(name, ())
        return values[0] if len(values) == 1 else None

    def all(self, name: str) -> str:
        return ", ".join(self._values.get(name, ()))

    def cookies(self, name: str) -> list[str]:
        pieces = (
            piece.strip().partition("=") for value in self._values.get("cookie", ()) for piece in value.split(";")
        )
        return [value for key, _, value in pieces if key == name]


def is_secure(host: str, hosts: Collection[str]) -> bool:
    """Whether one of *hosts* says that this Host header belongs to an address of https."""
    given = _authority(host, "https")
    secure = [name.removeprefix(_TLS) for name in hosts if name.startswith(_TLS)]
    return given is not None and given in [_authority(name, "https") for name in secure]


def _authority(text: str, scheme: str = "http") -> tuple[str, int] | None:
    """Host and port of ``host[:port]``, which is all that a Host header or an origin of ours may hold."""
    found = _AUTHORITY.fullmatch(text)
    return None if found is None else (found[1].lower(), int(found[2] or _USUAL[scheme]))


def _host(fields: _Fields, port: int, hosts: Collection[str]) -> tuple[str, str] | None:
    """The scheme and the Host header of a request to an address of ours."""
    given = fields.one("host") or ""
    if is_secure(given, hosts):
        return "https", given
    ours = {(name, port) for name in LOOPBACK}
    for name in hosts:
        if (known := _authority(name)) is not None:
            ours |= {known} if name.endswith(f":{known[1]}") else {(known[0], port), (known[0], 80)}
    return ("http", given) if _authority(given) in ours else None


def _tells(target: str, token: str) -> bool:
    """Whether *target* holds *token* anywhere: logs, histories and referrers would have it from then on.

    Also within another word and encoded: ``?key=Bearer+TOKEN``, ``?next=%2Fx%3Ftoken%3DTOKEN``, ``?q=xTOKENy``.
    """
    secret = token.encode("utf-8", "replace")
    bare = unquote(target)
    for _ in range(_WRAPPED):
        held = bare.encode("utf-8", "replace")
        places = range(len(held) - len(secret) + 1) if secret else ()
        if any(hmac.compare_digest(held[at : at + len(secret)], secret) for at in places):
            return True
        if (further := unquote(bare)) == bare:
            break
        bare = further
    return False


def _opening(method: str, path: str, fields: _Fields, codes: Collection[str], websocket: bool) -> Decision:
    """A one-time link may be followed from anywhere, but only followed: what looks ahead would use it up."""
    ahead = "prefetch" in (fields.all("sec-purpose") + fields.all("purpose")).lower()
    if method != "GET" or websocket or ahead or "origin" in fields:
        return Decision(False, 405 if method != "GET" else 403, "Such a link can only be opened in a browser.")
    given = path.removeprefix("/open/")
    if not any(same(given, code) for code in codes):
        return Decision(False, 403, USED)
    return ALLOWED


def _entering(method: str, fields: _Fields, websocket: bool) -> Decision:
    """The form that takes the token of who has no cookie yet; its page is ours, as the Origin says."""
    if method != "POST" or websocket:
        return Decision(False, 405, "This path has no such method.")
    if "origin" not in fields:
        return Decision(False, 403, "This is for the form of our own page; a program sends the token as a bearer.")
    return ALLOWED


def _foreign(method: str, fields: _Fields, where: tuple[str, str], websocket: bool) -> Decision | None:
    """Requests that a browser sends for a page of another origin, or that nobody can tell from those."""
    if "origin" in fields:
        scheme, _, rest = (fields.one("origin") or "").partition("://")
        ours, host = where
        if scheme.lower() != ours or _authority(rest, ours) != _authority(host, ours):
            return Decision(False, 403, "Pages of another origin may not ask here.")
    elif websocket:
        return Decision(False, 403, "A websocket needs an Origin.")
    site = fields.all("sec-fetch-site").lower()
    if "sec-fetch-site" in fields and site not in ({"same-origin", "none"} if method in READING else {"same-origin"}):
        return Decision(False, 403, "Pages of another site may not ask here.")
    return None


def _stranger(
    method: str, fields: _Fields, port: int, token: str, sessions: Collection[Session], websocket: bool
) -> Decision | None:
    if "authorization" in fields:
        scheme, _, given = (fields.one("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and same(given.strip(), token):
            return None
        return Decision(False, 401, UNKNOWN)
    given_cookies = fields.cookies(cookie_name(port))
    session = None
    if len(given_cookies) == 1 and not websocket:
        session = next((one for one in sessions if same(given_cookies[0], one.cookie)), None)
    if session is None:
        return Decision(False, 401, NOT_IN)
    if method in READING:
        return None
    if "origin" not in fields:
        why = (
            "Acting with the page's cookie needs an Origin, as browsers send it; a program sends the token as a bearer."
        )
        return Decision(False, 403, why)
    if not same(fields.one(CSRF_HEADER) or "", session.csrf):
        return Decision(False, 403, "Acting needs the page's own value in a header; load the page again.")
    return None


def _page(method: str, path: str, known: Callable[[str, str], bool]) -> Decision:
    if known("GET" if method == "HEAD" else method, path):
        return ALLOWED
    if any(known(other, path) for other in ("GET", "POST")):
        return Decision(False, 405, "This path has no such method.")
    return Decision(False, 404, "There is nothing here.")


def same(given: str, secret: str) -> bool:
    """In constant time.  No secret is empty."""
    return bool(secret) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace"))

"""Where the server is: the url of the settings, taken apart once, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

_TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_FORM = "redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS (valkey:// and valkeys:// mean the same)"


@frozen
class Address:
    """One server and the credentials for it.  ``str()`` is what logs and errors show: never a name or a password.

    ``options`` go to redis-py's connections as they are.
    """

    tls: bool
    options: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        shown = f"{self.options['host']}:{self.options['port']}"
        return f"{shown}/{self.options['db']}" if self.options["db"] else shown

    def hide(self, text: str) -> str:
        """*text* without the password."""
        password = self.options.get("password")
        return text.replace(password, "***") if password else text


def parse(url: str) -> Address:
    """The server that *url* names.  Raises ValueError, with nothing of the url in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        # Not the parser's own message: it quotes what may be half of a password that was not percent-encoded.
        host = None
    if host is None or parts.scheme not in _TLS or parts.fragment:
        what = f"expected {_FORM}; in a password, / is written %2F, # is %23, ? is %3F, @ is %40 and % is %25"
        raise ValueError(what)
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise ValueError(f"its database is no number; expected {_FORM}")
    tls = _TLS[parts.scheme]
    strange = sorted(name for name in query if not (tls and name.startswith("ssl_")))
    if strange:
        raise ValueError(
            f"unknown option {', '.join(strange)}; only redis-py's ssl_ options are read, and only with TLS"
        )
    options: dict[str, Any] = {"host": unquote(host), "port": port or 6379, "db": int(database), **query}
    for name, given in (("username", parts.username), ("password", parts.password)):
        if given:
            options[name] = unquote(given)
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in ("false", "no", "0")
    return Address(tls, options)

"""What may not be shown of one call: the credentials it was made with, wherever they turn up again.

A provider repeats a wrong key in its message, a program logs one into a prompt, an exception holds a URL with one in
it: the keys that a call brought along are known, and are looked for in everything that is kept of it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen
from clippy_audit import SECRET_HEADERS, redact, redact_headers, redact_url, redact_value, says_secret
from clippy_hookspecs import Headers

SHORTEST = 6
"""Letters of a credential that is looked for elsewhere: shorter ones are parts of ordinary words."""
WITHHELD = "[redacted]"
_COOKIE = 12
"""Letters of a cookie that may be a secret: most are shorter, and say what somebody likes to see."""
_LONGEST = 2 * 1024 * 1024
"""Characters of one text that are looked through; what is longer is not shown."""
_USUAL = 16 * 1024
"""Characters of a body whose names are remembered."""
_SHORT = 256
"""Characters of a text that comes again with each call: an address, a header, the name of a plugin."""
_LETTERS = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_STRING = re.compile(rf"{_LETTERS}(\s*+:)?", re.DOTALL)
_PAIR = re.compile(rf"\[\s*+{_LETTERS}\s*+,\s*+\"", re.DOTALL)
_PART = 8
"""Letters of a credential that give it away where a text breaks off in the middle of it."""


@frozen
class Secrets:
    """The exact texts to take out of one call's record, beside what looks like a secret anywhere."""

    literals: tuple[str, ...] = ()
    _bodies: dict[bytes, bytes] = field(init=False, factory=dict, eq=False, repr=False)

    @classmethod
    def of(cls, heads: Iterable[tuple[Headers, str]], more: Iterable[str] = ()) -> Secrets:
        """The credentials in the headers and addresses of a call's requests."""
        found = dict.fromkeys(more)
        for headers, url in heads:
            for name, value in headers.pairs:
                if _names_a_credential(name):
                    found.update(dict.fromkeys(_parts(name, value)))
            found.update(dict.fromkeys(_in_address(url) if len(url) > _SHORT else _in_short_address(url)))
        return cls(tuple(sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)))

    def text(self, text: str) -> str:
        """*text* without secrets."""
        if len(text) <= _SHORT:
            return _clean_text(text, self.literals)
        return WITHHELD if len(text) > _LONGEST else redact(text, self.literals, personal=False)

    def within(self, text: str) -> bool:
        """Whether *text* says a secret or part of one."""
        return self.text(text) != text or self.cut(text)

    def cut(self, text: str) -> bool:
        """Whether *text* breaks off, or begins, in the middle of a credential: an answer that was not heard to its end,
        or whose beginning there was no room for."""
        return any(
            text.endswith(one[:place]) or text.startswith(one[-place:])
            for one in self.literals
            for place in range(_PART, len(one))
        )

    def optional(self, text: str | None) -> str | None:
        """The same of a text that may not be there."""
        return None if text is None else self.text(text)

    def url(self, url: str) -> str:
        """An address without secrets."""
        return _clean_url(url, self.literals) if len(url) <= _SHORT else redact_url(url, self.literals)

    def value(self, value: Any) -> Any:
        """A JSON value without secrets."""
        return redact_value(value, self.literals, personal=False)

    def headers(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        """Headers without the values that say who calls, in the order and spelling that they came in."""
        return tuple(
            _clean_header(name, value, self.literals) if len(value) <= _SHORT else _header(name, value, self.literals)
            for name, value in headers.pairs
        )

    def body(self, body: bytes) -> bytes:
        """A body without secrets: the very bytes where there is none in it.

        JSON is looked through field by field, since the name of a field may say that it holds a key.
        """
        if not body:
            return b""
        known = self._bodies.get(body)  # what came is mostly what was sent, and what was answered what the caller got
        if known is None:
            known = self._bodies[body] = self._body(body)
        return known

    def _body(self, body: bytes) -> bytes:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return WITHHELD.encode()  # an encoded body, or an upload: nobody can look into it
        if len(text) > _LONGEST:
            return WITHHELD.encode()
        if text.lstrip()[:1] in ("{", "["):
            if _says_no_more_than_its_text(text) and self.text(text) == text:
                return body
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                pass  # then it is looked through as a text
            else:
                clean = self.value(value)
                if clean == value and self.text(text) == text:
                    return body
                return json.dumps(clean, ensure_ascii=False).encode("utf-8", "backslashreplace")
        return self.text(text).encode("utf-8", "backslashreplace")


def _says_no_more_than_its_text(text: str) -> bool:
    """Whether no field of a JSON text needs more than the rules for texts: most do not, and walking costs ten times as
    much.  What has a name that says key, a pair of a name and a value, or looks like an option is walked through."""
    names = []
    for content, is_name in _STRING.findall(text):
        if is_name:
            names.append(content)
        if content[:1] == "-":
            return False
    plain_names = _remembered_plain if len(text) <= _USUAL else _are_plain
    return plain_names(frozenset(names)) and _PAIR.search(text) is None


def _are_plain(names: frozenset[str]) -> bool:
    """Whether none of the names of a JSON text, which come again with each of its kind, says that it holds a key."""
    return not any("\\" in name or name == "value" or says_secret(name) for name in names)


_remembered_plain = lru_cache(maxsize=128)(_are_plain)


@lru_cache(maxsize=4096)
def _clean_text(text: str, literals: tuple[str, ...]) -> str:
    return redact(text, literals, personal=False)


@lru_cache(maxsize=256)
def _clean_url(url: str, literals: tuple[str, ...]) -> str:
    return redact_url(url, literals)


def _header(name: str, value: str, literals: tuple[str, ...]) -> tuple[str, str]:
    (pair,) = redact_headers(Headers([(name, value)]), literals).pairs
    return pair


_clean_header = lru_cache(maxsize=2048)(_header)


@lru_cache(maxsize=1024)
def _names_a_credential(header: str) -> bool:
    return header.lower() in SECRET_HEADERS or _says_key(header) or says_secret(header)


@lru_cache(maxsize=1024)
def _says_key(name: str) -> bool:
    words = name.lower().replace("_", "-").split("-")
    return not {"key", "token", "secret", "authorization", "auth", "password", "credential", "signature"}.isdisjoint(
        words
    )


def _parts(name: str, value: str) -> list[str]:
    """A credential as it is, without the word for its scheme before it, and what it says: a password, a cookie each."""
    value = value.strip()
    if name.lower() == "cookie":
        each = [one.partition("=")[2].strip() for one in value.split(";")]
        return [value, *(one for one in each if len(one) >= _COOKIE)]
    scheme, _, rest = value.partition(" ")
    return [value, rest.strip(), *(_passwords(rest) if scheme.lower() == "basic" else ())]


def _passwords(encoded: str) -> list[str]:
    try:
        said = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return []
    return [said, said.partition(":")[2]]


def _in_address(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        found = [parts.password or "", unquote(parts.password or "")]
        found += [
            value for name, value in parse_qsl(parts.query, max_num_fields=500) if _says_key(name) or says_secret(name)
        ]
    except ValueError:
        return []
    return found


_in_short_address = lru_cache(maxsize=256)(_in_address)


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping less what is not said in it."""
    return {name: one for name, one in value.items() if one is not None and one != "" and one is not False}

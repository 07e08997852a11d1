"""What may not be shown of one call: the credentials it was made with, wherever they turn up again.

A provider repeats a wrong key in its message, a program logs one into a prompt, an exception holds a URL with one in
it: the keys that a call brought along are known, and are looked for in everything that is kept of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import frozen
from clippy_audit import SECRET_HEADERS, redact, redact_headers, redact_url, redact_value
from clippy_hookspecs import Headers

SHORTEST = 6
"""Letters of a credential that is looked for elsewhere: shorter ones are parts of ordinary words."""
WITHHELD = "[redacted]"
_KEY_WORDS = frozenset(
    {"key", "apikey", "token", "secret", "authorization", "auth", "password", "credential", "signature", "sig"}
)
_LONGEST = 2 * 1024 * 1024
"""Characters of one text that are looked through; what is longer is not shown."""


@frozen
class Secrets:
    """The exact texts to take out of one call's record, beside what looks like a secret anywhere."""

    literals: tuple[str, ...] = ()

    @classmethod
    def of(cls, heads: Iterable[tuple[Headers, str]], more: Iterable[str] = ()) -> Secrets:
        """The credentials in the headers and addresses of a call's requests."""
        found = dict.fromkeys(more)
        for headers, url in heads:
            for name, value in headers.pairs:
                if name.lower() in SECRET_HEADERS or _says_key(name):
                    found.update(dict.fromkeys(_parts(value)))
            found.update(dict.fromkeys(_in_address(url)))
        return cls(tuple(sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)))

    def text(self, text: str) -> str:
        """*text* without secrets."""
        return WITHHELD if len(text) > _LONGEST else redact(text, self.literals, personal=False)

    def optional(self, text: str | None) -> str | None:
        """The same of a text that may not be there."""
        return None if text is None else self.text(text)

    def url(self, url: str) -> str:
        """An address without secrets."""
        return redact_url(url, self.literals)

    def value(self, value: Any) -> Any:
        """A JSON value without secrets."""
        return redact_value(value, self.literals, personal=False)

    def headers(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        """Headers without the values that say who calls, in the order and spelling that they came in."""
        kept = redact_headers(headers, self.literals)
        return tuple(kept.pairs)

    def body(self, body: bytes) -> bytes:
        """A body without secrets: the very bytes where there is none in it.

        JSON is looked through field by field, since the name of a field may say that it holds a key.
        """
        if not body:
            return b""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return WITHHELD.encode()  # an encoded body, or an upload: nobody can look into it
        if len(text) > _LONGEST:
            return WITHHELD.encode()
        if text.lstrip()[:1] in ("{", "["):
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


def _says_key(name: str) -> bool:
    words = name.lower().replace("_", "-").split("-")
    return not {"key", "token", "secret", "authorization", "auth", "password", "credential", "signature"}.isdisjoint(
        words
    )


def _parts(value: str) -> list[str]:
    """A credential as it is, and without the word for its scheme before it."""
    value = value.strip()
    return [value, value.partition(" ")[2].strip()] if " " in value else [value]


def _in_address(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        found = [parts.password or "", unquote(parts.password or "")]
        found += [value for name, value in parse_qsl(parts.query, max_num_fields=500) if _says_key(name)]
    except ValueError:
        return []
    return found


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping less what is not said in it."""
    return {name: one for name, one in value.items() if one is not None and one != "" and one is not False}

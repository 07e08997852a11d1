"""The credentials in the value of an authorization header, whatever their scheme."""

from __future__ import annotations

import re

from .shapes import is_code, is_mixed, is_random, is_stand_in, is_words
from .spans import Span

_SCHEME = re.compile(
    r"(?P<one>(?:bearer|basic|token|api-?key|key|ssws|oauth|apikeyauth|googlelogin\sauth=|bot|negotiate|ntlm|dpop)"
    r"[ ]{1,4})"
    r"|(?P<all>(?:digest|hawk|mac|aws4-hmac-sha256|signature|hmac)\s)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\s,;\"'<>]++")
_PARAMETERS = re.compile(r"(?:[\w-]{1,40}+=(?:\"[^\"\r\n]{0,1024}+\"|[^\s,\"']*+)(?:,\s*+|[ ]++)?)++", re.ASCII)
_SIGNED = re.compile(r"[A-Za-z][\w-]{1,30}[ ]([\w.~-]{1,80}+:([A-Za-z0-9+/_=-]{16,}+))", re.ASCII)  # AWS id:signature
_CALL = re.compile(r"[A-Za-z_][\w.]*+\(", re.ASCII)


def find_authorization(text: str, begin: int, end: int, *, whole: bool) -> Span | None:
    """The credentials in ``text[begin:end]``, the value of an authorization header, without their scheme.

    *whole*: the value ends there; otherwise the header may stand in the middle of a line of prose.
    """
    scheme = _SCHEME.match(text, begin, end)
    start = scheme.end() if scheme else begin
    if scheme and scheme["all"] and "=" in text[start:end]:
        # A value quoted inside the line does not end the header: username="a", response="...".
        parameters = None if whole else _PARAMETERS.match(text, start)
        return Span(start, max(end, parameters.end() if parameters else end), "authorization")
    body = _WORD.match(text, start, end)
    if body is None or is_stand_in(body.group().rstrip("\\")) or is_code(body.group(), "") or _CALL.match(body.group()):
        return None
    word = body.group().rstrip(".,")
    if scheme is None and is_words(word):
        signed = _SIGNED.match(text, start, end)
        return Span(*signed.span(1), "authorization") if signed and is_mixed(signed[2], 16) else None
    if scheme and scheme["all"] and not is_random(word.rpartition(":")[2], 8):
        return None
    alone = whole or not text[body.end() : end].strip()
    if is_random(word, 6) or (alone and scheme is not None and len(word) >= 8) or (alone and len(word) >= 20):
        return Span(start, body.end(), "authorization")
    return None

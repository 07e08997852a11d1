"""Secrets that a name gives away: ``password: x``, ``"api_key": "x"``, ``X_TOKEN=x``, ``--api-key x``, ``?key=x``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .authorization import find_authorization
from .names import Trust, trust
from .shapes import is_code, is_digest, is_made, is_mixed, is_random, is_route, is_sentence, is_stand_in, is_words
from .signs import FOREIGN_STEMS, NOUN, SIGN, STEMS
from .spans import Span

_QUOTE = re.compile(r"[bruBRU]{0,2}(?P<slashes>\\*+)(?P<mark>[\"'`“‘])(?:(?P=mark){2}(?![\"']))?")
_BODY = {
    '"': re.compile(r'(?:[^"\\\r\n]|\\.)*+'),
    "'": re.compile(r"(?:[^'\\\r\n]|\\.)*+"),
    "`": re.compile(r"[^`\r\n]*+"),
    "“": re.compile(r"[^”\r\n]*+"),
    "‘": re.compile(r"[^’\r\n]*+"),
}
_ESCAPED_BODY = {'"': re.compile(r'[^"\\\r\n]*+'), "'": re.compile(r"[^'\\\r\n]*+")}
_BARE = re.compile(r"[^\s&;,\"'`<>(){}\[\]|\\=]++={0,2}")
_REST = re.compile(r"[^\s&;\"'`]++")  # of a line of an environment file: it has no other delimiter
_LIST = re.compile(r"\[[^\[\]]*+\]?")
_ITEM = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?", re.DOTALL)
_LINE = re.compile(r"[^\r\n\"'`]*+")
_HEADER_LINE = re.compile(r"[^\r\n\"'`]{0,4096}+")
_LOGIN = re.compile(r"\blogin \S{1,40}\s{1,4}\Z", re.ASCII)  # of a .netrc file
_ELEMENT = re.compile(r"[^<\s]++")
_CLOSING = re.compile(r"\s{0,8}</")
_SIGN_INSIDE = re.compile(r"[A-Za-z0-9][@!#$%^&*+=?][A-Za-z0-9]", re.ASCII)
_SPACED = ("--", "ENV ", "login ", "config set ", "configure set ", "setenv ", "set -x ", "set -gx ", "set -Ux ")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ASCII_LETTER = re.compile(r"[A-Za-z0-9]")
_PLURAL = re.compile(r"(?i:secrets|passwords)[\"']?[ ]?:[ ]{0,8}\Z")
_CALL = re.compile(r"[A-Za-z_][\w.]*+\(", re.ASCII)
_LOOKS_UP = re.compile(
    r"[._]*(?:get|read|fetch|load|find|has|is|del|delete|remove|lookup|require|parse|check|verify|validate|count|test)",
    re.IGNORECASE,
)
_WORKING = re.compile(r"(?:old)?pwd['\"]?[ ]?[=:]", re.IGNORECASE)
_LONG = re.compile(r"[\w+/=.~-]{20}", re.ASCII)
_QUOTES = frozenset("\"'`“‘\\")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-$")
_ADJECTIVES = frozenset((
    "api", "access", "secret", "private", "subscription", "account", "auth", "bearer", "refresh", "client", "session",
    "license", "signing", "encryption", "master",
))  # fmt: skip


def find_fields(text: str, lowered: str) -> Iterator[Span]:
    """Every value in *text* whose name says that it is a secret.

    *lowered* is the same text in small letters, of the same length.
    """
    if not _names_something(lowered):
        return
    # Only options, environment files and .netrc put a bare value behind a space; everywhere else that is prose.
    spaced = any(sign in text for sign in _SPACED)
    position = 0
    while noun := NOUN.search(lowered, position):
        sign = SIGN.match(text, noun.end())
        position = noun.end()
        if sign is None or (
            sign.lastgroup == "space"
            and not spaced
            and text[sign.end() : sign.end() + 1] not in _QUOTES
            and not _LONG.match(text, sign.end())
        ):
            continue
        start = _name_start(text, noun.start())
        sure = trust(text[start : noun.end()])
        if sure is Trust.NONE or (sign["space"] and noun.group() == "pass"):
            continue
        if _names_no_value(text, sign, start):
            continue
        spans, reached = _value(text, sign, start, sure)
        yield from spans
        # A short value that is none may itself be a name ("auth: token=..."); going back further could cost n * n.
        position = reached if spans or reached - sign.end() > 64 else sign.end()


def _names_something(lowered: str) -> bool:
    """Whether any noun of a secret can be in *lowered*."""
    for stem in STEMS:
        if stem in lowered:
            return True
    return not lowered.isascii() and any(stem in lowered for stem in FOREIGN_STEMS)


def _names_no_value(text: str, sign: re.Match[str], start: int) -> bool:
    """Whether the name at *start* stands where its *sign* means something else."""
    if sign["form"]:
        return not text.endswith('name="', 0, start)
    if sign["cell"]:
        return "|" not in text[max(0, start - 8) : start]
    if sign["call"]:
        return _LOOKS_UP.match(text, start) is not None
    # arn:aws:secretsmanager:eu-west-1:123456789012:secret:name
    return text[start - 1 : start] == ":" and "arn:" in text[max(0, start - 96) : start].rpartition(" ")[2]


def keeps(value: str, sure: Trust) -> bool:
    """Whether *value* may stay, under a name of this *sure*ness, in a place where values are strings of their own."""
    if not value or sure is Trust.NONE or is_stand_in(value) or value.startswith("[redacted:"):
        return True
    if sure is Trust.HEADER:
        return find_authorization(value, 0, len(value), whole=True) is None
    if sure is Trust.COOKIE:
        return "=" not in value
    if sure is Trust.SECRET:
        return is_sentence(value)
    if sure is Trust.KEY:
        return is_words(value) or not (is_random(value, 8) or len(value) >= 16) or is_sentence(value)
    if sure is Trust.WEAK:
        return not is_random(value, 12) or is_route(value)
    return not is_mixed(value, 20) or "/" in value or "." in value


def _name_start(text: str, end: int) -> int:
    """Where the name that ends with the noun at *end* begins: at most 48 back, over one space in "api key"."""
    floor = max(0, end - 48)
    start = end
    while start > floor and text[start - 1] in _NAME_CHARACTERS:
        start -= 1
    if start == end and start > 1 and text[start - 1] == " ":
        word = start - 1
        while word > floor and text[word - 1].isalpha():
            word -= 1
        if text[word : start - 1].lower() in _ADJECTIVES:
            return word
    return start


def _value(text: str, match: re.Match[str], start: int, sure: Trust) -> tuple[list[Span], int]:
    """What to take out after the name that *match* found at *start*, and how far the text has been read."""
    how = match.lastgroup
    position = match.end()
    kind = kind_of(sure, text[start : match.start()])
    if how == "xml":
        return _xml(text, position, start, sure, kind)
    if text.startswith("[", position) and how in {"colon", "equals"} and sure not in (Trust.HEADER, Trust.COOKIE):
        region = _LIST.match(text, position)
        assert region is not None
        inside = [
            Span(item.start() + 1, item.end() - (item.group()[-1:] in "\"'" and len(item.group()) > 1), kind)
            for item in _ITEM.finditer(text, *region.span())
        ]
        return [span for span in inside if not keeps(text[span.start : span.end], sure)], region.end()
    quote = _QUOTE.match(text, position)
    if quote:
        return _quoted(text, quote, how, sure, kind)
    if sure is Trust.COOKIE:
        line = _LINE.match(text, position)
        assert line is not None
        return ([Span(position, line.end(), kind)] if "=" in line.group() and how == "colon" else []), line.end()
    if sure is Trust.HEADER:
        return _bare_header(text, position, how)
    return _bare(text, position, start, how, sure, kind)


def kind_of(sure: Trust, name: str) -> str:
    """What the mark says was there."""
    if sure >= Trust.HEADER:
        return "cookie" if sure is Trust.COOKIE else "authorization"
    name = name.lower()
    for word, kind in (
        ("pass", "password"),
        ("pwd", "password"),
        ("token", "token"),
        ("secret", "secret"),
        ("key", "key"),
    ):
        if word in name:
            return kind
    return "credential"


def _quoted(text: str, quote: re.Match[str], how: str | None, sure: Trust, kind: str) -> tuple[list[Span], int]:
    bodies = _ESCAPED_BODY if quote["slashes"] and quote["mark"] in _ESCAPED_BODY else _BODY
    body = bodies[quote["mark"]].match(text, quote.end())
    assert body is not None
    value, (begin, end) = body.group(), body.span()
    if sure is Trust.HEADER:
        span = find_authorization(text, begin, end, whole=True)
        return ([span] if span else []), end
    if how == "call":
        # It may as well be asked for what has this name; what it is asked for is a word or a path.
        signs = sure is Trust.SECRET and " " not in value and _SIGN_INSIDE.search(value)
        made = (signs or is_random(value, 8 if sure is Trust.SECRET else 16)) and "/" not in value
        return ([] if keeps(value, sure) or not made else [Span(begin, end, kind)]), end
    if how in {"space", "phrase", "tuple", "cell", "apart"}:
        # Without a sign between name and value only a value that looks like one counts: the key "name", secret 'x'.
        plain = is_words(value) or len(value) < 6 if sure is Trust.SECRET else not is_random(value, 16)
        return ([] if plain or keeps(value, sure) else [Span(begin, end, kind)]), end
    return ([] if keeps(value, sure) or (sure is Trust.BARE and kind != "key") else [Span(begin, end, kind)]), end


def _bare(text: str, position: int, start: int, how: str | None, sure: Trust, kind: str) -> tuple[list[Span], int]:
    before = text[max(0, start - 48) : start]
    line_start = not before or before.endswith(("\n", "\r", "export ", "set ", "ENV ", "- "))
    told = how == "space" and not (
        text.startswith("--", start) or before.endswith(_SPACED[1:]) or _LOGIN.search(before)
    )
    if told and not (sure in (Trust.KEY, Trust.SECRET) and _LONG.match(text, position)):
        return [], position
    environment = line_start and text[position - 1] == "=" and sure is Trust.SECRET
    body = (_REST if environment else _BARE).match(text, position)
    if body is None:
        return [], position
    value, end = body.group(), body.end()
    keep = (
        is_stand_in(value)
        or is_code(value, text[end : end + 1])
        or (environment and _CALL.match(value))
        or value.startswith("--")
        or (
            not is_made(value)
            if told
            else _apart_keeps(value, sure)
            if how == "apart"
            else _phrase_keeps(value.rstrip(".,!?:"), sure)
            if how in ("phrase", "cell")
            else _bare_keeps(text, body, start, how, sure)
        )
    )
    return ([] if keep else [Span(position, end, kind)]), end


def _phrase_keeps(word: str, sure: Trust) -> bool:
    """After "the password is" a word counts when it is no word; after "the key is" only when nothing else looks so."""
    if sure is Trust.SECRET:
        return not (is_random(word, 6) or _SIGN_INSIDE.search(word))
    if sure is Trust.KEY:
        return not is_random(word, 16)
    return is_digest(word) or not (is_mixed(word, 20) if sure is Trust.BARE else is_random(word, 16))


def _apart_keeps(word: str, sure: Trust) -> bool:
    """In the line below "password:", and in brackets, may as well stand the next thing that a form or a text says."""
    if sure is Trust.SECRET:
        return ":" in word or not is_mixed(word, 12)
    return ":" in word or not (is_made(word) or (sure is Trust.KEY and is_digest(word)))


def _bare_keeps(text: str, body: re.Match[str], start: int, how: str | None, sure: Trust) -> bool:
    value = body.group()
    if sure is Trust.BARE:
        form = text[body.end() : body.end() + 1] == "&" and not text.startswith("code", start)
        query = form or (start > 0 and text[start - 1] in "?&")
        return not (is_random(value, 16) if query else text.startswith("key", start) and is_mixed(value, 20))
    if sure is Trust.WEAK:
        return not is_random(value, 12) or is_route(value)
    if sure is Trust.KEY:
        return not is_random(value, 8)
    if start > 0 and text[start - 1] == "/":
        return True  # a file: /etc/passwd: permission denied
    if value.startswith("/") and _WORKING.match(text, start):
        return True  # the working directory
    return _is_remark(text, value.rstrip(".,!?:"), body.end(), start, how)


def _is_remark(text: str, word: str, end: int, start: int, how: str | None) -> bool:
    """Whether what follows "password:" is a remark about passwords and not one of them."""
    if len(word) < 3 or (_CJK.search(word) and not _ASCII_LETTER.search(word)):
        return True  # the rest of a sentence: nobody types a password through an input method
    if how == "colon" and is_words(word) and _PLURAL.search(text, max(0, end - 120), end - len(word)):
        return True
    if not is_words(word) or how == "form":
        return False
    if how in ("equals", "space"):
        # password=password hands on a variable of that name.
        spaced = text[end - len(word) - 1 : end - len(word)] == " "
        return trust(word) is not Trust.NONE and (spaced or text[end : end + 1] in (",", ")"))
    rest = text[end : end + 3].lstrip(" \t")
    alone = not text[max(0, start - 24) : start].rpartition("\n")[2].strip(" -\t")
    return trust(word) is not Trust.NONE or not (alone and (not rest or rest[0] in "\r\n#"))


def _bare_header(text: str, position: int, how: str | None) -> tuple[list[Span], int]:
    line = _HEADER_LINE.match(text, position)
    assert line is not None
    if how not in ("colon", "equals", "form", "pair", "yaml"):
        return [], position
    span = find_authorization(text, position, line.end(), whole=False)
    return ([span], span.end) if span else ([], position)


def _xml(text: str, position: int, start: int, sure: Trust, kind: str) -> tuple[list[Span], int]:
    body = _ELEMENT.match(text, position)
    if body is None or text[start - 1 : start] not in tuple("<:=\"'") or not _CLOSING.match(text, body.end()):
        return [], position
    value = body.group()
    return ([] if keeps(value, sure) else [Span(position, body.end(), kind)]), body.end()

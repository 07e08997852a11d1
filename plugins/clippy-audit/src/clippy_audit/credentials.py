"""Credentials known by the place they stand in: authorization schemes, URLs, key files, command lines, webhooks."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator

from .shapes import is_random, is_sentence, is_stand_in
from .spans import Span

_BEARER = re.compile(
    r"bearer(?:[ \t]{1,4}|[ ]token[ ]|\\?['\"][ ,:]{0,3}\\?['\"]|%20|\+)([A-Za-z0-9._~+/-]{8,}+={0,2})",
    re.ASCII,
)
_BASIC = re.compile(r"basic[ \t]{1,4}([A-Za-z0-9+/_-]{8,}+={0,2})", re.ASCII)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.ASCII)
# Between two of its lines: what a program joins them with, and the margin of a quotation or a comment.
_JOINT = r"[\"'][ \t]{0,8}[+,.\\]?[ \t]{0,8}\r?\n[ \t]{0,40}[+.]?[ \t]{0,8}[\"']|(?<=[\n\t ])[>|#*+]{1,4}"
# What opens the body: headers of its own, then base64, maybe after line ends that were escaped.
_KEY_START = re.compile(
    rf"(?:\s|\\{{1,4}}[nrt]?|{_JOINT}|[A-Z][A-Za-z-]{{2,20}}:[ ]?[^\r\n\\]{{0,100}}(?=[\r\n\\]))*+"
    r"([A-Za-z0-9+/=]{8,}+)",
    re.ASCII,
)
_KEY_BODY = re.compile(rf"(?:[A-Za-z0-9+/=:,.\s\\-]++|{_JOINT})++", re.ASCII)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.ASCII)
_PUTTY = re.compile(r"Private-Lines: \d{1,4}\r?\n((?:[A-Za-z0-9+/=]++\r?\n?)++)", re.ASCII)
_AFTER_SCHEME = re.compile(r"://([^\s\"'<>`\\]++)")
_USER_OPTION = re.compile(
    r"(?<!\S)(?:-u|--user|--proxy-user|--basic-auth|-a|--auth)(?:[ =]{1,3}|)"
    r"[\"']?([A-Za-z0-9_.@+-]{0,80}+):([^\s\"']{3,}+)"
)
_COMMANDS = (
    "sshpass", "docker login", "mysql", "mysqldump", "mysqladmin", "mariadb", "psql", "mongo", "mongosh", "redis-cli",
    "az login",
)  # fmt: skip
_SHORT_OPTION = re.compile(
    rf"(?<![\w-])(?:{'|'.join(_COMMANDS)})\b[^\n|;&]{{0,200}}?[ ]"
    r"(?:-p[ ]?|-a[ ]|--pass[ =])[\"']?([^\s\"'-][^\s\"']{3,}+)"
)
_AUTH_PAIR = re.compile(
    r"auth[\"']?\s?[=:]\s?(?:\w{0,24}\()?[(\[]?\s?[\"'][^\"'\n]{0,100}+[\"'],\s?[\"']([^\"'\n]++)[\"']"
)
_COOKIES = re.compile(r"cookies?[\"']?\s?[=:]\s?(\{[^{}]*+)\}?")
_COOKIE_OPTION = re.compile(r"(?<!\S)(?:-b|--cookie)[ =]{1,3}[\"']?([^\s\"'=]{1,80}+=[^\"'\n]++)")
_WEBHOOK = re.compile(
    r"(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{1,24}"
    r"|webhook\.office\.com/webhookb2|hooks\.zapier\.com/hooks/catch|maker\.ifttt\.com/trigger/\w{1,60}/with/key"
    r"|api\.telegram\.org/bot|open\.feishu\.cn/open-apis/bot/v2/hook)/?([^\s\"'<>\\?#)]{8,}+)"
)
# Fields that a service signs and hands out as one: GitHub Copilot.
_SIGNED_FIELDS = re.compile(
    r"(?<![a-z0-9_])tid=[^\s;\"',]{6,80}+;(?:[a-z0-9_]{1,24}=[^\s;\"',]{0,200}+;?){1,40}+", re.ASCII
)
_EXPIRES = re.compile(r"\bexp=\d{9,11};", re.ASCII)
_SIGNED = re.compile(r":[0-9a-f]{12,}+\Z", re.ASCII)
_HASH = re.compile(
    r"\$(?:2[abxy]\$\d\d\$[./A-Za-z0-9]{50,}+|argon2(?:id|i|d)\$[^\s\"']{30,}+"
    r"|(?:[1567y]|apr1)\$(?:[^\s\"'$]{1,40}\$){1,2}[./A-Za-z0-9]{20,}+)"
)


def find_credentials(text: str, lowered: str) -> Iterator[Span]:
    """Every credential in *text* that its surroundings give away.  *lowered* is the same text in small
    letters, of the same length."""
    if "bearer" in lowered:
        for match in _BEARER.finditer(lowered):
            token = text[match.start(1) : match.end(1)]
            if is_random(token, 12) and not is_stand_in(token):
                yield Span(*match.span(1), "authorization")
    if "basic" in lowered:
        for match in _BASIC.finditer(lowered):
            if _is_basic(text[match.start(1) : match.end(1)]):
                yield Span(*match.span(1), "authorization")
    if "-" in text and "private" in lowered:
        yield from _private_keys(text)
    if "://" in text:
        yield from _user_info(text)
    if "cookie" in lowered:
        yield from _groups(_COOKIES, text, "cookie", lowered)
    if "-" in text and (" -" in text or text.startswith("-")):
        yield from _options(text, lowered)
    if "auth" in lowered:
        yield from _groups(_AUTH_PAIR, text, "password", lowered)
    if ";" in text and "=" in text and ";exp=" in lowered:
        for match in _SIGNED_FIELDS.finditer(lowered):
            if _EXPIRES.search(match.group()) and _SIGNED.search(match.group().rstrip(".;")):
                yield Span(*match.span(), "token")
    if "/" in text and ("hook" in lowered or "telegram" in lowered or "ifttt" in lowered):
        yield from _groups(_WEBHOOK, text, "webhook")
    if text.count("$") >= 3:
        yield from (Span(*match.span(), "hash") for match in _HASH.finditer(text))


def _groups(pattern: re.Pattern[str], text: str, kind: str, searched: str = "") -> Iterator[Span]:
    """The first group of each match, in *searched* when the pattern is written in small letters."""
    for match in pattern.finditer(searched or text):
        value = text[match.start(1) : match.end(1)]
        if not is_stand_in(value) and "[redacted:" not in value:
            yield Span(*match.span(1), kind)


def _options(text: str, lowered: str) -> Iterator[Span]:
    """Passwords on a command line."""
    if any(option in text for option in (" -u", "--user", "--proxy-user", "--basic-auth", " -a", "--auth")):
        for match in _USER_OPTION.finditer(text):
            # docker run -u 1000:1000 names a user and a group.
            if not (match[1] + match[2]).isdigit() and not match[2].startswith("//") and not is_stand_in(match[2]):
                yield Span(*match.span(2), "password")
    if any(command in lowered for command in _COMMANDS):
        yield from _groups(_SHORT_OPTION, text, "password")
    if " -b" in text or "--cookie" in text:
        yield from _groups(_COOKIE_OPTION, text, "cookie")


def _is_basic(value: str) -> bool:
    """Whether *value* is ``user:password`` in base64: what tells it from the word after "basic"."""
    padded = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b":" in b64decode(padded + "=" * (-len(padded) % 4), validate=True) and is_random(value, 8)
    except Base64Error:
        return False


def _private_keys(text: str) -> Iterator[Span]:
    """Key files from BEGIN to END, or to where the base64 stops when the text was cut."""
    position = 0
    while begin := _PRIVATE_KEY.search(text, position):
        body = _KEY_BODY.match(text, begin.end())
        position = body.end() if body else begin.end()
        # The dashes before END are in the alphabet of the body; its other letters are too, up to the next mark.
        last = text.rfind("-----END", begin.start(), position)
        end = _KEY_END.match(text, last) if last >= 0 else None
        first = _KEY_START.match(text, begin.end())
        # Else it is only spoken of.
        if first and _is_base64(first[1]) and (end or _is_cut(text, begin, first)):
            yield Span(begin.start(), end.end() if end else position, "private-key")
    for match in _PUTTY.finditer(text):
        yield Span(*match.span(1), "private-key")


def _is_cut(text: str, begin: re.Match[str], first: re.Match[str]) -> bool:
    """Whether a key without an end is one: base64 alone, and in the next line unless it has a head."""
    between = text[begin.end() : first.start(1)]
    near = between.count("\n") + between.count("\\n") <= 1 or ":" in between or "PGP" in begin.group()
    return near and "=" not in first[1].rstrip("=") and text[first.end() : first.end() + 1] not in (".", ":", "_")


def _is_base64(word: str) -> bool:
    """Whether *word* is no word: the beginning of a key, which may have been cut."""
    return is_random(word, 8) or (len(word) >= 16 and word != word.lower())


def _user_info(text: str) -> Iterator[Span]:
    """The password in ``scheme://user:password@host``, also when it holds a slash or an at sign unescaped."""
    for match in _AFTER_SCHEME.finditer(text):
        rest = match[1]
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        at = authority.rfind("@")
        if at < 0:
            colon = authority.find(":")
            # "host:443/a@b" has a port, "user:pa/ss@host" a password.
            if colon < 0 or authority[colon + 1 :].isdigit() or "@" not in rest:
                continue
            at = rest.rfind("@", 0, 512)
            if at < 0:
                continue
        user, colon_sign, password = rest[:at].partition(":")
        start = match.start(1)
        if colon_sign:
            if password and not is_stand_in(password) and not is_sentence(password):
                yield Span(start + len(user) + 1, start + at, "password")
        elif is_random(user, 16) and not is_stand_in(user):
            yield Span(start, start + at, "password")

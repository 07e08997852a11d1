"""Personal data with a form of its own: mail addresses, phone numbers, bank and card numbers, network addresses.

Names and postal addresses have none; they are for a plugin with a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from .spans import Span

# The labels may be given back: the dot after the last one can be the sentence's.
# Letters of the scripts that put spaces between words (RFC 6531): in others nobody knows where a name begins.
_L = "A-Za-z\u00c0-\u024f\u0370-\u052f"
_MAIL = re.compile(
    rf"(?<![{_L}0-9._%+-])([{_L}0-9._%+-]{{1,64}}+)@((?:[{_L}0-9-]{{1,63}}+\.){{1,8}})?"
    rf"(xn--[A-Za-z0-9-]{{2,59}}|[{_L}]{{2,24}})(?![{_L}0-9_]|-[{_L}0-9]|@)"
)
_FILES = frozenset((
    "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "mjs", "json", "html", "md", "txt", "xml", "yml",
    "yaml", "whl", "gz", "tgz", "zip",
))  # fmt: skip
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_+.])(?:\+|00(?=\d{1,3}[ .-]))\(?[1-9](?:[ ()./-]{0,2}\d){7,14}(?!\d|[.,]\d)", re.ASCII
)
_AMERICAN = re.compile(
    r"(?<![A-Za-z0-9_.+-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[-])\d{3}[ -]\d{4}(?![\w-]|\.\d)"
    r"|(?<![A-Za-z0-9_.+-])[2-9]\d{2}([ .])[2-9]\d{2}\1\d{4}(?![\w-]|\.\d)",
    re.ASCII,
)
_CALLED = re.compile(
    r"(?<![A-Za-z])(?:tel|phone|telephone|call|mobile|mob|fax|cell|whatsapp|dial|sms|handy|telefon)"
    r"(?:[ ](?:number|no|us|me|at|on|is|him|her)){0,3}[.:=]{0,2}[ ]{0,2}\(?\Z",
    re.IGNORECASE | re.ASCII,
)
_LOCAL = re.compile(r"\(?\d(?:[ ()./-]{0,2}\d){6,13}(?![\d]|[.]\d)", re.ASCII)
# A set comes first and the look behind it second: the engine then skips every place that cannot begin a match.
_NUMBERS = re.compile(r"\d(?:[ ()./-]{0,2}\d){6,}+", re.ASCII)
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:", re.ASCII)
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.ASCII)
_IBAN_LENGTHS = dict(
    re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23"
        "GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21MC27MD24ME22MK19MR27MT31MU30NL18"
        "NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20",
    )
)
_CARD = re.compile(r"(?<![\w.+-])[2-6]\d(?:[ -]?\d){11,17}(?![\w-]|\.\d)", re.ASCII)
_BRAND = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})\Z|5[1-5]\d{14}\Z|2[2-7]\d{14}\Z|3[47]\d{13}\Z|6(?:011|4|5|2)\d{11,16}\Z|35\d{14}\Z|3[0689]\d{12}\Z"
)
_SSN = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)", re.ASCII)
_INSURED = re.compile(
    r"(?<![A-Za-z])(?:ssn|social[ ](?:security|insurance)(?:[ ](?:number|no|nr|#))?)[\"']?"
    r"(?:[ ](?:is|was|ends|number))?[.:=#]{0,2}[ ]{0,2}[\"']?\Z",
    re.IGNORECASE | re.ASCII,
)
_NINE = re.compile(r"\d{3}([ -]?)\d{2}\1\d{4}(?![\w-]|\.\d)", re.ASCII)
_IP4 = re.compile(r"\d(?<![A-Za-z0-9_.].)\d{0,2}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![A-Za-z0-9_]|\.\d)", re.ASCII)
_IP6 = re.compile(r"(?<![A-Za-z0-9_:.])[0-9A-Fa-f:]{6,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![A-Za-z0-9_:])", re.ASCII)
_MAC = re.compile(
    r"(?<![A-Za-z0-9:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![A-Za-z0-9:-])", re.ASCII
)
_DEVICE = re.compile(
    r"\bmacs?\b|mac[_ -]?addr|hwaddr|\bether\b|lladdr|bssid|bluetooth|wi-?fi|(?:hardware|physical|ethernet)[ _-]addr",
    re.IGNORECASE,
)
# 1.2.3.4 is a version after "version", "v", "==" or "Chrome/".
_VERSION = re.compile(
    r"(?:(?:version|ver|release|released|build|rev|revision|firmware|driver|chapter|section|clause|v)"
    r"[\"']?[ :=.]{0,3}[\"']?v?"
    r"|[=~^!<>]=[ ]?|[~^§][ ]?|[A-Za-z]/|[A-Za-z0-9]-)\Z",
    re.IGNORECASE | re.ASCII,
)


# Each byte of a text as "0" for a digit, "A" for a capital, "." for a dot and a space for all else.
_OUTLINE = (b" " * 46 + b". " + b"0" * 10 + b" " * 7 + b"A" * 26).ljust(256)


def find_personal(text: str) -> Iterator[Span]:
    """Every piece of personal data in *text* that its form gives away."""
    if "@" in text:
        yield from _mails(text)
    # Most texts hold nothing that the patterns could begin with; their outline says so in a tenth of the time.
    outline = text.encode("utf-8", "surrogatepass").translate(_OUTLINE)
    if outline.count(b"0") >= 7:
        for run in _NUMBERS.finditer(text):
            yield from _numbers(text, run.start(), run.end())
    if b"AA00" in outline:
        for match in _IBAN.finditer(text):
            yield from _iban(match)
    if b"0.0" in outline:
        yield from _ip4(text)
    if _COLONS.search(text):
        for match in _IP6.finditer(text):
            if _is_ip6(match.group()):
                yield Span(*match.span(), "ip")
        for match in _MAC.finditer(text):
            # Six bytes may be anything; a device's address is called one.
            if _DEVICE.search(text[max(0, match.start() - 40) : match.start()]):
                yield Span(*match.span(), "mac")


def _numbers(text: str, begin: int, end: int) -> Iterator[Span]:
    """Phone, card and insurance numbers in a run of seven digits or more, seen with a little of what is around it."""
    # The patterns look at most two characters before and after.
    area = (max(0, begin - 2), min(len(text), end + 3))
    for pattern in (_PHONE, _AMERICAN):
        for match in pattern.finditer(text, *area):
            yield Span(*match.span(), "phone")
    called = _CALLED.search(text[max(0, begin - 40) : begin])
    if called:
        number = _LOCAL.match(text, begin - (text[begin - 1 : begin] == "("), area[1])
        if number:
            yield Span(*number.span(), "phone")
    for match in _CARD.finditer(text, *area):
        digits = re.sub(r"[ -]", "", match.group())
        if _BRAND.match(digits) and _luhn(digits):
            yield Span(*match.span(), "card")
    for match in _SSN.finditer(text, *area):
        yield Span(*match.span(), "ssn")
    if _INSURED.search(text[max(0, begin - 40) : begin]) and (number := _NINE.match(text, begin, area[1])):
        yield Span(*number.span(), "ssn")


def _mails(text: str) -> Iterator[Span]:
    for match in _MAIL.finditer(text):
        user, domain, top = match.groups()
        if domain is None or top.lower() in _FILES:
            continue  # user@host, icon@2x.png
        if text.endswith("://", 0, match.start()):
            continue  # https://user@host.example: an account at a server
        if user == "git" and text[match.end() : match.end() + 1] in (":", "/"):
            continue  # git@github.com:owner/repository
        yield Span(*match.span(), "email")


def _iban(match: re.Match[str]) -> Iterator[Span]:
    """The account number at the start of *match*, cut to its country's length and checked by its check digits."""
    wanted = int(_IBAN_LENGTHS.get(match.group()[:2], 0))
    compact: list[str] = []
    for offset, character in enumerate(match.group()):
        if character not in " -":
            compact.append(character)
        if len(compact) == wanted:
            number = "".join(compact)
            if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1:
                yield Span(match.start(), match.start() + offset + 1, "iban")
            return


def _luhn(digits: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _ip4(text: str) -> Iterator[Span]:
    for match in _IP4.finditer(text):
        try:
            address = IPv4Address(match.group())
        except AddressValueError:
            continue
        plain = address.is_loopback or address.is_unspecified or str(address).startswith("255.")
        before = text[max(0, match.start() - 20) : match.start()]
        if not plain and not _VERSION.search(before):
            yield Span(*match.span(), "ip")


def _is_ip6(value: str) -> bool:
    """An IPv6 address with a digit in it; not a time, ``abc::def`` of a program, or the loopback address."""
    if value.count(":") < 2 or not any(c.isdigit() for c in value):
        return False
    try:
        address = IPv6Address(value)
    except AddressValueError:
        return False
    return not address.is_loopback and not address.is_unspecified

"""Which addresses the gateway may send to: one decision, for those of the configuration and those of callers."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

_METADATA_NAMES = frozenset(
    {
        "metadata", "metadata.goog", "metadata.tencentyun.com", "metadata.packet.net", "metadata.platformequinix.com",
        "api.metadata.cloud.ibm.com", "rancher-metadata", "instance-data",
        "metadata.azure.com", "metadata.azure.us", "metadata.azure.cn", "metadata.microsoftazure.de",
    }
)  # fmt: skip
"""Those of Azure are the names for which the certificates of its metadata service are made out, one for each cloud."""
_METADATA_INTERNAL = re.compile(r"(?:(?:rancher-)?metadata|instance-data)\.(?:[a-z0-9_-]+\.)*internal", re.ASCII)
"""metadata.google.internal, instance-data.eu-west-1.compute.internal, rancher-metadata.rancher.internal."""
_METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.0.23", "169.254.10.10", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254",
        "169.254.42.42", "fd00:42::42", "fe80::a9fe:a9fe",
    )
)  # fmt: skip
"""Where clouds tell a machine its own credentials: GCP, Azure, Alibaba, Oracle, Tencent, Scaleway, OpenStack."""
_METADATA_NETWORKS = tuple(map(ipaddress.ip_network, ("169.254.169.0/24", "169.254.170.0/24", "fd00:ec2::/32")))
"""What AWS keeps for the services of a machine (metadata, DNS, time) and of its containers, and every cloud's metadata.

The rest of 169.254.0.0/16 is for machines that nobody gave an address to, two that share a cable for example.
"""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
"""Each network's own (RFC 8215), which puts the address of IPv4 where it likes: nobody can tell which one it is."""
_INTERNET = ipaddress.ip_network("2000::/3")
_IN_BOOKS = ipaddress.ip_network("3fff::/20")
"""For examples (RFC 9637), which Python does not know yet."""
_RELAYS = ipaddress.ip_network("192.88.99.0/24")
"""Once whoever carried 6to4 nearby (RFC 7526), which Python takes for an address like others."""
_PLAIN_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_FOUR = re.compile(r"(?<![0-9])(?=([0-9]{1,3}([.-])[0-9]{1,3}\2[0-9]{1,3}\2[0-9]{1,3})(?![0-9]))", re.ASCII)
_EIGHT = re.compile(r"(?<![a-z0-9])(?:0x)?([0-9a-f]{8})(?![a-z0-9])", re.ASCII)
_DOTS = str.maketrans({"。": ".", "．": ".", "｡": "."})
_IGNORED = re.compile("[\u00ad\u034f\u180b-\u180f\u200b-\u200d\u2060\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
"""What a name loses on its way to DNS (UTS 46): with a soft hyphen in it, 169.254.169.254 is still an address."""
_IN_NO_HOST = re.compile(r"""[\x00-\x20"#%/:<>?@\[\\\]^`{|}\x7f]""")
"""``forbidden domain code point`` of the URL standard and what RFC 3986 has in no host: decoded, it would divide it."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_fault(url: str, *, trusted: bool, allow: Sequence[str] = ()) -> str | None:
    """Why nothing may be sent to *url*, in a sentence that does not repeat it; None where it may.

    *trusted*: it stands in the configuration, where http and private hosts are meant, but no other scheme, no control
    character and no metadata address.  Otherwise it must be https on port 443 of a host in *allow*: a whole name, or
    ``*.example.com`` for everything below one.  It judges what is written: a name that leads to another address than
    before is caught by whoever connects.
    """
    if not url or url != url.strip():
        return "it is empty or has blanks around it"
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in url):
        return "it holds a blank or a control character"
    if "\\" in url:
        return "it holds a backslash, which servers read in different ways"
    if unicodedata.normalize("NFKC", url.partition("://")[2].partition("/")[0]).count("/"):
        return "its host holds a character that stands for a slash"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it cannot be read as an address"
    if parts.scheme.lower() not in ("http", "https") or not url[len(parts.scheme) :].startswith("://"):
        return "its scheme is neither http nor https"
    host = _host(parts.hostname or "")
    if not host:
        return "it has no host"
    if "[" in parts.netloc and not _is_v6(host):
        return "its host has brackets and is no address of IPv6"
    return _of_the_configuration(host) if trusted else _of_a_caller(url, parts.scheme, host, port, allow)


def _host(written: str) -> str:
    """A host as it is compared: lower case, compatibility forms resolved, percent decoded, without a trailing dot."""
    text = _IGNORED.sub("", unicodedata.normalize("NFKC", unquote(written)).translate(_DOTS).lower())
    return text.removesuffix(".")


def _is_v6(host: str) -> bool:
    return isinstance(_address(host), ipaddress.IPv6Address)


def _of_the_configuration(host: str) -> str | None:
    if _leads_to_metadata(host):
        return "it is where a cloud keeps the credentials of this machine"
    name = host.partition("%")[2] if _is_v6(host) else host  # of an address, the zone (RFC 6874)
    if _IN_NO_HOST.search(name) or "" in host.split("."):
        return "its host is no name"
    return None


def _of_a_caller(url: str, scheme: str, host: str, port: int | None, allow: Sequence[str]) -> str | None:
    authority = url.partition("://")[2].partition("/")[0]
    if scheme.lower() != "https":
        return "only https is allowed"
    if "@" in authority:
        return "it names a user"
    if "%" in authority or not authority.isascii():
        return "its host is not written plainly"
    if "#" in url or "?" in url:
        return "it has a fragment or a query"
    if port not in (None, 443) or authority.endswith(":"):
        return "only port 443 is allowed"
    path = unquote(unquote(url.partition("://")[2].partition("/")[2]))
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in path):
        return "its path holds a control character"
    # A server that knows path parameters (RFC 3986, section 3.3) takes ..;x for a step up.
    steps = [step.partition(";")[0] for step in path.replace("\\", "/").split("/")]
    if "." in steps or ".." in steps:
        return "its path has . or .. in it"
    if _address(host) is not None:
        return "it is an address in numbers, not a name"
    if not _PLAIN_NAME.fullmatch(host) or not fits_one(host, allow) or _leads_to_metadata(host):
        return "its host is not one that this key may name"
    return None


def _leads_to_metadata(host: str) -> bool:
    if host in _METADATA_NAMES or _METADATA_INTERNAL.fullmatch(host):
        return True
    address = _address(host)
    return any(is_metadata(one) for one in (_within_name(host) if address is None else [address]))


def fits_one(host: str, patterns: Sequence[str]) -> bool:
    """Whether *host*, in lower case, is one of *patterns*: whole names, or ``*.example.com`` for all below one."""
    return any(_fits(host, pattern.lower().removesuffix(".")) for pattern in patterns)


def _fits(host: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return host == pattern
    label = host.removesuffix(pattern[1:])
    return host.endswith(pattern[1:]) and bool(label) and not label.endswith(".") and not label.startswith(".")


def _address(host: str) -> Address | None:
    """The address that *host* is in numbers, in any way that resolvers read them; None for a name.

    inet_aton takes one to four parts, each decimal, octal (0177) or hexadecimal (0x7f), of which the last fills what
    is left: 2130706433, 0x7f.1 and 127.1 are all 127.0.0.1.
    """
    if ":" in host:
        try:
            return ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers = [_number(part) for part in parts]
    if any(number is None for number in numbers):
        return None
    *first, last = [number or 0 for number in numbers]
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return ipaddress.IPv4Address(0)  # no address, and no name either
    value = last
    for place, number in enumerate(first):
        value += number << (8 * (3 - place))
    return ipaddress.IPv4Address(value)


def _within_name(host: str) -> list[Address]:
    """The addresses that a name spells out, as those do that a wildcard DNS leads to what they say.

    10.0.0.1.example.com, 10-0-0-1.example.com, 0a000001.example.com.
    """
    found = [match[1].replace("-", ".") for match in _FOUR.finditer(host)]
    numbers = [_address(text) for text in found] + [_address(f"0x{text}") for text in _EIGHT.findall(host)]
    return [one for one in numbers if one is not None]


def _number(text: str) -> int | None:
    if len(text) > 40 or not text.isascii():
        return None
    try:
        if text.startswith("0x"):
            return int(text[2:] or "0", 16)
        if len(text) > 1 and text.startswith("0"):
            return int(text, 8)
        return int(text) if text.isdigit() else None
    except ValueError:
        return int(text) if text.isdigit() else None


def is_metadata(address: Address) -> bool:
    """Whether a cloud keeps the credentials of its machines at *address*, in whatever form it is written."""
    ways = (address, *_within(address))
    return any(one in _METADATA_ADDRESSES or any(one in network for network in _METADATA_NETWORKS) for one in ways)


def is_public(address: Address) -> bool:
    """Whether *address* is one of the internet, and so is whatever address of IPv4 it stands for.

    Where names are looked up for a network of IPv6 alone (DNS64), 10.0.0.1 comes as 64:ff9b::a00:1.
    """
    within = _within(address)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64 or address.ipv4_mapped:
            return all(map(is_public, within))
        if address not in _INTERNET or address in _IN_BOOKS:
            return False
    return address.is_global and not address.is_multicast and address not in _RELAYS and all(map(is_public, within))


def _within(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 one stands for: mapped, compatible, 6to4, Teredo, NAT64, ISATAP."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64 or address in _LOCAL_NAT64 or int(address) >> 32 in (0, 0xFFFF0000):
        found.append(low)
    if (int(address) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE):
        found.append(low)
    return [one for one in found if one is not None]

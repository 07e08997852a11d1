"""Addresses that nothing is sent to and headers that go no further: the corpora, and their kinds in many forms."""

from __future__ import annotations

import ipaddress
import json
import random
import socket
from pathlib import Path

import anyio
import pytest
import yarl
from clippy_gateway import address_fault, header_fault
from clippy_gateway.addresses import is_metadata, is_public
from clippy_gateway.resolving import JudgingResolver
from hypothesis import example, given
from hypothesis import strategies as st

DATA = Path(__file__).parents[3].parent / "shared/data"
ALLOW = ("api.openai.com", "api.anthropic.com", "*.openai.azure.com", "openrouter.ai")
METADATA = ("169.254.169.254", "169.254.169.253", "169.254.170.2", "100.100.100.200", "168.63.129.16")


def cases(name: str) -> list[dict[str, str]]:
    file = DATA / name
    if not file.exists():
        pytest.skip("the corpus is not here")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_corpus_of_addresses_is_settled():
    for case in cases("ssrf-dev.jsonl"):
        fault = address_fault(case["url"], trusted=case["policy"] == "trusted_config", allow=ALLOW)
        assert (fault is None) == (case["expect"] == "allow"), (case, fault)


def test_the_corpus_of_headers_is_settled():
    for case in cases("headers-dev.jsonl"):
        fault = header_fault(case["header"], case["value"])
        assert (fault is None) == (case["expect"] == "accept"), (case, fault)


def forms(text: str) -> list[str]:
    """Ways to write an IPv4 address that one resolver or another reads."""
    address = ipaddress.IPv4Address(text)
    a, b, c, d = address.packed
    number = int(address)
    low = f"{a:02x}{b:02x}:{c:02x}{d:02x}"
    return [
        text, text + ".", str(number), hex(number), f"0{number:o}", f"0x{number:X}", f"{a}.{(b << 16) + (c << 8) + d}",
        f"{a}.{b}.{(c << 8) + d}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0x{a:x}.{b}.0{c:o}.{d}", f"[::ffff:{text}]", f"[::ffff:{low}]", f"[::{low}]", f"[0:0:0:0:0:ffff:{low}]",
        f"[2002:{low}::1]", f"[64:ff9b::{low}]", f"[64:ff9b:1::{low}]", f"[::ffff:0:{low}]",
        f"[fe80::5efe:{low}]",
        text.replace(".", "。"), text.replace("1", "１"), text.replace("1", "%31"), text.replace("1", "1%C2%AD"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", METADATA)
def test_metadata_addresses_are_found_in_every_form(text):
    for host in forms(text):
        for scheme in ("http", "https", "HTTP"):
            for rest in ("", "/", ":80/latest", ":8080/v1"):
                url = f"{scheme}://{host}{rest}"
                assert address_fault(url, trusted=True) is not None, url
                assert address_fault(url, trusted=False, allow=ALLOW) is not None, url
    for host in ("user@" + text, "api.openai.com@" + text):
        assert address_fault(f"http://{host}/", trusted=True) is not None


@pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "8.8.8.8", "0.0.0.0", "224.0.0.1"])
def test_no_caller_may_name_an_address_in_numbers(text):
    for host in forms(text):
        assert address_fault(f"https://{host}/v1", trusted=False, allow=(*ALLOW, "*.1", text)) is not None, host


@pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "8.8.8.8"])
def test_the_configuration_may_name_private_addresses(text):
    for host in forms(text)[:20]:
        assert address_fault(f"http://{host}:11434/v1", trusted=True) is None, host


@pytest.mark.parametrize(
    "name",
    [
        "metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data", "metadata.tencentyun.com",
        "metadata.packet.net", "metadata.azure.internal", "instance-data.eu-west-1.compute.internal", "metadata.goog.",
        "metadata.azure.com", "rancher-metadata.rancher.internal", "meta\u00addata.google.internal",
        "metadata\u2060.goog", "metadata\u3002goog", "\uff4detadata",
    ],
)  # fmt: skip
def test_metadata_has_names_too(name):
    assert address_fault(f"http://{name}/computeMetadata/v1/", trusted=True) is not None


@pytest.mark.parametrize("text", ["[fd00:ec2::254]", "[fd00:ec2::253]", "[fd00:ec2:1::7]", "[fd20:ce::254]"])
def test_metadata_has_addresses_of_ipv6_too(text):
    """The whole network that AWS keeps for the services of a machine, and not the private one beside it."""
    for host in (text, text.replace("]", "%25eth0]"), text.upper(), "user@" + text):
        assert address_fault(f"http://{host}:80/latest", trusted=True) is not None, host
    assert address_fault("http://[fd00:ec3::254]:8000/v1", trusted=True) is None
    assert address_fault("http://169.254.7.1:8000/v1", trusted=True) is None  # a machine at the other end of a cable


@pytest.mark.parametrize(
    "host",
    [
        "h%0d%0a", "h%00", "h%20x", "h|x", "h<x>", "h{x}", "h^x", "h`x", 'h"x', "h%2ex%25", "169%25.254", ".h", "h..",
        "[v1.x]", "[host]", "[::1%25a%0d%0aX]", "h%5b", "..",
    ],
)  # fmt: skip
def test_what_no_host_has_is_refused_also_where_it_is_percent_encoded(host):
    """A client that decodes it would send its request somewhere else, or with a line more."""
    assert address_fault(f"http://{host}/v1", trusted=True) is not None


@pytest.mark.parametrize("host", ["b\xfccher.example", "my_model", "a,b", "[fe80::1%25eth0]", "xn--bcher-kva.example"])
def test_and_what_some_host_has_is_not(host):
    assert address_fault(f"http://{host}:8000/v1", trusted=True) is None


@pytest.mark.parametrize(
    "name", ["metadata-service.corp.example", "llm.internal", "metadata.corp.example", "my-metadata.internal", "llm_x"]
)
def test_names_with_the_word_metadata_are_hosts_like_others(name):
    assert address_fault(f"http://{name}:8000/v1", trusted=True) is None


def test_a_pattern_of_the_list_allows_no_name_that_leads_to_metadata():
    allow = ("*.openai.azure.com", "*.internal")
    for host in ("169.254.169.254.openai.azure.com", "a9fea9fe.openai.azure.com", "metadata.google.internal"):
        assert address_fault(f"https://{host}/v1", trusted=False, allow=allow) is not None
    for host in ("169-254-res.openai.azure.com", "llm.internal"):
        assert address_fault(f"https://{host}/v1", trusted=False, allow=allow) is None


@pytest.mark.parametrize(
    "name",
    [
        "{0}.ip.example",
        "a.{0}.ip.example",
        "{1}.ip.example",
        "www-{1}-x.example",
        "{2}.example",
        "0x{2}.example",
        "{0}.x.",
    ],
)
def test_a_name_that_spells_a_metadata_address_is_one(name):
    """A wildcard DNS leads it there.  Other addresses in a name, and numbers that are none, are nobody's business."""
    for text, found in [("169.254.169.254", True), ("100.100.100.200", True), ("10.0.0.5", False)]:
        host = name.format(text, text.replace(".", "-"), ipaddress.IPv4Address(text).packed.hex())
        assert (address_fault(f"http://{host}:8000/v1", trusted=True) is not None) == found, host
    for host in ("1169.254.169.254.example", "v1-169-254-169.example", "a9fea9fe0.example", "decafbad.example"):
        assert address_fault(f"http://{host}/v1", trusted=True) is None, host


ODD = ["\r", "\n", "\t", " ", "\\", "\x00", "\x7f"]


@given(st.sampled_from(["https://api.openai.com/v1", "http://ollama:11434/v1"]), st.sampled_from(ODD), st.data())
def test_nothing_odd_may_stand_anywhere(url, odd, data):
    at = data.draw(st.integers(0, len(url)))
    changed = url[:at] + odd + url[at:]
    assert address_fault(changed, trusted=True) is not None
    assert address_fault(changed, trusted=False, allow=ALLOW) is not None


@pytest.mark.parametrize("scheme", ["file", "gopher", "ftp", "data", "jar", "ws", "javascript", "dict", "ldap", ""])
def test_no_other_scheme(scheme):
    for rest in ("//api.openai.com/v1", "api.openai.com", "///etc/passwd"):
        assert address_fault(f"{scheme}:{rest}", trusted=True) is not None


LOOKALIKES = [
    "https://api.openai.com.evil.example/v1", "https://evil-api.openai.com/v1", "https://api.openai.com@evil.example/",
    "https://evil.example/api.openai.com", "https://evil.example?api.openai.com", "https://evil.example#api.openai.com",
    "https://api.openai.com#@evil.example/", "https://api.openai.com:80/v1", "https://api.openai.com:/v1",
    "https://api.openai.com:443@evil.example/", "https://openai.azure.com/x", "https://.openai.azure.com/x",
    "https://evilopenai.azure.com/", "https://a..openai.azure.com/", "http://api.openai.com/v1",
    "https://аpi.openai.com/v1", "https://api.openai.com/v1/../../admin", "https://api.openai.com/v1/%2e%2e/x",
    "https://api.openai.com/%252e%252e/x", "https://api%2eopenai.com/v1", "https://api.openai.com%00.evil.example/",
    "https://api.openai.com／.evil.example/", "https:api.openai.com/v1", "https:///api.openai.com/v1",
    "https://*.openai.azure.com/", "https://a,b.openai.azure.com/", "https://a;b.openai.azure.com/v1",
    "https://api.openai.com/v1/..;/admin", "https://api.openai.com/.;a=b/x", "https://api.openai.com/v1%0d%0aX:%20y",
    "https://api.openai.com/v1?x=1", "//api.openai.com/v1", "https://[::1]/v1", "https://api.openai.com:99999/v1",
    "https://127.0.0.1.nip.io/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "https://localhost.localdomain/", "https://[fe80::1%25eth0]/",
    "https://kubernetes.default.svc/", "https://[api.openai.com]/", "https://api.openai.com:pass@api.openai.com/v1",
    "https://api.openai.com:0/v1", "https://api.openai.com%23.evil.example/", "https+unix://api.openai.com/",
    "https://api.οpenai.com/v1", "https://-.openai.azure.com\\.evil.example/", "https://api.openai.com/v1/..%3b/x",
]  # fmt: skip
BENIGN = [
    "https://api.openai.com", "https://api.openai.com/", "https://api.openai.com/v1/", "https://API.OpenAI.com:443/v1",
    "https://api.openai.com/v1/models;version=2/a;b", "https://my_res.openai.azure.com/a%20b",
    "https://api.openai.com./v1", "https://a.b.openai.azure.com/openai/deployments/x", "https://openrouter.ai/api/v1",
    "HTTPS://api.anthropic.com/v1", "https://my-res.openai.azure.com/openai/v1", "https://api.openai.com/v1/a..b",
    "https://api.openai.com/v1/...", "https://api.openai.com/v1/.well-known/%E2%82%AC", "https://api.anthropic.com./v1",
    "https://xn--bcher-kva.openai.azure.com/v1", "https://api.openai.com/v1/models/ft:gpt-4o:org::id",
]  # fmt: skip


@pytest.mark.parametrize("url", LOOKALIKES)
def test_what_only_looks_like_an_allowed_host_is_denied(url):
    assert address_fault(url, trusted=False, allow=ALLOW) is not None


@pytest.mark.parametrize("url", BENIGN)
def test_allowed_hosts_are_allowed_however_they_are_written(url):
    assert address_fault(url, trusted=False, allow=ALLOW) is None
    assert address_fault(url, trusted=False) is not None


@given(st.text(max_size=60))
@example("c")  # which is in any sentence
def test_no_text_is_too_odd_to_be_judged(text):
    for url in (text, "https://" + text, "http://[" + text):
        for trusted in (True, False):
            fault = address_fault(url, trusted=trusted, allow=ALLOW)
            assert fault is None or fault
            assert fault is None or len(url) < 5 or url not in fault


SIGNS = (
    "\u00ad", "\u200b", "\u2060", "\ufeff", "\ufe0f", "\u3002", "\uff0e", "\u2024", "\uff0f", "\u017f", "\u2460",
    "\uff11", "%2e", "%00", "%40", "%25", "%2f", "%C2%AD", "@", ":", "#", "?", "[", "]", "1", ".", "-", "0x", "|", "^",
)  # fmt: skip
ADDRESSES = ("http://169.254.169.254/x", "http://metadata.google.internal/x", "http://[fd00:ec2::254]:80/",
             "https://api.openai.com/v1", "https://a.openai.azure.com/v1", "https://evil.example/v1")  # fmt: skip


@given(st.sampled_from(ADDRESSES), st.lists(st.tuples(st.sampled_from(SIGNS), st.integers(5, 30)), max_size=3))
def test_what_is_let_through_is_read_by_a_client_as_it_was_judged(url, inserted):
    """However the address was changed: by what was inserted, a client comes to no other host."""
    for sign, at in inserted:
        url = url[:at] + sign + url[at:]
    for trusted in (True, False):
        if address_fault(url, trusted=trusted, allow=ALLOW) is not None:
            continue
        try:
            host = (yarl.URL(url).raw_host or "").removesuffix(".")
        except ValueError:
            continue  # it is sent nowhere
        assert address_fault(f"http://{f'[{host}]' if ':' in host else host}/", trusted=True) is None
        assert trusted or any(host == one or (one[:2] == "*." and host.endswith(one[1:])) for one in ALLOW)


def test_a_name_that_leads_to_a_metadata_address_is_not_connected_to(monkeypatch):
    """DNS rebinding: what the name led to when it was judged does not matter, what is connected to does."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        found = {
            "rebound.example": "169.254.169.254",
            "inside.example": "64:ff9b::a00:1",
            "outside.example": "93.184.216.34",
        }
        return [{"hostname": host, "host": found[host], "port": port, "family": family, "proto": 0, "flags": 0}]

    async def look() -> None:
        resolver = JudgingResolver(["*.example"])
        monkeypatch.setattr(type(resolver._inner), "resolve", resolve)
        for name in ("rebound.example", "inside.example"):
            with pytest.raises(OSError, match="nothing may be sent to"):
                await resolver.resolve(name)
        assert (await resolver.resolve("outside.example"))[0]["host"] == "93.184.216.34"
        assert (await JudgingResolver([]).resolve("inside.example"))[0]["host"] == "64:ff9b::a00:1"
        await resolver.close()

    anyio.run(look)
    assert is_metadata(ipaddress.ip_address("::ffff:169.254.169.254"))


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "192.88.99.1",
        "ff0e::1",
        "fec0::1",
        "3fff::1",
        "5f00::1",
        "fd12::1",
        "::1",
        "64:ff9b:1::5db8:d822",
        "64:ff9b:1:808:8:800::",
    ],
)
def test_what_is_no_address_of_the_internet_is_none_in_any_form(text):
    """As a resolver may tell it: mapped, compatible, through NAT64 and 6to4."""
    address = ipaddress.ip_address(text)
    low = int(address) if address.version == 4 else 0x0A000001
    carried = [(0xFFFF << 32) + low, low, (0x64FF9B << 96) + low, (0x2002 << 112) + (low << 80), (0xFFFF << 48) + low]
    for one in (address, *map(ipaddress.IPv6Address, carried)):
        assert not is_public(one), one
    for good in ("93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822", "2002:5db8:d822::1", "::ffff:5db8:d822"):
        assert is_public(ipaddress.ip_address(good)), good


# --- headers ----------------------------------------------------------------------------------------------------------

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"


@given(st.text(alphabet=TOKEN, min_size=1, max_size=12), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_headers_pass(name, value):
    assert header_fault("X-" + name, value + "\t" + value) is None


@given(
    st.text(alphabet=TOKEN, max_size=6), st.characters(exclude_characters=TOKEN), st.text(alphabet=TOKEN, max_size=6)
)
def test_a_name_with_any_other_character_is_refused(before, odd, after):
    assert header_fault(before + odd + after, "v") is not None


@given(st.text(max_size=6), st.sampled_from([chr(n) for n in (*range(9), *range(10, 32), 127, 0x100, 0x2028, 0x1F600)]))
def test_a_value_with_a_control_character_is_refused(text, odd):
    assert header_fault("X-User", text + odd) is not None
    assert header_fault("X-User", odd + text) is not None


@pytest.mark.parametrize("odd", ["\x80", "\x85", "\x9b31m", "\xc2\x85", "\x85 M\xfcller"])
def test_a_value_with_a_control_character_beyond_ascii_is_refused(odd):
    assert header_fault("X-User", odd) is not None


@pytest.mark.parametrize("text", ["5 €", "Łódź", "日本", "✓ x", "Müller"])
def test_a_value_in_utf_8_passes_as_its_octets(text):
    assert header_fault("X-User", text.encode().decode("latin-1")) is None
    assert header_fault("X-User", "M\xfcller") is None


OTHERS = ["Host", "Authorization", "X-Api-Key", "api-key", "Cookie", "Content-Length", "Transfer-Encoding",
          "Connection", "helicone-auth",
          "Proxy-Authorization", "TE", "Upgrade", "X-Forwarded-For", "Forwarded", "X-HTTP-Method-Override",
          "X-Goog-User-Project", "xi-api-key", "cf-aig-authorization", "X-Auth-Token", "Cookie2", "X-Forwarded-Port",
          "X-Forwarded-User", "Remote-User", "X-Clippy-Tenant", "X-Clippy-Scope", "X-Real-IP", "True-Client-IP",
          "CF-Connecting-IPv6", "Client-IP", "X-Original-Forwarded-For", "SSL-Client-Cert", "X-Client-Cert-Chain",
          "X-Auth-Request-User", "X-Goog-IAP-JWT-Assertion", "Cf-Access-Jwt-Assertion",
          "X-Ms-Client-Principal-Name", "apikey", "X-ApiKey", "X-Auth-Key", "X-Functions-Key", "X-Portkey-Virtual-Key",
          "Token", "Authentication", "X-Password", "DPoP", "X-Ms-Authorization-Auxiliary", "Set-Cookie2", "Proxy",
          "X-WebAuth-User", "X-Consumer-Username", "X-Client-SSL-Cert", "Remote-Addr", "X-Azure-SocketIP",
          "X-Appengine-User-IP", "X-Envoy-Internal", "Front-End-Https"]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_who_asks_and_how_a_message_is_framed_is_not_the_callers_to_say(name):
    generator = random.Random(1)
    for _ in range(10):
        spelt = "".join(generator.choice([letter.lower(), letter.upper()]) for letter in name)
        assert header_fault(spelt, "v") is not None
        assert header_fault(spelt.replace("-", "_"), "v") is not None


@pytest.mark.parametrize(
    "name",
    [
        "X-Authorization-Note",
        "X-Host",
        "Hosted-By",
        "Contents",
        "X-Cookie-Count",
        "TE-Mode",
        "X_User_Id",
        "X-Api-Key-Count",
        "X-Max-Tokens",
        "X-Forward",
        "X-Connection-Id",
        "Content-Type",
        "X-Clippys-Mood",
        "X-Client-Id",
        "X-Client-Certainty",
        "X-Client-Name",
        "X-Ship",
        "X-Real-Tip",
        "X-Goog-Api-Client",
        "X-Original-Filename",
        "X-Authenticity",
        "Idempotency-Key",
        "X-Partition-Key",
        "X-Public-Key",
        "X-Password-Policy",
        "X-Tokens",
        "X-User-Agent",
        "X-Membership",
        "X-Proxied-By",
        "X-Color-Scheme",
    ],
)
def test_names_that_only_look_like_those_pass(name):
    assert header_fault(name, "v") is None

"""What callers say to plugins: a misspelt name is refused, one that nobody reads is told of, and neither is silent."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import AuditRecord, Headers, Refusal, Request, RequestContext, hookimpl


@define(eq=False)
class Reads:
    """Declares what it reads, in capitals as people write headers."""

    directives: ClassVar[tuple[str, ...]] = ("Cache", "pace-of")
    heard: list[dict[str, str]] = field(factory=list)
    records: list[AuditRecord] = field(factory=list)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.heard.append(dict(ctx.directives))

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cache-control", "cache"),
        ("tenant-id", "tenant"),
        ("session_id", "session"),
        ("chache", "cache"),
        ("Cach", "cache"),
        ("X-Clippy-Cache", "cache"),
        ("pace_of", "pace-of"),
        ("tenent", "tenant"),
    ],
)
def test_a_misspelt_directive_is_refused_with_the_near_name(reads: Reads, name: str, meant: str) -> None:
    caller = Caller("sync", httpx).start({"reads": reads}, None)
    with pytest.raises(Refusal, match=f"did you mean {meant}") as caught:
        caller.chat("Hello", directives={name: "no-store"})
    assert (caught.value.status, caught.value.code) == (400, "unknown_directive")
    assert (caller.provider.calls, reads.heard) == (0, [])
    assert [(one.outcome, one.request) for one in reads.records] == [("refused", None)]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_misspelt_header_is_an_http_error_in_the_apis_own_shape(reads: Reads, colour: str) -> None:
    caller = Caller(colour, httpx).start({"reads": reads}, None)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    sent = caller.send(json=body, headers={"authorization": "Bearer sk-a", "X-Clippy-Chache": "no-store"})
    assert sent.status == 400
    assert b"did you mean cache?" in sent.body
    assert caller.provider.calls == 0


def test_a_directive_that_nobody_reads_goes_through_and_is_told_of_once(
    reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    """Its plugin may have been removed, and a program must not break by that."""
    caller = Caller("sync", httpx).start({"reads": reads}, None)
    with caplog.at_level(logging.WARNING, "clippy"):
        for _ in range(2):
            caller.chat("Hello", directives={"budget\x1b": "5"})
        for number in range(100):
            caller.chat("Hello", directives={f"made-up-{number}": "5"})
    told = [record.getMessage() for record in caplog.records]
    assert sum("budget" in one for one in told) == 1
    assert "read here are cache, pace-of, session, tenant, user" in told[0]
    assert "\x1b" not in told[0]
    assert "header X-Clippy-Made-Up-0)" in told[1]
    assert len(told) < 20
    assert reads.heard[0] == {"budget\x1b": "5"}


@pytest.mark.parametrize(
    ("directives", "why"),
    [
        ({"cache": {"no_store": True}}, r"directives\['cache'\] is a text, as in .* and not a dict"),
        ({"cache": True}, "not a bool"),
        ({3: "no-store"}, "not a int|is a text"),
        ("no-store", "directives is a mapping of texts"),
    ],
)
def test_directives_that_are_no_texts_are_said_to_be_none(reads: Reads, directives: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Caller("sync", httpx).start({"reads": reads}, None).chat("Hello", directives=directives)


def test_several_lines_of_one_name_are_heard_together(reads: Reads) -> None:
    """A default of the program's client, and what one call says."""
    caller = Caller("sync", httpx).start({"reads": reads}, None)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    lines = [("X-Clippy-Cache", "ttl=60"), ("x-clippy-cache", "no-store"), ("X-Clippy-Pace-Of", "5")]
    assert caller.send(json=body, headers=[*lines, *lines]).status == 200
    assert reads.heard == [{"cache": "ttl=60, no-store", "pace-of": "5"}]


def test_two_tenants_in_one_request_are_neither_of_them(reads: Reads) -> None:
    """Whoever may add a line must not become the tenant of the line before it."""
    caller = Caller("sync", httpx).start({"reads": reads}, None, trust_headers=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    caller.send(json=body, headers=[("x-clippy-tenant", "one"), ("x-clippy-tenant", "two")])
    assert caller.records.last.scope.tenant == "one, two"


def test_a_directive_changes_neither_who_pays_for_a_call_nor_its_key() -> None:
    """Not even one that would be a credential if it went upstream."""
    caller = Caller("sync", httpx).start({"notes": Notes()}, None)
    identity = caller.host.settings.identity
    for directives in (None, {"api-key": "no credential"}):
        caller.chat("Hello", directives=directives)
    (key, account, headers), other = caller.host.plugins["notes"].noted
    assert (key, account) == other[:2]
    assert account == identity(headers) != ""


@define(eq=False)
class Notes:
    """Notes the key of a request, whose it is, and the headers that say so."""

    noted: list[tuple[str, str, Headers]] = field(factory=list)

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> None:
        self.noted.append((key, ctx.account, request.headers))

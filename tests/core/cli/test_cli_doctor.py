"""``clippy doctor``: orders that look wrong, SDKs, clients that retry, TLS, the lock, and who may read our files."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
from attrs import define
from authorities import read_all
from clippy_hookspecs import ErrorInfo, Retry, hookimpl

import clippy_core
from clippy_core.cli import doctor_http
from clippy_core.cli.doctor_http import describe_sdks, describe_tls, module_fault, tls_findings
from clippy_core.cli.doctor_orders import Finding, order_findings
from clippy_core.config import read_config
from clippy_core.discovery import discover
from clippy_core.testing import FakeProvider, Fault

Run = Callable[..., Any]
Install = Callable[..., None]
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with nothing in it, and no setting of TLS from outside."""
    for name in ("DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    """The command puts the working directory on the path, as ``python -m`` does."""
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("program"):
            del sys.modules[name]


def examine(run: Run, *args: str, **options: Any) -> tuple[int, dict[str, Any]]:
    result = run("doctor", "--json", *args, **options)
    return result.exit_code, json.loads(result.stdout)


def said(document: dict[str, Any], about: str = "") -> list[str]:
    """The findings, each with its level; without those of the machine's own TLS."""
    return [
        f"{one['level']}: {one['what']}"
        for one in document["findings"]
        if (not about or one["about"] == about) and one["about"] != "TLS"
    ]


def orders(only: str, **environ: str) -> list[Finding]:
    """What is said about the orders of *only*, as they are installed and configured."""
    return order_findings(discover(read_config(environ={"CLIPPY_PLUGINS": only, **environ})))


# --- orders ----------------------------------------------------------------------------------------------------------


def plugin(hook: str, returns: str, more: str = "", arguments: str = "") -> str:
    arrow = f" -> {returns}" if returns else ""
    attributes = f"    {more}\n" if more else ""
    return (
        "@define(eq=False)\nclass Plugin:\n"
        f"{attributes}    @hookimpl\n    def {hook}(self{arguments}){arrow}: return None\n"
    )


RETRY = plugin("on_error", "'Retry | None'")
FALLBACK = plugin("on_error", "'Switch | None'")
CLASSIFIER = plugin("classify_error", "'ErrorInfo | None'")
GUARD = plugin("pre_request", "None")
ANSWERER = plugin("pre_request", "'Answer | None'")
REDACTOR = plugin("pre_request", "'Request | None'")
READER = plugin("pre_request", "None", "reads_content = True")
OBSERVER = plugin("audit", "None", "observes_only = True")
SETTLER = plugin("audit", "None") + "    @hookimpl\n    def pre_request(self) -> None: return None\n"


@pytest.mark.parametrize(
    ("outer", "inner", "level", "words"),
    [
        (RETRY, FALLBACK, "wrong", "b stands inside of a and is asked first"),
        (RETRY, plugin("on_error", "'Answer | None'"), "wrong", 'write order = ["b", "a"]'),
        (RETRY, RETRY, "note", "b and a may both repeat"),
        (RETRY, plugin("on_error", "'ErrorDecision | None'"), "note", "may both repeat"),
        (ANSWERER, GUARD, "wrong", "a may answer before b is asked"),
        (READER, REDACTOR, "wrong", "a reads content and sees each request before b changes it"),
        (OBSERVER, SETTLER, "note", "a records before b settles"),
    ],
)
def test_an_order_that_looks_wrong_is_said_with_the_right_one(
    run: Run, install: Install, outer: str, inner: str, level: str, words: str
) -> None:
    """By what the plugins declare; what is wrong ends with exit 1, what may be meant does not."""
    install("a", outer)
    install("b", inner)
    install("z", CLASSIFIER)
    (finding,) = orders("a,b,z")
    assert finding.level == level
    assert words in finding.what
    turned = orders("a,b,z", CLIPPY_ORDER='["b", "a"]')
    assert turned == [] or outer == inner or "ErrorDecision" in inner


def test_what_is_said_about_one_setting_is_mended_by_one_line(install: Install) -> None:
    """Of two lines for one setting the second undid the first; what the list named before stays in it."""
    for name, source in {"a": OBSERVER, "b": SETTLER, "c": OBSERVER, "d": SETTLER}.items():
        install(name, source)
    said = orders("a,b,c,d")
    assert len(said) == 3
    assert {found.what.partition("write ")[2].partition(", or say")[0] for found in said} == {
        'order.audit = ["b", "d", "a", "c"]'
    }
    assert orders("a,b,c,d", CLIPPY_ORDER__AUDIT='["b", "d", "a", "c"]') == []
    (named, again) = orders("a,b,c,d", CLIPPY_ORDER__AUDIT='["b", "c", "a", "d"]')
    assert 'write order.audit = ["b", "d", "c", "a"], or say' in named.what
    assert 'write order.audit = ["b", "d", "c", "a"], or say' in again.what
    install("e", ANSWERER)
    install("f", GUARD)
    (finding,) = orders("e,f", CLIPPY_ORDER__PRE_REQUEST='["e"]')
    assert 'write order.pre_request = ["f", "e"]' in finding.what, "the default list has no say there"


def test_the_retry_plugin_declares_that_it_repeats() -> None:
    """Otherwise no rule about repeating would be one about it."""
    (finding,) = orders("retry")
    assert "retry may repeat, but no active plugin implements classify_error" in finding.what


def test_an_order_that_is_wrong_ends_with_exit_1(run: Run, install: Install) -> None:
    """And one that may be meant does not; both are printed."""
    install("a", RETRY)
    install("b", FALLBACK)
    result = run("doctor", only="a,b")
    assert result.exit_code == 1
    assert "wrong: on_error: b stands inside of a" in result.stdout
    assert "note: on_error: a may repeat" in result.stdout
    right = run("doctor", only="a,b", CLIPPY_ORDER='["b", "a"]')
    assert right.exit_code == 0
    assert "nothing is wrong, but see what is said above" in right.stdout


def test_what_a_plugin_could_not_open_is_wrong(run: Run, install: Install) -> None:
    """A call would find it out otherwise; and one that cannot even say it is told as that."""
    install("a", OBSERVER + "    def unopened(self): return ['path is taken']\n")
    install("b", OBSERVER + "    def unopened(self): return 1 / 0\n")
    code, document = examine(run, only="a,b")
    assert code == 1
    assert said(document, "a") == ["wrong: path is taken"]
    assert said(document, "b") == ["wrong: could not say what it can open: ZeroDivisionError: division by zero"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (plugin("on_error", ""), FALLBACK),
        (FALLBACK, RETRY),
        (GUARD, ANSWERER),
        (ANSWERER, REDACTOR),
        (ANSWERER, OBSERVER),
        (REDACTOR, READER),
        (plugin("pre_request", "None", "observes_only = True"), REDACTOR),
        (SETTLER, OBSERVER),
    ],
)
def test_of_a_right_order_and_of_what_declares_nothing_nothing_is_said(
    run: Run, install: Install, outer: str, inner: str
) -> None:
    """A doctor who sees something in everybody is not listened to."""
    install("a", outer)
    install("b", inner)
    install("z", CLASSIFIER)
    assert orders("a,b,z") == []


def test_a_retry_without_anybody_who_classifies_is_noted(run: Run, install: Install) -> None:
    """Every failure is then unknown, and unknown is not retryable."""
    install("a", RETRY)
    (finding,) = orders("a")
    assert "a may repeat, but no active plugin implements classify_error" in finding.what
    assert finding.level == "note"


def test_an_order_that_names_who_is_not_asked_is_noted(run: Run, install: Install) -> None:
    """The list for a hook has a plugin without that hook."""
    install("a", GUARD)
    Path("clippy.toml").write_text('[order]\non_error = ["a"]\n')
    (finding,) = orders("a")
    assert (finding.level, finding.what) == ("note", "order.on_error names a, which does not implement it")


def test_a_skipped_guard_is_noted(run: Run, install: Install) -> None:
    """The configuration may let requests leave unguarded; whoever reads the report knows it."""
    install("a", GUARD)
    (finding,) = orders("a", CLIPPY_ON_FAILURE__A="skip")
    assert (finding.level, finding.what.partition(" (")[0]) == ("note", "a failure of a is skipped")


def test_return_types_that_are_no_texts_are_read_as_well() -> None:
    """A module without ``from __future__ import annotations`` has types there."""

    @define(eq=False)
    class Repeats:
        @hookimpl
        def on_error(self, error: ErrorInfo) -> Retry | None: ...

    Repeats.on_error.__annotations__["return"] = Retry | None
    host = clippy_core.Host({"a": Repeats(), "b": Repeats()})
    assert [finding.level for finding in order_findings(host.discovered)] == ["note", "note"]


def test_the_plugins_of_this_repository_are_in_order() -> None:
    """All of them together, as they are installed."""
    discovered = discover(read_config(environ={}))
    assert len(discovered.loaded) > 4
    assert order_findings(discovered) == []


# --- SDKs ------------------------------------------------------------------------------------------------------------


def test_each_installed_sdk_is_said_with_what_it_is_built_on(run: Run) -> None:
    """By its own requirements; the SDK is not imported for it."""
    _, document = examine(run)
    openai = document["sdks"]["openai"]
    assert openai["http"] == ["httpx2"]
    assert openai["what"].endswith("clippy goes under it")
    assert f"httpx2 {importlib.metadata.version('httpx2')}" in openai["what"]


def test_what_we_cannot_go_under_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of another version, one that is missing, an SDK on something else, one that uses another SDK."""
    versions = {"openai": "9", "anthropic": "9", "ollama": "9", "mistralai": "9", "langchain-openai": "9"}
    versions |= {"httpx": "0.30", "clippy-core": "0.1"}
    requires = {
        "openai": ["httpx2>=2"],
        "anthropic": ["httpx>=0.27"],
        "ollama": ["requests", "httpx; extra == 'other'"],
        "mistralai": ["httpx (>=0.27)"],
        "langchain-openai": ["openai<10"],
        "clippy-core": ["httpx<0.29,>=0.28", "httpx2<3,>=2.12; extra == 'httpx2'"],
    }
    monkeypatch.setattr(doctor_http, "version_of", versions.get)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: requires[name])
    found = {name: (one["fits"], one["what"]) for name, one in describe_sdks().items()}
    assert found["openai"] == (False, "on httpx2 None: httpx2 is not installed")
    assert found["anthropic"][0] is False
    assert "clippy-core needs httpx<0.29,>=0.28, and 0.30 is installed" in found["anthropic"][1]
    assert found["ollama"] == (False, "not on httpx or httpx2: clippy cannot go under it")
    assert found["mistralai"][0] is False
    assert found["langchain-openai"] == (True, "through openai: hand it a client that was wrapped")
    versions["httpx2"] = "2.12.1"
    assert module_fault("httpx2") is None


# --- clients ---------------------------------------------------------------------------------------------------------

PROGRAM = """
import anthropic, httpx, httpx2, openai
from attrs import define
import clippy_core
from clippy_hookspecs import hookimpl

@define(eq=False)
class Decides:
    @hookimpl
    def on_error(self): return None

host = clippy_core.Host({"decides": Decides()})
quiet = clippy_core.Host([])
bare = openai.OpenAI(api_key="sk-x")
wrapped = host.wrap(bare)
again = wrapped.with_options(max_retries=5)
left = quiet.wrap(anthropic.AsyncAnthropic(api_key="sk-x"))
client = host.wrap(httpx.Client(transport=httpx.HTTPTransport(retries=3)))
both = clippy_core.Host({"decides": Decides(), "also": Decides()}).wrap(bare).with_options(max_retries=1)
lonely = httpx2.AsyncClient()
number = 3
class group: inner = wrapped
"""


@pytest.mark.parametrize(
    ("target", "level", "words"),
    [
        ("program:wrapped", "", ""),
        ("program:group.inner", "", ""),
        ("program:left", "", ""),
        ("program:bare", "wrong", "is not wrapped: no plugin sees its calls, and it retries 2 times by itself"),
        ("program:lonely", "wrong", "is not wrapped: no plugin sees its calls; use what host.wrap(client) returns"),
        ("program:again", "wrong", "asks for 5 retries of its own, and decides decides about them"),
        ("program:client", "note", "its transport connects 3 times more beneath the plugins"),
        ("program:number", "wrong", "is of type builtins.int; name the client of an SDK"),
        ("program:both", "wrong", "asks for 1 retries of its own, and decides and also decide about them"),
        ("program:nobody", "wrong", "cannot be loaded: AttributeError: program has no nobody"),
        ("program:wraped", "wrong", "cannot be loaded: AttributeError: program has no wraped; did you mean wrapped?"),
        (
            "program:group.iner",
            "wrong",
            "cannot be loaded: AttributeError: program:group has no iner; did you mean inner",
        ),
        ("program", "wrong", "cannot be loaded: ValueError: write package.module:name"),
        ("program_gone:x", "wrong", "cannot be loaded: ModuleNotFoundError"),
        ("program_exits:x", "wrong", "cannot be loaded: SystemExit: 3"),
    ],
)
def test_a_client_is_looked_at(run: Run, target: str, level: str, words: str) -> None:
    """Whether plugins are under it and whether it still retries by itself, as it is after its module was imported."""
    Path("program.py").write_text(PROGRAM)
    Path("program_exits.py").write_text("raise SystemExit(3)")
    code, document = examine(run, target)
    found = said(document, f"client {target}")
    assert code == (1 if level == "wrong" else 0)
    assert len(found) == bool(level)
    assert all(one.startswith(f"{level}: {words}") for one in found)


def test_several_clients_are_printed_in_lines(run: Run) -> None:
    """What they are, and below that what is wrong."""
    Path("program.py").write_text(PROGRAM)
    result = run("doctor", "program:wrapped", "program:bare")
    assert result.exit_code == 1
    assert "client program:wrapped: openai.OpenAI on httpx2, wrapped, 0 retries" in result.stdout
    assert "client program:bare: openai.OpenAI on httpx2, not wrapped, 2 retries" in result.stdout
    assert result.stdout.endswith("something is wrong: see above\n")


@define(eq=False)
class GivesUp:
    @hookimpl
    def on_error(self) -> None:
        return None


def test_what_an_sdk_repeats_by_itself_is_counted_and_the_first_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Doctor sees no running program; the host counts what it sees there, and says once who decides."""
    host = clippy_core.Host({"gives-up": GivesUp()})
    provider = FakeProvider(Fault.status(503))
    with caplog.at_level(logging.WARNING, "clippy"):
        with host, host.wrap(httpx.Client(transport=provider.transport())) as client:
            for count in "012":
                headers = {"x-stainless-retry-count": count}
                assert (
                    client.post("http://fake.test/v1/chat/completions", json=BODY, headers=headers).status_code == 503
                )
    assert host.repeats.count == 2
    (warning,) = [record.getMessage() for record in caplog.records if "repeats" in record.getMessage()]
    assert "gives-up decides about that" in warning
    assert "host.wrap" in warning


def test_an_sdk_that_may_retry_is_not_counted() -> None:
    """Where no plugin decides about failures, the SDK's own retries are right."""

    @define(eq=False)
    class Looks:
        @hookimpl
        def audit(self) -> None: ...

    host = clippy_core.Host({"looks": Looks()})
    provider = FakeProvider(Fault.status(503))
    with host, host.wrap(httpx.Client(transport=provider.transport())) as client:
        client.post("http://fake.test/v1/chat/completions", json=BODY, headers={"x-stainless-retry-count": "1"})
    assert host.repeats.count == 0


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def all_authorities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Contexts have what they have outside of tests."""
    read_all(monkeypatch)
    doctor_http._certifi.cache_clear()
    yield
    doctor_http._certifi.cache_clear()


@pytest.mark.usefixtures("all_authorities")
def test_the_context_that_the_host_would_use_is_described_for_each_module() -> None:
    """What class, how many authorities, and whose: found by comparing, because a context does not say."""
    found = describe_tls({})
    assert set(found) == {"httpx", "httpx2"}
    assert found["httpx"]["context"] == "ssl.SSLContext"
    assert found["httpx"]["certificates"] > 10
    assert found["httpx"]["trusts"].startswith(f"certifi {importlib.metadata.version('certifi')} (")
    assert found["httpx2"]["trusts"].startswith(("the system", "certifi"))


def test_a_file_of_authorities_is_said_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """One certificate in SSL_CERT_FILE: both modules trust that one and no other."""
    der = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)[0]
    file = tmp_path / "own.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(der))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    _, document = examine(run)
    for one in document["tls"].values():
        assert (one["certificates"], one["trusts"], one["fault"]) == (1, f"SSL_CERT_FILE = {file}", None)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_are_not_there_are_wrong(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every https request would fail; exit 1, and the variable is named."""
    monkeypatch.setenv(name, "/nowhere/at/all")
    result = run("doctor")
    assert result.exit_code == 1
    assert any(line.startswith("wrong: TLS") and name in line for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"REQUESTS_CA_BUNDLE": "/a"}, "REQUESTS_CA_BUNDLE is for other libraries"),
        ({"SSLKEYLOGFILE": "/a"}, "the keys of connections are written to it"),
        ({"REQUESTS_CA_BUNDLE": "/a", "SSL_CERT_FILE": "/b"}, ""),
        ({}, ""),
    ],
)
def test_surprises_of_the_environment_are_noted(environ: dict[str, str], words: str) -> None:
    """They work for curl and requests, and people wonder why not here."""
    contexts = {"httpx": {"trusts": "certifi", "fault": None}}
    found = list(tls_findings(contexts, environ))
    assert [words in finding.what for finding in found] == [True] * bool(words)


def test_modules_that_trust_different_authorities_are_noted() -> None:
    """An authority of one's own that only the system knows works under one of them."""
    contexts = {"httpx": {"trusts": "certifi", "fault": None}, "httpx2": {"trusts": "the system", "fault": None}}
    (finding,) = tls_findings(contexts, {})
    assert (finding.level, "httpx trusts certifi; httpx2 trusts the system" in finding.what) == ("note", True)


# --- the lock --------------------------------------------------------------------------------------------------------


def test_the_state_of_the_lock_is_said(run: Run, install: Install) -> None:
    """None; one that holds; one that is not what is installed: a note until it is in force, then wrong."""
    assert "lock: none" in run("doctor").stdout
    assert run("plugins", "lock").exit_code == 0
    code, document = examine(run)
    assert (code, document["lock"]["differences"]) == (0, [])
    install("limits", GUARD)
    code, document = examine(run, only="limits")
    assert code == 0
    assert said(document, "clippy.lock") == [
        "note: plugin limits 1.2: is not in clippy.lock; lock anew with clippy plugins lock if it is meant to load, "
        "or uninstall temporary-limits"
    ]
    code, document = examine(run, only="limits", CLIPPY_LOCKED="1")
    assert (code, document["lock"]["locked"]) == (1, True)
    assert said(document, "clippy.lock")[0].startswith("wrong: ")


def test_what_the_lock_refuses_is_said_once(run: Run, install: Install) -> None:
    """As a fault of the start; programs find it under each heading."""
    assert run("plugins", "lock").exit_code == 0
    install("limits", GUARD)
    Path("clippy.toml").write_text("[plugins.limits]\n")
    result = run("doctor", only="limits", CLIPPY_LOCKED="1")
    assert result.exit_code == 1
    assert result.stdout.count("plugin limits 1.2: is not in clippy.lock") == 1
    _, document = examine(run, only="limits", CLIPPY_LOCKED="1")
    [fault] = [fault for fault in document["faults"] if "limits" in fault]
    assert fault.endswith("(named by clippy.toml)")
    assert any("plugin limits 1.2: is not in clippy.lock" in what for what in document["lock"]["differences"])


# --- folders ---------------------------------------------------------------------------------------------------------

WRITES = """
from pathlib import Path
@define(eq=False)
class Plugin:
    path: Path = Path("{path}")

    @hookimpl
    def audit(self) -> None: return None
"""


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize(("mode", "wrong"), [(0o600, False), (0o640, True), (0o604, True), (0o602, True)])
def test_what_others_may_do_with_our_files_is_wrong(run: Run, home: Path, mode: int, wrong: bool) -> None:
    """In the user's folders for clippy nobody else may read or write."""
    folder = home / "data" / "clippy"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "salt").write_bytes(b"0" * 32)
    (folder / "salt").chmod(mode)
    code, document = examine(run)
    found = said(document, str(folder / "salt"))
    assert (code == 1, bool(found)) == (wrong, wrong)
    assert all(f"(mode {mode:04o}); chmod 600" in one for one in found)
    assert document["folders"]["data"] == {"path": str(folder), "mode": "0700"}


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_a_folder_that_cannot_be_made_is_told_of(run: Run, home: Path) -> None:
    """Not that it is not made yet, as where nothing has been stored so far."""
    code, document = examine(run)
    assert not said(document, str(home / "data" / "clippy"))
    home.mkdir(exist_ok=True)
    (home / "data").write_text("a file, which no rights of root make a folder")
    code, document = examine(run)
    [what] = said(document, str(home / "data" / "clippy"))
    assert code == 0
    assert what == f"note: is not there and cannot be made: {home / 'data'} is no folder that we may write into"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize(("mode", "wrong"), [(0o644, False), (0o600, False), (0o666, True), (0o620, True)])
def test_a_file_elsewhere_that_others_may_write_is_wrong(
    run: Run, install: Install, tmp_path: Path, mode: int, wrong: bool
) -> None:
    """A plugin's setting names it; that others may read it can be meant."""
    file = tmp_path / "rules.txt"
    file.write_text("")
    file.chmod(mode)
    install("writes", WRITES.format(path=file))
    code, document = examine(run, only="writes")
    assert (code == 1, bool(said(document, str(file)))) == (wrong, wrong)

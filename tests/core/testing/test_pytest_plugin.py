"""What a plugin author gets with pytest: fixtures, suites to subclass, and grades."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import importlib_metadata  # noqa: F401 (it takes the place of the standard finder, and pytester undoes half of that)
import pytest
from attrs import define, field
from clippy_hookspecs import ErrorInfo, Headers, RawRequest, RequestContext, Retry, hookimpl

import clippy_core
from clippy_core.testing import Fault, Reply
from clippy_core.testing.contracts.base import Check, Contract, Result, bounded
from clippy_core.testing.grading import code_of, letter_of, store, stored, subject

pytest_plugins = ["pytester"]
EMPTY_INI = "[pytest]\n"


@define(eq=False)
class TryAgain:
    """Tries a failed call again, once, after two seconds."""

    opened: list[str] = field(factory=list)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Retry(after=2.0) if ctx.route_attempt == 1 else None


# --- fixtures ---------------------------------------------------------------------------------------------------------


def test_the_fixtures_are_one_world_in_a_sync_test(clippy_host, fake_provider, clippy_clock):
    """A client of the host needs nothing else: what it sends goes to the provider, and waits pass on the clock."""
    host = clippy_host(TryAgain(), script=[Fault.status(503), Reply("there you are")])
    with clippy_core.Client(host) as client:
        assert "there you are" == client.chat("Hello").text
        assert "Hello again" == "".join(client.stream("Hello again").text())
    assert (3, [2.0]) == (fake_provider.calls, clippy_clock.sleeps)


async def test_the_fixtures_work_in_asyncio_and_trio(clippy_host, fake_provider, clippy_clock):
    """The same fixtures, whatever event loop runs the test."""
    async with clippy_host(TryAgain(), script=[Fault.status(503), Reply("there you are")]) as host:
        async with clippy_core.AsyncClient(host) as client:
            assert "there you are" == (await client.chat("Hello")).text
            assert "Hello again" == "".join([piece async for piece in (await client.stream("Hello again")).text()])
    assert (3, [2.0]) == (fake_provider.calls, clippy_clock.sleeps)


def test_a_client_of_the_provider_is_answered_under_the_host_as_well(clippy_host, fake_provider):
    """What a host passes on unread goes the way of the client, which is the fake provider's."""
    host = clippy_host(TryAgain())
    with host.wrap(fake_provider.client()) as client:
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        assert "Hello" in client.post("http://fake.test/v1/chat/completions", json=chat).text
        client.post("http://fake.test/v1/audio/speech", json={"input": "Hello"})
    assert ["/v1/chat/completions", "/v1/audio/speech"] == [seen.path for seen in fake_provider.requests]


def test_a_host_may_be_configured_and_several_share_the_provider(clippy_host, fake_provider):
    """Settings are a mapping of the file's shape; a class is made with its table."""

    @define(eq=False)
    class Name:
        """Has a setting."""

        value: str = field(default="none", metadata={"doc": "anything"})

        @hookimpl
        def pre_request(self) -> None:
            pass

    host = clippy_host(Name, config={"plugins": {"name": {"value": "mine"}}})
    other = clippy_host()
    assert "mine" == host.plugins["name"].value
    assert "Hello" == clippy_core.Client(other).chat("Hello").text
    fake_provider.script = Reply("something else")
    assert "something else" == clippy_core.Client(host).chat("Hello").text


def test_a_raw_request_of_a_host_goes_to_the_provider(clippy_host, fake_provider):
    """``host.answer`` sends through the service that the fixture offers."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    request = RawRequest("POST", "http://fake.test/v1/chat/completions", Headers(), body)
    reply: Any = anyio.run(clippy_host().answer, request)
    assert (200, 1) == (reply.status, fake_provider.calls)


def test_hosts_are_closed_after_the_test(pytester):
    """A plugin's lifespan has ended when the test has."""
    pytester.makeini(EMPTY_INI)
    pytester.makepyfile(
        """
        from contextlib import contextmanager
        import clippy_core
        from attrs import define
        from clippy_hookspecs import hookimpl

        LIFE = []

        @define(eq=False)
        class Lives:
            @hookimpl
            @contextmanager
            def lifespan(self, host):
                LIFE.append("opened")
                yield
                LIFE.append("closed")

        def test_one(clippy_host):
            clippy_core.Client(clippy_host(Lives())).chat("Hello")
            assert LIFE == ["opened"]

        def test_two():
            assert LIFE == ["opened", "closed"]
        """
    )
    pytester.runpytest_inprocess("-p", "no:anyio").assert_outcomes(passed=2)


def test_pytest_itself_gets_nothing_imported_but_two_small_modules():
    """The plugin is loaded wherever clippy-core is installed; a project without tests of plugins must not notice."""
    code = (
        "import sys, pytest; before = set(sys.modules); import clippy_core.testing.pytest_plugin; "
        "print(sorted(name for name in set(sys.modules) - before if name != '__mp_main__'))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    imported = eval(printed, {"__builtins__": {}})
    assert ["clippy_core", "clippy_core.testing", "clippy_core.testing.pytest_plugin"] == imported


def test_pytest_is_no_dependency_of_the_host():
    """Importing the kit's provider and suites works without pytest."""
    code = (
        "import sys; sys.modules['pytest'] = None; sys.modules['_pytest'] = None; import clippy_core.testing as kit; "
        "[getattr(kit, name) for name in kit.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- suites -----------------------------------------------------------------------------------------------------------

CACHES = """
    from attrs import define, field
    from clippy_cache_memory import MemoryCache
    from clippy_core.testing import CacheContract
    from clippy_hookspecs import hookimpl

    @define(eq=False)
    class Amnesiac:
        '''Remembers nothing.'''

        @hookimpl
        def cache_lookup(self, key):
            return None

        @hookimpl
        def cache_store(self, key):
            pass

    class TestGood(CacheContract):
        def make(self):
            return MemoryCache()

    class TestBad(CacheContract):
        def make(self):
            return Amnesiac()

    class TestHangs(CacheContract):
        def make(self):
            import time
            time.sleep(3600)

    class TestUnfinished(CacheContract):
        pass
"""


def test_a_subclass_of_a_suite_is_a_test_class(pytester):
    """Its checks pass, fail with a sentence, or are skipped with a reason; what hangs fails and says so."""
    pytester.makeini(EMPTY_INI)
    pytester.makepyfile(CACHES)
    good = pytester.runpytest_inprocess("-p", "no:anyio", "-k", "TestGood", "-rs")
    outcomes = good.parseoutcomes()
    assert (outcomes["passed"], outcomes["skipped"]) == (39, 5)
    good.stdout.fnmatch_lines(["*it keeps no file*"])
    bad = pytester.runpytest_inprocess("-p", "no:anyio", "-k", "TestBad and (equal_request or ttl)")
    bad.assert_outcomes(failed=1, deselected=173, skipped=2)
    bad.stdout.fnmatch_lines(["*two equal calls asked the provider 2 times*"])
    unfinished = pytester.runpytest_inprocess("-p", "no:anyio", "-k", "TestUnfinished and equal_request")
    unfinished.stdout.fnmatch_lines(["*says how its plugin is made: def make(self)*"])


def test_a_check_that_hangs_fails(pytester, monkeypatch):
    """After a minute; the checks after it are run."""
    monkeypatch.setattr(bounded, "__defaults__", (0.2,))
    pytester.makeini(EMPTY_INI)
    pytester.makepyfile(CACHES)
    hangs = pytester.runpytest_inprocess("-p", "no:anyio", "-k", "TestHangs and equal_request")
    hangs.assert_outcomes(failed=1, deselected=175)
    hangs.stdout.fnmatch_lines(["*did not come to an end within 0.2 seconds*"])


def test_a_suite_leaves_the_users_files_alone(tmp_path):
    """While a check runs the user's home is the check's own folder; afterwards the environment is as it was."""
    import os

    class Case(Contract):
        def make(self) -> object:
            return object()

    before = dict(os.environ)
    case = Case()
    case.setup_method()
    assert Path.home() == case.folder
    assert os.environ["XDG_CACHE_HOME"].startswith(str(case.folder))
    case.teardown_method()
    assert dict(os.environ) == before
    assert not case.folder.exists()


# --- grades -----------------------------------------------------------------------------------------------------------


def _grade(folder: Path, *arguments: str, path: Path | None = None) -> tuple[subprocess.CompletedProcess[str], Path]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "caches"),
        "PATH": "",
        **({"PYTHONPATH": str(path)} if path else {}),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done, home / "caches" / "clippy" / "grades"


def test_an_installed_plugin_is_graded_from_an_empty_folder(tmp_path):
    """No test file is needed; the report has each suite, the grade and its rule, and the grade is kept."""
    report = tmp_path / "report.json"
    done, kept = _grade(tmp_path, "--clippy-plugin", "retry", "--clippy-report", str(report))
    assert done.returncode == 0, done.stdout
    assert "grading retry: " in done.stdout
    assert "grade A\n" in done.stdout
    assert "CacheContract        does not fit: it does not implement cache_lookup and cache_store" in done.stdout
    assert "A: every check that applies passed, and in each suite at least half of the vital ones apply." in done.stdout
    ((document,), (file,)) = json.loads(report.read_text()), tuple(kept.iterdir())
    assert [path.stat().st_mode & 0o777 for path in (kept, file)] == [0o700, 0o600]
    assert document == json.loads(file.read_text())
    assert (document["grade"], document["complete"], document["version"]) == ("A", True, "0.1.0")
    assert {"PluginContract", "RetryPolicyContract"} == set(document["suites"])


def test_part_of_the_checks_is_no_grade(tmp_path):
    """With -k nothing is kept."""
    done, kept = _grade(tmp_path, "--clippy-plugin", "retry", "-k", "documented")
    assert done.returncode == 0, done.stdout
    assert "not all of its checks were run: no grade" in done.stdout
    assert not kept.exists()


def test_a_plugin_that_is_not_installed_is_a_sentence(tmp_path):
    """With the names that there are."""
    done, _ = _grade(tmp_path, "--clippy-plugin", "cache-memry")
    assert done.returncode == 4
    assert "no plugin called cache-memry is installed; did you mean cache-memory?" in done.stdout + done.stderr


def _site(folder: Path, name: str, where: str, source: str) -> Path:
    """A folder in which a plugin is installed."""
    site, module = folder / "site", where.partition(":")[0]
    meta = site / f"{module}-2.0.dist-info"
    meta.mkdir(parents=True)
    (site / f"{module}.py").write_text(source)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 2.0\n")
    (meta / "entry_points.txt").write_text(f"[clippy]\n{name} = {where}\n")
    return site


BROKEN = """
from attrs import define
from clippy_hookspecs import hookimpl

@define(eq=False)
class Broken:
    @hookimpl
    def pre_request(self, request):
        return request.messages[0].nothing
"""


def test_a_broken_plugin_gets_the_grade_it_deserves(tmp_path):
    """Each finding is a sentence, pytest says no, and the grade is F."""
    site = _site(tmp_path, "broken", "broken_one:Broken", BROKEN)
    done, kept = _grade(tmp_path, "--clippy-plugin", "broken", path=site)
    assert done.returncode == 1
    assert "Broken has no docstring" in done.stdout
    assert "grade F\n" in done.stdout
    assert json.loads((kept / "broken.json").read_text())["grade"] == "F"


class _Suite(Contract):
    def test_vital(self) -> None:
        """Vital."""

    test_vital.vital = True  # type: ignore[attr-defined]

    def test_also_vital(self) -> None:
        """Vital."""

    test_also_vital.vital = True  # type: ignore[attr-defined]

    def test_nice(self) -> None:
        """Nice."""


@pytest.mark.parametrize(
    ("passed", "failed", "letter"),
    [
        (5, [], "A"),
        (9, ["test_nice"], "B"),
        (8, ["test_nice"], "C"),
        (0, ["test_nice"], "C"),
        (50, ["test_vital"], "D"),
        (50, ["test_vital", "test_nice"], "D"),
        (50, ["test_vital", "test_also_vital"], "F"),
    ],
)
def test_the_grade_follows_its_rule(passed, failed, letter):
    """What is vital weighs more than any number of other checks."""
    results = [Result(Check(_Suite, "test_nice"), "passed")] * passed
    results += [Result(Check(_Suite, name), "failed", "why") for name in failed]
    results += [Result(Check(_Suite, "test_nice"), "not applicable", "why")] * 3
    assert letter == letter_of(results)


@pytest.mark.parametrize(("shown", "unshown", "letter"), [(2, 0, "A"), (2, 2, "A"), (2, 3, "B"), (0, 1, "B")])
def test_a_suite_whose_vital_checks_mostly_did_not_apply_makes_no_a(shown, unshown, letter):
    """However much passed in another suite."""

    class Other(_Suite):
        pass

    vital = Check(_Suite, "test_vital")
    results = [Result(Check(Other, "test_vital"), "passed")] * 20
    results += [Result(vital, "passed")] * shown + [Result(vital, "not applicable", "why")] * unshown
    assert letter == letter_of(results)


SWAPS = """
from attrs import define, field
from clippy_hookspecs import TextFilter

@define(eq=False)
class Swaps(TextFilter):
    \"""Puts one word in place of another.\"""

    word: str = field(default="", metadata={"doc": "the word; empty: none"})

    def filter(self, text, final, ctx):
        return text, ""
"""


def test_a_grade_says_how_much_of_it_applied(tmp_path):
    """A filter that by default changes nothing shows nothing of a filter: it gets no A, and the report says why."""
    site = _site(tmp_path, "swap-word", "swap_word:Swaps", SWAPS)
    done, kept = _grade(tmp_path, "--clippy-plugin", "swap-word", path=site)
    assert done.returncode == 0, done.stdout
    document = json.loads((kept / "swap-word.json").read_text())
    checks, unfit = document["checks"], document["not applicable"]
    assert checks == sum(one["passed"] + len(one["not applicable"]) for one in document["suites"].values())
    assert 10 < unfit < checks
    assert document["grade"] == "B"
    assert f"grade B, {unfit} of {checks} checks not applicable\n" in done.stdout
    assert "TextFilterContract: more than half of its vital checks did not apply, so this is no A" in done.stdout


def test_a_grade_is_of_a_plugins_code(tmp_path, monkeypatch):
    """The digest follows the sources, and a file that is no grade is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one = subject("retry")
    assert one.code == code_of(one.found)
    assert one.code != subject("errors").code
    assert stored("retry") is None
    (tmp_path / "clippy" / "grades").mkdir(parents=True)
    for text in ("", "[]", "{}", '{"schema": 2}', "\x00"):
        (tmp_path / "clippy" / "grades" / "retry.json").write_text(text)
        assert stored("retry") is None
    from clippy_core.testing.grading import grade_of

    store(grade_of(one, [], complete=True))
    document = stored("retry")
    assert document is not None
    assert document["code"] == one.code

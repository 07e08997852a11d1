"""One line for each request, without secrets, whatever happens."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from clippy_audit import AuditLog
from clippy_audit.cleaner import SLACK, Cleaner
from clippy_audit.lines import SMALLEST, encode
from clippy_audit.log import HEADS
from clippy_hookspecs import (
    AttemptRecord,
    AuditRecord,
    ErrorInfo,
    Headers,
    HookCall,
    Image,
    Message,
    Opaque,
    Provenance,
    Reasoning,
    Request,
    RequestContext,
    Response,
    RouteInfo,
    Scope,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "logs-dev.jsonl"
LEVELS = ("minimal", "standard", "detailed")
PREFIXED = "sk-proj-" + "Zq8" * 20
OPAQUE = "Kj7Lm2Np9Qr4St6Uv1Wx3Yz5Ab8Cd0Ef"


def context() -> RequestContext:
    unused = cast(Any, None)
    return RequestContext("req-1", Scope(), clock=unused, services=unused, route=RouteInfo("r"), flow=unused)


def record(**fields: Any) -> AuditRecord:
    return AuditRecord(**{"id": "req-1", "outcome": "answered", "time": 1700000000.123456, "duration": 0.25} | fields)


def written(log: AuditLog) -> list[dict[str, Any]]:
    """The records in the file; every physical line is one."""
    lines = log.path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


def log_in(folder: Path, **fields: Any) -> AuditLog:
    return AuditLog(path=folder / "state" / "audit.jsonl", environment=False, **fields)


def conversation(text: str) -> tuple[Request, Response]:
    """A request and its answer with *text* in every place that holds one."""
    blocks = (
        Text(text),
        ToolCall("call_1", "search", json.dumps({"query": text})),
        ToolResult("call_1", (Text(text),)),
        Reasoning(text, signature=text),
        Image(url=f"https://x.example/a?api_key={text}", data=text),
        Opaque("other", {"deep": [{"note": text}]}),
    )
    request = Request(
        api="openai.chat",
        url="https://x.example/v1",
        query=f"api_key={text}",
        headers=Headers([("authorization", f"Bearer {text}"), ("x-trace", f"key {text}")]),
        model="m",
        messages=(Message("user", blocks),),
        tools=(Tool("search", f"uses {text}", {"default": text}),),
        params={"metadata": {"api_key": text, "note": text}},
    )
    return request, Response(
        headers=Headers([("set-cookie", f"sid={text}")]), message=Message("assistant", blocks), id=text
    )


def everything(text: str) -> AuditRecord:
    """A record with *text* in every place that a provider or a caller may fill."""
    request, response = conversation(text)
    error = ErrorInfo("auth", "invalid_key", message=f"Incorrect API key provided: {text}", code=text, request_id=text)
    return record(
        outcome="failed",
        url=f"https://user:{text}@x.example/v1?api_key={text}",
        model=text,
        route=text,
        parent=text,
        finish_reason=text,
        scope=Scope(text, text, text),
        attempts=(AttemptRecord(1, text, 401, error),),
        error=error,
        provenance=Provenance(by=text, route=text, reason=f"because of {text}"),
        trace=(HookCall("cache", "pre_request", f"failed: {text}"),),
        usage=Usage(1, 2, extra={"note": text}),
        request=request,
        response=response,
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("secret", [PREFIXED, OPAQUE], ids=["with a prefix", "without a form"])
def test_a_canary_reaches_no_sink(level: str, secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The key that the request was sent with is nowhere: file, log lines, reprs, errors; at every level."""
    caplog.set_level(logging.DEBUG)
    log, ctx = log_in(tmp_path, level=level), context()
    full = everything(secret)
    assert full.request is not None
    log.pre_request(full.request, ctx)
    log.pre_attempt(full.request, ctx)
    log.audit(full, ctx)
    sinks = [log.path.read_text(), caplog.text, repr(log), repr(ctx.stash), str(written(log))]
    assert not any(piece in sink for sink in sinks for piece in (secret, secret[:20], secret[-20:]))


@pytest.mark.parametrize("level", LEVELS)
def test_a_configured_secret_reaches_no_sink(level: str, tmp_path: Path) -> None:
    """Also one that looks like a word, and it is not in the plugin's repr."""
    log = log_in(tmp_path, level=level, secrets=["correcthorsebattery"])
    log.audit(everything("correcthorsebattery"), context())
    assert "correcthorse" not in log.path.read_text() + repr(log)


def test_a_key_of_the_environment_reaches_no_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDKs take their keys from there; ordinary variables stay readable."""
    monkeypatch.setenv("MISTRAL_API_KEY", OPAQUE)
    monkeypatch.setenv("EDITOR_NAME", "longword")
    log = AuditLog(path=tmp_path / "a.jsonl")
    log.audit(record(model=f"longword {OPAQUE}"), context())
    assert written(log)[0]["model"] == "longword [redacted:configured]"


def test_credentials_of_one_request_are_not_remembered_for_another(tmp_path: Path) -> None:
    """They live in the request's own notes."""
    log, ctx = log_in(tmp_path), context()
    log.pre_request(Request(headers=Headers([("authorization", f"Bearer {OPAQUE}")])), ctx)
    log.audit(record(model=OPAQUE), ctx)
    log.audit(record(model=OPAQUE), context())
    assert [entry["model"] for entry in written(log)] == ["[redacted:configured]", OPAQUE]


def test_credentials_are_taken_out_whoever_sent_others_between(tmp_path: Path) -> None:
    """A gateway hands on the very same headers for each request of a caller, and its callers are many."""
    log = log_in(tmp_path)
    keys = [f"{OPAQUE[:-4]}{number:04}" for number in range(3 * HEADS)]
    heads = [Headers([("authorization", f"Bearer {key}")]) for key in keys]
    for head, key in [*zip(heads, keys, strict=True), *zip(heads[:5], keys, strict=False), (heads[3], keys[3])]:
        ctx = context()
        log.pre_request(Request(headers=head), ctx)
        log.audit(record(model=key), ctx)
    assert {entry["model"] for entry in written(log)} == {"[redacted:configured]"}
    assert len(log._cleaners) <= HEADS


def test_where_a_program_was_started_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells say it in PWD and OLDPWD, which are no passwords."""
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("OLDPWD", "/srv/teams/alpha")
    log = AuditLog(path=tmp_path / "a.jsonl")
    log.audit(record(model=f"{tmp_path}/model of /srv/teams/alpha"), context())
    assert written(log)[0]["model"] == f"{tmp_path}/model of /srv/teams/alpha"


def test_the_credentials_of_every_attempt_are_taken_out(tmp_path: Path) -> None:
    """The caller's and those of each route that was tried, whichever of them an error repeats."""
    log, ctx = log_in(tmp_path), context()
    keys = [OPAQUE[::-1], OPAQUE, OPAQUE.swapcase()]
    log.pre_request(Request(headers=Headers([("authorization", f"Bearer {keys[0]}")])), ctx)
    for key in keys[1:]:
        log.pre_attempt(Request(headers=Headers([("x-api-key", key)])), ctx)
    log.audit(record(error=ErrorInfo(message=" ".join(keys))), ctx)
    assert written(log)[0]["error"]["message"] == " ".join(["[redacted:configured]"] * 3)


def test_an_attempt_that_was_not_sent_is_listed_as_such_and_not_counted(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    attempts = (AttemptRecord(1, "main", error=ErrorInfo("transient", "open"), sent=False), AttemptRecord(2, "spare"))
    log.audit(record(attempts=attempts), context())
    (entry,) = written(log)
    assert (entry["attempts"], [one.get("sent") for one in entry["attempt_list"]]) == (1, [False, None])


def test_each_level_holds_exactly_its_fields(tmp_path: Path) -> None:
    """The lists in the README and in record.py."""
    frame = {"v", "time", "boot", "seq"}
    minimal = frame | {"id", "parent", "outcome", "api", "method", "model", "stream", "route", "status", "duration"}
    minimal |= {"tenant", "attempts", "usage", "error", "provenance"}
    standard = minimal | {"url", "user", "session", "finish_reason", "first_token", "attempt_list", "trace"}
    expected = {"minimal": minimal, "standard": standard, "detailed": standard | {"request", "response"}}
    from attrs import evolve

    full = evolve(everything("x"), api="openai.chat", status=401, first_token=0.1)
    for level, fields in expected.items():
        log = log_in(tmp_path / level, level=level)
        log.audit(full, context())
        (entry,) = written(log)
        assert set(entry) == fields
        assert log.reads_content == (level == "detailed")
    assert {"category", "kind", "retryable"} == set(written(log_in(tmp_path / "minimal"))[0]["error"])


def test_the_minimal_level_holds_no_text_of_a_header_a_url_or_an_error(tmp_path: Path) -> None:
    """Not even a harmless one."""
    log = log_in(tmp_path, level="minimal")
    log.audit(everything("harmless"), context())
    entry = written(log)[0]
    named = {name for name in entry if "harmless" in json.dumps(entry[name])}
    assert named == {"model", "route", "parent", "tenant", "provenance"}


def test_an_actor_may_be_named_by_a_mail_address(tmp_path: Path) -> None:
    """Who it was is what the log is for; elsewhere the address goes."""
    log = log_in(tmp_path)
    log.audit(record(scope=Scope(user="jane@example.org"), model="jane@example.org"), context())
    entry = written(log)[0]
    assert (entry["user"], entry["model"]) == ("jane@example.org", "[redacted:email]")


def test_times_are_utc_with_microseconds(tmp_path: Path) -> None:
    """ISO 8601; a number that is no time is left out and loses no record."""
    log = log_in(tmp_path)
    for time in (1700000000.123456, float("nan"), 1e300):
        log.audit(record(time=time, duration=float("inf")), context())
    assert [entry["time"] for entry in written(log)] == ["2023-11-14T22:13:20.123456Z", None, None]
    assert "duration" not in written(log)[0]


def test_records_are_numbered_within_the_life_of_a_process(tmp_path: Path) -> None:
    """``seq`` has no gaps under many threads and ``boot`` says which life it counts."""
    log = log_in(tmp_path)
    threads = [threading.Thread(target=lambda: [log.audit(record(), context()) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = written(log)
    assert [entry["seq"] for entry in entries] == list(range(1, 101))
    assert len({entry["boot"] for entry in entries}) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_writes_under_a_life_of_its_own(tmp_path: Path) -> None:
    """Also when another thread held the locks at the fork."""
    log = log_in(tmp_path)
    log.audit(record(id="parent"), context())
    with log._lock, log._file._lock:
        child = os.fork()
        if child == 0:
            try:
                log.audit(record(id="child"), context())
            finally:
                os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log.audit(record(id="parent"), context())
    entries = written(log)
    assert sorted(entry["id"] for entry in entries) == ["child", "parent", "parent"]
    assert [entry["seq"] for entry in entries if entry["id"] == "child"] == [1]
    assert len({entry["boot"] for entry in entries}) == 2


TEXTS = st.text(st.characters(), max_size=200)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@given(value=VALUES)
@example(value="\x7f")
@example(value="\ud800")
@example(value=2**64)
def test_a_line_is_printable_and_reads_back_as_what_was_written(value: Any) -> None:
    """Also what a fast encoder cannot write: lone surrogates, integers of any size; and what it leaves as it is."""
    line = encode({"v": 1}, {"x": value}, 1 << 20)
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    assert json.loads(line) == {"v": 1, "x": value}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text("abc \r\n\x00\x1b\x85\u2028\u2029\ud800😀{}%$</>", max_size=80))
def test_any_text_is_one_line_and_reads_back_as_itself(text: str, tmp_path: Path) -> None:
    """Separators, control characters, lone surrogates, format fields."""
    log = log_in(tmp_path, level="detailed", personal=False)
    log.audit(
        record(error=ErrorInfo(message=text), request=Request(messages=(Message("user", (Text(text),)),))), context()
    )
    entry = written(log)[-1]
    assert entry["error"].get("message", "") == text
    assert entry["request"]["messages"][0]["blocks"][0]["text"] == text
    line = log.path.read_bytes()
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in line)


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpora are not beside this checkout")
def test_the_corpus_of_log_texts(tmp_path: Path) -> None:
    """One record, one physical line, the same string or a truncation mark that says so."""
    for number, line in enumerate(CORPUS.read_text().splitlines()):
        case = json.loads(line)
        text = case["input"] if case["input"] is not None else case["input_repeat"][0] * case["input_repeat"][1]
        log = log_in(tmp_path / str(number), level="detailed")
        request = Request(messages=(Message("user", (Text(text),)),))
        log.audit(record(model=text, error=ErrorInfo(message=text), request=request), context())
        (entry,) = written(log)
        for shown in (entry["model"], entry["error"]["message"], entry["request"]["messages"][0]["blocks"][0]["text"]):
            if len(text) <= 8192:
                assert shown == text, case["id"]
            else:
                kept = len(shown.partition("[truncated")[0])
                assert shown == f"{text[:kept]}[truncated: the first {kept} of {len(text)} characters]"
                assert kept == 8192


@given(before=st.integers(0, 200), key=st.sampled_from([PREFIXED, "password: hunter2hunter2", OPAQUE]))
def test_a_secret_across_the_cut_of_a_long_text_is_gone(before: int, key: str) -> None:
    """Texts are redacted first and cut then."""
    clean = Cleaner(literals=(OPAQUE,), max_text=100)
    for start in (before, 100 + SLACK - before):
        shown = clean.text("x" * (start - 1) + " " + key + " y" * 20000)
        assert key[:24] not in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize("size", [SMALLEST, 65536])
def test_a_line_is_never_longer_than_allowed(size: int, tmp_path: Path) -> None:
    """The heaviest fields are left out first and named; who, when and how it ended stay."""
    log = log_in(tmp_path, level="detailed", max_line=size, max_text=8192)
    log.audit(everything("😀" * 9000), context())
    (entry,) = written(log)
    assert log.path.stat().st_size <= size
    assert entry["omitted"][:2] == ["response", "request"]
    assert (entry["id"], entry["outcome"], entry["error"]["kind"]) == ("req-1", "failed", "invalid_key")


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    """Mode 0600 in a folder of 0700; an older file that others can read is closed to them."""
    log = log_in(tmp_path)
    log.path.parent.mkdir(mode=0o700)
    log.path.touch(mode=0o644)
    log.path.chmod(0o644)
    log.audit(record(), context())
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    other = AuditLog(path=tmp_path / "new" / "audit.jsonl")
    other.audit(record(), context())
    assert stat.S_IMODE(other.path.parent.stat().st_mode) == 0o700


def test_the_file_never_lies_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, and with a relative path, it is in the user's state folder."""
    monkeypatch.chdir(tmp_path)
    for log in (AuditLog(), AuditLog(path="sub/own.jsonl")):
        assert log.path.is_absolute()
        assert tmp_path not in log.path.parents
    assert AuditLog().path.parent.name == "clippy"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_once_counted_and_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """The default: the request goes on, the loss is loud."""
    log = AuditLog(path="/dev/full")
    for _ in range(3):
        log.audit(everything(PREFIXED), context())
    assert log.lost == 3
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    assert "/dev/full" in caplog.text
    assert PREFIXED not in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_required_record_that_cannot_be_written_fails_the_request() -> None:
    """``required = true`` asks the host to raise."""
    log = AuditLog(path="/dev/full", required=True)
    assert log.on_failure == "raise"
    with pytest.raises(OSError, match="space"):
        log.audit(record(), context())
    assert AuditLog().on_failure is None


def test_the_record_after_a_loss_says_how_many_are_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A reader of the file alone sees the gap, and the log says that it is over."""
    log = log_in(tmp_path)
    log.path.parent.write_text("in the way")
    log.audit(record(), context())
    log.audit(record(), context())
    log.path.parent.unlink()
    log.audit(record(), context())
    log.audit(record(), context())
    assert [(entry["seq"], entry.get("lost")) for entry in written(log)] == [(3, 2), (4, None)]
    assert "2 records were lost" in caplog.text


@pytest.mark.anyio
async def test_whoever_looks_is_told_what_is_not_written_and_afterwards_how_many_were_lost(tmp_path: Path) -> None:
    """Nothing while all is well."""
    log = log_in(tmp_path)
    assert await log.status_tables() == ()
    log.path.parent.write_text("in the way")
    for _ in range(2):
        log.audit(record(), context())
    (during,) = (await log.status_tables())[0].rows
    log.path.parent.unlink()
    log.audit(record(), context())
    (after,) = (await log.status_tables())[0].rows
    assert (during[0], during[2], during[3]) == (str(log.path), 0, 2)
    assert after == (str(log.path), "written again", None, 2)


@pytest.mark.parametrize("content", [b"date,amount\n1,2\n", b"no newline", b"\n\ndate,amount\n", b'{"version":1}\n'])
def test_a_file_of_somebody_elses_is_left_as_it_is(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong path costs the records, loudly, and not a byte or a mode of what lies there; the right one ends that."""
    path = tmp_path / "invoices.csv"
    path.write_bytes(content)
    path.chmod(0o644)
    log = AuditLog(path=path)
    log.audit(record(), context())
    log.audit(record(), context())
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), log.lost) == (content, 0o644, 2)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "its first line is none of ours" in said
    assert "set path in [plugins.audit]" in said
    unused = cast(Any, None)
    with pytest.raises(OSError, match="none of ours"), AuditLog(path=path, required=True).lifespan(unused):
        pass
    path.unlink()
    log.audit(record(), context())
    assert [entry["lost"] for entry in written(log)] == [2]


@pytest.mark.parametrize("content", [b"", b"\n", b'{"v', b'{"v":1,"time":"20', bytes(600), b'{"v":9}\n'])
def test_a_file_of_ours_is_written_to_however_it_was_left(content: bytes, tmp_path: Path) -> None:
    """Blank, cut in its first line, never written to the disk, or of a newer version."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(content)
    log = AuditLog(path=path)
    log.audit(record(), context())
    log._file.close()
    log.audit(record(), context())
    assert path.read_bytes().startswith(content)
    assert log.lost == 0


def test_a_required_log_that_cannot_be_written_stops_the_host_from_opening(tmp_path: Path) -> None:
    """Better at start-up than at the first request; a log that is not required opens when it is first needed."""
    (tmp_path / "file").touch()
    unused = cast(Any, None)
    with pytest.raises(OSError), AuditLog(path=tmp_path / "file" / "audit.jsonl", required=True).lifespan(unused):
        pass
    with AuditLog(path=tmp_path / "file" / "audit.jsonl").lifespan(unused):
        pass


def test_the_host_closes_the_file_and_a_late_record_opens_it_again(tmp_path: Path) -> None:
    """One event loop's end is not the end of the plugin."""
    log = log_in(tmp_path)
    with log.lifespan(cast(Any, None)):
        log.audit(record(), context())
        assert log._file._fd >= 0
    assert log._file._fd == -1
    log.audit(record(), context())
    assert len(written(log)) == 2
    log._file.close()


@pytest.mark.parametrize(
    "settings",
    [{"level": "all"}, {"fsync": "group"}, {"max_text": 1}, {"max_line": 10}, {"keep": 0}, {"secrets": ["abc"]}],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    """At start-up, by attrs' own validators."""
    with pytest.raises(ValueError):
        AuditLog(**settings)


def test_every_setting_says_what_it_is_for() -> None:
    """The reference is made from this."""
    import attrs

    assert all(field.metadata.get("doc") for field in attrs.fields(AuditLog) if field.init)


def test_a_text_that_comes_again_is_cleaned_as_it_was_the_first_time() -> None:
    """Each kind by its own rule: an actor may be a mail address, a text may not; and the literals are taken out."""
    clean = Cleaner(literals=(OPAQUE,))
    for value in ("ada@example.com", f"key {OPAQUE}", "cache_lookup"):

        def cleaned(value: str = value) -> list[object]:
            trace = clean.trace([HookCall("p", value, "passed")])
            return [clean.text(value), clean.name(value), clean.url(value), orjson.dumps(trace)]

        first = cleaned()
        assert cleaned() == first
        assert OPAQUE not in str(first)
    assert (clean.name("ada@example.com"), clean.text("cache_lookup")) == ("ada@example.com", "cache_lookup")
    assert "ada" not in clean.text("ada@example.com")


@pytest.mark.parametrize("model", ["m", "\udc80"], ids=["fast", "slowly, for a lone surrogate elsewhere"])
def test_a_trace_reads_back_whatever_names_it_has(model: str, tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.audit(record(model=model, trace=(HookCall("caf\u00e9", "audit", "\udc81\x7f\n%d", 17, 2),)), context())
    (entry,) = written(log)
    assert entry["trace"] == [
        {"plugin": "caf\u00e9", "hook": "audit", "action": "\udc81\x7f\n%d", "ns": 17, "calls": 2}
    ]
    assert entry["model"] == model

"""``clippy top``: the dashboard's main table in a terminal, which obeys what it is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from click.testing import CliRunner, Result
from clippy_hookspecs import AuditRecord, RequestContext, Scope, StatusTable, Usage, hookimpl
from clippy_inspect.commands import inspect_command
from clippy_inspect.dashboard import as_json, summed
from clippy_inspect.top import WIDEST, line, main_table, plugin_tables, told, width
from clippy_inspect.top_command import top_command
from clippy_inspect.watching import CannotTell, Inspector
from clippy_recorder import write
from hypothesis import given
from hypothesis import strategies as st
from inspect_world import BEGAN, Kept, Site, cached, exchange, failed, retried

import clippy_core

pytest.importorskip("textual")
from clippy_inspect.terminal import Top
from textual.widgets import DataTable, Static

CORPUS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "ansi-dev.jsonl"
CASES = [json.loads(text) for text in (CORPUS.read_text("utf-8").splitlines() if CORPUS.exists() else ())]


def document(*exchanges: Any) -> dict[str, Any]:
    """What ``/api/dashboard`` tells, as it is after its way through JSON."""
    made: dict[str, Any] = json.loads(json.dumps(as_json(summed(exchanges, BEGAN + 20))))
    return made


def ran(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(top_command(), arguments, input=given)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_first_line_is_all_and_then_each_model() -> None:
    """The numbers are the dashboard's; a cost that is not known is a dash, or what is known of it."""
    sheet = main_table(document(exchange(1), exchange(2, model="llama", cost=None), failed(3), cached(4)))
    rows = {row[0]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}
    assert list(rows) == ["all", "gpt-4o", "llama"]
    assert (rows["all"]["Requests"], rows["all"]["Failed"], rows["all"]["Cached"]) == ("4", "1", "1")
    assert (rows["gpt-4o"]["Cost"], rows["llama"]["Cost"], rows["all"]["Cost"]) == ("$ 0.0041", "–", ">= $ 0.0041")
    assert rows["llama"]["Answers p50"] == "812 ms"
    assert (rows["llama"]["Failed p95"], rows["all"]["Failed p95"]) == ("–", "812 ms")


@pytest.mark.parametrize(("by", "names"), [("route", ["all", "main"]), ("tenant", ["all", "acme"])])
def test_lines_are_for_whatever_is_asked_for(by: str, names: list[str]) -> None:
    """By route and by tenant as well."""
    assert [row[0] for row in main_table(document(exchange(1, route="main")), by).rows] == names


def test_a_sum_with_a_guess_in_it_is_marked() -> None:
    guess = exchange(1, model="guessed", usage=Usage(5, 6, estimated=True))
    rows = {row[0]: row for row in main_table(document(guess, exchange(2))).rows}
    assert rows["guessed"][-3:-1] == ("about 5", "about 6")
    assert rows["all"][-3].startswith("about ")
    assert not rows[str(exchange(2).model)][-3].startswith("about")


def test_above_it_stands_what_happened() -> None:
    """Also where a rate is not known."""
    said = told(document(exchange(1), retried(2), failed(3)))
    assert "3 over, 0 running" in said
    assert "retried 1, recovered 1" in said
    assert "overloaded: http_529 1" in said
    assert "–" in told({"rates": {"10 s": None}})
    assert told({"missing": ["Worker 2 does not answer\x1b: ..."]}).endswith("; Worker 2 does not answer\u241b: ")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*document(), "name", "p50"]), inner),
    )
)
def test_whatever_a_server_tells_is_a_table(found: Any) -> None:
    """It may be another version's, or somebody else's."""
    answer = found if isinstance(found, dict) else {"by_model": [found], "plugins": [found], "total": found}
    for sheet in (main_table(answer), *plugin_tables(answer)):
        assert all("\n" not in text for text in sheet.lines())
    assert "\n" not in told(answer)


@given(st.text(max_size=300) | st.text("\x1b\x9b\r\n\t\x07\u202e[]31;mab", max_size=100))
def test_a_cell_is_one_line_of_bounded_width(text: str) -> None:
    """Whatever a caller called its model."""
    shown = line(text)
    assert width(shown) <= WIDEST
    assert (obeyed(shown), "\n" in shown) == ([], False)


# --- hostile texts ----------------------------------------------------------------------------------------------------


def obeyed(text: str) -> list[str]:
    """Signs that a terminal obeys or that turn text around, but for the ends of our own lines."""
    turning = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    control = (sign for sign in text if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or sign in turning)
    return [sign for sign in control if sign != "\n"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_hostile_texts_are_shown_and_not_obeyed(case: dict[str, Any], tmp_path: Path) -> None:
    """As a model, a tenant and a kind of failure; what is harmless is shown as it is."""
    text = case["input"]
    error = {"category": text, "kind": text}
    file = tmp_path / "calls.jsonl"
    write(file, [exchange(1, model=text, scope=Scope(tenant=text), route=text), failed(2, error=error)])
    for by in ("model", "tenant", "route"):
        result = ran(str(file), "--once", "--by", by)
        assert result.exit_code == 0, result.output
        assert obeyed(result.output) == []
    if case["label"] == "benign":
        kept = (
            (case["keep"] or text).replace("\r\n", "\n").replace("\n", "\u240a").replace("\t", "\u2409")
        )  # a cell is one line
        assert kept in ran(str(file), "--once").output or width(text) > WIDEST


OBEYED = (
    "\x1b", "\x1b[", "\x1bc", "\x1b]52;c;ZXZpbA==\x07", "\x1b]unended", "\x1bP+q544e\x1b\\", "\x1b^pm\x1b\\", "\x1b#8",
    "\x1b\x1b[31m", "\x1b[\x0031m", "\x1b[3\n1m", "\x1b\x9b31m", "\x1b]0;a\x1b[2J\x07", "\x1b[38:2::1:2:3m", "\x85",
    "\x90q\x9c", "\x9fG\x9c", "\x0e\x0f", "safe\x08\x08\x08\x08evil", "\x1a\x18", "x\r\ry", "a\u061cb",
    "\U000e0041", "\ud800", "a\u2066b",
)  # fmt: skip
LOOKALIKES = (
    "", "[31m not an escape", "]0;title", "^[[31m", "\\033[0m", "100% [===>  ]", "\u2400 \u241b[31m pictures",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0928\u092e\u0938\u094d\u0924\u0947", "e\u0301",
    "\U0001f469\u200d\U0001f467", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)  # fmt: skip


def test_what_a_terminal_obeys_is_written_out_and_what_only_looks_so_stays() -> None:
    assert [obeyed(line(text)) for text in OBEYED] == [[]] * len(OBEYED)
    assert [text for text in OBEYED if line(text) == text] == []
    assert [line(text) for text in LOOKALIKES] == list(LOOKALIKES)


# --- where the numbers come from --------------------------------------------------------------------------------------


def test_without_a_terminal_nothing_is_drawn(tmp_path: Path) -> None:
    """It would write escape sequences into a file, and never end."""
    file = tmp_path / "calls.jsonl"
    write(file, [exchange()])
    refused = ran(str(file))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "no terminal; use --once" in refused.stderr


def test_a_running_program_is_asked_with_its_token(tmp_path: Path) -> None:
    """The token comes from a file or from standard input, and stands in no list of processes."""
    with Site(Kept([exchange(1), retried(2)])) as site:
        address = f"http://127.0.0.1:{site.server.port}"
        good, bad = tmp_path / "good", tmp_path / "bad"
        good.write_text(f"{site.door.token}\n", encoding="utf-8")
        bad.write_text("wrong\n", encoding="utf-8")
        shown = ran(address, "--once", "--token-file", str(good))
        typed = ran(address, "--once", "--token-file", "-", given=f"{site.door.token}\n")
        refused = ran(address, "--once", "--token-file", str(bad))
    assert shown.exit_code == typed.exit_code == 0, shown.output
    assert shown.output == typed.output
    assert "2 over, 0 running" in shown.output
    assert refused.exit_code == 1
    assert "does not take this token" in refused.output
    assert "Without one there, it has a random one that nobody is told" in " ".join(refused.output.split())
    gone = ran(address, "--once", "--token-file", str(good))
    assert (gone.exit_code, "does not answer" in gone.output) == (1, True)


def test_the_tables_of_plugins_are_printed_for_who_asks_for_them(tmp_path: Path) -> None:
    """A gateway has dozens, below which nobody would find the one that matters."""
    token = tmp_path / "token"
    with clippy_core.Host({"shows": Shows()}) as host, Site(Kept([exchange(1)]), host=host) as site:
        token.write_text(site.door.token, encoding="utf-8")
        address = f"http://127.0.0.1:{site.server.port}"
        plain, more = (ran(address, "--once", "--token-file", str(token), *option) for option in ([], ["--plugins"]))
    assert ("By model" in plain.output, "shows: doing" in plain.output) == (True, False), plain.output
    assert more.output.startswith(plain.output)
    assert "shows: doing" in more.output
    assert ran(address, "--plugins").exit_code == 2


@pytest.mark.parametrize(
    ("where", "token", "why"),
    [
        ("http://models.example:80", "t", "in the clear"),
        ("ftp://127.0.0.1", "t", "no address"),
        ("http://[::1", "t", "no address"),
        ("http://127.0.0.1:99999", "t", "no address"),
        ("http://127.0.0.1:1", "two\rlines", "no token"),
        ("http://127.0.0.1:1", "", "no token"),
    ],
)
def test_a_token_is_not_sent_just_anywhere(where: str, token: str, why: str) -> None:
    """Not in the clear to another machine, not to what is no address; and an error does not tell it."""
    with pytest.raises(CannotTell, match=why) as raised:
        Inspector(where, token)
    assert not token or repr(token) not in str(raised.value)


def test_another_link_is_had_with_the_token_and_opens_the_pages_once(tmp_path: Path) -> None:
    """For a link that was used or ran out; a browser that was let in lets in no other one."""
    inspect = inspect_command(None)
    with Site(Kept([exchange(1)])) as site:
        (tmp_path / "token").write_text(site.door.token + "\n", encoding="utf-8")
        words = ["--link", site.address, "--token-file", str(tmp_path / "token")]
        [first, second] = (CliRunner().invoke(inspect, words).output.split()[-1] for _ in range(2))
        assert first.startswith(f"{site.address}/open/")
        assert first != second
        with httpx.Client() as browser:
            entered = browser.get(first)
            assert entered.status_code == 200
            again = browser.get(first)
            assert (again.status_code, "clippy inspect --link" in again.text) == (403, True)
            cookie = entered.headers["set-cookie"].partition(";")[0]
            browser.cookies.clear()
            page = browser.get(site.address, headers={"cookie": cookie}).text.replace("&#34;", '"')
            csrf = page.partition('x-clippy-csrf": "')[2].partition('"')[0]
            acting = {"cookie": cookie, "origin": site.address, "x-clippy-csrf": csrf}
            assert browser.post(site.address + "/api/link", headers=acting).status_code == 403
            assert browser.post(site.address + "/api/link").status_code == 401
        (tmp_path / "token").write_text("x" * 43, encoding="utf-8")
        wrong = CliRunner().invoke(inspect, words)
        assert (wrong.exit_code, "does not take this token" in wrong.output) == (1, True)


@pytest.mark.parametrize("content", [None, "no recording\n"])
def test_a_recording_that_cannot_be_read_is_one_sentence(content: str | None, tmp_path: Path) -> None:
    """No traceback."""
    file = tmp_path / "calls.jsonl"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    result = ran(str(file), "--once")
    assert (result.exit_code, "calls.jsonl" in result.output) == (1, True)


@define(eq=False)
class Shows:
    """How it is doing, as any plugin says it."""

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        pass

    async def status_tables(self) -> list[StatusTable]:
        return [StatusTable("doing", ("how",), (("well",),))]


# --- on the whole terminal --------------------------------------------------------------------------------------------


@define(eq=False)
class Script:
    """Tells one document after the other, the last for ever; an exception among them is raised."""

    told: list[Any] = field(factory=list)
    name: str = "\x1b]0;title\x07here"

    def look(self) -> Any:
        found = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if isinstance(found, Exception):
            raise found
        return found


def names(app: Top) -> list[str]:
    table = app.query_one(DataTable)
    return [str(table.get_row_at(at)[0]) for at in range(table.row_count)]


def test_keys_change_what_a_line_is_and_nothing_is_taken_for_markup() -> None:
    """A model called ``[bold]x[/]`` is shown so."""

    async def run() -> None:
        app = Top(Script([document(exchange(1, model="[bold]x[/]", route="\x1b[31mred"))]), every=3600)
        async with app.run_test() as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert names(app) == ["all", "[bold]x[/]"]
            await pilot.press("r")
            assert names(app) == ["all", "␛[31mred"]
            await pilot.press("t")
            assert names(app) == ["all", "acme"]
            said = str(app.query_one("#told", Static).render())
            assert obeyed(said) == []
            await pilot.press("q")
        assert app.return_code == 0

    anyio.run(run)


def test_a_program_that_is_gone_leaves_the_last_numbers_and_says_so() -> None:
    """It is asked again; while it is paused it is not."""

    async def run() -> None:
        script = Script([document(exchange(1)), CannotTell("it does not answer"), document(exchange(1), exchange(2))])
        app = Top(script, every=3600)
        async with app.run_test() as pilot:
            for expected, requests in (("1 over", "1"), ("it does not answer", "1"), ("2 over", "2")):
                await app.workers.wait_for_complete()
                await pilot.pause()
                assert expected in str(app.query_one("#told", Static).render())
                assert str(app.query_one(DataTable).get_row_at(0)[1]) == requests
                app._again()
            await pilot.press("p")
            assert "paused" in str(app.query_one("#told", Static).render())

    anyio.run(run)

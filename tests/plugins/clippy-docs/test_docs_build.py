"""``clippy docs build`` tells of everything installed, believes nothing of it, and gives the same bytes each time."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path

import click.testing
import pytest
from clippy_docs.offline import faults
from plugin_folder import PluginFolder, plugin_folder

from clippy_core.cli import command_line
from clippy_core.installed import rescan

GOOD = '''
    @define(eq=False)
    class Plugin:
        """Counts <script>alert(1)</script> | and \x1b[2J *stars*."""

        declares_metrics = (("good.<b>answers", "{answer}", "Answers | by `model`."),)

        limit: float = field(default=2.5, metadata={"doc": "how <b>long</b> | it waits", "unit": "seconds"})
        api_key: str = field(default="sk-default-secret", metadata={"doc": "the key"})
        bare: tuple[str, ...] = ()

        @hookimpl(tryfirst=True)
        def pre_request(self, request, ctx):
            """Looks at <i>it</i>."""

        @hookimpl
        def register_services(self, services):
            services.offer(TokenCounter, self)

        @hookimpl
        def register_commands(self, cli):
            import click

            @cli.command("greet")
            @click.option("--loud", is_flag=True, help="Shout <u>it</u>.")
            def greet(loud):
                """Say <marquee>hello</marquee>."""
'''
BARE = "@define(eq=False)\nclass Plugin:\n    pass\n"
BROKEN = "raise RuntimeError('not <em>today</em>')\n"
PICKY = """
    @define(eq=False)
    class Plugin:
        word: str = ""

        def __attrs_post_init__(self):
            raise RuntimeError(f"no {self.word}")
"""
ODD = """
    @define(eq=False)
    class Plugin:
        word: str = ""

    Plugin.__module__ = 7
"""
CONFIG = '[plugins.good]\nlimit = 7.254193\napi_key = "sk-configured-secret"\nbare = ["canary-value"]\n'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Three plugins of strangers: a good one, one that says nothing, and one that cannot be imported."""
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "clippy.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    with plugin_folder(site) as folder:
        folder.install("good", GOOD)
        folder.install("bare", BARE)
        folder.install("broken", BROKEN)
        rescan()
        yield folder


def build(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(command_line(), ["docs", "build", "--out", "out", *arguments])


def pages(folder: Path = Path("out/markdown")) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.md"))}


def test_every_plugin_has_its_page_and_a_broken_one_its_reason(installed: PluginFolder) -> None:
    """It stops nothing."""
    result = build()
    assert result.exit_code == 0, result.output
    made = pages()
    assert {"plugins/good.md", "plugins/bare.md", "plugins/broken.md", "plugins/docs.md"} <= made.keys()
    assert "not &#60;em&#62;today" in made["plugins/broken.md"]
    assert "[broken](plugins/broken.md)" in made["index.md"].partition("## Set aside")[2]
    assert "Its class has no docstring." in made["plugins/bare.md"]
    assert "There is nothing to set." in made["plugins/bare.md"]
    assert "undocumented" in made["plugins/good.md"]


def test_a_plugin_is_told_with_hooks_settings_commands_metrics_and_services(installed: PluginFolder) -> None:
    """Each on the page where a reader looks for it."""
    build()
    made = pages()
    good = made["plugins/good.md"]
    assert "(tryfirst)" in good
    assert "| `limit` | float | `2.5` | `CLIPPY_GOOD__LIMIT` |" in good
    assert "(seconds)" in good
    assert "# limit = 2.5" in good
    assert "Offers [`TokenCounter`](../values.md#tokencounter)" in good
    assert "`{answer}`" in good
    assert "`{answer}`" in made["metrics.md"]
    assert "## clippy greet" in made["commands.md"]
    assert "`--loud`" in made["commands.md"]
    assert "## clippy docs build" in made["commands.md"]
    assert "[good](plugins/good.md)" in made["hooks.md"]
    assert "`good` (a failure: raise)" in made["architecture.md"]


def test_no_word_of_a_plugin_is_markup_and_none_acts_on_a_terminal(installed: PluginFolder) -> None:
    """On no page."""
    build()
    for name, text in pages().items():
        assert "\x1b" not in text, name
        assert not [tag for tag in ("<script", "<marquee", "<em>", "<u>", "<i>", "<b>") if tag in text], name


def test_no_value_of_the_configuration_is_told_and_no_secret_default(installed: PluginFolder) -> None:
    """Also where the configuration is why a plugin was set aside."""
    build()
    everything = "".join(pages().values())
    assert "not shown: a secret" in everything
    assert not [
        one for one in ("7.254193", "sk-configured-secret", "canary-value", "sk-default-secret") if one in everything
    ]
    Path("clippy.toml").write_text('[plugins.good]\nlimit = "canary-value"\n')
    result = build()
    everything = "".join(pages().values()) + result.output
    assert "its settings are wrong" in everything
    assert "canary-value" not in everything


def test_what_a_plugin_raised_over_its_settings_is_told_without_them(installed: PluginFolder) -> None:
    """Its own words may repeat them."""
    installed.install("picky", PICKY)
    rescan()
    Path("clippy.toml").write_text('[plugins.picky]\nword = "canary-value"\n')
    result = build()
    everything = "".join(pages().values()) + result.output
    assert "raised while it was made&#58; RuntimeError" in everything.replace("made: R", "made&#58; R")
    assert "canary-value" not in everything


def test_a_class_that_cannot_be_read_has_a_page_that_says_so(installed: PluginFolder) -> None:
    """And the pages of the others are there."""
    installed.install("odd", ODD)
    rescan()
    result = build()
    assert result.exit_code == 0, result.output
    made = pages()
    assert "cannot be read" in made["plugins/odd.md"]
    assert "Counts" in made["plugins/good.md"]


def test_a_configuration_that_cannot_be_read_ends_it(installed: PluginFolder) -> None:
    """It is not known then who is called."""
    Path("clippy.toml").write_text("[plugins\n")
    result = build()
    assert result.exit_code == 2
    assert not Path("out").exists()


def test_two_processes_give_the_same_bytes(installed: PluginFolder) -> None:
    """This one and another, with another seed of hashes, and another home."""
    own = {"PYTHONHASHSEED": "1", "PYTHONPATH": str(installed.folder), "HOME": "/home-1"}
    command = [sys.executable, "-m", "clippy_core.cli", "docs", "build", "--out", "other"]
    subprocess.run(command, env={**os.environ, **own}, check=True, capture_output=True, timeout=300)
    build()
    assert pages(Path("other/markdown")) == pages()


def test_check_writes_nothing_and_tells_what_differs(installed: PluginFolder) -> None:
    """It ends with 1 for a page that is missing, different or left over, and with 0 when all is as it is made."""
    assert build("--check").exit_code == 1
    assert not Path("out").exists()
    build()
    assert build("--check").exit_code == 0
    Path("out/markdown/hooks.md").write_text("changed")
    Path("out/markdown/left.md").write_text("left over")
    Path("out/markdown/values.md").unlink()
    result = build("--check")
    assert result.exit_code == 1
    for line in ("hooks.md differs", "left.md is no longer made", "values.md is missing"):
        assert line in result.output
    assert Path("out/markdown/hooks.md").read_text() == "changed"


def test_what_check_says_to_do_writes_what_it_checked(installed: PluginFolder) -> None:
    result = build("--check", "--out", "my docs")
    [said] = re.findall(r"my docs is not up to date: clippy docs build (.*)", result.output)
    assert build(*shlex.split(said)).exit_code == 0
    assert build("--check", "--out", "my docs").output == "my docs is up to date\n"
    assert "--format" not in said
    assert build("--check").output.endswith("out is not up to date: clippy docs build --out out\n")


def test_a_folder_of_somebody_else_is_left_alone(installed: PluginFolder) -> None:
    """A slip in --out must cost nobody their files; our own folder is replaced as a whole."""
    Path("out/markdown").mkdir(parents=True)
    Path("out/markdown/theirs.txt").write_text("dear")
    result = build()
    assert result.exit_code == 1
    assert "choose another --out" in result.output
    assert [path.name for path in Path("out/markdown").iterdir()] == ["theirs.txt"]


def test_the_pages_need_no_network_and_show_words_as_words(installed: PluginFolder) -> None:
    """Every link leads somewhere; the words of a plugin are there, and are no elements."""
    pytest.importorskip("zensical")
    result = build("--format", "both")
    assert result.exit_code == 0, result.output
    assert list(faults(Path("out/html"))) == []
    page = Path("out/html/plugins/good.html").read_text("utf-8")
    assert 'data-md-color-scheme="slate"' in page, "none for who has it dark"
    drawing = re.search(
        r'viewBox="0 0 (\S+) \S+" style="min-width:(\S+)px"', Path("out/html/architecture.html").read_text()
    )
    assert drawing is not None
    assert drawing[1] == drawing[2], "smaller than it was drawn nobody can read its words"
    assert "<script>alert(1)" in unescape(page)
    assert "<script>alert(1)" not in page
    assert build("--format", "both", "--check").exit_code == 0


def test_without_zensical_the_message_says_what_to_install(
    installed: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.setattr("clippy_docs.site.find_spec", lambda name: None)
    result = build("--format", "html")
    assert result.exit_code == 1
    assert "clippy-docs[html]" in result.output
    assert not Path("out").exists()

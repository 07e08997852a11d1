"""``clippy demo``: what this does, shown in seconds, with no key and no network."""

from __future__ import annotations

import re
import shutil
import textwrap
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field, frozen

from .output import json_option, say_json
from .screen import Line, Screen, Silence, Span, line, marks, screen_for

if TYPE_CHECKING:
    from .demo_scene import Proof, Scene
    from .demo_stage import Stage

_STYLES = {"ok": "good", "failed": "bad", "skipped": "dim"}
_TITLE = 34
"""Columns for a scene's title."""
_NEXT = (
    "Two lines in your own program:",
    "    host = clippy_core.Host.from_config()",
    "    client = host.wrap(openai.OpenAI())",
    "What is active: clippy plugins list, clippy hooks, clippy config show --origin",
)


@frozen
class Played:
    """How one scene went: ok, failed or skipped, and what it had to show."""

    scene: Scene
    status: str
    proof: Proof


@define(eq=False)
class Performance:
    """One run of the demo on one screen."""

    screen: Screen
    marks: dict[str, str]
    played: list[Played] = field(factory=list)
    clients: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    requests: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every scene that should work did."""
        return all(one.status != "failed" for one in self.played)

    def run(self, *, live: bool, model: str | None, pages: bool = False) -> None:
        """Play everything; with *pages* the stage stays until Ctrl-C, so that what was played can be looked at."""
        began = time.monotonic()
        self.screen.now(line(Span("importing …", "dim")))
        from .demo_pages import until_told_to_end
        from .demo_scenes import SCENES
        from .demo_stage import open_stage

        with open_stage(self.screen, live=live, model=model, pages=pages) as stage:
            self._opening(stage)
            for number, scene in enumerate(SCENES, 1):
                self._play(number, scene, stage)
            self.requests, self.advice = stage.sent, tuple(_advice(stage))
            if pages:
                self._ending(stage, began)
                stage.tell_pages()  # another link: the first one is far above by now, and may have been used
                self.screen.say(line(Span("The pages stay open until Ctrl-C.", "bold")))
                until_told_to_end()
        if not pages:
            self._ending(stage, began)

    def _opening(self, stage: Stage) -> None:
        self.clients = tuple(driver.name for driver in (stage.primary, stage.other) if driver is not None)
        self.plugins = stage.active
        where = f"a fake provider on {stage.server.origin}" if stage.server else "the real endpoint of the environment"
        counts = "; requests are as it counted them" if stage.server else ""
        self.screen.say(line(Span("clippy demo", "bold"), f" on {where}{counts}"))
        self.screen.say(line(f"clients: {', '.join(self.clients)}"))
        self.screen.say(line(f"plugins: {', '.join(self.plugins) or 'none is active'}"))
        broken = [plugin.name for plugin in stage.found if plugin.status == "quarantined"]
        if broken:
            self.screen.say(line(Span(f"in quarantine: {', '.join(broken)}; see clippy doctor", "warn")))
        self.screen.say(line())

    def _play(self, number: int, scene: Scene, stage: Stage) -> None:
        title = f" {number} {scene.title:<{_TITLE}}"
        stage.heading = line(Span("…", "warn"), Span(title, "bold"))
        stage.show()
        status, proof = perform(scene, stage)
        self.played.append(Played(scene, status, proof))
        mark = Span(self.marks[status], _STYLES[status])
        for shown in (*_beside((mark, Span(title, "bold")), proof.said, _STYLES[status]), *proof.below):
            self.screen.say(shown)

    def _ending(self, stage: Stage, began: float) -> None:
        self.notes = tuple(stage.hide(note) for note in stage.notes.said)
        self.seconds = time.monotonic() - began
        counts = {status: sum(one.status == status for one in self.played) for status in ("ok", "failed", "skipped")}
        summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        self.screen.say(line())
        style = "good" if self.ok else "bad"
        self.screen.say(
            line(Span(f"{summary}; {self.requests} requests reached the provider; {self.seconds:.1f} s", style))
        )
        for note in self.notes:
            self.screen.say(line(Span(f"the host said: {note}", "warn")))
        for text in (*(self.advice if counts["skipped"] else ()), *_NEXT):
            self.screen.say(line(text))

    def document(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "clients": list(self.clients),
            "plugins": list(self.plugins),
            "notes": list(self.notes),
            "scenes": [
                {"name": one.scene.name, "title": one.scene.title, "status": one.status, "proof": one.proof.said}
                | dict(one.proof.facts)
                for one in self.played
            ],
        }


def perform(scene: Scene, stage: Stage) -> tuple[str, Proof]:
    """Play one scene; how it ended, and its proof or its reason."""
    from .demo_scene import Proof, Skipped, Wrong

    stage.acts.planned.clear()  # what a scene that failed has left
    stage.notes.staged = scene.staged
    try:
        if scene.staged and stage.server is None:
            raise Skipped("needs a provider that fails on command: run it without --live")
        return "ok", scene.play(stage)
    except Skipped as reason:
        return "skipped", Proof(str(reason))
    except Wrong as reason:
        return "failed", Proof(stage.hide(str(reason)))
    except Exception as error:  # a client's own exceptions: whatever it is, the scene did not work
        return "failed", Proof(stage.hide(f"{type(error).__name__}: {error}"))


def _beside(title: Line, said: str, style: str) -> list[Line]:
    """Title and proof on one line where the terminal is wide enough, else the proof below it."""
    width = shutil.get_terminal_size((120, 24)).columns - 1
    if sum(len(span.text) for span in title) + 2 + len(said) <= width:
        return [(*title, Span("  "), Span(said, style))]
    return [title, *(line("      ", Span(part, style)) for part in textwrap.wrap(said, width - 6))]


def _advice(stage: Stage) -> Iterator[str]:
    """What to do about scenes that had no plugin: what is off, and what our own extra would bring."""
    off = [plugin for plugin in stage.found if plugin.status == "disabled"]
    if off:
        yield f"installed and off: {', '.join(plugin.name for plugin in off)} ({off[0].reason})"
    there = {plugin.distribution for plugin in stage.found}
    absent = [name for name in _first_party() if name not in there]
    if absent:
        yield f"not installed: {', '.join(absent)} (clippy-core[all] brings them)"


def _first_party() -> list[str]:
    """The distributions of the extra ``all``, by what our own metadata says."""
    import importlib.metadata

    try:
        requires = importlib.metadata.requires("clippy-core") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    parts = [one.partition(";") for one in requires]
    return [
        re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0]
        for text, _, marker in parts
        if "'all'" in marker.replace('"', "'")
    ]


@click.command()
@click.option("--live", is_flag=True, help="Against the real endpoint of OPENAI_API_KEY or ANTHROPIC_API_KEY.")
@click.option("--model", help="The model for --live; otherwise OPENAI_MODEL, or a small one that is listed.")
@click.option("--open", "pages", is_flag=True, help="Show it in the browser meanwhile, and afterwards until Ctrl-C.")
@click.option("--plain", is_flag=True, help="Lines only, no terminal codes.")
@json_option
@click.pass_context
def demo(ctx: click.Context, live: bool, model: str | None, pages: bool, plain: bool, as_json: bool) -> None:
    """See everything work in seconds: no key, no network, nothing left behind.

    A fake provider on loopback, the real SDKs, and the plugins that are installed, with their defaults: settings of
    yours are not read, but for CLIPPY_PLUGINS.  Exit 1 if a scene that should work did not.
    """
    screen = Silence() if as_json else screen_for(plain=plain)
    performance = Performance(screen, marks())
    performance.run(live=live, model=model, pages=pages)
    if as_json:
        say_json(performance.document())
    ctx.exit(0 if performance.ok else 1)

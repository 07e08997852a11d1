"""The order of calls, as two plugins of somebody else's meet it: prints docs/hook-order.md, or checks it.

    python tests/contract/outside/order.py > docs/hook-order.md
    python tests/contract/outside/order.py --check docs/hook-order.md

Needs clippy-core and clippy-outside installed, and nothing else; trio is driven as well where it is there.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
from clippy_hookspecs import ClippyError

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

PLUGINS = ("outside-awaiting", "outside-plain")
COLOURS = ("sync", "asyncio", *(["trio"] if importlib.util.find_spec("trio") else []))
CONFIG = """
allow = ["outside-awaiting", "outside-plain"]
order = ["{outer}", "{inner}"]

[plugins.{inner}]
decides = "{decides}"
keeps = {keeps}

[routes.main]
base_url = "http://fake.test/v1"
key = "k"
model = "m"
default = true

[routes.other]
base_url = "http://other.test/v1"
key = "k"
model = "m"
"""


class Scene:
    """A host with both plugins, a client of one colour, and a provider with a script."""

    def __init__(self, colour: str, outer: str, script: Any, decides: str, *, keeps: bool, folder: str) -> None:
        (inner,) = {*PLUGINS} - {outer}
        config = Path(folder, "clippy.toml")
        keeping = "true" if keeps else "false"
        config.write_text(CONFIG.format(outer=outer, inner=inner, decides=decides, keeps=keeping), encoding="utf-8")
        self.colour, self.outer, self.clock = colour, outer, VirtualClock()
        self.meanwhile: Callable[[], None] = lambda: None
        self.provider = FakeProvider(self._pause if script is PAUSE else script, clock=self.clock)
        self.host = clippy_core.Host.from_config(config, clock=self.clock, salt_path=str(Path(folder, "salt")))
        self.plugins: dict[str, Any] = {"outer": self.host.plugins[outer], "inner": self.host.plugins[inner]}
        self.client: Any = None

    def _pause(self, seen: Any) -> Reply:
        self.meanwhile()
        return ANSWER

    def run(self, work: Callable[[Scene], Awaitable[None]]) -> list[tuple[str, str]]:
        """The calls that *work* led to, as (who, call) in their order; audit was called once for each request."""

        async def inside() -> None:
            async with self.host, clippy_core.AsyncClient(self.host, self.provider.async_client()) as self.client:
                await work(self)

        if self.colour == "sync":
            with self.host, clippy_core.Client(self.host, self.provider.client()) as self.client:
                drive(work(self))  # type: ignore[arg-type]
        else:
            anyio.run(inside, backend=self.colour)
        return self.calls()

    def calls(self) -> list[tuple[str, str]]:
        """What the plugins have noted so far."""
        noted = [(number, who, call) for who, plugin in self.plugins.items() for number, call in plugin.calls]
        return [(who, call) for _, who, call in sorted(noted)]

    def forget(self) -> None:
        """What was noted so far is not of interest."""
        for plugin in self.plugins.values():
            plugin.calls.clear()

    async def chat(self) -> None:
        """A plain call, however it ends."""
        try:
            await _value(self.client.chat("Hello"))
        except ClippyError:
            pass  # this scene's own failure

    async def stream(self, at_first: Callable[[Any], bool] = lambda stream: False) -> None:
        """A stream, however it ends; *at_first* happens at the first text and says whether to leave."""
        stream = await _value(self.client.stream("Hello"))
        try:
            while True:
                chunk = await _value(stream.__anext__() if self.colour != "sync" else next(stream, None))
                if chunk is None or (chunk.kind == "text" and at_first(stream)):
                    break
        except StopAsyncIteration:
            pass
        except ClippyError:
            pass  # this scene's own failure
        await _value(stream.aclose() if self.colour != "sync" else stream.close())


async def _value(given: Any) -> Any:
    return await given if hasattr(given, "__await__") else given


# --- the scenes -------------------------------------------------------------------------------------------------------


async def chat(scene: Scene) -> None:
    scene.forget()
    await scene.chat()


async def stream(scene: Scene) -> None:
    scene.forget()
    await scene.stream()


async def chat_again(scene: Scene) -> None:
    await scene.chat()
    await chat(scene)


async def stream_again(scene: Scene) -> None:
    await scene.chat()
    await stream(scene)


async def left(scene: Scene) -> None:
    scene.forget()
    await scene.stream(lambda stream: True)


async def cancelled(scene: Scene) -> None:
    scene.forget()
    if scene.colour == "sync" or scene.outer == PLUGINS[0]:
        scene.meanwhile = lambda: scene.plugins["outer"].last.flow.cancel()
        await scene.chat()
    else:
        with anyio.CancelScope() as scope:
            scene.meanwhile = scope.cancel
            await scene.chat()


async def cancelled_amid(scene: Scene) -> None:
    scene.forget()
    await scene.stream(lambda stream: bool(stream.context.flow.cancel()))


async def life(scene: Scene) -> None:
    scene.host.invalidate() if scene.colour == "sync" else await anyio.to_thread.run_sync(scene.host.invalidate)


ANSWER = Reply("one two")
PAUSE = object()
"""The script of a provider at which something happens when it is asked."""

SCENES: list[tuple[str, str, Any, Any, str, bool]] = [
    ("The life of a host",
     "Made, opened, told to drop what is stored, closed. Plain context managers are opened before async ones, wherever "
     "they stand; here the plain one stands outside.", life, ANSWER, "nothing", False),
    ("A miss", "A plain call; the inner plugin is a cache and stores the answer.", chat, ANSWER, "nothing", True),
    ("A hit", "The inner plugin has the answer; the outer one was asked before and is told.", chat_again, ANSWER,
     "nothing", True),
    ("A stream", "Read to its end.", stream, ANSWER, "nothing", False),
    ("A hit, streamed", "In the provider's own pieces, or in pieces like them.", stream_again, ANSWER, "nothing", True),
    ("An answer of a plugin", "The inner plugin answers in `pre_request`.", chat, ANSWER, "answer", False),
    ("A retry", "The first attempt gets 503; the inner plugin says `Retry`, so the outer one is not asked.", chat,
     [Fault.status(503), ANSWER], "retry", False),
    ("A switch", "The first attempt gets 503; the inner plugin says `Switch`.", chat, [Fault.status(503), ANSWER],
     "switch", False),
    ("An error", "503, and nobody decides.", chat, Fault.status(503), "nothing", False),
    ("An error amid a stream", "The connection breaks after the first text.", stream,
     [[Fault.reset(at_delta=1), ANSWER]], "nothing", False),
    ("A refusal on the way in", "The inner plugin raises `Refusal` in `pre_request`.", chat, ANSWER, "refuse", False),
    ("A refusal on the way out", "The inner plugin raises `Refusal` in `on_response`.", chat, ANSWER,
     "withhold", False),
    ("A fault of a plugin", "The inner plugin raises something else in `pre_request`.", chat, ANSWER, "raise", False),
    ("An early close", "The reader leaves the stream at its first text.", left, ANSWER, "nothing", False),
    ("A cancel while an answer is waited for", "`flow.cancel()`; a cancelled task is the same.", cancelled, PAUSE,
     "nothing", False),
    ("A cancel amid a stream", "`flow.cancel()` at the first text.", cancelled_amid, ANSWER, "nothing", False),
]  # fmt: skip
"""Title, sentence, what is done, the provider's script, what the inner plugin decides, whether it is a cache."""


def sequence(number: int, colour: str, outer: str) -> list[tuple[str, str]]:
    """The calls of a scene."""
    _, _, work, script, decides, keeps = SCENES[number]
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(colour, outer, script, decides, keeps=keeps, folder=folder)
        calls = scene.run(work)
    life_of_host = ("lifespan", "register", "cache_invalidate")
    if work is not life:
        calls = [(who, call) for who, call in calls if not call.startswith(life_of_host)]
        for who in ("outer", "inner"):
            assert sum(one == who and call.startswith("audit") for one, call in calls) == 1, "audit is called once"
    return [(who, call) for who, call in calls if call != "observe hook"]


def every_sequence(number: int) -> list[tuple[str, str]]:
    """The calls of a scene, which are the same in each colour and whichever of the two plugins stands outside."""
    outside = PLUGINS if SCENES[number][2] is not life else PLUGINS[1:]
    ways = [(colour, outer) for colour in COLOURS for outer in outside]
    first, *others = [sequence(number, *way) for way in ways]
    for way, other in zip(ways[1:], others, strict=True):
        assert other == first, f"{SCENES[number][0]}: {way} is called as {lines(other)}, {ways[0]} as {lines(first)}"
    return first


# --- the page ---------------------------------------------------------------------------------------------------------

HEAD = """# The order of calls

Two plugins that implement every hook, one outside the other, and what they are called for. The page is printed by
`tests/contract/outside/order.py`, whose two plugins are a package of its own that depends on `clippy-hookspecs` alone.
The order is the same in sync programs, on asyncio and on trio, for `def` and for `async def`, and a test holds it.

Each line is one hook and who is called for it, in this order. `xN` says that the lines above it in the same braces come
so often. After each call of another hook `observe` also gets an event of kind `hook`, which is left out here.
`register_commands` is called when a command is looked for, `register_routes` when a gateway starts. The chunk of the
terminal event itself (`done`) is passed on last, when the books of the request are closed.
"""


def lines(calls: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each call of all plugins, repetitions folded."""
    grouped: list[tuple[str, list[str]]] = []
    for who, call in calls:
        if grouped and grouped[-1][0] == call and who not in grouped[-1][1]:
            grouped[-1][1].append(who)
        else:
            grouped.append((call, [who]))
    return _folded([f"{call:<24} {', '.join(who)}" for call, who in grouped])


def _folded(steps: list[str]) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(steps):
        for size in range(1, 7):
            block, times = steps[at : at + size], 1
            while steps[at + times * size : at + (times + 1) * size] == block:
                times += 1
            if times > 1:
                out += ["{", *(f"  {step}" for step in block), f"}} x{times}"]
                at += times * size
                break
        else:
            out.append(steps[at])
            at += 1
    return out


def page() -> str:
    """The page as it is now."""
    parts = [HEAD]
    for number, (title, sentence, *_) in enumerate(SCENES):
        sentence = textwrap.fill(sentence, 120)
        parts.append(f"## {title}\n\n{sentence}\n\n```text\n" + "\n".join(lines(every_sequence(number))) + "\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Print the page, or say whether the one that is named is true."""
    made = page()
    if len(sys.argv) < 3:
        sys.stdout.write(made)
        return 0
    same = Path(sys.argv[2]).read_text(encoding="utf-8") == made
    names = ", ".join(COLOURS)
    sys.stdout.write(f"{sys.argv[2]} {'is' if same else 'is not'} the order of calls in {names}\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

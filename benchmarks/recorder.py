"""What recording costs a call and a stream: switched off, in memory, and into a file on its own thread.

The first cases are compared with the default stack, which the bars speak of; the others are what a bare host makes of
it, where the recorder is the only plugin and a call to a loopback server costs next to nothing.  A recorder writes a
moment after a call, on its own thread: each block waits for that, so that only its CPU time says anything, and all of
what writing costs is in it, as if the program had no moment to spare.

The thread writes where that is little of its time.  Of a program that is busier, the cases "by a process" are true: it
pays for handing the calls over, and what that process does is not in its CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from clippy_recorder import Recorder
from clippy_recorder.apart import Writer
from clippy_recorder.developing import develop
from clippy_recorder.handing import packed
from clippy_recorder.keeping import SOON, Keeper
from clippy_recorder.tape import Tape

from benchmarks import hosts
from benchmarks.bench import NONE, STACK, Bench
from benchmarks.calls import openai_client
from benchmarks.gateways import gateway_call
from clippy_core.testing.canned import PIECES
from clippy_core.testing.timing import Block, Group

OFF, MEMORY, LINES, DATABASE = "+ recorder, off", "+ recorder, in memory", "+ recorder, .jsonl", "+ recorder, .sqlite"
APART, DATABASE_APART = f"{LINES}, by a process", f"{DATABASE}, by a process"
BARS = {OFF: 1.01, MEMORY: 1.05, LINES: 1.05, DATABASE: 1.05, APART: 1.05, DATABASE_APART: 1.05}


def recorder_call(bench: Bench, *, bare: bool = False) -> Group:
    """``client.post(json=...)`` and ``r.json()``, each with a question that is new."""
    cases = {}
    for case, host in _hosts(bench, "call", bare).items():
        client = bench.sync_client(httpx, host)

        def call(client: Any = client) -> None:
            assert client.post(bench.server.chat_url, json=hosts.body()).json()["choices"]

        cases[case] = _written(bench.block(call, waits=False))
    return Group(f"one recorded call, sync, httpx, {_over(bare)}", cases, {} if bare else BARS, per_block=8)


def recorder_stream(bench: Bench, *, bare: bool = False) -> Group:
    """A stream of 100 pieces read by the openai SDK."""
    cases = {}
    for case, host in _hosts(bench, "stream", bare).items():
        cases[case] = _written(bench.block(_read(openai_client(bench, host, waits=False)), waits=False))
    return Group(f"a recorded stream, sync, openai SDK, {_over(bare)}", cases, {} if bare else BARS, per_block=2)


def _written(block: Block) -> Block:
    def waits(times: int) -> None:
        block(times)
        time.sleep(SOON + 0.02)

    return waits


def _over(bare: bool) -> str:
    return "no other plugin" if bare else "default stack"


def _hosts(bench: Bench, what: str, bare: bool) -> Mapping[str, Any]:
    made = {}
    for number, (case, settings) in enumerate(_SETTINGS.items()):
        place = bench.folder / f"recorder-{what}-{bare}-{number}"
        place.mkdir(exist_ok=True)
        plugins = {} if bare else hosts.default_stack(place)
        recorders = _recorder(place, settings)
        made[case if number or bare else STACK] = host = bench.host({**plugins, **recorders})
        if case in (APART, DATABASE_APART):
            host.open()
            handing_over(recorders["recorder"])
    return made


def recorder_handing(bench: Bench) -> Group:
    """Telling another process of what is over: a call of a gateway with the default stack, a stream of 100 pieces."""
    cases: dict[str, Block] = {}
    for what, kept in (("a call", partial(gateway_tapes, bench)), ("a stream", partial(stream_tapes, bench))):
        cases[f"{what}, packed"] = _on(kept, lambda: _pack)
        cases[f"{what}, handed over"] = _on(kept, partial(_handing, bench, what))
    return Group("a call that another process is told", cases, per_block=50)


def _on(kept: Callable[[], Sequence[Tape]], made: Callable[[], Callable[[Sequence[Tape]], None]]) -> Block:
    """A block that makes its tapes, and what it does with them, when it is first wanted."""
    tapes: list[Tape] = []
    work: list[Callable[[Sequence[Tape]], None]] = []

    def block(times: int) -> None:
        if not tapes:
            tapes.extend(kept())
            work.append(made())
        work[0]([tapes[number % len(tapes)] for number in range(times)])

    return block


def _pack(kept: Sequence[Tape]) -> None:
    for tape in kept:
        packed(tape)


def _handing(bench: Bench, what: str) -> Callable[[Sequence[Tape]], None]:
    """By the thread of a recorder, which gathers them for a moment."""
    path = bench.folder / f"{what}.jsonl"
    keeper = Keeper(path, partial(develop, level="detailed"))
    bench.stack.callback(keeper.close)
    begin(keeper, partial(Writer, path, "detailed", ()))

    def hand(kept: Sequence[Tape]) -> None:
        for tape in kept:
            keeper.keep(tape)
        while keeper._waiting:
            time.sleep(SOON + 0.02)

    return hand


def stream_tapes(bench: Bench, count: int = 4) -> list[Tape]:
    """Streams of 100 pieces that were recorded, with the default stack."""
    recorder = Recorder(enabled=True)
    (place := bench.folder / "handed-streams").mkdir(exist_ok=True)
    read = _read(openai_client(bench, bench.host({**hosts.default_stack(place), "recorder": recorder}), waits=False))
    for _ in range(count):
        read()
    return [*recorder._tapes.values()]


def gateway_tapes(bench: Bench, count: int = 20) -> list[Tape]:
    """Calls of a gateway that were recorded, with the default stack."""
    recorder = Recorder(enabled=True)
    (place := bench.folder / "handed-calls").mkdir(exist_ok=True)
    call = gateway_call(bench, {**hosts.default_stack(place), "recorder": recorder})
    for _ in range(count):
        bench.runner.run(call())
    return [*recorder._tapes.values()]


def handing_over(recorder: Any) -> None:
    """Have the recorder of an open host write by a process, as it does by itself in a program that is busy."""
    # which nobody else needs to reach, here and in no product
    begin(recorder._keeper, partial(Writer, recorder.path, recorder.level, recorder.secrets))


def begin(keeper: Keeper, apart: Callable[[], Writer]) -> None:
    """Start the process of *keeper*, and wait for it."""
    keeper._begin(apart)
    until = time.monotonic() + 60
    while not (keeper._writer is not None and keeper._heard(keeper._writer)):
        assert time.monotonic() < until, "the process did not begin within a minute"
        time.sleep(0.01)


def _recorder(place: Path, settings: Mapping[str, Any] | None) -> dict[str, object]:
    if settings is None:
        return {}
    name = settings.get("path")
    return {"recorder": Recorder(**{**settings, **({"path": place / name} if name else {})})}


_SETTINGS: Mapping[str, Mapping[str, Any] | None] = {
    NONE: None,
    OFF: {},
    MEMORY: {"enabled": True},
    LINES: {"enabled": True, "path": "calls.jsonl"},
    DATABASE: {"enabled": True, "path": "calls.sqlite"},
    APART: {"enabled": True, "path": "apart.jsonl"},
    DATABASE_APART: {"enabled": True, "path": "apart.sqlite"},
}


def _read(client: Any) -> Callable[[], None]:
    def call() -> None:
        stream = client.chat.completions.create(
            model=hosts.MODEL, messages=hosts.messages(), temperature=0.5, stream=True
        )
        assert sum(bool(chunk.choices[0].delta.content) for chunk in stream) == PIECES

    return call

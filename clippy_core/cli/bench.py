"""``clippy bench``: what the user's own plugins cost, each by itself and all together."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from .installation import installation
from .output import json_option, say, say_json

if TYPE_CHECKING:
    from .bench_cases import Bench, Measured

SECONDS = 13.0
"""How long is measured by default; with what comes before and after it the command takes less than twenty."""
FEWEST = 15
"""With fewer rounds a confidence interval says nothing."""
WANTED = 31
LEGEND = """\
CPU: how many times that of the bare client.  Added: microseconds of CPU more than the bare client takes; a plugin's
line is a host with it alone.  In the set: how many more all of them take with it than without it.  +-: half of the 95 %
confidence interval; a difference whose interval holds zero was not measured, and is marked unsure."""


@click.command()
@click.option("--rounds", type=click.IntRange(FEWEST), help="So many rounds, however long they take.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=SECONDS, show_default=True, help="How long to measure."
)
@json_option
@click.pass_context
def bench(ctx: click.Context, rounds: int | None, seconds: float, as_json: bool) -> None:
    """Measure what each of your plugins costs, and all of them together.

    A call and a stream are sent to a server on this machine: without clippy, without a plugin, with each plugin
    alone, with all and with all but each, in rounds in which every case takes its turn.  Nothing leaves the machine
    but what a plugin sends itself, and plugins keep their files in a folder that is removed.
    """
    from .bench_cases import Bench

    found = installation(ctx)
    found.require_readable()
    began = time.monotonic()
    with Bench.of(found.path) as made:
        if not as_json:
            say("measuring ..." if rounds else f"measuring for about {seconds:.0f} seconds ...", err=True)
        measured = [
            made.measure(stream=stream, rounds=rounds, seconds=seconds * share, wanted=WANTED)
            for stream, share in ((False, 0.4), (True, 0.6))
        ]
    if as_json:
        say_json(document(made, measured))
        return
    for line in lines(made, measured):
        say(line)
    say(f"{time.monotonic() - began:.0f} seconds")


def document(made: Bench, measured: Sequence[Measured]) -> dict[str, Any]:
    """Everything that was measured, as JSON; microseconds of one call or stream, ratios to the bare HTTP client."""
    return {
        "python": platform.python_version(),
        "packages": made.versions(),
        "left_out": [{"case": case, "reason": reason} for case, reason in made.left_out.items()],
        "groups": [
            {"title": one.title, "rounds": one.samples.rounds, "per_block": one.samples.per_block, "cases": one.cases()}
            for one in measured
        ],
    }


def lines(made: Bench, measured: Sequence[Measured]) -> Iterator[str]:
    """The same for a person; what the whole set costs without a plugin stands in that plugin's line."""
    yield f"Python {platform.python_version()}, " + ", ".join(f"{name} {one}" for name, one in made.versions().items())
    for one in measured:
        yield ""
        yield from table(one)
    for case, reason in made.left_out.items():
        yield f"left out: {case}: {reason}"
    yield ""
    yield from LEGEND.splitlines()


def table(measured: Measured) -> Iterator[str]:
    """One group."""
    shown = [case for case in measured.cases() if not case["case"].startswith("all but ")]
    width = max(24, *(len(case["case"]) for case in shown))
    rounds = measured.samples.rounds
    head = f"{measured.title}, {rounds} rounds of {measured.samples.per_block}"
    yield f"{head:<{width + 2}} {'CPU':>7} {'+-':>5} {'added':>9} {'+-':>6} {'':<7}{'in the set':>10} {'+-':>6}"
    for case in shown:
        is_bare = case is shown[0]
        cells = [
            f"  {case['case']:<{width}} {case['cpu_ratio']:>7.2f} {case['cpu_ratio_rough']:>5.2f}",
            "" if is_bare else _us(case, "added", 7),
            _us(case, "in_set", 8),
        ]
        yield " ".join(cells).rstrip()
    if rounds < FEWEST:
        yield f"  all of it is unsure: only {rounds} rounds fitted into the time, give more --seconds"


def _us(case: dict[str, Any], what: str, width: int) -> str:
    if case[f"{what}_us"] is None:
        return ""
    unsure = "unsure" if case[f"{what}_unsure"] else ""
    return f"{case[f'{what}_us']:>{width}.0f}us {case[f'{what}_rough_us']:>6.0f} {unsure:<6}"

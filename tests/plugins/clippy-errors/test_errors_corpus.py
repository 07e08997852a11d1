"""The classifier against the corpus of real error shapes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from clippy_errors import classify
from clippy_hookspecs import ErrorInfo, Failure, Headers

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "errors-dev.jsonl"
PHASES = {
    "response": "response",
    "connect": "connect",
    "local": "request",
    "any": "request",
    "mid_stream_before_token": "stream",
    "mid_stream_after_token": "stream",
}
PROVIDERS = {"network": None, "gateway": None}


def exception_named(spec: dict[str, str]) -> BaseException:
    """An exception of the real class where httpx has it, else of a class made up with the same names."""
    module, _, name = spec["type"].rpartition(".")
    if module == "httpx":
        return getattr(httpx, name)(spec["message"])
    if module == "builtins":
        return eval(name)(spec["message"])
    made_up = type(name, (BaseException if "Cancel" in name else ValueError,), {"__module__": module})
    return made_up(spec["message"])


def failure_of(case: dict[str, Any]) -> Failure:
    return Failure(
        status=case["status"],
        headers=Headers(case["headers"] or {}),
        body=(case["body"] or "").encode(),
        exception=exception_named(case["exception"]) if case["exception"] else None,
        phase=PHASES[case["phase"]],
        committed=case["phase"] == "mid_stream_after_token",
        now=case["now"],
    )


def faults(info: ErrorInfo, expect: dict[str, Any]) -> Iterator[str]:
    if info.category not in expect.get("category_accept", [expect["category"]]):
        yield f"category {info.category}, not {expect['category']}"
    if info.kind != expect["kind"]:
        yield f"kind {info.kind}, not {expect['kind']}"
    if info.retryable != expect["retryable"]:
        yield f"retryable {info.retryable}"
    wanted, got = expect["delay_s"], info.retry_after
    if wanted is None:
        if got is not None:
            yield f"delay {got}, not None"
    elif got is None or abs(got - wanted) > expect.get("delay_tol", max(0.001, wanted * 0.01)):
        yield f"delay {got}, not {wanted}"
    if info.outage != expect["breaker_counts"]:
        yield f"outage {info.outage}"


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        pytest.skip(f"the corpus {CORPUS.name} is not beside this checkout")
    return [json.loads(line) for line in CORPUS.read_text().splitlines()]


@pytest.mark.parametrize("named", [False, True], ids=["provider guessed", "provider given"])
def test_nearly_all_of_the_corpus_is_fully_right(cases: list[dict[str, Any]], named: bool) -> None:
    """At least 97 % of the cases have category, kind, retryable, delay and outage right, whoever names the provider."""
    total, right, wrong = Counter[str](), Counter[str](), []
    for case in cases:
        name = case["provider"]
        info = classify(failure_of(case), provider=PROVIDERS.get(name, name) if named else None)
        found = list(faults(info, case["expect"]))
        total[name] += 1
        right[name] += not found
        wrong += [f"{case['id']} {name}: {'; '.join(found)}"] if found else []
    print(
        f"\n{right.total()} of {total.total()} fully right; " + ", ".join(f"{n} {right[n]}/{total[n]}" for n in total)
    )
    print("\n".join(wrong))
    assert right.total() >= 0.97 * total.total(), wrong


def test_what_must_not_be_retried_never_is(cases: list[dict[str, Any]]) -> None:
    """Every case that a retry cannot help is not retryable, every spent quota among them and called by its name."""
    final = [case for case in cases if not case["expect"]["retryable"]]
    assert len(final) > 50
    assert [c["id"] for c in final if classify(failure_of(c)).retryable] == []
    quotas = [case for case in cases if case["expect"]["kind"] == "quota"]
    assert len(quotas) > 5
    assert {classify(failure_of(case)).kind for case in quotas} == {"quota"}


def test_no_message_holds_a_key(cases: list[dict[str, Any]]) -> None:
    """The message is one short line without the keys that providers quote back."""
    for case in cases:
        message = classify(failure_of(case)).message
        assert message
        assert len(message) <= 300
        assert message.isprintable()
        assert "sk-false" not in message

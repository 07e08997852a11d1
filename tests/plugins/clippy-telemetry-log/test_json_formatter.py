"""Any log record is one line of JSON, and reads back as what it was."""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from clippy_telemetry_log import JsonFormatter
from hypothesis import given
from hypothesis import strategies as st

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "logs-dev.jsonl"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def line(message: str = "said", *args: Any, **extra: Any) -> str:
    record = logging.makeLogRecord({"name": "program", "levelname": "INFO", "msg": message, "args": args, **extra})
    return JsonFormatter().format(record)


def told(*args: Any, **extra: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line(*args, **extra))
    return said


def test_a_record_is_its_time_level_logger_and_message() -> None:
    assert told("%s of %d", "one", 2, created=1700000000.25) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "level": "INFO",
        "logger": "program",
        "message": "one of 2",
    }


@given(st.text() | st.text(alphabet="\r\n\x00\x1b\x7f\x85\u2028\u2029\u202e\u2066\ufeff\ud800\U000e0041"), VALUES)
def test_whatever_it_holds_it_is_one_line_of_printable_ascii_and_reads_back_the_same(text: str, value: Any) -> None:
    written = line(text, detail=value, named={text: text})
    assert written.isascii()
    assert written.isprintable()
    read = json.loads(written)
    assert (read["message"], read["detail"], read["named"]) == (text, value, {text: text})


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of log lines is not here")
def test_no_text_of_the_corpus_ends_a_line() -> None:
    cases = [json.loads(one) for one in CORPUS.read_text().splitlines()]
    assert cases
    for case in cases:
        text = case["input"] if case["input"] is not None else case["input_repeat"][0] * case["input_repeat"][1]
        assert line(text, detail=text).isprintable()
        assert told(text, detail=text)["message"] == told(text, detail=text)["detail"] == text


def test_an_extra_does_not_take_the_place_of_a_field() -> None:
    read = told("said", level="CRITICAL", time="yesterday")
    assert (read["level"], read["level_"], read["time_"]) == ("INFO", "CRITICAL", "yesterday")


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        read = told(exc_info=(type(error), error, error.__traceback__))
    assert read["exception"].startswith("Traceback (most recent call last)")
    assert read["exception"].endswith("ValueError: one\ntwo")


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_what_json_does_not_have_is_written_as_text() -> None:
    itself: list[Any] = [1]
    itself += [itself, itself]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    read = told(
        nan=float("nan"), day=date(2026, 1, 2), names={3: {"x"}, (1, 2): None}, itself=itself, huge=2**60000,
        broken=Unspeakable(), deep=deep,
    )  # fmt: skip
    assert (read["nan"], read["day"], read["names"]) == ("nan", "2026-01-02", {"3": ["x"], "(1, 2)": None})
    assert (read["itself"], read["huge"]) == ([1, "<list>", "<list>"], hex(2**60000))
    assert read["broken"] == "<Unspeakable, whose str raises RuntimeError>"
    assert line(deep=deep).count("[") == 49


def test_it_does_not_count_an_integer_beyond_64_bits_as_anything_else() -> None:
    assert told(count=2**64 + 1, zero=-0.0, one=1.0)["count"] == 2**64 + 1
    assert '"zero":-0.0,"one":1.0' in line(zero=-0.0, one=1.0)

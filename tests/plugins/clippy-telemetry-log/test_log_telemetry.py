"""Each request becomes one log record, without content, whatever the program's logging does."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from calling import COLOURS, Again, Caller
from clippy_telemetry_log import LogTelemetry

from clippy_core.testing import Fault, Reply


class Keep(logging.Handler):
    """Keeps records, as a program's handler gets them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[list[logging.LogRecord]]:
    """What arrives at the program's handlers from the logger of requests, at every level."""
    logger, keep = logging.getLogger("clippy.requests"), Keep()
    logger.addHandler(keep)
    logger.setLevel(logging.DEBUG)
    try:
        yield keep.records
    finally:
        logger.removeHandler(keep)
        logger.setLevel(logging.NOTSET)


def caller(telemetry: LogTelemetry, colour: str = "sync", script: object = None, **others: object) -> Caller:
    return Caller(colour, httpx).start({"telemetry-log": telemetry, **others}, script)


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answered_request_is_one_record(colour: str, kept: list[logging.LogRecord]) -> None:
    caller(LogTelemetry(), colour, Reply("Hi")).chat("Hello")
    (record,) = kept
    assert (record.levelname, record.clippy_outcome, record.clippy_model) == ("INFO", "answered", "test-model")
    assert record.getMessage().startswith("request answered: test-model, by main, status 200, 0.000 s, ")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_failed_attempt_and_its_recovery_are_told(colour: str, kept: list[logging.LogRecord]) -> None:
    telemetry = LogTelemetry(attempt="warning")
    caller(telemetry, colour, [Fault.status(503), Reply("Hi")], again=Again()).chat("Hello")
    assert [(one.levelname, one.getMessage().partition(":")[0]) for one in kept] == [
        ("WARNING", "attempt 1"),
        ("WARNING", "request answered"),
    ]

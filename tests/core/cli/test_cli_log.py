"""What ``clippy serve`` and every other command write of a failure: why, and nothing that was said in confidence."""

from __future__ import annotations

import logging

import pytest

from clippy_core.cli import SafeLines


@pytest.fixture
def log():
    logger = logging.getLogger("clippy.of.this.test")
    handler = SafeLines()
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


def fail() -> None:
    raise ValueError("sk-canary-0123456789")


def test_a_failure_is_told_with_its_kind_and_place_and_without_what_it_says(log, capsys):
    try:
        try:
            fail()
        except ValueError as error:
            raise OSError(24, "Too many open files", "somebodys.file") from error
    except OSError:
        log.exception("a request failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a request failed: OSError (Too many open files) in test_a_failure_is_told")
    assert "after ValueError in fail (test_cli_log.py:" in line
    assert "canary" not in line


def test_what_did_not_fail_is_a_line_as_it_is(log, capsys):
    log.warning("fine\x1b[0m")
    assert capsys.readouterr().err == "warning: fine\\x1b[0m\n"

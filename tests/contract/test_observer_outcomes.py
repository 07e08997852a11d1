"""A suite for observers can be told which outcomes one records."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import define
from clippy_hookspecs import AuditRecord, hookimpl
from faults_of_ours import Notes

from clippy_core.testing import ObserverContract
from clippy_core.testing.contracts.base import checks_of, run_check, suite_for

ABOUT_OUTCOMES = {"test_it_sees_every_outcome", "test_each_record_is_kept_once", "test_eight_threads_lose_no_record"}


@define(eq=False)
class Alarms(Notes):
    """Notes what failed, and does not say so."""

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if record.outcome == "failed":
            Notes.audit(self, record)


def failed(**more: object) -> Mapping[str, str]:
    """The checks that fail, by what they say."""
    suite = suite_for(ObserverContract, lambda self: Alarms(), **more)
    about_outcomes = (
        "test_it_sees_every_outcome",
        "test_each_record_is_kept_once",
        "test_eight_threads_lose_no_record",
    )
    results = [run_check(check) for check in checks_of(suite) if check.name in about_outcomes]
    assert len(results) == 3
    return {result.check.name: result.reason for result in results if result.status != "passed"}


def test_one_that_is_told_of_asks_for_no_others() -> None:
    assert failed(outcomes=("failed",)) == {}


def test_untold_it_has_to_see_all() -> None:
    missed = failed()
    assert "answered" in missed["test_it_sees_every_outcome"]
    assert "answered, answered (streamed), cached" in missed["test_each_record_is_kept_once"]


@pytest.mark.parametrize("outcomes", [(), ("failure",)])
def test_an_outcome_that_there_is_not_is_a_mistake(outcomes: tuple[str, ...]) -> None:
    assert all("outcomes: there are answered, cached" in reason for reason in failed(outcomes=outcomes).values())
    assert len(failed(outcomes=outcomes)) == 3

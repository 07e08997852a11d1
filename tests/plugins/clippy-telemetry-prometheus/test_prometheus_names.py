"""Values of labels: bounded, one line, no secret, whatever text they are made of."""

from __future__ import annotations

import pytest
from clippy_telemetry_prometheus.names import LONGEST, OTHER, Names, clean
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_of
from prometheus_client.parser import text_string_to_metric_families as families_of
from prometheus_client.registry import Collector, CollectorRegistry

ANY = st.text(st.characters(), max_size=LONGEST + 20)  # surrogates and control characters, too


class One(Collector):
    """One sample with this label."""

    def __init__(self, label: str) -> None:
        self.label = label

    def collect(self) -> list[Metric]:
        made = Metric("it", "Help.", "counter")
        made.add_sample("it_total", {"label": self.label}, 1)
        return [made]


@given(ANY)
def test_any_text_becomes_one_readable_line_that_both_formats_give_back(text: str) -> None:
    label = clean(text)
    assert label.isprintable()
    assert len(label) <= LONGEST
    assert clean(label) in (label, OTHER)
    registry = CollectorRegistry()
    registry.register(One(label))
    for made, parse in ((generate_latest, families_of), (generate_openmetrics, openmetrics_of)):
        [family] = parse(made(registry).decode())  # type: ignore[operator]
        assert [sample.labels["label"] for sample in family.samples] == [label]


@given(st.lists(st.tuples(ANY, st.booleans()), max_size=40), st.integers(1, 5))
def test_there_are_never_more_values_than_allowed_and_one_is_always_shown_alike(
    texts: list[tuple[str, bool]], most: int
) -> None:
    names, shown = Names(most), {}
    for text, new in texts:
        value = names.shown(text, new)
        assert value in ("", OTHER, clean(text))
        if shown.get(text, OTHER) != OTHER:
            assert shown[text] == value
        shown[text] = value
    assert len({*shown.values()} - {"", OTHER}) <= most


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-mini-2024-07-18",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "claude-3-5-sonnet@20240620",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/abc",
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
    ],
)
def test_names_of_models_stay_as_they_are(model: str) -> None:
    assert model == clean(model)


def test_what_looks_like_a_key_or_is_no_name_has_no_value_of_its_own() -> None:
    assert OTHER == clean("sk-proj-" + "Zq8" * 20)
    assert OTHER == clean("a" * (LONGEST + 1))


def test_a_name_that_nobody_answered_to_has_no_value_until_somebody_does() -> None:
    """Or a caller could fill the label with names of its own, and the models that are used had none."""
    names = Names(2)
    for number in range(100):
        assert OTHER == names.shown(f"no such model {number}", new=False)
    assert "real" == names.shown("real")
    assert "real" == names.shown("real", new=False)

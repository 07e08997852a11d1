"""The names are those of the conventions, and the README lists what is told."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import clippy_telemetry_otel
from clippy_telemetry_otel import conventions
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes
from opentelemetry.semconv.schemas import Schemas

SOURCES = sorted(Path(clippy_telemetry_otel.__file__).parent.glob("*.py"))
README = Path(__file__).parents[3] / "plugins" / "clippy-telemetry-otel" / "README.md"
_NAME = re.compile(r'"((?:gen_ai|http|server|url|error|clippy)\.[a-z_.]+)"')


def named(*modules: ModuleType) -> set[str]:
    """The names that modules of constants hold."""
    return {value for module in modules for value in vars(module).values() if isinstance(value, str)}


TOLD = {name for path in SOURCES for name in _NAME.findall(path.read_text(encoding="utf-8"))}


def test_every_name_that_is_not_our_own_is_one_of_the_conventions() -> None:
    """As the package of OpenTelemetry's own constants spells it."""
    known = named(
        gen_ai_attributes, gen_ai_metrics, error_attributes, http_attributes, server_attributes, url_attributes
    )
    assert {name for name in TOLD if not name.startswith("clippy.")} <= known
    assert len(TOLD) > 40


def test_the_schema_is_the_version_that_the_readme_names() -> None:
    assert conventions.SCHEMA_URL == Schemas.V1_41_0.value
    assert "1.41.0" in README.read_text(encoding="utf-8")


def test_the_readme_lists_every_name() -> None:
    """A name in a row may leave out the beginning that it shares with the one before."""
    text = README.read_text(encoding="utf-8")
    listed = set(re.findall(r"`((?:gen_ai|http|server|url|error|clippy)\.[a-z_.]+)`", text))
    for beginning, row in re.findall(r"`(gen_ai\.(?:request|usage)\.)\w+(?:\.\w+)*`((?:, `\.[a-z_.]+`)+)", text):
        listed |= {beginning + rest for rest in re.findall(r"`\.([a-z_.]+)`", row)}
    assert TOLD <= listed, TOLD - listed

"""What tokens cost: each counted once, at the price of its kind; what is not known costs None, never 0."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import define, fields
from click.testing import CliRunner
from clippy_hookspecs import ConfigError, Prices, RequestContext, Response, Usage, hookimpl
from clippy_prices import PriceList, Rates, Table, TableError, read_table
from clippy_prices.table import family
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core.testing import FakeProvider, Raw, VirtualClock

SHIPPED = PriceList()
KINDS = [one.name for one in fields(Rates)]


def cost(model: str, usage: Usage) -> float | None:
    return SHIPPED.cost(model, usage)


# --- sums, from the providers' own examples ---------------------------------------------------------------------------


def usage_of(api: str, usage: dict[str, Any]) -> Usage:
    """The usage that the host reads in an answer of this API."""
    body: dict[str, Any] = {
        "openai.chat": {
            "id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
            ],
        },
        "openai.responses": {
            "id": "1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [],
        },
        "anthropic.messages": {
            "id": "1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": "end_turn",
            "stop_sequence": None,
        },
    }[api]  # fmt: skip
    path = {"openai.chat": "/chat/completions", "openai.responses": "/responses", "anthropic.messages": "/messages"}
    found: list[Usage] = []

    @define(eq=False)
    class Look:
        @hookimpl
        def on_response(self, response: Response) -> None:
            assert response.usage is not None
            found.append(response.usage)

    provider = FakeProvider(Raw(json.dumps({**body, "usage": usage}).encode()))
    with clippy_core.Host({"look": Look()}) as host, host.wrap(provider.client()) as client:
        ask = {"model": "m", "messages": [], "input": "x", "max_tokens": 1}
        client.post(f"http://fake.test/v1{path[api]}", json=ask).raise_for_status()
    return found[0]


def test_the_cached_tokens_of_openai_are_part_of_its_prompt_tokens() -> None:
    """The numbers of OpenAI's announcement of prompt caching (openai.com/index/api-prompt-caching)."""
    usage = usage_of("openai.chat", {
        "total_tokens": 2306, "prompt_tokens": 2006, "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })  # fmt: skip
    wanted = (86 * 2.50 + 1920 * 1.25 + 300 * 10.00) / 1_000_000
    assert cost("gpt-4o-2024-08-06", usage) == pytest.approx(wanted)


def test_the_responses_api_counts_the_same_way() -> None:
    """``input_tokens`` with ``cached_tokens`` among them: the example of x.ai, which speaks the same API."""
    usage = usage_of("openai.responses", {
        "input_tokens": 125, "output_tokens": 48, "total_tokens": 173,
        "input_tokens_details": {"cached_tokens": 98}, "output_tokens_details": {"reasoning_tokens": 0},
    })  # fmt: skip
    assert cost("gpt-5-mini", usage) == pytest.approx((27 * 0.25 + 98 * 0.025 + 48 * 2.0) / 1_000_000)


def test_the_cached_tokens_of_anthropic_stand_beside_its_input_tokens() -> None:
    """The three counts add up to the prompt; each is charged once, the hour's writes apart from those of minutes."""
    usage = usage_of("anthropic.messages", {
        "input_tokens": 2048, "cache_read_input_tokens": 1800, "cache_creation_input_tokens": 248, "output_tokens": 503,
        "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
    })  # fmt: skip
    assert usage.input == 2048 + 1800 + 248
    wanted = (2048 * 3.0 + 1800 * 0.30 + 148 * 3.75 + 100 * 6.0 + 503 * 15.0) / 1_000_000
    assert cost("claude-sonnet-4-5-20250929", usage) == pytest.approx(wanted)


def test_writes_to_a_cache_are_of_five_minutes_unless_told_otherwise() -> None:
    """Anthropic's default; the older API told no split."""
    usage = usage_of("anthropic.messages", {"input_tokens": 10, "cache_creation_input_tokens": 90, "output_tokens": 0})
    assert cost("claude-haiku-4-5", usage) == pytest.approx((10 * 1.0 + 90 * 1.25) / 1_000_000)


def test_a_long_prompt_has_the_long_price_for_all_of_it() -> None:
    """Beyond 272,000 input tokens twice the input and one and a half times the output price."""
    assert cost("gpt-5.6-luna", Usage(272_000, 1000)) == pytest.approx((272_000 * 0.2 + 1000 * 1.2) / 1e6)
    assert cost("gpt-5.6-luna", Usage(272_001, 1000)) == pytest.approx((272_001 * 0.4 + 1000 * 1.8) / 1e6)
    assert cost("gpt-5.6-luna", Usage(300_000, 1000, cache_read=1)) is None


def test_embeddings_cost_their_input() -> None:
    """There is no output to be priced."""
    assert cost("text-embedding-3-small", Usage(1_000_000)) == 0.02
    assert cost("text-embedding-3-small", Usage(1, 1)) is None


# --- what is not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["", "gpt", "gpt-9", "openai/gpt-4o", "ft:gpt-4o-mini-2024-07-18:us::1", "gpt-4o-2024-05-13", "GPT-4o"]
)
def test_an_unknown_model_costs_none(model: str) -> None:
    """Also a router's name, a fine-tuned model, and a snapshot that had another price than its family."""
    assert cost(model, Usage(1, 1)) is None


@pytest.mark.parametrize(
    "extra",
    [
        {"service_tier": "batch"},
        {"service_tier": "priority"},
        {"speed": "fast"},
        {"inference_geo": "us"},
        {"prompt_tokens_details": {"audio_tokens": 3}},
        {"output_tokens_details": {"audio_tokens": 3}},
    ],
)
def test_what_is_not_served_at_list_prices_costs_none(extra: dict[str, Any]) -> None:
    """Half price in a batch, more elsewhere: better no number than a wrong one."""
    assert cost("claude-haiku-4-5", Usage(1, 1)) is not None
    assert cost("claude-haiku-4-5", Usage(1, 1, extra=extra)) is None


@pytest.mark.parametrize("kind", ["cache_read", "cache_write"])
def test_tokens_of_a_kind_without_a_price_make_the_whole_unknown(kind: str) -> None:
    """Part of a cost is not the cost."""
    assert cost("gpt-4", Usage(10, 10)) == pytest.approx(900 / 1_000_000)
    assert cost("gpt-4", Usage(10, 10, **{kind: 1})) is None


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("m-20251399", "m-20251399"),
        ("m-2025-02-30", "m-2025-02-30"),
        ("m-2025-08-07x", "m-2025-08-07x"),
        ("-2025-08-07", ""),
        ("m-２０２５-08-07", "m-２０２５-08-07"),
        ("m-2025-08-07\n", "m-2025-08-07\n"),
    ],
)
def test_a_snapshot_is_of_the_family_before_its_date(model: str, wanted: str) -> None:
    """Days that never were are no dates, nor are four digits: those snapshots had prices of their own."""
    assert family(model) == wanted


def test_the_name_counts_before_its_family_and_that_before_patterns() -> None:
    """And of the patterns the one with the most text."""
    table = read_table({"prices": [
        {"model": "m-2025-08-07", "input": 1}, {"model": "m", "input": 2}, {"model": "*", "input": 3},
        {"model": "n-*", "input": 4}, {"model": "n-*-x", "input": 5}, {"model": "*.+", "input": 6},
    ]}, "t")  # fmt: skip

    def rate(model: str) -> float | None:
        price = table.price(model, None)
        return price and price.rates.input

    asked = ["m-2025-08-07", "m-2025-08-08", "m", "q", "n-1", "n-1-x", "n-", "z.+", "za"]
    assert [rate(model) for model in asked] == [1, 2, 2, 3, 4, 5, 4, 6, 3]


def test_of_prices_with_days_the_latest_begun_counts() -> None:
    """In a host that is today by its clock."""
    today = datetime.fromtimestamp(VirtualClock().time(), UTC).date()
    days = [None, today - timedelta(9), today, today + timedelta(1)]
    table = {"prices": [{"model": "m", "input": n, "valid_from": d and str(d)} for n, d in enumerate(days, 1)]}
    found = read_table(table, "t")
    wanted = [1.0, 2.0, 3.0, 4.0]
    asked = [date.min, today - timedelta(1), today, today + timedelta(5)]
    assert [(one := found.price("m", day)) and one.rates.input for day in asked] == wanted
    later = read_table({"prices": [{"model": "m", "input": 1, "valid_from": "2026-01-02"}]}, "t")
    assert later.price("m", date(2026, 1, 1)) is None


# --- properties -------------------------------------------------------------------------------------------------------

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(lambda a, b, r, w: Usage(a + r + w, b, r, w), COUNTS, COUNTS, COUNTS, COUNTS)
MONEY = st.floats(0, 1e4, allow_nan=False)
RATES = st.builds(Rates, MONEY, MONEY, MONEY, MONEY, MONEY)


@given(RATES, USAGES, COUNTS, COUNTS, COUNTS, COUNTS)
def test_more_tokens_of_any_kind_never_cost_less(rates: Rates, usage: Usage, a: int, b: int, r: int, w: int) -> None:
    """Tokens added, none turned from one kind into another."""
    more = Usage(usage.input + a + r + w, usage.output + b, usage.cache_read + r, usage.cache_write + w)
    first, second = rates.cost(usage), rates.cost(more)
    assert first is not None
    assert second is not None
    assert second >= first >= 0


@given(RATES, USAGES, USAGES)
def test_two_usages_cost_what_they_cost_together(rates: Rates, one: Usage, other: Usage) -> None:
    """As long as no prompt is a long one."""
    both = Usage(
        one.input + other.input, one.output + other.output,
        one.cache_read + other.cache_read, one.cache_write + other.cache_write,
    )  # fmt: skip
    first, second = rates.cost(one), rates.cost(other)
    assert first is not None
    assert second is not None
    assert rates.cost(both) == pytest.approx(first + second)


@given(st.text(), USAGES)
def test_no_name_and_no_usage_raises_or_costs_less_than_nothing(model: str, usage: Usage) -> None:
    """Whatever a provider calls its model."""
    found = cost(model, usage)
    assert found is None or found >= 0


ODD = st.integers() | st.just(10**400)


@given(st.sampled_from(sorted(SHIPPED.table.prices)), ODD, ODD, ODD, ODD, st.dictionaries(st.text(), st.none()))
def test_counts_that_are_no_counts_do_no_harm(
    model: str, a: int, b: int, r: int, w: int, split: dict[str, None]
) -> None:
    """Below zero, parts larger than the whole, numbers beyond every float."""
    found = cost(model, Usage(a, b, r, w, extra={"cache_creation": split}))
    assert found is None or found >= 0


@given(st.dictionaries(st.sampled_from(KINDS), MONEY), USAGES)
def test_a_cost_is_known_exactly_when_all_kinds_used_have_prices(rates: dict[str, float], usage: Usage) -> None:
    """Never 0 for what is not known."""
    used = {
        "input": usage.input - usage.cache_read - usage.cache_write, "output": usage.output,
        "cache_read": usage.cache_read, "cache_write": usage.cache_write,
    }  # fmt: skip
    known = all(kind in rates for kind, tokens in used.items() if tokens)
    assert (PriceList(overrides={"m": dict(rates)}).cost("m", usage) is not None) == known


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_replace_the_file_which_replaces_what_is_shipped(tmp_path: Path) -> None:
    """By model; the rest stays."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"prices": [{"model": "gpt-4", "input": 1}, {"model": "mine", "input": 2}]}))
    prices = PriceList(file=file, overrides={"mine": {"input": 3}})
    assert prices.cost("gpt-4", Usage(1_000_000)) == 1
    assert prices.cost("mine", Usage(1_000_000)) == 3
    assert prices.cost("gpt-4", Usage(1_000_000, 1)) is None
    assert prices.cost("gpt-4-turbo", Usage(1_000_000)) == 10


WRONG: list[tuple[Any, str]] = [
    ([], "expected"),
    ({"prices": {}}, "expected"),
    ({"prices": [3]}, "price 1: expected an object"),
    ({"prices": [{"input": 1}]}, "price 1: model"),
    ({"prices": [{"model": "m"}, {"model": "", "input": 1}]}, "price 2: model"),
    ({"prices": [{"model": "m", "inptu": 1}]}, r"price 1 \(m\): 'inptu' is not known"),
    ({"prices": [{"model": "m", "input": "1"}]}, "input must be US dollars"),
    ({"prices": [{"model": "m", "input": True}]}, "input must be US dollars"),
    ({"prices": [{"model": "m", "output": -0.1}]}, "output must be US dollars"),
    ({"prices": [{"model": "m", "output": float("inf")}]}, "output must be US dollars"),
    ({"prices": [{"model": "m", "above": 0}]}, "above must be"),
    ({"prices": [{"model": "m", "long": {"input": 1}}]}, "above say for prompts"),
    ({"prices": [{"model": "m", "above": 9, "long": 1}]}, "long must be"),
    ({"prices": [{"model": "m", "above": 9, "long": {"model": "m"}}]}, "long: 'model' is not known"),
    ({"prices": [{"model": "m", "valid_from": "1/2/26"}]}, "valid_from must be a day"),
    ({"prices": [{"model": "m", "read": 20261128}]}, "read must be a day"),
    ({"prices": [{"model": "m", "source": 1}]}, "source must be a text"),
    ({"prices": [{"model": "m", "input": 1}, {"model": "m", "input": 2}]}, "two prices from the same day"),
]


@pytest.mark.parametrize(("document", "told"), WRONG)
def test_a_wrong_table_says_where_and_what(document: Any, told: str, tmp_path: Path) -> None:
    """Before there is a host."""
    with pytest.raises(TableError, match=told):
        read_table(document, "t")
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(document))
    with pytest.raises(TableError, match=rf"prices\.json: .*{told}"):
        PriceList(file=file)


def test_a_wrong_file_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """Told with the table and the entry, and no request fails for it later."""
    (tmp_path / "prices.json").write_text(json.dumps({"prices": [{"model": "m", "input": -1}]}))
    (tmp_path / "clippy.toml").write_text(f"[plugins.prices]\nfile = '{tmp_path / 'prices.json'}'\n")
    with pytest.raises(ConfigError, match=r"prices\.json: price 1 \(m\): input must be"):
        clippy_core.Host.from_config(tmp_path / "clippy.toml")


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_a_file_that_cannot_be_read_is_a_fault(content: bytes | None, tmp_path: Path) -> None:
    """With its path."""
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TableError, match=r"prices\.json: (is not JSON|cannot be read)"):
        PriceList(file=file)


def test_wrong_settings_are_refused_when_they_are_given() -> None:
    """Before any host is built."""
    with pytest.raises(TableError, match=r"overrides \(m\): 'in' is not known"):
        PriceList(overrides={"m": {"in": 1}})
    with pytest.raises(ValueError, match="absolute"):
        PriceList(file=Path("prices.json"))


# --- the service ------------------------------------------------------------------------------------------------------


def test_a_plugin_learns_what_its_request_cost() -> None:
    """Through the service, by the host's clock; the plugin hears of no request itself."""
    costs: list[float | None] = []

    @define(eq=False)
    class Bill:
        @hookimpl
        def on_response(self, response: Response, ctx: RequestContext) -> None:
            assert response.usage is not None
            costs.append(ctx.services.get(Prices).cost("m", response.usage))

    clock = VirtualClock(epoch=datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC).timestamp())
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    message = {"role": "assistant", "content": "x"}
    body = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    prices = PriceList()
    prices._own = read_table({"prices": [
        {"model": "m", "input": 1, "output": 1}, {"model": "m", "input": 2, "output": 2, "valid_from": "2026-01-02"},
    ]}, "t")  # fmt: skip
    provider = FakeProvider(Raw(json.dumps(body).encode()))
    with clippy_core.Host({"prices": prices, "bill": Bill()}, clock=clock) as host:
        with host.wrap(provider.client()) as client:
            for _ in range(2):
                client.post("http://fake.test/v1/chat/completions", json={"model": "m", "messages": []})
                clock.advance(1)
    assert costs == [0.0015, 0.003]


def test_the_table_is_read_when_a_host_opens() -> None:
    """Not when it is made; and not with the first request, by when an upgrade may have taken the file away."""
    prices = PriceList()
    host = clippy_core.Host({"prices": prices})
    assert prices._table is None
    with host:
        assert prices._table is not None
        assert host.services.get(Prices).cost("gpt-4", Usage(1)) is not None


# --- what is shipped --------------------------------------------------------------------------------------------------


def test_every_shipped_price_says_where_and_when_it_was_read() -> None:
    """On a page of the provider itself; a price that nobody knows is left out, not 0."""
    hosts = {
        "gpt": ("https://developers.openai.com/", "https://openai.com/"),
        "text": ("https://developers.openai.com/",),
        "claude": ("https://platform.claude.com/", "https://docs.anthropic.com/"),
    }
    table: Table = SHIPPED.table
    assert len(table.prices) > 40
    for model, prices in table.prices.items():
        for price in prices:
            assert price.read is not None
            assert price.source.startswith(hosts[model.partition("-")[0]])
            assert re.search(r"/(?!en/)[a-z]{2}(-[A-Z]{2})?/", price.source) is None, "it is in English"
            assert 0.0 not in price.rates.of_kinds
            assert any(price.rates.of_kinds) or price.note


def test_the_models_of_the_first_page_have_a_price() -> None:
    """Whoever tries `clippy prices MODEL` tries it with the model that the README calls."""
    named = re.findall(r'model ?= ?"([^"]+)"', (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8"))
    assert named
    assert [model for model in named if run(SHIPPED, model).exit_code] == []


def run(prices: PriceList, *arguments: str) -> Any:
    group = click.Group("clippy")
    prices.register_commands(group)
    return CliRunner().invoke(group, ["prices", *arguments])


def test_the_command_lists_prices_with_days_and_sources() -> None:
    """One line for each, a dash for what is not known."""
    lines = run(SHIPPED).output.splitlines()
    assert "US$ / 1M tokens" in lines[0]
    assert "gpt-4\nUS dollars for a million tokens\n" in run(SHIPPED, "gpt-4").output
    assert len(lines) == 1 + sum(map(len, SHIPPED.table.prices.values()))
    line = next(line for line in lines if line.startswith("gpt-4 "))
    assert line.split() == [
        "gpt-4", "30", "60", "-", "-", "-", "2026-11-28", "https://developers.openai.com/api/docs/models/gpt-4.md",
    ]  # fmt: skip


def test_the_command_tells_of_a_snapshot_what_its_family_costs() -> None:
    """With the limit beyond which another price holds, or none is known."""
    shown = run(SHIPPED, "claude-sonnet-4-5-20250929").output
    assert "claude-sonnet-4-5\n" in shown
    assert "more than 200000 tokens: not known" in shown
    told = json.loads(run(SHIPPED, "--json", "gpt-5.6-luna").output)
    assert (told["rates"]["input"], told["long"]["input"], told["above"]) == (0.2, 0.4, 272000)


def test_the_command_says_what_to_do_about_an_unknown_model() -> None:
    """And lets no text speak to the terminal."""
    shown = run(SHIPPED, "no\x1b[2J")
    assert shown.exit_code == 1
    assert "overrides" in shown.output
    assert "\x1b" not in shown.output
    evil = PriceList(overrides={"a\x1b]0;x\x07": {"input": 1, "note": "b\x1bc\u202e"}})
    assert not any(bad in run(evil, *more).output for more in ([], ["a\x1b]0;x\x07"]) for bad in "\x1b\x07\u202e")

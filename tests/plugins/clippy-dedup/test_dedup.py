"""Which requests share a flight: those of which whoever asks twice wants the same answer twice."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from clippy_dedup import Dedup, deterministic
from clippy_hookspecs import CacheControl, Request, RequestContext, hookimpl
from flight_lab import Lab

from clippy_core.jsonio import dumps
from clippy_core.wire import decode_request

PATHS = {
    "openai.chat": "/v1/chat/completions",
    "openai.responses": "/v1/responses",
    "anthropic.messages": "/v1/messages",
}


def request(path: str = PATHS["openai.chat"], **body: Any) -> Any:
    said = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **body}
    return decode_request("POST", f"http://fake.test{path}", "", {}, dumps(said))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(
    ("temperature", "shared"), [(0, True), (0.0, True), (-0.0, True), (1, False), (0.01, False), (None, False)]
)
def test_temperature_0_is_deterministic_in_each_api(path: str, temperature: float | None, shared: bool) -> None:
    assert deterministic(request(path, temperature=temperature)) is shared


@pytest.mark.parametrize("temperature", ["0", False, [], {}])
def test_what_is_no_number_is_no_temperature(temperature: object) -> None:
    assert not deterministic(request(temperature=temperature))


def test_without_a_temperature_the_provider_samples() -> None:
    assert not deterministic(request())


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens", "/v1/responses/input_tokens"])
def test_what_does_not_sample_is_deterministic(path: str) -> None:
    assert deterministic(request(path, input="Hello"))


@pytest.mark.parametrize(
    ("when", "temperature", "asked"),
    [("deterministic", 0, 1), ("deterministic", 1, 2), ("always", 1, 1), ("never", 0, 2)],
)
def test_two_equal_calls_at_once_are_so_many_requests(when: Any, temperature: float, asked: int) -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(temperature=temperature)
        await lab.asked()
        lab.call(temperature=temperature)
        await lab.until(lambda: lab.waiting == 1 or len(lab.valve.exchanges) == 2)
        lab.valve.flow()

    lab = Lab("sync", {"together": Dedup(when=when)}).run(scenario)

    assert len(lab.valve.exchanges) == asked


@define(eq=False)
class Says:
    """Sets the cache control of every request."""

    control: CacheControl

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        ctx.cache_control = self.control


@pytest.mark.parametrize(
    ("control", "temperature", "asked"),
    [
        (CacheControl(join=True), 1, 1),
        (CacheControl(join=False), 0, 2),
        (CacheControl(store=False), 0, 2),
        (CacheControl(lookup=False), 0, 2),
    ],
    ids=["asked for", "declined", "nobody may keep it", "a new answer is wanted"],
)
def test_a_request_says_itself_whether_it_shares(control: CacheControl, temperature: float, asked: int) -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(temperature=temperature)
        await lab.asked()
        lab.call(temperature=temperature)
        await lab.until(lambda: lab.waiting == 1 or len(lab.valve.exchanges) == 2)
        lab.valve.flow()

    lab = Lab("sync", {"says": Says(control), "together": Dedup()}).run(scenario)

    assert len(lab.valve.exchanges) == asked


def test_never_is_idle_and_says_why() -> None:
    assert Dedup(when="never").idle == 'when is "never"'
    assert Dedup().idle == ""


def test_the_flights_are_a_table() -> None:
    """One in the air with two who joined it; when it has landed two were handed what the first had asked for."""
    dedup, seen = Dedup(when="always"), []

    def look() -> dict[str, Any]:
        try:  # it waits for nothing
            dedup.status_tables().send(None)
        except StopIteration as done:
            (table,) = done.value
        return dict(zip(table.columns, table.rows[0], strict=True))

    async def scenario(lab: Lab) -> None:
        lab.call()
        await lab.asked()
        lab.call()
        lab.call()
        await lab.until(lambda: lab.waiting == 2)
        seen.append(look())
        lab.valve.flow()

    Lab("sync", {"together": dedup}).run(scenario)
    assert seen == [{"in the air": 1, "joined": 2, "handed over": 0, "asked for themselves": 0}]
    assert look() == {"in the air": 0, "joined": 0, "handed over": 2, "asked for themselves": 1}

"""The pages of a gateway with several workers: one debugger, whichever of them answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from attrs import define, field
from clippy_gateway import Gateway
from clippy_inspect import Inspect
from clippy_serving.siblings import Siblings
from gateway_world import World

import clippy_core
from clippy_core.testing import Reply

WORDS = tuple(f"w{number} " for number in range(400))
ROUTES = {"routes": {"main": {"api": "openai.chat", "base_url": "http://fake.test/v1", "key": "none"}}}


@define(eq=False)
class Workers:
    """Two workers in this process, each at a port of its own: who asks chooses which of them answers.

    To both it is said that they are reached at the first one's port, as where they share it.
    """

    link: str
    each: list[World]
    headers: dict[str, str] = field(init=False)
    entered: httpx.Response = field(init=False)

    def __attrs_post_init__(self) -> None:
        host = self.each[0].url.removeprefix("http://")
        self.headers = {"host": host}
        self.entered = self.ask(1, "GET", self.link)
        name, _, value = self.entered.headers["set-cookie"].partition(";")[0].partition("=")
        self.headers |= {"cookie": f"{name}={value}", "origin": f"http://{host}"}
        found = re.search(r'x-clippy-csrf": "([^"]+)"', self.ask(0, "GET", "/").text.replace("&#34;", '"'))
        assert found is not None
        self.headers["x-clippy-csrf"] = found[1]

    def ask(self, number: int, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.each[number].ask(method, path, None, headers=headers, **more)

    def tell(self, number: int, path: str) -> Any:
        answer = self.ask(number, "GET", path)
        assert 200 == answer.status_code, answer.text
        return answer.json()


@pytest.fixture
def workers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr("clippy_inspect.inspect.SOON", 600)
    with ExitStack() as stack:
        founder = stack.enter_context(Siblings.founded(2))
        Gateway().app(clippy_core.Host({"inspect": Inspect(enabled=True, gateway=True)}, config=ROUTES), founder)
        link = re.findall(r"/open/\S+", capsys.readouterr().err)[0]
        each = [
            World(
                Reply("".join(WORDS), chunks=WORDS, chunk_delay=0.01),
                {"inspect": Inspect(enabled=True, gateway=True)},
                siblings=Siblings.joined(founder.folder, 2, number),
            )
            for number in range(2)
        ]
        for one in each:
            stack.enter_context(one)
        assert capsys.readouterr().err == ""  # the supervisor has said it for all
        yield Workers(link, each)


def test_who_was_let_in_by_one_worker_is_known_to_all_and_a_link_is_used_once_among_them(workers: Workers) -> None:
    """Reading and acting; what was let in by another gateway is a stranger."""
    for number in range(2):
        assert 200 == workers.ask(number, "GET", "/").status_code
        assert 404 == workers.ask(number, "POST", "/api/streams/none/pause").status_code
        assert 403 == workers.ask(number, "GET", workers.link).status_code
        assert 403 == workers.ask(number, "POST", "/api/streams/none/pause", headers={"x-clippy-csrf": "x"}).status_code
        assert 401 == workers.ask(number, "GET", "/", headers={"cookie": "clippy-inspect-1=x"}).status_code

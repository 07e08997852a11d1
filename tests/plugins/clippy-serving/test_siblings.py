"""Processes that serve one address: what they share, how they ask each other, and that nobody else can."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from clippy_serving.siblings import Siblings

LONG = 5.0


@pytest.fixture
def anyio_backend() -> str:
    """A gateway's event loop is asyncio's."""
    return "asyncio"


@pytest.fixture
def founder() -> Iterator[Siblings]:
    with Siblings.founded(2) as made:
        yield made


def place(founder: Siblings, number: int) -> Siblings:
    return Siblings.joined(founder.folder, 2, number)


async def shout(said: bytes) -> bytes:
    return said.upper()


def test_they_know_one_secret_in_a_folder_that_only_their_user_enters(founder: Siblings) -> None:
    one, two = place(founder, 0), place(founder, 1)
    assert founder.derived("x") == one.derived("x") == two.derived("x") != one.derived("y")
    assert ((1,), (0,), (0, 1)) == (one.others, two.others, founder.others)
    assert {0o700, 0o600} == {stat.S_IMODE(path.stat().st_mode) for path in (founder.folder, founder.folder / "secret")}
    assert one.secret.hex() not in repr(one)


def test_the_folder_ends_with_the_supervisor_or_when_a_worker_finds_it_gone() -> None:
    with Siblings.founded(2) as founder:
        assert founder.folder.exists()
    assert not founder.folder.exists()
    with Siblings.founded(2) as founder:
        place(founder, 0).abandoned()
        assert not founder.folder.exists()


def test_a_name_is_the_first_once_among_all_of_them(founder: Siblings, caplog: pytest.LogCaptureFixture) -> None:
    one, two = place(founder, 0), place(founder, 1)
    assert [one.is_first("a", 600), two.is_first("a", 600), two.is_first("b", 600)] == [True, False, True]
    for old in founder.folder.glob("once-*"):
        os.utime(old, (0, 0))
    assert one.is_first("c", 600)
    assert 1 == len([*founder.folder.glob("once-*")])
    assert caplog.messages == []
    one.abandoned()
    assert not one.is_first("d", 600)
    assert f"start the server anew: [Errno 2] No such file or directory: '{founder.folder}" in caplog.text


async def test_one_asks_another_whatever_its_size(founder: Siblings) -> None:
    one, two = place(founder, 0), place(founder, 1)
    two.answer("shout", shout)
    await two.open()
    try:
        assert 0o600 == stat.S_IMODE((founder.folder / "1.sock").stat().st_mode)
        said = b"a\nb" * 400_000
        assert [b"HO", said.upper()] == [await one.ask(1, "shout", text, LONG) for text in (b"ho", said)]
    finally:
        await two.close()
    assert await one.ask(1, "shout", b"ho", LONG) is None
    assert not (founder.folder / "1.sock").exists()


async def test_one_that_is_started_in_the_place_of_a_killed_one_is_asked_in_its_place(founder: Siblings) -> None:
    one, killed, next_one = place(founder, 0), place(founder, 1), place(founder, 1)
    killed.answer("shout", shout)
    await killed.open()
    assert killed._server is not None
    killed._server.close()  # and its socket stays
    next_one.answer("shout", shout)
    await next_one.open()
    assert b"HO" == await one.ask(1, "shout", b"ho", LONG)
    await next_one.close()


async def test_one_that_hangs_or_fails_or_is_not_there_has_no_answer(
    founder: Siblings, caplog: pytest.LogCaptureFixture
) -> None:
    never = asyncio.Event()

    async def hang(said: bytes) -> bytes:
        await never.wait()
        return b""

    async def fail(said: bytes) -> bytes:
        raise RuntimeError("not today")

    one, two = place(founder, 0), place(founder, 1)
    two.answer("hang", hang)
    two.answer("fail", fail)
    assert await one.ask(1, "hang", b"", LONG) is None
    await two.open()
    assert await one.ask(1, "hang", b"", 0.02) is None
    assert caplog.messages == []
    assert await one.ask(1, "fail", b"", LONG) is None
    assert await one.ask(1, "other", b"", LONG) is None
    assert 2 == len([text for text in caplog.messages if "could not be answered" in text])
    never.set()
    await two.close()


async def test_what_nobody_waits_for_any_more_is_not_done(founder: Siblings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped, or busy, finds it when it goes on."""
    done: list[bytes] = []

    async def do(said: bytes) -> bytes:
        done.append(said)
        return b""

    one, two = place(founder, 0), place(founder, 1)
    two.answer("do", do)
    await two.open()
    monkeypatch.setattr(
        "clippy_serving.siblings.time", SimpleNamespace(monotonic=iter([100.0, 100.0 + LONG + 1]).__next__)
    )
    assert await one.ask(1, "do", b"", LONG) is None
    await two.close()
    assert done == []


async def test_who_does_not_know_the_secret_gets_no_answer(founder: Siblings) -> None:
    two = place(founder, 1)
    two.answer("shout", shout)
    await two.open()
    stranger = Siblings(founder.folder, 2, 0, b"made up")
    assert await stranger.ask(1, "shout", b"ho", LONG) is None
    reader, writer = await asyncio.open_unix_connection(founder.folder / "1.sock")
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # a length of petabytes
    assert b"" == await reader.read()
    writer.close()
    await two.close()


async def test_a_folder_whose_path_is_too_long_is_said_and_nothing_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ("f" * 120)
    folder.mkdir()
    one = Siblings(folder, 2, 0, b"s")
    one.answer("shout", shout)
    with caplog.at_level(logging.WARNING, "clippy.serving"):
        await one.open()
    await one.close()
    assert "the other workers cannot ask this one" in caplog.text
    assert await Siblings(folder, 2, 1, b"s").ask(0, "shout", b"", LONG) is None


async def test_one_that_answers_nothing_opens_nothing(founder: Siblings) -> None:
    await place(founder, 0).open()
    await founder.open()
    assert ["secret"] == [path.name for path in founder.folder.iterdir()]

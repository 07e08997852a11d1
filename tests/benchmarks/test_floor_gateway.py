"""A floor that leaves out what it is to be the floor of would prove nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from clippy_gateway.plugin import Gateway

import clippy_core
from benchmarks import hosts
from benchmarks.floor_gateway import DEFAULT, GATEWAY, KEY, ByHand
from benchmarks.gateways import exchange
from clippy_core.testing.canned import CannedServer


@pytest.fixture(scope="module")
def server():
    with CannedServer() as started:
        yield started


async def _by_hand(server: CannedServer, kind: int, folder: Path):
    app = ByHand(f"http://127.0.0.1:{server.port}", kind, folder, rows=1, calls=1)
    try:
        return await exchange(app)
    finally:
        await app.aclose()


async def _by_clippy(server: CannedServer, plugins: dict[str, object]):
    route = {"base_url": server.base_url, "key": KEY, "api": "openai.chat"}
    gateway = Gateway()
    app = gateway.app(
        gateway.over_aiohttp(clippy_core.Host({"gateway": gateway, **plugins}, config={"routes": {"main": route}}))
    )
    await app.open()
    try:
        return await exchange(app)
    finally:
        await app.close()


def _record(folder: Path):
    (line,) = (folder / "audit.jsonl").read_text().splitlines()
    return json.loads(line)


def test_a_gateway_by_hand_tells_its_caller_what_clippys_does(server, tmp_path):
    own, body = asyncio.run(_by_hand(server, GATEWAY, tmp_path))
    told, same = asyncio.run(_by_clippy(server, {}))
    assert (own.keys(), body) == (told.keys(), same)


def test_the_default_stack_by_hand_leaves_the_same_record_and_the_same_answer(server, tmp_path):
    (mine := tmp_path / "hand").mkdir()
    (theirs := tmp_path / "clippy").mkdir()
    own, body = asyncio.run(_by_hand(server, DEFAULT, mine))
    told, same = asyncio.run(_by_clippy(server, hosts.default_stack(theirs)))
    assert (own.keys(), body) == (told.keys(), same)
    assert own[b"x-clippy-cache"] == told[b"x-clippy-cache"] == b"miss"
    by_hand, by_clippy = _record(mine), _record(theirs)
    assert by_clippy.keys() - by_hand.keys() == {"user"}  # of its file every floor is that of a call without one
    assert [call["hook"] for call in by_hand["trace"]] == [call["hook"] for call in by_clippy["trace"]]


def test_what_a_gateway_by_hand_stores_is_in_its_files(server, tmp_path):
    asyncio.run(_by_hand(server, DEFAULT, tmp_path))
    for file, table in (("cache.db", "entries"), ("statistics.db", "stored")):
        with closing(sqlite3.connect(tmp_path / file)) as opened:
            assert opened.execute(f"select count(*) from {table}").fetchone() == (1,)

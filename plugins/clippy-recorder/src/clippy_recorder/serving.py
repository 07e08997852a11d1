"""A recording as a provider on loopback."""

from __future__ import annotations

import threading
from signal import SIGINT, SIGTERM, signal
from typing import Any

import click
from clippy_hookspecs import Headers, RawReply, RawRequest
from clippy_lines.looking import visible
from clippy_serving import Limits, Pages, Server

from .exchange import Exchange
from .har import api_of
from .replaying import Cassette, Extra, Playback, Recorded, Replay

_BODY = 64 * 1024 * 1024
"""Bytes of a request: what a provider takes."""


def pages_of(replay: Replay) -> Pages:
    """What a server answers with."""

    async def answer(request: RawRequest) -> RawReply:
        try:
            return await replay.answer(request)
        except ConnectionError:  # a server closes a connection where an answer breaks off: this one before its body
            return RawReply(200, Headers(), Playback(Recorded(200, Headers(), (), complete=False), 0, replay.sleep), {})

    return Pages(limits=Limits(body=_BODY), fallback=answer)


def serve(cli: Any, calls: list[Exchange], port: int, speed: float, extra: Extra) -> None:
    """Serve until somebody ends it.  Raises click.ClickException if the recording has nothing to answer with."""
    cassette = Cassette.of(calls)
    if not len(cassette):
        raise click.ClickException('no call in this recording has its content; record with level = "detailed"')
    # What a program is answered is in the recording: only for the real provider the configuration must be whole.
    with cli.host() if extra == "forward" else cli.bare() as host:

        async def onward(request: RawRequest) -> RawReply:
            from .rerunning import route_for

            route = route_for(Exchange("", 0.0, api=api_of(request.url)), host)
            answer: RawReply = await host.answer(
                RawRequest(request.method, request.url, request.headers, request.body, route)
            )
            return answer

        replay = Replay(cassette, speed, extra, onward=onward if extra == "forward" else None, host=host)
        server = Server(pages_of(replay), port=port)
        server.start()
        try:
            where = f"http://127.0.0.1:{server.port}"
            click.echo(f"{len(calls)} recorded calls as a provider: {where}/v1 for OpenAI, {where} for Anthropic")
            if cassette.unusable:
                click.echo(
                    f"{cassette.unusable} calls have no provider's answer to give: without content, or from a cache",
                    err=True,
                )
            _until_ended()
        finally:
            server.stop()
        for missing in dict.fromkeys(replay.missing):
            click.echo(f"was asked and is not in the recording: {visible(missing)}", err=True)


def _until_ended() -> None:
    """Until somebody says so: Ctrl-C, or SIGTERM."""
    ended = threading.Event()
    before = {number: signal(number, lambda *_: ended.set()) for number in (SIGTERM, SIGINT)}
    try:
        ended.wait()
    finally:
        for number, handler in before.items():
            signal(number, handler)

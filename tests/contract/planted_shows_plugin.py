"""What the broken plugins of no special kind do to a program."""

from __future__ import annotations

import asyncio
import pickle
import tempfile
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field
from calling import Caller
from clippy_hookspecs import ConfigError
from planted_shows import Make, a_caller, answered, shows
from planted_state import Store

import clippy_core
from clippy_core.testing import Reply

SUITE = "PluginContract"


def with_desk(make: Make, colour: str = "sync", **others: Any) -> Caller:
    return a_caller(colour).start({"desk": make(), **others}, Reply("Hi"))


@shows(SUITE, "shares state between hosts", sound={}, broken=True)
def counts_of_a_host_that_was_not_asked(make):
    one, two = with_desk(make), with_desk(make)
    one.chat("three words here")
    counts = two.host.plugins["desk"].counts()
    return counts and True


class Trap:
    """Creates a file when it is unpickled: what an attacker would do instead is worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@shows(SUITE, "pickles", sound=False, broken=True)
def a_file_that_somebody_else_wrote_is_run(make):
    with tempfile.TemporaryDirectory() as folder:
        path, sprung = Path(folder, "counts"), Path(folder, "sprung")
        path.write_bytes(pickle.dumps(Trap(sprung)))
        host = clippy_core.Host({"desk": make(path=str(path))})
        try:
            host.open()
        except Exception:
            return sprung.exists()
        host.close()
        return sprung.exists()


def passes(make: Make, body: bytes) -> bool:
    """Whether the provider gets a request with this body, as it does without the plugin."""
    caller = with_desk(make)
    head = {"content-type": "application/json"}
    bare, under = caller.send(content=body, headers=head, bare=True), caller.send(content=body, headers=head)
    return bare.status == under.status and len(caller.provider.requests) == 2


@shows(SUITE, "breaks on a body that is not JSON", sound=[True, True], broken=[False, False])
def bodies_that_are_not_what_they_say(make):
    return [passes(make, b"{not json"), passes(make, b"[1, 2]")]


@shows(SUITE, "breaks on a message without words", sound=True, broken=False)
def a_message_without_words_passes(make):
    return passes(make, b'{"model": "m", "messages": [{"role": "user", "content": ""}]}')


@shows(SUITE, "breaks on blocks that are not text", sound=True, broken=False)
def an_image_and_a_block_from_the_future_pass(make):
    image = b'{"type": "image_url", "image_url": {"url": "http://fake.test/a.png"}}'
    content = b'[{"type": "text", "text": "see"}, %s, {"type": "smell", "intensity": 3}]' % image
    return passes(make, b'{"model": "m", "messages": [{"role": "user", "content": %s}]}' % content)


@shows(SUITE, "breaks on half a surrogate pair", sound=True, broken=False)
def half_a_surrogate_pair_passes(make):
    return passes(make, b'{"model": "m", "messages": [{"role": "user", "content": "\\ud83d"}]}')


@define(eq=False)
class Hangs(Store):
    """A store whose counters take for ever."""

    asked: asyncio.Event = field(factory=asyncio.Event)

    async def add(self, key: str, amount: float, ttl: float) -> float:
        self.asked.set()
        await asyncio.Event().wait()
        return 0.0


@shows(SUITE, "loses a lease when it is cancelled", sound=True, broken=False)
def the_place_of_a_cancelled_call_is_free(make):
    async def run() -> bool:
        hangs = Hangs()
        caller = with_desk(make, "asyncio", store=hangs)
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            call = asyncio.create_task(client.chat("Hello"))
            await hangs.asked.wait()
            call.cancel()
            await asyncio.wait([call])
            await caller.host.aclose()
        return hangs.lease("desk.None", "another", 60.0, 1)

    return asyncio.run(run())


@shows(SUITE, "keeps the current request on itself", sound={"a": 1, "b": 3}, broken={"b": 3})
def words_of_two_tenants_at_a_time(make):
    caller = with_desk(make)
    with clippy_core.Client(caller.host, caller._http()) as client:
        with caller.host.scope(tenant="a"):
            stream = client.stream("one")
        with caller.host.scope(tenant="b"):
            client.chat("one two three")
        for _ in stream:
            pass
    return caller.host.plugins["desk"].counts()


def counted(make: Make) -> dict[str, bool]:
    """In which colours the plugin lets a call through and counts its words."""
    found = {}
    for colour in ("sync", "asyncio", "trio"):
        caller = with_desk(make, colour)
        found[colour] = answered(caller, "one two") and caller.host.plugins["desk"].counts() == {"": 2}
        caller.host.close()
    return found


EVERYWHERE = {"sync": True, "asyncio": True, "trio": True}


@shows(SUITE, "works on asyncio only", sound=EVERYWHERE, broken={**EVERYWHERE, "trio": False})
@shows(SUITE, "says inline and awaits", sound=EVERYWHERE, broken={"sync": False, "asyncio": True, "trio": False})
@shows(SUITE, "passes notes in a thread-local", sound=EVERYWHERE, broken={**EVERYWHERE, "sync": False})
def colours_in_which_it_works(make):
    return counted(make)


@shows(SUITE, "works only until it is closed", sound={"": 4}, broken={"": 2})
def counts_of_a_host_that_was_closed_and_used_again(make):
    caller = with_desk(make)
    caller.chat("one two")
    caller.host.close()
    caller.chat("three four")
    caller.host.close()
    return caller.host.plugins["desk"].counts()


@shows(SUITE, "has a setting without default", sound=True, broken=False)
def it_works_as_installed(make):
    try:
        return "desk" in clippy_core.Host({"desk": type(make())}).plugins
    except (ConfigError, TypeError):
        return False


@shows(SUITE, "has a setting without doc", sound=[], broken=["limit"])
def settings_that_say_nothing_of_themselves(make):
    return [one.name for one in attrs.fields(type(make())) if one.init and not one.metadata.get("doc")]

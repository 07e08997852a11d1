"""A program whose host works on while everything of ours is deleted from the disk under it.

``removed_program.py FOLDER``: FOLDER has copies of our packages; nothing else of ours may be imported from elsewhere.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
home = tempfile.TemporaryDirectory()
os.environ.update(XDG_CACHE_HOME=home.name, XDG_DATA_HOME=home.name, XDG_STATE_HOME=home.name, HOME=home.name)

import anyio  # noqa: E402
import httpx  # noqa: E402
import httpx2  # noqa: E402

import clippy_core  # noqa: E402
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock  # noqa: E402

OURS = ("clippy_core", "clippy_hookspecs", "clippy_a", "clippy_c", "clippy_e", "clippy_r", "clippy_s")
CALLS = {
    "chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
    "responses": {"model": "m", "input": "Hello"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    "embeddings": {"model": "m", "input": "Hello"},
}
FAULTS: list[list[Fault]] = [
    [],
    [Fault.gzip()],
    [Fault.status(503, retry_after=1)],
    [Fault.status(400)],
    [Fault.connect_error()],
    [Fault.error_event(at_delta=1)],
    [Fault.no_terminal()],
    [Fault.truncated_json()],
]
long = [{"role": role, "content": "word " * 400} for role in ("user", "assistant") * 5] + [
    {"role": "user", "content": "Hello"}
]


def bodies() -> Any:
    """Every call, plain and streamed, twice."""
    for number in range(2 * len(CALLS) * 2):
        path, body = list(CALLS.items())[number // 4]
        yield path, {**body, "stream": True} if number % 2 and path != "embeddings" else body


def provider_of(faults: list[Fault]) -> FakeProvider:
    return FakeProvider(lambda seen: [*(faults if seen.number % 2 else []), Reply("Hi there")], clock=VirtualClock())


async def asynchronously(host: clippy_core.Host, faults: list[Fault]) -> None:
    async with host.wrap(provider_of(faults).async_client(httpx2)) as http:
        for path, body in bodies():
            try:
                async with http.stream("POST", f"http://fake.test/v1/{path}", json=body) as response:
                    async for _ in response.aiter_bytes():
                        pass
            except httpx2.HTTPError:
                pass  # the fault's own
    async with clippy_core.AsyncClient(host, provider_of([]).async_client()) as client:
        await client.chat(long)
    await host.aclose()


def synchronously(host: clippy_core.Host, faults: list[Fault]) -> None:
    with host.wrap(provider_of(faults).client()) as http:
        for path, body in bodies():
            try:
                with http.stream("POST", f"http://fake.test/v1/{path}", json=body) as response:
                    for _ in response.iter_bytes():
                        pass
            except httpx.HTTPError:
                pass  # the fault's own
    with clippy_core.Client(host, provider_of([]).client()) as client:
        assert client.chat(long).text == "Hi there"


route = {"base_url": "http://fake.test/v1", "key": "k", "model": "m", "context_tokens": 2000}
host = clippy_core.Host.from_config(routes={"main": route}, clock=VirtualClock())
# What a program does when it starts: it opens its host, wraps its client, makes one of ours.
host.open()
host.wrap(httpx.Client()).close()
clippy_core.Client(host).close()
assert clippy_core.AsyncClient
imported = {name for name in sys.modules if name.startswith(OURS)}
strange = {name for name in imported if not str(sys.modules[name].__file__).startswith(str(folder))}
assert not strange, f"not from the copies: {strange}"
shutil.rmtree(folder)
for fault in FAULTS:
    synchronously(host, fault)
    for backend in ("asyncio", "trio"):
        anyio.run(asynchronously, host, fault, backend=backend)
host.invalidate()
host.close()
later = {name for name in sys.modules if name.startswith(OURS)} - imported
assert not later, f"imported after the removal: {later}"
print(f"{len(host.plugins)} plugins worked on, {sum(host.faults.counts.values())} failures")

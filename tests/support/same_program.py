"""A program that asks the same twice.  Nothing in it names a plugin: what is installed decides what happens."""

import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    os.environ.update(XDG_CACHE_HOME=folder, XDG_DATA_HOME=folder, XDG_STATE_HOME=folder, HOME=folder)

    import httpx

    import clippy_core
    from clippy_core.testing import FakeProvider, Reply

    provider = FakeProvider(Reply("Hi"))
    with clippy_core.Host.from_config() as host, host.wrap(httpx.Client(transport=provider.transport())) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        for _ in range(2):
            answer = client.post("http://fake.test/v1/chat/completions", json=body)
            assert answer.json()["choices"][0]["message"]["content"] == "Hi"
    print(f"{provider.calls} upstream calls, plugins: {', '.join(host.plugins) or 'none'}")

"""A provider that never was, its faults, and time that a test owns: for plugin authors, our own tests and the demo.

In process, in no time::

    provider = FakeProvider([Fault.status(503), Reply("Hello")], clock=VirtualClock())
    client = OpenAI(api_key="none", http_client=provider.client(httpx2))

Over loopback, for everything that brings its own HTTP::

    with FakeServer(Reply("Hello")) as server:
        client = OpenAI(api_key="none", base_url=server.base_url)
"""

from .clock import VirtualClock
from .faults import Fault
from .provider import FakeProvider
from .script import Mix, Raw, Reply, Script, call
from .seen import SeenRequest
from .server import FakeServer

__all__ = [
    "FakeProvider",
    "FakeServer",
    "Fault",
    "Mix",
    "Raw",
    "Reply",
    "Script",
    "SeenRequest",
    "VirtualClock",
    "call",
]

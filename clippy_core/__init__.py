"""Put plugins between a program and any model provider.

host = clippy_core.Host.from_config()
client = host.wrap(openai.OpenAI())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AsyncChatStream, AsyncClient, ChatStream, Client
    from .config import Config, load_config
    from .host import Host
    from .transports import async_transport, transport

_HOME = {
    "AsyncChatStream": "client",
    "AsyncClient": "client",
    "ChatStream": "client",
    "Client": "client",
    "Config": "config",
    "Host": "host",
    "async_transport": "transports",
    "load_config": "config",
    "transport": "transports",
}

__all__ = [
    "AsyncChatStream",
    "AsyncClient",
    "ChatStream",
    "Client",
    "Config",
    "Host",
    "async_transport",
    "load_config",
    "transport",
]


def __getattr__(name: str) -> Any:
    """Import on first use: a command line that only lists plugins should not wait for an HTTP library."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        module = importlib.import_module(f".{_HOME[name]}", __name__)
    except ImportError as error:
        from .contract_version import core_fault

        if fault := core_fault():  # an installer was told to ignore what we depend on
            raise ImportError(fault) from error
        raise
    return getattr(module, name)

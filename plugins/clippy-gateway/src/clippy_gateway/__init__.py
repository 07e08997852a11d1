"""The host between any program, in any language, and its model providers: ``clippy serve``."""

from .addresses import address_fault
from .app import GatewayApp
from .headers import header_fault
from .plugin import Gateway
from .settings import Key
from .upstream import AiohttpUpstream

__all__ = ["AiohttpUpstream", "Gateway", "GatewayApp", "Key", "address_fault", "header_fault"]

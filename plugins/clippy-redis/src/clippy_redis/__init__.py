"""What plugins that use a Redis or Valkey server have in common: its address, connections, pauses and failures.

A library, not a plugin: it has no hook and no setting, and nothing happens because it is installed.
"""

from __future__ import annotations

from .address import Address, parse
from .failures import ServerUnavailable, lost
from .limits import Limits
from .operation import LONGEST_MS, Operation, Script, to_milliseconds
from .server import Server
from .settings import is_prefix, is_url

__all__ = [
    "LONGEST_MS",
    "Address",
    "Limits",
    "Operation",
    "Script",
    "Server",
    "ServerUnavailable",
    "is_prefix",
    "is_url",
    "lost",
    "parse",
    "to_milliseconds",
]

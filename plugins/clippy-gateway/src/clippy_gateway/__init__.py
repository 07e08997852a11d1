"""The host between any program, in any language, and its model providers: ``clippy serve``."""

from .addresses import address_fault
from .headers import header_fault
from .plugin import Gateway
from .settings import Key

__all__ = ["Gateway", "Key", "address_fault", "header_fault"]

"""Names to addresses, judged when they are looked up: what was judged is what is connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from .addresses import fits_one, is_metadata, is_public


class JudgingResolver(AbstractResolver):
    """Leaves out addresses that nothing may be sent to; aiohttp connects to what is left and asks nobody again.

    So a name that leads elsewhere the second time (DNS rebinding) wins nothing.  Metadata addresses are left out for
    every name, private ones for those that callers may name (*public_only*).  Behind a proxy the proxy looks names up.
    """

    def __init__(self, public_only: Sequence[str]) -> None:
        self._inner, self._public_only = DefaultResolver(), tuple(public_only)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of *host*.  Raises OSError if there is none that may be connected to."""
        public = fits_one(host.lower(), self._public_only)
        found = await self._inner.resolve(host, port, family)
        kept = [one for one in found if _may_connect(one["host"], public=public)]
        if found and not kept:
            raise OSError(None, "its name leads to an address that nothing may be sent to")
        return kept

    async def close(self) -> None:
        await self._inner.close()


def _may_connect(text: str, *, public: bool) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    return not is_metadata(address) and (not public or is_public(address))

"""How long a server may take, and how many connections it gets."""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """Seconds to connect and to be answered, and how many connections a pool may have."""

    connect: float
    answer: float
    connections: int

"""Equal requests under way share one answer."""

from .dedup import Dedup, deterministic

__all__ = ["Dedup", "deterministic"]

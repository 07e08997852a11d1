"""Says what caches may do for each request, and counts what they did; the caches themselves keep."""

from .asking import caching
from .policy import CachePolicy
from .statistics import Latency, Saving, Statistics

__all__ = ["CachePolicy", "Latency", "Saving", "Statistics", "caching"]

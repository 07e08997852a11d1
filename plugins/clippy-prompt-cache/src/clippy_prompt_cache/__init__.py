"""Plans, counts and lints the provider's own prompt cache; see the distribution's README for the settings."""

from .breaks import Break
from .counting import Counts, Statistics
from .lineage import Finding
from .plugin import PromptCache

__all__ = ["Break", "Counts", "Finding", "PromptCache", "Statistics"]

"""What plugins that write logs have in common: a file of whole lines, a queue that delays nobody, and forks.

What commands show them with is in ``clippy_lines.looking``, which nothing else needs.
"""

from .appendfile import AppendFile, Fsync, held
from .delivery import Delivery
from .forks import follow_forks

__all__ = ["AppendFile", "Delivery", "Fsync", "follow_forks", "held"]

"""Keeps what happened to each call, without secrets, to be looked at, exported and replayed."""

from .documents import document
from .exchange import Asked, Attempt, Exchange, Level, Message, Piece, State, Step
from .exports import to_curl, to_jsonl, to_python
from .files import FORMAT, read, write
from .har import from_har, to_har
from .reading import StrangeRecording, exchange_of
from .recorder import Recorder

__all__ = [
    "FORMAT", "Asked", "Attempt", "Exchange", "Level", "Message", "Piece", "Recorder", "State", "Step",
    "StrangeRecording",
    "document", "exchange_of", "from_har", "read", "to_curl", "to_har", "to_jsonl", "to_python", "write",
]  # fmt: skip

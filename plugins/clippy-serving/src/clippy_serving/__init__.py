"""A small, strict HTTP server for what plugins show: routes, limits before parsing, streams, graceful drain."""

from .limits import Limits
from .listening import NoAddress
from .pages import Guard, Handler, Pages
from .patience import STALLED
from .replies import json_reply, reply, see_other, text_reply
from .sending import WHOLE
from .server import Server

__all__ = [
    "STALLED",
    "WHOLE",
    "Guard",
    "Handler",
    "Limits",
    "NoAddress",
    "Pages",
    "Server",
    "json_reply",
    "reply",
    "see_other",
    "text_reply",
]

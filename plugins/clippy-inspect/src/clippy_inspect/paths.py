"""The pages there are.  A path that is not here is denied, whoever asks; a test holds list and routes equal."""

from __future__ import annotations

import re
from typing import Final

from .files import files

ID: Final = r"[A-Za-z0-9_-]{1,128}"

_PAGES: Final = {
    "GET": (
        r"/",
        rf"/requests/{ID}",
        r"/streams",
        r"/dashboard",
        r"/profile",
        r"/conversations",
        rf"/conversations/{ID}",
        r"/static/[a-zA-Z0-9.-]{1,64}",
        r"/ws",
        r"/api/rows",
        r"/api/requests",
        rf"/api/requests/{ID}",
        rf"/api/requests/{ID}/(har|curl|jsonl|python)",
        rf"/api/requests/{ID}/sent/[0-9]{{1,4}}",
        r"/api/events",
        r"/api/streams",
        r"/api/dashboard",
        r"/api/profile",
        r"/api/profile/speedscope",
        r"/api/conversations",
        rf"/api/conversations/{ID}",
    ),
    "POST": (rf"/api/streams/{ID}/(pause|resume|cancel)", r"/api/replay", r"/api/link", r"/enter"),
}
_STATIC: Final = "/static/"
_KNOWN: Final = {method: re.compile("|".join(paths)) for method, paths in _PAGES.items()}


def is_page(method: str, path: str) -> bool:
    """Whether there is a page at *path*, which has no query, for *method*."""
    known = _KNOWN.get(method)
    if known is None or known.fullmatch(path) is None:
        return False
    return not path.startswith(_STATIC) or path.removeprefix(_STATIC) in files()

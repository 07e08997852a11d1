"""What can be wrong with the server: one error for all of it, in words that say what to do."""

from __future__ import annotations

from .address import Address


class ServerUnavailable(ConnectionError):
    """The server did not do what it was asked, or nobody knows whether it did.  Says where, why and what to do.

    It holds nothing secret.  After a timeout or a lost connection the operation may have taken effect.
    """


_CLOSED = "it closed the connection, as a server does that ends, is in protected mode or has too many clients"
_BY_WORDS = {
    "Connection closed": _CLOSED,
    "Connection not ready": _CLOSED,
    "Connection reset": _CLOSED,
    "Connection lost": _CLOSED,
    "Broken pipe": _CLOSED,
    "MISCONF": "it refuses writes while it cannot save to its disk; see its log",
    "WRONGTYPE": "another program uses these keys; set another prefix",
}
_BY_TYPE = {
    "AuthenticationError": "it refuses the credentials; correct the user name and password of url",
    "BusyLoadingError": "it is still loading its data; it answers once it has",
    "ReadOnlyError": "it is a read-only replica; let url name the primary",
    "OutOfMemoryError": "its memory is full; raise its maxmemory, or see to what fills it",
    "NoPermissionError": "its access list does not allow this user what the README lists",
    "MovedError": "it is one node of a cluster, which is not followed; let url name a single server or a proxy",
    "TimeoutError": "no answer in time",
}
"""By the name of a class of redis-py or of Python's own: redis-py is loaded where a server is used, not before."""


def lost(error: Exception) -> bool:
    """Whether the server is gone, hangs, or is the wrong one by now: then it is left alone for a while."""
    from redis import exceptions

    return isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError, OSError))


def reason(address: Address, error: Exception) -> str:
    """What callers and the log are told of one of FAILURES."""
    said = address.hide(" ".join(str(error).split()))
    advice = next((what for words, what in _BY_WORDS.items() if words in said), "")
    advice = advice or next((_BY_TYPE[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _BY_TYPE), "")
    why = f"{advice} ({said[:200]})" if advice and said else advice or said[:200] or type(error).__name__
    return f"Redis at {address}: {why}"

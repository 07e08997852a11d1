"""What an exception says, found by the names of its classes: no HTTP library is imported here.

The names along the method resolution order decide, nearest first, so subclasses of httpx, httpx2, requests, aiohttp,
anyio or builtin exceptions that we have never heard of are still known.  What is unknown or says little is followed
through ``__cause__``, ``__context__`` and exception groups.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from clippy_hookspecs import AttemptRefused, ProviderError

from .kinds import DISK_FULL, KINDS, NO_SUCH_HOST, TLS_CUT, Verdict

_NAMES: dict[str, str] = {
    name: kind
    for kind, names in {
        "cancelled": "CancelledError Cancelled KeyboardInterrupt GeneratorExit SystemExit",
        "connect_timeout": "ConnectTimeout ConnectTimeoutError ConnectionTimeoutError",
        "read_timeout": "ReadTimeout ReadTimeoutError SocketTimeoutError",
        "write_timeout": "WriteTimeout",
        "pool_timeout": "PoolTimeout EmptyPoolError",
        "timeout": "TimeoutError TimeoutException Timeout APITimeoutError TooSlowError ServerTimeoutError "
        "DeadlineExceeded GatewayTimeout RetryError timeout",
        "expired": "RefreshError ReauthFailError TokenRetrievalError UnauthorizedSSOTokenError SSOTokenLoadError",
        "tls": "SSLError SSLCertVerificationError SSLEOFError SSLZeroReturnError CertificateError "
        "ClientSSLError ClientConnectorSSLError ClientConnectorCertificateError",
        "dns": "gaierror herror NameResolutionError ClientConnectorDNSError",
        "truncated_body": "IncompleteRead IncompleteReadError ClientPayloadError ChunkedEncodingError EOFError "
        "EndedEarly TransferEncodingError ContentLengthError",
        "bad_body": "JSONDecodeError DecodingError UnicodeDecodeError BadGzipFile BadStatusLine ContentTypeError "
        "APIResponseValidationError ResponseValidationError ContentDecodingError zlib.error DecodeError "
        "CorruptEvent SseLimitError BadHttpMessage",
        "redirect": "TooManyRedirects",
        "config": "UnsupportedProtocol InvalidURL InvalidProxyURL NonHttpUrlClientError LocalProtocolError "
        "MissingSchema InvalidSchema InvalidHeader NoCredentialsError PartialCredentialsError NoRegionError "
        "DefaultCredentialsError FileNotFoundError NotADirectoryError IsADirectoryError PermissionError "
        "UnicodeEncodeError ValueError",
        "network": "ConnectError ConnectionError ReadError WriteError CloseError NetworkError TransportError "
        "ProxyError RemoteProtocolError ProtocolError RequestError APIConnectionError BrokenResourceError "
        "ClosedResourceError EndOfStream ConnectionFailed ClientConnectorError ClientOSError ClientConnectionError "
        "ServerDisconnectedError "
        "NewConnectionError MaxRetryError EndpointConnectionError ConnectionClosedError HTTPClientError URLError "
        "RemoteDisconnected ConnectionResetError ConnectionRefusedError ConnectionAbortedError BrokenPipeError "
        "HTTPException OSError error",
        "internal": "TypeError AttributeError AssertionError LookupError ArithmeticError NameError ImportError "
        "MemoryError RuntimeError SyntaxError StopIteration StopAsyncIteration SystemError ReferenceError BufferError "
        "InvalidStateError StreamError KeyError IndexError RecursionError NotImplementedError",
        # What gRPC calls its statuses, and Google's libraries their exceptions.
        "overloaded": "Unavailable ServiceUnavailable",
        "requests": "ResourceExhausted TooManyRequests",
        "invalid_key": "ClientAuthenticationError GoogleAuthError Unauthenticated Unauthorized",
        "permission": "PermissionDenied Forbidden",
        "invalid_request": "InvalidArgument FailedPrecondition OutOfRange",
        "not_found": "NotFound",
        "unsupported": "Unimplemented MethodNotImplemented",
        "server_error": "DataLoss InternalServerError",
        "gateway": "BadGateway",
        "conflict": "Aborted",
        "plugin": "PluginError",
    }.items()
    for name in names.split()
}

_VAGUE = frozenset({"RuntimeError", "Exception", "APIConnectionError", "MaxRetryError", "RetryError", "ValueError"})
"""Names under which libraries wrap what really happened; a cause that we know is worth more."""

_ENDINGS = (
    ("connecttimeout", "ConnectTimeout"), ("connectiontimeout", "ConnectTimeout"), ("readtimeout", "ReadTimeout"),
    ("timeout", "TimeoutError"), ("timedout", "TimeoutError"), ("ssl", "SSLError"), ("tls", "SSLError"),
    ("certificate", "SSLError"), ("dns", "gaierror"), ("nameresolution", "gaierror"), ("proxy", "ProxyError"),
    ("proxyconnection", "ProxyError"), ("connection", "ConnectionError"), ("connect", "ConnectionError"),
    ("connector", "ConnectionError"), ("disconnected", "ConnectionError"), ("connectionclosed", "ConnectionError"),
    ("network", "ConnectionError"), ("transport", "ConnectionError"), ("incompletebody", "IncompleteRead"),
)  # fmt: skip
"""What the last word in the name of a class that we have never met says, where its bases are vague or unknown."""

_LOCAL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EAGAIN})
_DISK = frozenset({errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NET = frozenset({
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENETUNREACH, errno.ENETDOWN,
    errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENOTCONN,
})  # fmt: skip
_ERRNO = re.compile(r"\[(?:errno|winerror) (-?[0-9]{1,6})\]")
_DNS_AGAIN = ("temporary failure in name resolution", "try again", "eai_again")
_DNS_NONE = (
    "name or service not known", "nodename nor servname", "no address associated", "getaddrinfo failed",
    "name does not resolve", "host not found", "no such host", "unknown host", "non-recoverable failure in name",
)  # fmt: skip
_TLS_CUT = (
    "unexpected_eof",
    "eof occurred",
    "bad_record_mac",
    "zeroreturn",
    "has been closed",
    "connection reset",
    "timed out",
    "after_close_notify",
    "record layer failure",
    "record_layer_failure",
    "decryption_failed",
    "i/o error",
    "did not complete",
)
_TLS = ("[ssl", "certificate", "_ssl.c", "ssl: ", "tlsv1 alert", "eof occurred in violation")
"""With the space: aiohttp writes ``ssl:default`` of every connection that it could not make."""

_Chain = tuple[BaseException, ...]


def exception_verdict(exc: BaseException, connecting: bool = False) -> Verdict | None:
    """What *exc* means, None if nobody in its chain is known.  ``connecting``: no byte had been sent."""
    chain = tuple(_chain(exc))
    vague: Verdict | None = None
    for position, link in enumerate(chain):
        if isinstance(link, BaseExceptionGroup):
            verdict = _group(link, connecting)
            if verdict is not None:
                return verdict
            continue
        name = _known_name(link)
        if name is None:
            continue
        verdict = _verdict(name, chain[position:], connecting)
        if name not in _VAGUE:
            return verdict
        vague = vague or verdict
    return vague


def judged_by_us(exc: BaseException) -> ProviderError | AttemptRefused | None:
    """The first of our own errors in the chain of *exc*: it brings its verdict along."""
    return next((link for link in _chain(exc) if isinstance(link, ProviderError | AttemptRefused)), None)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen and len(seen) < 20:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _group(group: BaseExceptionGroup[BaseException], connecting: bool) -> Verdict | None:
    """A group's verdict: what cannot be repeated first; cancellation, which follows from something else, last."""
    verdicts = [v for member in group.exceptions[:50] if (v := exception_verdict(member, connecting)) is not None]
    return min(verdicts, key=lambda v: (v.kind == "cancelled", v.retryable), default=None)


def _known_name(exc: BaseException) -> str | None:
    for cls in type(exc).__mro__:
        for name in (f"{cls.__module__.partition('.')[0]}.{cls.__name__}", cls.__name__):
            if name in _NAMES:
                return (_by_ending(exc) or name) if name in _VAGUE and cls is not type(exc) else name
    return _by_ending(exc)


def _by_ending(exc: BaseException) -> str | None:
    last = type(exc).__name__.removesuffix("Exception").removesuffix("Error").lower()
    return next((name for ending, name in _ENDINGS if last.endswith(ending)), None)


def _verdict(name: str, chain: _Chain, connecting: bool) -> Verdict:
    kind = _NAMES[name]
    text = words(chain[0]).lower()
    if kind in ("network", "dns", "tls"):
        finer = next((found for link in chain if (found := _finer(link, connecting)) is not None), None)
        if finer is not None:
            return finer
        if name == "ProxyError":
            return KINDS["proxy_auth" if "407" in text else "blocked" if "403" in text else "network"]
        if "incomplete" in text or "without sending complete" in text:
            return KINDS["truncated_body"]
    if kind == "timeout":
        if connecting:
            return KINDS["connect_timeout"]
        return KINDS["read_timeout" if "read operation" in text else "timeout"]
    return KINDS[kind]


def _finer(exc: BaseException, connecting: bool) -> Verdict | None:
    """What the system, the resolver or the TLS library says, by type, number or (httpx keeps no more) text."""
    text = words(exc).lower()
    kind = _NAMES.get(_known_name(exc) or "")
    if kind == "tls" or any(sign in text for sign in _TLS):
        return TLS_CUT if any(sign in text for sign in _TLS_CUT) and "certificate" not in text else KINDS["tls"]
    if any(sign in text for sign in _DNS_NONE):
        return NO_SUCH_HOST
    if kind == "dns" or "name resolution" in text:
        return KINDS["dns"] if any(sign in text for sign in _DNS_AGAIN) or "[errno" not in text else NO_SUCH_HOST
    number = getattr(exc, "errno", None)
    if not isinstance(number, int):
        found = _ERRNO.search(text)
        number = int(found.group(1)) if found else None
    if number in _LOCAL:
        return KINDS["local_resource"]
    if number in _DISK:
        return DISK_FULL
    if number == errno.ETIMEDOUT:
        return KINDS["connect_timeout" if connecting else "network"]
    return KINDS["network"] if number in _NET else None


def words(exc: BaseException) -> str:
    """What an exception says of itself, at most 2000 characters.

    Without aiohttp's ``ssl:default``, which it says of an address without TLS as well.
    """
    try:
        return str(exc)[:2000].replace(" ssl:default ", " ")
    except Exception:  # a foreign __str__ may fail in any way; its class name still speaks
        return ""

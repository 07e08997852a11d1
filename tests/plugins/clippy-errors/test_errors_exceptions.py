"""Exceptions of many libraries, by the names of their classes."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
import ssl
import zlib
from typing import Any

import aiohttp.http_exceptions
import anthropic
import anyio
import httpx
import httpx2
import openai
import pytest
import trio
from clippy_errors import classify
from clippy_hookspecs import AttemptRefused, ErrorInfo, Failure

OK, FINAL = (True, True), (False, False)
LOCAL, NO_HOST = (True, False), (False, True)


def named(name: str, text: str = "", base: type[BaseException] = Exception) -> BaseException:
    return type(name, (base,), {})(text)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


EXCEPTIONS: list[tuple[BaseException, str, tuple[bool, bool]]] = [
    (httpx.ConnectTimeout("x"), "connect_timeout", OK),
    (httpx2.ReadTimeout("x"), "read_timeout", OK),
    (httpx.WriteTimeout("x"), "write_timeout", OK),
    (httpx.PoolTimeout("x"), "pool_timeout", LOCAL),
    (httpx.ReadError(""), "network", OK),
    (httpx2.RemoteProtocolError("Server disconnected without sending a response."), "network", OK),
    (httpx.RemoteProtocolError("peer closed connection (incomplete chunked read)"), "truncated_body", OK),
    (httpx.LocalProtocolError("Illegal header value b'Bearer '"), "config", FINAL),
    (httpx.TooManyRedirects("x"), "redirect", FINAL),
    (httpx.InvalidURL("x"), "config", FINAL),
    (httpx.DecodingError("x"), "bad_body", OK),
    (httpx.StreamConsumed(), "internal", FINAL),
    (httpx.ProxyError("407 Proxy Authentication Required"), "proxy_auth", FINAL),
    (httpx.ConnectError("[Errno 101] Network is unreachable"), "network", OK),
    (httpx.ConnectError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation (_ssl.c:1)"), "tls", OK),
    (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "tls", FINAL),
    (httpx.ConnectError("[Errno 8] nodename nor servname provided, or not known"), "dns", NO_HOST),
    (httpx.ConnectError("[Errno 11001] getaddrinfo failed"), "dns", NO_HOST),
    (socket.gaierror(-3, "Temporary failure in name resolution"), "dns", OK),
    (socket.gaierror(-2, "Name or service not known"), "dns", NO_HOST),
    (ssl.SSLCertVerificationError("certificate verify failed"), "tls", FINAL),
    (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "tls", OK),
    (ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:2570)"), "tls", OK),
    (ssl.SSLWantReadError(2, "The operation did not complete (read)"), "tls", OK),
    (ssl.SSLError(1, "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure"), "tls", FINAL),
    (OSError(errno.EMFILE, "Too many open files"), "local_resource", LOCAL),
    (OSError(errno.ENOSPC, "No space left on device"), "local_resource", FINAL),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), "network", OK),
    (FileNotFoundError(2, "No such file: ca.pem"), "config", FINAL),
    (asyncio.CancelledError(), "cancelled", FINAL),
    (KeyboardInterrupt(), "cancelled", FINAL),
    (TimeoutError(), "timeout", OK),
    (trio.TooSlowError(), "timeout", OK),
    (asyncio.IncompleteReadError(b"", 3), "truncated_body", OK),
    (http.client.RemoteDisconnected("x"), "network", OK),
    (anyio.BrokenResourceError(), "network", OK),
    (zlib.error("incorrect header check"), "bad_body", OK),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "bad_body", OK),
    (KeyError("choices"), "internal", FINAL),
    (ZeroDivisionError(), "internal", FINAL),
    (named("SSLCertVerificationError"), "tls", FINAL),
    (named("EndedEarly"), "truncated_body", OK),
    (named("Unheard"), "unknown", FINAL),
    (named("ClientConnectorError", "Cannot connect to host x:443 ssl:default [Connect call failed]"), "network", OK),
    (
        named("ClientConnectorError", "Cannot connect to host x:443 ssl:True [Name or service not known]"),
        "dns",
        NO_HOST,
    ),
    (named("HttpProxyError", "407, message='Proxy Authentication Required'", ValueError), "proxy_auth", FINAL),
    (named("UnheardConnectionError", base=ValueError), "network", OK),
    (named("UnheardReadTimeoutException"), "read_timeout", OK),
    (named("ServiceUnavailable", base=ValueError), "overloaded", OK),
    (named("ResourceExhausted", base=ValueError), "requests", LOCAL),
    (named("Unauthenticated", base=ValueError), "invalid_key", FINAL),
    (named("UnheardValue", base=ValueError), "config", FINAL),
    (named("UnheardTLSError"), "tls", FINAL),
    (named("ConnectionStringSyntaxError", base=ValueError), "config", FINAL),
    (caused(named("UnheardNetworkError"), ssl.SSLCertVerificationError("certificate verify failed")), "tls", FINAL),
    (aiohttp.http_exceptions.TransferEncodingError("Not enough data"), "truncated_body", OK),
    (aiohttp.http_exceptions.BadHttpMessage("Pause on PRI/Upgrade"), "bad_body", OK),
    (named("RefreshError", "invalid_grant: Token has been expired or revoked."), "expired", FINAL),
    (named("Unheard", base=httpx.ReadTimeout), "read_timeout", OK),
    (caused(named("Unheard"), httpx.ConnectTimeout("x")), "connect_timeout", OK),
    (caused(RuntimeError("wrapped"), httpx.ReadTimeout("x")), "read_timeout", OK),
    (caused(TypeError("a bug while handling"), httpx.ReadTimeout("x")), "internal", FINAL),
    (
        caused(named("APIConnectionError"), caused(httpx.ConnectError(""), socket.gaierror(-2, "Name or service"))),
        "dns",
        (False, True),
    ),
    (ExceptionGroup("g", [httpx.ReadTimeout("x")]), "read_timeout", OK),
    (ExceptionGroup("g", [httpx.ReadTimeout("x"), TypeError()]), "internal", FINAL),
    (BaseExceptionGroup("g", [asyncio.CancelledError(), ConnectionResetError(104, "x")]), "network", OK),
]


@pytest.mark.parametrize(("exception", "kind", "expected"), EXCEPTIONS, ids=lambda v: getattr(type(v), "__name__", ""))
def test_exception(exception: BaseException, kind: str, expected: tuple[bool, bool]) -> None:
    """The nearest known name decides; wrappers that say little are looked through."""
    info = classify(Failure(exception=exception, phase="request"))
    assert (info.kind, (info.retryable, info.outage)) == (kind, expected)


def test_what_is_said_of_an_address_without_tls_does_not_name_tls() -> None:
    refused = named("ClientConnectorError", "Cannot connect to host x:80 ssl:default [Connect call failed]")
    assert (
        "ClientConnectorError: Cannot connect to host x:80 [Connect call failed]"
        == classify(Failure(exception=refused)).message
    )


def test_a_chain_that_bites_its_tail_ends() -> None:
    """A cycle of causes is walked once."""
    first, second = named("Unheard"), named("Unheard")
    first.__cause__, second.__cause__ = second, first
    assert classify(Failure(exception=first)).kind == "unknown"


def test_an_exception_that_cannot_be_printed_is_still_known() -> None:
    """A broken __str__ takes nothing down."""

    class Mute(httpx.ReadTimeout):
        def __str__(self) -> str:
            raise ValueError

    assert classify(Failure(exception=Mute("x"))).kind == "read_timeout"


@pytest.mark.parametrize("package", [openai, anthropic], ids=["openai", "anthropic"])
def test_sdk_exceptions_bring_their_answer(package: Any) -> None:
    """Status, headers and body inside an SDK's exception are as good as the answer itself."""
    body = {"error": {"type": "x", "code": "insufficient_quota", "message": "You exceeded your current quota"}}
    request = httpx2.Request("POST", "https://api.example/v1")
    response = httpx2.Response(429, headers={"request-id": "req_7"}, json=body, request=request)
    info = classify(Failure(exception=package.RateLimitError("x", response=response, body=body)))
    assert (info.kind, info.status, info.request_id, info.retryable) == ("quota", 429, "req_7", False)


def test_botocore_errors_bring_their_answer() -> None:
    """botocore keeps the answer in a mapping; no part of botocore is needed to read it."""
    error: Any = named("ClientError", "An error occurred")
    meta = {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "4"}}
    error.response = {"Error": {"Code": "ThrottlingException", "Message": "slow"}, "ResponseMetadata": meta}
    info = classify(Failure(exception=error))
    assert (info.kind, info.status, info.retry_after) == ("requests", 429, 4.0)


def test_a_verdict_that_an_exception_brings_is_kept() -> None:
    """An attempt that a plugin refused has been judged by that plugin."""
    judged = ErrorInfo("transient", "breaker_open", retry_after=3.0)
    assert classify(Failure(exception=AttemptRefused(judged))) == judged

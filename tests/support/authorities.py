"""The certificate authorities that clients trust: each client that is made reads all of them, which takes it 20 ms.

A test makes one client or several, so that was a third of the time of many a folder.  No test meets a public authority,
and one of them is as good as all; those that tests make themselves are read as ever.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest

_END = "-----END CERTIFICATE-----\n"
_read = ssl.SSLContext.load_verify_locations


def read_one() -> None:
    """From now on a context that is told to read a file of all public authorities reads the first one of certifi's."""
    public = {certifi.where(), ssl.get_default_verify_paths().openssl_cafile, os.environ.get("SSL_CERT_FILE")}
    first, end, _ = Path(certifi.where()).read_text("utf-8").partition(_END)

    def load_verify_locations(context: Any, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        if cafile in public and cadata is None:
            cafile, cadata = None, first + end
        _read(context, cafile, capath, cadata)

    ssl.SSLContext.load_verify_locations = load_verify_locations  # type: ignore[method-assign]


def read_all(patch: pytest.MonkeyPatch) -> None:
    """As it is outside of tests, until *patch* is undone."""
    patch.setattr(ssl.SSLContext, "load_verify_locations", _read)

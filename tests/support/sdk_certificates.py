"""A certificate authority for a test, made by the openssl program."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from attrs import frozen

NAME = "api.example.invalid"
"""A name that no resolver knows; only a proxy can lead to it."""


@frozen
class Authority:
    """The file of a self-made authority, and the context of a server whose certificate it signed."""

    file: Path
    server: ssl.SSLContext

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.file))


def make_authority(folder: Path) -> Authority:
    """An authority and a certificate for 127.0.0.1 and NAME in *folder*; skips the test where no openssl program is."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the openssl program is not installed, so no certificate can be made")
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # With the key usages and key identifiers that Python 3.13 insists on (X509_V_FLAG_X509_STRICT).
    openssl(
        "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test Authority", "-days", "2",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "names.txt").write_text(
        f"subjectAltName=IP:127.0.0.1,DNS:{NAME}\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "names.txt",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Authority(folder / "ca.pem", context)

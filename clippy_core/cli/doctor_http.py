"""``clippy doctor``: which HTTP module each SDK is built on, and whom a TLS connection of ours trusts."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..contract_version import requirement
from .doctor_orders import Finding

MODULES = ("httpx", "httpx2")
SDKS = ("openai", "anthropic", "google-genai", "mistralai", "ollama", "langchain-openai", "pydantic-ai")
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What other libraries read; neither httpx nor httpx2 does."""


def version_of(distribution: str) -> str | None:
    """The installed version, None if there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


# --- SDKs ------------------------------------------------------------------------------------------------------------


def describe_sdks() -> dict[str, dict[str, Any]]:
    """Each installed SDK: its version, the HTTP modules it requires, and in a sentence whether ours goes under it."""
    found = {name: version for name in SDKS if (version := version_of(name)) is not None}
    return {name: {"version": version, **_under(name)} for name, version in found.items()}


def _under(sdk: str) -> dict[str, Any]:
    required = _required_by(sdk)
    modules = [name for name in MODULES if name in required]
    if modules:
        faults = [fault for name in modules if (fault := module_fault(name))]
        versions = ", ".join(f"{name} {version_of(name)}" for name in modules)
        what = f"on {versions}: {'; '.join(faults) if faults else 'clippy goes under it'}"
        return {"http": modules, "fits": not faults, "what": what}
    through = sorted(required & {name for name in SDKS if version_of(name) is not None})
    if through:
        return {"http": [], "fits": True, "what": f"through {' and '.join(through)}: hand it a client that was wrapped"}
    return {"http": [], "fits": False, "what": "not on httpx or httpx2: clippy cannot go under it"}


def _required_by(distribution: str) -> set[str]:
    """The distributions that one requires whatever the extras."""
    requires = importlib.metadata.requires(distribution) or []
    return {found.name for text in requires if (found := requirement(text)) is not None and found.holds}


def module_fault(name: str) -> str | None:
    """What keeps us from going under clients of an HTTP module: it is not there, or not of a version that we take."""
    version = version_of(name)
    if version is None:
        return f"{name} is not installed"
    for text in importlib.metadata.requires("clippy-core") or []:
        needed = requirement(text)
        if needed is not None and needed.name == name and not needed.admits(version):
            return f"clippy-core needs {name}{needed.specifiers}, and {version} is installed"
    return None


# --- TLS -------------------------------------------------------------------------------------------------------------


def describe_tls(environ: Mapping[str, str] = os.environ) -> dict[str, dict[str, Any]]:
    """For each HTTP module the context that our own connections would use; a wrapped client keeps its own."""
    return {name: _context(importlib.import_module(name), environ) for name in MODULES if version_of(name) is not None}


def _context(module: ModuleType, environ: Mapping[str, str]) -> dict[str, Any]:
    said = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)), None)
    place = f"{said} = {environ[said]}" if said else ""
    try:
        context = module.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        return {"context": None, "certificates": 0, "trusts": place, "fault": f"no TLS: {error} ({place or 'default'})"}
    kind = f"{type(context).__module__}.{type(context).__qualname__}"
    if kind.startswith("truststore."):
        return {"context": kind, "certificates": None, "trusts": "the system's store, by truststore", "fault": None}
    count = context.cert_store_stats()["x509_ca"]
    trusts = place or _whose(context)
    lazily = bool(environ.get("SSL_CERT_DIR")) or _has_folder()
    fault = None if count or lazily else "it trusts no certificate authority, so that every https request fails"
    return {"context": kind, "certificates": count, "trusts": trusts, "fault": fault}


def _whose(context: ssl.SSLContext) -> str:
    """Whose certificates a context has, found by comparing: nothing of a context says where they came from."""
    path, certificates = _certifi()
    if certificates and certificates == frozenset(context.get_ca_certs(binary_form=True)):
        return f"certifi {version_of('certifi')} ({path})"
    paths = ssl.get_default_verify_paths()
    return f"the system ({paths.cafile or paths.capath or 'no file of OpenSSL here'})"


@functools.cache
def _certifi() -> tuple[str, frozenset[bytes]]:
    """The file of certifi and its certificates, nothing where it is not installed."""
    try:
        import certifi

        path = certifi.where()
        return path, frozenset(ssl.create_default_context(cafile=path).get_ca_certs(binary_form=True))
    except (ImportError, OSError):
        return "", frozenset()


def _has_folder() -> bool:
    """Whether OpenSSL has a folder of certificates, from which it loads one when it needs it."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).glob("*.0"))


def tls_findings(
    contexts: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """What is wrong about trust, and what surprises."""
    for name, one in contexts.items():
        if one["fault"]:
            yield Finding("wrong", f"TLS of {name}", str(one["fault"]))
    folder = environ.get("SSL_CERT_DIR")
    if folder and not environ.get("SSL_CERT_FILE") and not Path(folder).is_dir():
        yield Finding("wrong", "TLS", f"SSL_CERT_DIR = {folder} is no folder")
    unused = [name for name in BUNDLES if environ.get(name)]
    if unused and not environ.get("SSL_CERT_FILE"):
        yield Finding(
            "note", "TLS", f"{' and '.join(unused)} is for other libraries; httpx and httpx2 read SSL_CERT_FILE"
        )
    if environ.get("SSLKEYLOGFILE"):
        yield Finding("note", "TLS", "SSLKEYLOGFILE is set: the keys of connections are written to it")
    trusted = {str(one["trusts"]) for one in contexts.values() if not one["fault"]}
    if len(trusted) > 1:
        what = "; ".join(f"{name} trusts {one['trusts']}" for name, one in contexts.items())
        yield Finding(
            "note",
            "TLS",
            f"{what}: an authority of your own may be known to one of them only (SSL_CERT_FILE is for both)",
        )

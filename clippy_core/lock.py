"""The lock: which plugins may load, by name, distribution, version and hash; ``clippy.lock`` beside the configuration.

It is JSON, of which a half-written file is never a whole one::

    {
      "version": 1,
      "plugins": {
        "cache-memory": {
          "distribution": "clippy-cache-memory",
          "version": "0.1.0",
          "hash": "sha256:..."
        }
      }
    }

The same plugins give the same bytes.  In locked mode (``locked = true``) nothing else is imported.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import matches_re
from clippy_hookspecs import ConfigError

from .config import Config
from .config_names import env_form
from .config_structure import structure
from .installed import Found
from .installed_files import Unverifiable, hash_of, last_changed

NAME = "clippy.lock"
ANEW = "lock anew with clippy plugins lock"


@frozen
class LockedPlugin:
    """One plugin as it may load."""

    distribution: str
    version: str
    hash: str = field(validator=matches_re("sha256:[0-9a-f]{64}"))

    def refusal(self, found: Found) -> str | None:
        """Why *found* may not load, in a sentence without its name; None if it is what was locked.

        Its files are read for that, after its version was right.
        """
        if env_form(found.distribution) != env_form(self.distribution):
            return f"comes from {found.distribution}, and {NAME} has it from {self.distribution}; uninstall one of them"
        if found.version != self.version:
            asked = f"{self.distribution}=={self.version}"
            return f"is not the version in {NAME}, {self.version}; install {asked}, or {ANEW}"
        try:
            real = hash_of(found)
        except Unverifiable as error:
            return f"cannot be verified: {error}; reinstall {found.distribution}"
        return None if real == self.hash else self._other_files(real, last_changed(found))

    def _other_files(self, real: str, changed: str | None) -> str:
        """That the files have another hash; which of them is known of sources, where RECORD keeps no hashes."""
        what = f"its files are not those in {NAME} ({real}, locked is {self.hash})"
        if changed is not None:
            return (
                f"{what}; it is an editable installation, last changed was {changed}; put its sources back, or {ANEW}"
            )
        asked = f"{self.distribution}=={self.version}"
        return f"{what}, though they are what their RECORD says; install the {asked} that was locked, or {ANEW}"


@frozen
class Lock:
    """The content of a lock file."""

    version: Literal[1] = 1
    plugins: Mapping[str, LockedPlugin] = field(factory=dict)

    def refusal(self, found: Found) -> str | None:
        """Why *found* may not load, in a sentence without its name, or None."""
        locked = self.plugins.get(found.name)
        if locked is None:
            return f"is not in {NAME}; {ANEW} if it is meant to load, or uninstall {found.distribution}"
        return locked.refusal(found)

    def gone(self, installed: Iterable[Found]) -> list[tuple[str, str]]:
        """The names of what is locked and not installed, each with a sentence."""
        there = {(found.name, env_form(found.distribution)) for found in installed}
        return [
            (name, f"plugin {name} ({one.distribution} {one.version}) is not installed; install it, or {ANEW}")
            for name, one in self.plugins.items()
            if (name, env_form(one.distribution)) not in there
        ]

    def differences(self, wanted: Sequence[Found]) -> list[str]:
        """How *wanted*, the plugins that would load, are not the locked ones; one sentence each."""
        refused = [(found, what) for found in wanted if (what := self.refusal(found))]
        return [what for _, what in self.gone(wanted)] + [
            f"plugin {found.name} {found.version}: {what}" for found, what in refused
        ]

    def text(self) -> str:
        """The file's content."""
        return json.dumps(attrs.asdict(self), indent=2, sort_keys=False, ensure_ascii=True) + "\n"


def lock_path(config: Config) -> Path:
    """Where the lock of *config* is: beside the file it was read from, without one in the working directory."""
    return (config.file or Path(NAME)).absolute().with_name(NAME)


def make_lock(wanted: Iterable[Found]) -> Lock:
    """The lock of *wanted*.  Raises ConfigError with a sentence for each whose files cannot be verified."""
    plugins: dict[str, LockedPlugin] = {}
    faults: list[str] = []
    for found in sorted(wanted, key=lambda one: one.name):
        try:
            plugins[found.name] = LockedPlugin(found.distribution, found.version, hash_of(found))
        except Unverifiable as error:
            what = f"cannot be locked: {error}; reinstall {found.distribution}, or disable the plugin"
            faults.append(f"plugin {found.name} {found.version}: {what}")
    if faults:
        raise ConfigError(faults)
    return Lock(1, plugins)


def read_lock(path: Path) -> Lock:
    """The lock in *path*.  Raises ConfigError if it is not there, not whole, or of a version we do not know."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file; write it with clippy plugins lock"]) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: is not a whole lock file ({error}); restore it, or {ANEW}"]) from None
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > 1:
        raise ConfigError([f"{path}: is a lock of version {version}, and we read 1; upgrade clippy-core, or {ANEW}"])
    try:
        if version is None or "plugins" not in document:
            raise ConfigError(["has no version or no plugins"])
        return structure(Lock, document, environ={})
    except ConfigError as error:
        raise ConfigError([f"{path}: {fault}; restore it, or {ANEW}" for fault in error.faults]) from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose names are all different; a bad merge leaves one twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name stands there twice")
    return table


def write_lock(path: Path, lock: Lock) -> bool:
    """Put *lock* into *path*, whole or not at all; False if it was there already.  Raises OSError."""
    path = path.resolve()  # the file that a link points to, not the link
    text = lock.text().encode()
    if path.is_file() and path.read_bytes() == text:
        return False
    made = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with made.open("xb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return True

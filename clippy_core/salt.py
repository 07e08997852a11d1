"""The salt of the digests that stand for credentials: made once for each user of a machine, never leaves it."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

log = logging.getLogger("clippy")


def load_salt(path: Path | None) -> bytes:
    """The salt in *path* (default: the user's data folder), made if it is not there.

    Processes that share a cache file need the same salt.  Where nothing can be written it lives as long as the process.
    """
    path = path or default_path()
    try:
        return _read(path) or _create(path)
    except OSError as error:
        log.warning("no salt in %s (%s): cached answers will not outlive this process", path, error.strerror)
        return secrets.token_bytes(32)


def default_path() -> Path:
    """The file where no setting names one."""
    import platformdirs  # a host without plugins needs no salt

    return Path(platformdirs.user_data_dir("clippy")) / "salt"


def _read(path: Path) -> bytes | None:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    return found if len(found) >= 32 else None


def _create(path: Path) -> bytes:
    """Write a new salt beside *path* and link it there: of two processes that start at once one wins for both."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    salt = secrets.token_bytes(32)
    made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(salt)
        if path.exists() and _read(path) is None:
            made.replace(path)  # what was there is not a salt
        else:
            try:
                os.link(made, path)
            except FileExistsError:
                salt = _read(path) or salt
    finally:
        made.unlink(missing_ok=True)
    return salt

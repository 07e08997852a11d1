"""State stores in files that processes share, a sound one and broken ones, for the part of the suite about that."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_hookspecs import Clock, Host, Reservation, ServiceRegistry, StateStore, hookimpl

Rows = dict[str, list[Any]]
"""What a key stands for, by name (of a use, of a holder; "" where there is one); the end is last in each row."""


@define(eq=False)
class FileStore:
    """A JSON file for each key, all under one lock that the system frees when its holder dies."""

    path: Path = field(default=Path("state"), metadata={"doc": "The folder."})
    _clock: Any = field(init=False, default=None)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(StateStore, self)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        self._clock = host.services.get(Clock)
        self.path.mkdir(exist_ok=True)
        yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _file(self, table: str, key: str) -> Path:
        return self.path / f"{table} {hashlib.sha256(key.encode()).hexdigest()}"

    def _read(self, file: Path) -> Rows:
        return self._live(json.loads(file.read_text())) if file.exists() else {}

    def _write(self, file: Path, rows: Rows) -> None:
        new = self.path / "new"
        new.write_text(json.dumps(rows))
        new.replace(file)

    @contextmanager
    def _changing(self, table: str, key: str) -> Iterator[Rows]:
        file = self._file(table, key)
        with self._locked():
            rows = self._read(file)
            yield rows
            self._write(file, rows)

    def _until(self, ttl: float) -> float:
        if not ttl > 0:
            raise ValueError(f"ttl is {ttl}; everything expires, so give seconds above 0")
        ends: float = self._clock.time() + ttl
        return ends

    def _live(self, rows: Rows) -> Rows:
        return {name: row for name, row in rows.items() if row[-1] > self._clock.time()}

    def get(self, key: str) -> str | None:
        with self._locked():
            found: str | None = self._read(self._file("value", key)).get("", [None])[0]
            return found

    def put(self, key: str, value: str, ttl: float) -> None:
        with self._changing("value", key) as rows:
            rows[""] = [value, self._until(ttl)]

    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._changing("value", key) as rows:
            same: bool = rows.get("", [None])[0] == expected
            if same:
                rows[""] = [value, self._until(ttl)]
            return same

    def add(self, key: str, amount: float, ttl: float) -> float:
        with self._changing("counter", key) as rows:
            total, ends = rows.get("", [0.0, self._until(ttl)])
            rows[""] = [total + amount, ends]
            return float(total + amount)

    def _name(self) -> str:
        return uuid.uuid4().hex

    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        with self._changing("use", key) as rows:
            if sum(use[1] for use in rows.values()) + amount > limit:
                return None
            held = Reservation(self._name(), key, amount, self._until(ttl))
            rows[held.id] = ["held", amount, held.expires_at]
            return held

    def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        with self._changing("use", reservation.key) as rows:
            until = self._until(ttl)
            if rows.get(reservation.id, [""])[0] == "held":
                rows[reservation.id] = ["used", actual, until]

    def refund(self, reservation: Reservation) -> None:
        with self._changing("use", reservation.key) as rows:
            if rows.get(reservation.id, [""])[0] == "held":
                del rows[reservation.id]

    def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._changing("lease", key) as rows:
            until = self._until(ttl)
            if holder not in rows and len(rows) >= places:
                return False
            rows[holder] = [os.getpid(), until]
            return True

    def release(self, key: str, holder: str) -> None:
        with self._changing("lease", key) as rows:
            rows.pop(holder, None)


# --- lost between processes -------------------------------------------------------------------------------------------


@define(eq=False)
class ReadsBeforeItLocks(FileStore):
    """Is alone only while it writes: what others wrote since it read is lost."""

    @contextmanager
    def _changing(self, table: str, key: str) -> Iterator[Rows]:
        file = self._file(table, key)
        rows = self._read(file)
        time.sleep(0.001)
        yield rows
        with self._locked():
            self._write(file, rows)


@define(eq=False)
class ReadsOnce(FileStore):
    """Keeps what it read, and writes all of it back: right as long as nobody else writes."""

    _kept: dict[Path, Rows] = field(init=False, factory=dict)

    def _read(self, file: Path) -> Rows:
        kept = self._kept[file] = self._live(self._kept.get(file) or FileStore._read(self, file))
        return kept


@define(eq=False)
class LeasesInMemory(FileStore):
    """Shares values and counters, and keeps its leases to itself."""

    _leases: dict[str, Rows] = field(init=False, factory=dict)

    @contextmanager
    def _changing(self, table: str, key: str) -> Iterator[Rows]:
        if table == "lease":
            self._leases[key] = self._live(self._leases.get(key, {}))
            yield self._leases[key]
        else:
            with FileStore._changing(self, table, key) as rows:
                yield rows


# --- one process's names are another's --------------------------------------------------------------------------------


@define(eq=False)
class CountsItsNames(FileStore):
    """Numbers its reservations, as every other process does."""

    _names: int = field(init=False, default=0)

    def _name(self) -> str:
        self._names += 1
        return str(self._names)


@define(eq=False)
class SeedsItsNames(FileStore):
    """Draws the names of its reservations from a source that forked processes inherit, in the same state."""

    _random: random.Random = field(init=False, factory=random.Random)

    def _name(self) -> str:
        return f"{self._random.getrandbits(128):x}"


# --- killed -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class FreesTheDead(FileStore):
    """Gives away the places of processes that are gone, although what they began may still go on elsewhere."""

    @contextmanager
    def _changing(self, table: str, key: str) -> Iterator[Rows]:
        with FileStore._changing(self, table, key) as rows:
            for name in [
                name for name, row in rows.items() if table == "lease" and not Path(f"/proc/{row[0]}").exists()
            ]:
                del rows[name]
            yield rows


@define(eq=False)
class ExpiresItsOwn(FileStore):
    """Leaves it to each process to give back in time the places that it has."""

    def _live(self, rows: Rows) -> Rows:
        live = FileStore._live(self, rows)
        others = [name for name, row in rows.items() if isinstance(row[0], int) and row[0] != os.getpid()]
        return {name: row for name, row in rows.items() if name in live or name in others}


@define(eq=False)
class WritesInPlace(FileStore):
    """Overwrites its file piece by piece: who is killed meanwhile leaves half of it."""

    def _write(self, file: Path, rows: Rows) -> None:
        text = json.dumps(rows)
        with file.open("w") as open_file:
            for start in range(0, len(text), 1000):
                open_file.write(text[start : start + 1000])
                open_file.flush()
                time.sleep(0.0005)


@define(eq=False)
class LocksWithAFile(FileStore):
    """Takes a file that is there for a lock: who is killed while it holds it has locked everybody out."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path / "lock"
        for _ in range(500):
            with suppress(FileExistsError):
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
                break
            time.sleep(0.002)
        else:
            raise TimeoutError(f"{lock} is there for a second")
        try:
            yield
        finally:
            lock.unlink()


PLANTED: dict[str, dict[str, Callable[..., object]]] = {
    "StateStoreContract": {
        "processes write over each other": ReadsBeforeItLocks,
        "it reads its file once": ReadsOnce,
        "each process has its own leases": LeasesInMemory,
        "processes give the same names": CountsItsNames,
        "forked processes give the same names": SeedsItsNames,
        "a killed process is taken for one that has finished": FreesTheDead,
        "only its own process ends what it holds": ExpiresItsOwn,
        "a killed process leaves half a file": WritesInPlace,
        "a killed process leaves its lock": LocksWithAFile,
    },
}

SOUND: dict[str, Callable[..., object]] = {"StateStoreContract": FileStore}

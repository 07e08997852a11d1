"""A cache that many use at once: threads, processes, a file that somebody has damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from ..script import Reply, Script
from .base import Contract, NotApplicable, in_threads, require, settings_of, vital
from .caching import Caching
from .processes import in_processes

THREADS, PROCESSES = 8, 4


class CacheSharing(Contract):
    """The part of the cache suite that is about being shared."""

    path: ClassVar[str | None] = "path"
    shared: ClassVar[bool | None] = None

    def caching(self, plugin: object | None = None, script: Any = None, **more: Any) -> Caching:
        """A cache (by default a new one) to call directly."""
        return Caching(self.bench(plugin, script, **more))

    # --- threads ------------------------------------------------------------------------------------------------------

    @vital
    def test_eight_threads_get_right_answers(self) -> None:
        """They store, look up and forget at the same keys; every answer belongs to its key, and nothing raises."""
        cache = self.caching()
        cache.store("start", "start")

        def work(thread: int) -> list[str]:
            wrong, rng = [], random.Random(thread)
            for number in range(60):
                key = f"key {rng.randrange(12)}"
                if number % 20 == 19:
                    cache.invalidate(key=key)
                elif number % 3 == 0:
                    cache.store(key, f"{key} by {thread}, {number}: " + "x" * rng.randrange(2000))
                found = cache.text(key)
                if found is not None and not found.startswith(f"{key} by "):
                    wrong.append(f"{key} gave {found[:40]!r}")
            cache.store(f"last of {thread}", f"last of {thread}")
            return wrong

        wrong = [one for found in in_threads(THREADS, work) for one in found]
        require(not wrong, f"threads got answers to other keys: {'; '.join(wrong[:3])}")
        for thread in range(THREADS):
            require(cache.text(f"last of {thread}") == f"last of {thread}", f"what thread {thread} stored is lost")
        require(not cache.bench.blamed, f"the plugin raised in {', '.join(cache.bench.blamed)}")

    @vital
    def test_eight_threads_call_through_one_host(self) -> None:
        """Each gets the answers to its own questions, plain and streamed."""
        bench = self.bench(script=Reply(echo=True))

        def work(thread: int) -> list[str]:
            asked = [f"question {(thread + number) % 10}" for number in range(12)]
            return [q for n, q in enumerate(asked) if (bench.chat if n % 2 else bench.stream)(q).text != q]

        wrong = [question for found in in_threads(THREADS, work) for question in found]
        require(not wrong, f"threads got answers to other questions: {wrong[:3]}")
        require(not bench.blamed, f"the plugin raised in {', '.join(bench.blamed)}")

    # --- processes ----------------------------------------------------------------------------------------------------

    @vital
    def test_four_processes_share_a_store(self) -> None:
        """They begin it at once; every answer that one of them stored is there for everybody, whole."""
        self._require_shared()

        def work(number: int) -> Any:
            cache = self.caching()
            for step in range(20):
                cache.store(f"{number} {step}", f"{number} {step} " + "x" * 500)
            wrong = [
                key
                for other in range(PROCESSES)
                for step in range(20)
                if (found := cache.text(key := f"{other} {step}")) is not None and found != f"{key} " + "x" * 500
            ]
            cache.bench.close()
            return wrong

        for number, wrong in enumerate(in_processes(PROCESSES, work)):
            require(wrong == [], f"process {number} got wrong answers for {wrong}")
        cache = self.caching()
        keys = [f"{number} {step}" for number in range(PROCESSES) for step in range(20)]
        lost = [key for key in keys if cache.text(key) != f"{key} " + "x" * 500]
        require(not lost, f"{len(lost)} of {len(keys)} answers that four processes stored are not there: {lost[:4]}")

    @vital
    def test_what_one_process_forgets_is_forgotten_by_all(self) -> None:
        """An answer that another process invalidates is not given here any more."""
        self._require_shared()
        cache = self.caching()
        cache.store("gone", "gone")
        cache.store("kept", "kept")
        cache.bench.close()
        require(cache.text("gone") == "gone", "a host that was closed and opened again does not find its answers")

        def work(_: int) -> Any:
            other = self.caching()
            seen = other.text("gone")
            other.invalidate(key="gone")
            other.bench.close()
            return seen

        require(in_processes(1, work) == ["gone"], "another process does not see what was stored")
        require(cache.lookup("gone") is None, "an answer that another process invalidated is still given")
        require(cache.text("kept") == "kept", "another process's invalidation took more than it named")

    # --- files --------------------------------------------------------------------------------------------------------

    def test_a_file_outlives_its_process(self) -> None:
        """A new instance on the same file finds what was stored, and what has expired stays so."""
        self._require_file()
        cache = self.caching()
        cache.store("k", "hello")
        cache.bench.close()
        cache = self.caching()
        require(cache.text("k") == "hello", "after the host was closed its answers are not in the file")
        cache.bench.close()
        self.clock.advance(10 * 365 * 86400.0)
        require(self.caching().lookup("k") is None, "an answer of ten years ago is given")

    @vital
    def test_a_damaged_file_never_gives_a_wrong_answer(self) -> None:
        """Bytes changed anywhere in it: each answer is right or a miss, and no caller notices."""
        self._require_file()
        rng = random.Random(7)
        for trial in range(12):
            where = self._written(rng)
            for file in where:
                content = bytearray(file.read_bytes())
                for _ in range(1 + len(content) // 2000):
                    if content:
                        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
                file.write_bytes(content)
            self._still_right(f"trial {trial}: single bits were changed").bench.close()

    @vital
    def test_a_file_that_is_not_one_is_replaced(self) -> None:
        """Empty, cut in half, zeros, text or noise: calls are answered, and in the end answers are stored again."""
        self._require_file()
        rng = random.Random(8)
        damages: dict[str, Callable[[bytes], bytes]] = {
            "emptied": lambda content: b"",
            "cut in half": lambda content: content[: len(content) // 2],
            "zeroed": lambda content: b"\0" * len(content),
            "overwritten with text": lambda content: b"this is not a cache\n" * 100,
            "overwritten with noise": lambda content: rng.randbytes(len(content)),
            "overwritten from the middle on": lambda content: (
                content[: len(content) // 2] + b"\xff" * (len(content) // 2)
            ),
        }
        for what, damage in damages.items():
            for file in self._written(rng):
                file.write_bytes(damage(file.read_bytes()))
            cache = self._still_right(f"the file was {what}")
            # The first touch may be what finds the damage.
            for _ in range(3):
                cache.store("after", "after")
            require(cache.text("after") == "after", f"the file was {what}, and nothing can be stored any more")
            cache.bench.close()

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _written(self, rng: random.Random) -> list[Path]:
        """A file with twenty answers in it; all the files that belong to it."""
        for file in self._files():
            file.unlink()
        cache = self.caching()
        for number in range(20):
            cache.store(f"k{number}", f"answer {number} " + "x" * rng.randrange(3000))
        cache.bench.close()
        files = self._files()
        require(files, "the cache has a path and wrote no file below the check's folder")
        return files

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.rglob("*") if file.is_file() and not file.is_symlink())

    def _still_right(self, when: str) -> Caching:
        cache = self.caching(script=Script(then=Reply(echo=True)))
        for number in range(20):
            found = cache.text(f"k{number}")
            right = found is None or (found.startswith(f"answer {number} ") and not found.partition(" x")[2].strip("x"))
            require(right, f"{when}, and k{number} gave {found!r:.60}")
        require(cache.bench.chat("Hello").text == "Hello", f"{when}, and a call was not answered")
        return cache

    def _require_file(self) -> None:
        if self.path is None or self.path not in settings_of(self.make()):
            raise NotApplicable("it keeps no file (it has no setting for a path)")

    def _require_shared(self) -> None:
        if self.shared is None:
            self._require_file()
        elif not self.shared:
            raise NotApplicable("it is not shared between processes")

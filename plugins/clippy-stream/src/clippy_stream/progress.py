"""How far a stream is."""

from __future__ import annotations

from attrs import frozen
from clippy_stream_monitor import Meter


@frozen
class Progress:
    """How far a stream is; what is not known is None and never guessed.

    ``state``: idle, streaming, paused, cancelled, completed or failed.  ``seconds`` since it was asked for and ``rate``
    in tokens a second, both without the ``paused`` seconds.  ``began`` is unix seconds.  ``tokens`` are those of the
    answer so far, ``estimated`` if we counted them and not the provider.  ``percentage`` and ``remaining`` seconds are
    known where the caller has said how many tokens it expects and no more have come; what is completed is 100.
    ``bytes``, ``tokens``, ``chunks`` and ``rate`` are counted by the plugin stream-monitor, and None without it.
    """

    id: str
    state: str
    model: str
    began: float
    seconds: float
    paused: float
    bytes: int | None = None
    tokens: int | None = None
    chunks: int | None = None
    estimated: bool = False
    rate: float | None = None
    percentage: float | None = None
    remaining: float | None = None


def progress_of(meter: Meter) -> Progress:
    """How far the stream of *meter* is now."""
    said = meter.metrics()
    share = _share(said.tokens, meter.expected if meter.fed else None)
    done = said.state == "completed"
    left = None if share is None or not said.average else (1.0 - share) * (meter.expected or 0) / said.average
    percentage = 100.0 if done else None if share is None else 100.0 * share
    where = (said.id, said.state, said.model, meter.began_at, said.seconds, said.paused)
    if not meter.fed:
        return Progress(*where, percentage=percentage)
    return Progress(
        *where,
        bytes=said.bytes,
        tokens=said.tokens,
        chunks=said.pieces,
        estimated=said.usage.estimated,
        rate=said.average,
        percentage=percentage,
        remaining=0.0 if done else left,
    )


def _share(tokens: int, expected: int | None) -> float | None:
    """The part of an answer that is here, None if nobody said how long it will be or said too little."""
    return tokens / expected if expected and tokens <= expected else None

"""Calls on their way into a file, some at a time; what is lost of them is told to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen

from .exchange import Exchange
from .files import Appender


@frozen
class Loss:
    """Calls that were not written, and why; ``passing``: of the file, which may be written again in a moment."""

    count: int
    why: str
    passing: bool = False
    error: BaseException | None = None


def write(file: Appender, developed: Callable[[Any], Exchange], calls: Iterable[tuple[str, Any]]) -> list[Loss]:
    """Make calls, each with its id, clean and append them together; one that cannot be takes no other with it."""
    losses, batch = [], []
    for request_id, call in calls:
        try:
            batch.append(developed(call))
        except Exception as error:
            losses.append(Loss(1, f"call {request_id} was not recorded", error=error))
    try:
        file.append(*batch)
    except OSError as error:
        losses.append(Loss(len(batch), f"{file.path}: {error.strerror or error}", passing=True))
    except Exception as error:
        losses.append(Loss(len(batch), f"{len(batch)} calls were not recorded", error=error))
    return losses

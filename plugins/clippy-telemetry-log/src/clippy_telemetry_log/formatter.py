"""One line of JSON for each log record, whatever the record holds."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_DEEPEST = 50
_BITS = 14000
"""Of an integer that Python writes in decimal digits; see sys.set_int_max_str_digits."""
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON in plain ASCII: ``time``, ``level``, ``logger``, ``message`` and its extras.

    Whatever ends a line, moves a cursor or turns the direction of writing is an escape and reads back as the same text,
    so no text can forge a record.  ``time`` is UTC with microseconds.  Extras keep their names and their values; one
    that is called like a field of the line gets an underscore behind it.  What JSON does not have (NaN, a date, an
    object) is written as its ``str``.  An exception is in ``exception``, with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """*record* as one line, without a newline at its end."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            fields["exception"] = record.exc_text
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _OWN:
                fields[f"{name}_" if name in fields else name] = value
        try:
            return _ENCODER.encode(fields)
        except (TypeError, ValueError, RecursionError):  # an object, a NaN, a value that holds itself
            return _ENCODER.encode(_json(fields, ()))


def _json(value: object, around: tuple[int, ...]) -> Any:
    """*value* as what JSON has; *around* are the ids of what it stands in."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _BITS else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return _text(value)
    if id(value) in around or len(around) >= _DEEPEST:
        return f"<{type(value).__name__}>"
    within = (*around, id(value))
    if isinstance(value, Mapping):
        return {_text(key): _json(item, within) for key, item in value.items()}
    return [_json(item, within) for item in value]


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # of a class that is not ours
        return f"<{type(value).__name__}, whose str raises {type(error).__name__}>"

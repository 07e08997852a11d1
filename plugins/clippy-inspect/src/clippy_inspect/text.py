"""Text that others wrote, made safe to look at: what has no shape, or turns around what follows, is shown by name."""

from __future__ import annotations

from clippy_lines import looking


def visible(text: str) -> str:
    """*text* with every control, bidirectional and invisible character as a picture or as ``[U+202E]``.

    Line feeds and tabs stay, and what belongs to what is written around it.
    """
    return looking.visible(text, "\n\t", _named)


def _named(sign: str) -> str:
    if sign < "\x20":
        return chr(0x2400 + ord(sign))
    return "\u2421" if sign == "\x7f" else f"[U+{ord(sign):04X}]"

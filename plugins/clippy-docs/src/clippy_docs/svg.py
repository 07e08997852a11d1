"""Drawings as text.  Colours come from the site's style sheet, so that one drawing reads in light and in dark."""

from __future__ import annotations

from html import escape

import attrs

Point = tuple[float, float]


@attrs.frozen
class Box:
    """A box with words in it; the words after the first line are small."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    kind: str = ""
    link: str = ""
    title: str = ""

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2


@attrs.define(eq=False)
class Drawing:
    """What is drawn, from the back to the front.  ``label`` says to a screen reader what there is to see."""

    width: float
    height: float
    label: str
    _back: list[str] = attrs.field(init=False, factory=list)
    _front: list[str] = attrs.field(init=False, factory=list)

    def box(self, box: Box) -> Box:
        """Draw a box, and give it back for the arrows."""
        shape = (
            f'<rect class="box {box.kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" '
            f'rx="5"/>'
        )
        step = 15
        first = box.y + box.height / 2 + 4 - step * (len(box.lines) - 1) / 2
        words = "".join(
            f'<text class="{"name" if row == 0 else "note"}" x="{box.top[0]:g}" y="{first + row * step:g}">'
            f"{escape(line)}</text>"
            for row, line in enumerate(box.lines)
        )
        title = f"<title>{escape(box.title)}</title>" if box.title else ""
        group = f"<g>{title}{shape}{words}</g>"
        self._front.append(f'<a href="{escape(box.link)}">{group}</a>' if box.link else group)
        return box

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """A dashed frame around what belongs together."""
        self._back.append(f'<rect class="frame" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>')

    def words(self, at: Point, words: str, kind: str = "") -> None:
        """Small words in the open; *kind* is start or end for how they stand to their point."""
        self._front.append(f'<text class="note {kind}" x="{at[0]:g}" y="{at[1]:g}">{escape(words)}</text>')

    def arrow(self, *points: Point, kind: str = "") -> None:
        """Straight lines from point to point, with a head at the end."""
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
        self._back.append(f'<path class="line {kind}" d="{path}" marker-end="url(#head)"/>')

    def curve(self, start: Point, end: Point, kind: str = "") -> None:
        """A curve that leaves *start* downwards and comes to *end* from above."""
        bend = (end[1] - start[1]) / 2
        path = (
            f"M{start[0]:g},{start[1]:g}C{start[0]:g},{start[1] + bend:g} {end[0]:g},{end[1] - bend:g} "
            f"{end[0]:g},{end[1]:g}"
        )
        self._back.append(f'<path class="line {kind}" d="{path}" marker-end="url(#head)"/>')

    def svg(self) -> str:
        """The drawing, on one line: Markdown must not look into it.

        It is never smaller than it was drawn, since its words would be, too: a page narrower than that scrolls it.
        """
        head = (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="head" d="M0,0L8,4L0,8z"/></marker></defs>'
        )
        return (
            f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="min-width:{self.width:g}px" role="img" aria-label="{escape(self.label)}">'
            f"{head}{''.join(self._back)}{''.join(self._front)}</svg>"
        )

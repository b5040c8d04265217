"""A widget made of lines: keeps what it shows, and refreshes only what differs from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from agentdash.tui.lines import BLANK, Line, Tone, width_of
from controller.model.text import clean

Build: TypeAlias = Callable[[int, int], Sequence[Line]]
"""Lines for a width and a height, in cells."""


class Lined(Widget):
    """Draws the lines that a pure function gives for its size.

    Text comes from outside: it is cleaned here once more and never read as markup.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in Tone}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._build: Build = _nothing
        self._shown: list[Line] = []
        self._shown_size: tuple[int, int] | None = None

    def show(self, build: Build) -> None:
        """Draw what this function gives from now on."""
        self._build = build
        self.update_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The lines to show, at most `height` of at most `width` cells."""
        return self._build(width, height)

    def update_lines(self) -> None:
        """Ask for the lines again and refresh where they differ from those on the screen."""
        width, height = self.size
        if (width, height) != self._shown_size:
            self._shown_size = None
            self.refresh()
            return
        fresh = self._padded(width, height)
        for y, (old, new) in enumerate(zip(self._shown, fresh, strict=True)):
            if old != new:
                first, last = changed_cells(old, new, width)
                self.refresh(Region(first, y, last - first, 1))
        self._shown = fresh

    def render_line(self, y: int) -> Strip:
        """One line as Textual wants it."""
        width, height = self.size
        if self._shown_size != (width, height):
            self._shown = self._padded(width, height)
            self._shown_size = (width, height)
        row = self._shown[y] if y < len(self._shown) else BLANK
        base = self._style(Tone.PLAIN, row.base)
        segments = [
            Segment(clean(text), base + self._style(tone, ground, partial=True))
            for text, tone, ground in row.spans
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _padded(self, width: int, height: int) -> list[Line]:
        found = list(self.lines(width, height))[:height]
        return found + [BLANK] * (height - len(found))

    def _style(self, tone: Tone, ground: Tone, *, partial: bool = False) -> Style:
        style = Style.null() if partial else self.rich_style
        for each in (ground, tone):
            if each is not Tone.PLAIN:
                style += self.get_component_rich_style(f"tone--{each}", partial=True)
        return style


def changed_cells(old: Line, new: Line, width: int) -> tuple[int, int]:
    """The first cell that differs and the one after the last; equal spans at both ends are kept."""
    if old.base != new.base:
        return 0, width
    first = 0
    for before, after in zip(old.spans, new.spans, strict=False):
        if before != after:
            break
        first += width_of(after.text)
    if _total(old) != _total(new):
        return min(first, width - 1), width
    tail = 0
    for before, after in zip(reversed(old.spans), reversed(new.spans), strict=False):
        if before != after:
            break
        tail += width_of(after.text)
    last = max(_total(new) - tail, first + 1)
    return min(first, width - 1), min(max(last, 1), width)


def _total(row: Line) -> int:
    return sum(width_of(span.text) for span in row.spans)


def _nothing(width: int, height: int) -> Sequence[Line]:
    del width, height
    return ()

"""A widget made of lines: it remembers what it shows and refreshes only what changes.

Textual's Static writes as few bytes behind the difference writer, and for two lines it takes as
long (102 B and 6 ms for both where the time changes). A screen of it in which one line changes
takes five times as long, 51 B and 24 ms against 51 B and 5 ms, for it draws all lines again. So all
that is made of lines has this one base. (tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from agentdash.tui.lines import BLANK, Line, Tone, line_width, width_of
from controller.model.text import clean

LinesBuilder: TypeAlias = Callable[[int, int], Sequence[Line]]
"""Gives the lines for a width and a height, in cells."""

TONE_CLASSES: Final = frozenset(f"tone--{tone}" for tone in Tone)
"""Component classes of each screen with such widgets. Textual matches every component class with
every rule when a widget's classes change: as the widgets' own they took a third of the time of a
new view.
"""


class LinesWidget(Widget):
    """Shows the lines that a pure function gives for the widget's size.

    Texts come from outside: they are cleaned once more here, and never read as markup. The tones'
    styles are those of its screen, which has `TONE_CLASSES`.
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._builder: LinesBuilder = _no_lines
        self._shown: list[Line] = []
        self._shown_size: tuple[int, int] | None = None

    def show(self, builder: LinesBuilder) -> None:
        """Show the lines of this function from now on."""
        self._builder = builder
        self.update_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The lines to show; lines beyond `height` are not shown."""
        return self._builder(width, height)

    def update_lines(self) -> None:
        """Build the lines again, and refresh the cells that differ from those on the screen."""
        width, height = self.size
        if (width, height) != self._shown_size:
            self._shown_size = None
            self.refresh()
            return
        built = self._padded(width, height)
        for y, (old, new) in enumerate(zip(self._shown, built, strict=True)):
            if old != new:
                first, end = changed_cells(old, new, width)
                self.refresh(Region(first, y, end - first, 1))
        self._shown = built

    def render_line(self, y: int) -> Strip:
        """One line in Textual's form."""
        width, height = self.size
        if self._shown_size != (width, height):
            self._shown = self._padded(width, height)
            self._shown_size = (width, height)
        row = self._shown[y] if y < len(self._shown) else BLANK
        base = self._style(Tone.PLAIN, row.background)
        segments = [
            Segment(clean(text), base + self._style(tone, background, partial=True))
            for text, tone, background in row.spans
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _padded(self, width: int, height: int) -> list[Line]:
        found = list(self.lines(width, height))[:height]
        return found + [BLANK] * (height - len(found))

    def _style(self, tone: Tone, background: Tone, *, partial: bool = False) -> Style:
        style = Style.null() if partial else self.rich_style
        for each in (background, tone):
            if each is not Tone.PLAIN:
                style += self.screen.get_component_rich_style(f"tone--{each}", partial=True)
        return style


class ClickedLine(LinesWidget):
    """One line that can be clicked."""

    class Clicked(Message):
        """A person clicked on this cell of the line."""

        def __init__(self, widget: LinesWidget, cell: int) -> None:
            super().__init__()
            self.widget = widget
            self.cell = cell

    def on_click(self, event: Click) -> None:
        """Pass the cell on."""
        self.post_message(self.Clicked(self, event.x))


def changed_cells(old: Line, new: Line, width: int) -> tuple[int, int]:
    """The first cell that differs, and the end: the cell after the last one that differs.

    Equal spans at both ends of the lines are left out.
    """
    if old.background != new.background:
        return 0, width
    first = 0
    for before, after in zip(old.spans, new.spans, strict=False):
        if before != after:
            break
        first += width_of(after.text)
    if line_width(old) != line_width(new):
        return min(first, width - 1), width
    tail = 0
    for before, after in zip(reversed(old.spans), reversed(new.spans), strict=False):
        if before != after:
            break
        tail += width_of(after.text)
    end = max(line_width(new) - tail, first + 1)
    return min(first, width - 1), min(max(end, 1), width)


def _no_lines(width: int, height: int) -> Sequence[Line]:
    del width, height
    return ()

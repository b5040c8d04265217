"""A widget made of lines: it remembers what it shows and refreshes only what changes.

Textual's Static writes as few bytes behind the difference writer, and for two lines it takes as
long (102 B and 6 ms for both where the time changes). A screen of it in which one line changes
takes five times as long, 51 B and 24 ms against 51 B and 5 ms, for it draws all lines again. So all
that is made of lines has this one base.

A border of CSS costs as many bytes as a `Panel` (51 where a line in it changes, 1.8 kB where
it gets the focus), but has one text on each edge; here the title and the order of the rows stand on
the upper one, so that no line is spent on the second. To scroll a text by a line costs 3.1 kB here
and 3.2 kB in Textual's VerticalScroll, which also takes two columns for its bar. Both draw all
lines again when a title changes (24 ms against 5 ms).
(tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from agentdash.tui.actions import bindings_for
from agentdash.tui.figures import UNICODE, Glyphs
from agentdash.tui.lines import BLANK, Line, Span, Tone, crop, line, line_width, width_of
from agentdash.tui.table import KeyScope
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
        base = self.rich_style + self._style(Tone.PLAIN, row.background)
        segments = [
            Segment(clean(each.text), base + self._style(each.tone, each.background))
            for each in row.spans
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _padded(self, width: int, height: int) -> list[Line]:
        if not height:  # it is not displayed
            return []
        found = list(self.lines(width, height))[:height]
        return found + [BLANK] * (height - len(found))

    def on_click(self, event: Click) -> None:
        """Run the action of the text that was clicked, where it has one."""
        end = 0
        for span in self._shown[event.y].spans if event.y < len(self._shown) else ():
            end += width_of(span.text)
            if event.x < end:
                if span.click:
                    self.call_later(self.run_action, span.click)
                return

    def _style(self, tone: Tone, background: Tone) -> Style:
        style = Style.null()
        for each in (background, tone):
            if each is not Tone.PLAIN:
                style += self.screen.get_component_rich_style(f"tone--{each}", partial=True)
        return style


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


_WHEEL_LINES: Final = 3


class Panel(LinesWidget, can_focus=True):
    """Lines in a border. The keys of a table scroll to the lines that do not fit."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_for(KeyScope.TABLE)

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.glyphs: Glyphs = UNICODE
        self._title: Sequence[Span | str] = ()
        self._note: Sequence[Span | str] = ()
        self._foot: Sequence[Span | str] = ()
        self._offset = 0
        self._had_focus = False

    @property
    def _is_lit(self) -> bool:
        """Whether the border shows the focus. A prompt takes the keys for a moment: to write the
        border in two other tones for it costs 2 kB at 160x45.
        """
        return self.has_focus or (self._had_focus and isinstance(self.screen.focused, Input))

    def show_titled(
        self,
        builder: LinesBuilder,
        *,
        title: str | Sequence[Span | str],
        note: Sequence[Span | str] = (),
        glyphs: Glyphs = UNICODE,
    ) -> None:
        """Show these lines in the border, `title` at its top left and `note` at its top right."""
        self._title = (Span(title, Tone.TITLE),) if isinstance(title, str) else title
        self._note, self.glyphs = note, glyphs
        self.show(builder)

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The border and the visible lines in it."""
        inner_width, inner_height = max(width - 2, 0), max(height - 2, 0)
        inside = self.inside(inner_width, inner_height)
        glyphs = self.glyphs
        tone = Tone.FOCUS if self._is_lit else Tone.BORDER
        side, rule = Span(glyphs.vertical, tone), Span(glyphs.horizontal, tone)
        body = [_between_sides(row, side, inner_width) for row in inside[:inner_height]]
        body += [_between_sides(line(), side, inner_width)] * (inner_height - len(body))
        top = _edge(self._title, self._note, rule, inner_width)
        bottom = _edge((), self._foot, rule, inner_width)
        return [
            line(Span(glyphs.top_left, tone), *top.spans, Span(glyphs.top_right, tone)),
            *body,
            line(Span(glyphs.bottom_left, tone), *bottom.spans, Span(glyphs.bottom_right, tone)),
        ][:height]

    def inside(self, width: int, height: int) -> Sequence[Line]:
        """The visible lines, without the border."""
        found = list(self._builder(width, height))
        self._offset = max(min(self._offset, len(found) - height), 0)
        shown = found[self._offset : self._offset + height]
        below = len(found) - self._offset - height
        if below > 0 and shown:
            shown[-1] = line(Span(f" {below + 1} more lines below", Tone.DIM))
        return shown

    def scroll_by(self, lines: int) -> None:
        """Scroll by so many lines, at most to the first or the last line."""
        self._offset = max(self._offset + lines, 0)
        self.update_lines()

    def action_do(self, key: str, argument: str = "") -> None:
        """Scroll, as a key of a table does it."""
        del argument
        self.scroll_by(self.steps(max(self.size.height - 3, 1)).get(key, 0))

    def steps(self, page: int) -> dict[str, int]:
        """By how many lines, or rows, each key moves; a page has so many."""
        far = 1_000_000_000
        back = {"up": -1, "page_up": -page, "top": -far}
        return back | {"down": 1, "page_down": page, "bottom": far}

    def watch_has_focus(self, has_focus: bool) -> None:
        """Draw the border in another tone while the panel has the focus."""
        super().watch_has_focus(has_focus)
        self._had_focus = has_focus or isinstance(self.screen.focused, Input)
        self.update_lines()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel scrolls and leaves the cursor on its row."""
        event.stop()
        self.scroll_by(_WHEEL_LINES)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel scrolls and leaves the cursor on its row."""
        event.stop()
        self.scroll_by(-_WHEEL_LINES)


def _between_sides(row: Line, side: Span, width: int) -> Line:
    content = crop(row, width)
    blank = Span(" " * (width - line_width(content)))
    inner = (span._replace(background=row.background) for span in (*content.spans, blank))
    return line(side, *inner, side)


def _edge(left: Sequence[Span | str], right: Sequence[Span | str], rule: Span, width: int) -> Line:
    """The top or bottom of the border without its corners, with texts at both ends.

    The right text is left out if both do not fit.
    """
    start, end = _with_rule(left, rule, at_start=True), _with_rule(right, rule, at_start=False)
    start = crop(start, max(width - 2, 0))
    gap = width - line_width(start) - line_width(end)
    if gap < 1:
        end, gap = line(), width - line_width(start)
    return line(*start.spans, rule._replace(text=rule.text * max(gap, 0)), *end.spans)


def _with_rule(parts: Sequence[Span | str], rule: Span, *, at_start: bool) -> Line:
    if not parts:
        return line()
    padded = (" ", *parts, " ")
    return line(rule, *padded) if at_start else line(*padded, rule)

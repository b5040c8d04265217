"""A border with titles around lines that can be scrolled.

A border of CSS costs as many bytes (51 where a line in it changes, 1.8 kB where it gets the focus),
but has one text on each edge; here the title and the order of the rows stand on the upper one, so
that no line is spent on the second. To scroll a text by a line costs 3.1 kB here and 3.2 kB in
Textual's VerticalScroll, which also takes two columns for its bar. Both draw all lines again when a
title changes (24 ms against 5 ms). (tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.binding import BindingType
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input

from agentdash.tui.actions import KeyScope
from agentdash.tui.glyphs import UNICODE, Glyphs
from agentdash.tui.keymap import bindings_for
from agentdash.tui.lines import Line, Span, Tone, crop, line, line_width
from agentdash.tui.widgets.lines_widget import LinesBuilder, LinesWidget

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
        title: Sequence[Span | str],
        note: Sequence[Span | str] = (),
        glyphs: Glyphs = UNICODE,
    ) -> None:
        """Show the lines of this function in the border, `title` at its top left and `note` at its
        top right.
        """
        self._title, self._note, self.glyphs = title, note, glyphs
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

    @property
    def offset_lines(self) -> int:
        """How many lines are above the first one on the screen."""
        return self._offset

    @property
    def page(self) -> int:
        """How many lines a page key scrolls."""
        return max(self.size.height - 3, 1)

    def action_down(self) -> None:
        """Scroll one line down."""
        self.scroll_by(1)

    def action_up(self) -> None:
        """Scroll one line up."""
        self.scroll_by(-1)

    def action_page_down(self) -> None:
        """Scroll one page down."""
        self.scroll_by(self.page)

    def action_page_up(self) -> None:
        """Scroll one page up."""
        self.scroll_by(-self.page)

    def action_top(self) -> None:
        """Scroll to the first line."""
        self.scroll_by(-self._offset)

    def action_bottom(self) -> None:
        """Scroll to the last line."""
        self.scroll_by(len(self._builder(*self.size)))

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

"""A frame with titles in its border around lines that can be scrolled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.events import MouseScrollDown, MouseScrollUp

from agentdash.tui.actions import Scope
from agentdash.tui.bindings import bindings_for
from agentdash.tui.glyphs import UNICODE, Glyphs
from agentdash.tui.lines import Line, Span, Tone, crop, line, line_width
from agentdash.tui.widgets.lined import Build, Lined

_WHEEL_LINES = 3


class Panel(Lined, can_focus=True):
    """Lines in a frame; those that do not fit are reached by the keys that move."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Scope.TABLE)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.glyphs: Glyphs = UNICODE
        self._title: Sequence[Span | str] = ()
        self._note: Sequence[Span | str] = ()
        self._foot: Sequence[Span | str] = ()
        self._offset = 0

    def show_framed(
        self,
        build: Build,
        *,
        title: Sequence[Span | str],
        note: Sequence[Span | str] = (),
        foot: Sequence[Span | str] = (),
        glyphs: Glyphs = UNICODE,
    ) -> None:
        """Draw these lines inside the frame; `note` stands at its top right, `foot` below."""
        self._title, self._note, self._foot, self.glyphs = title, note, foot, glyphs
        self.show(build)

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The frame with the visible part of what is in it."""
        inner_width, inner_height = max(width - 2, 0), max(height - 2, 0)
        inside = self.inside(inner_width, inner_height)
        glyphs = self.glyphs
        tone = Tone.FOCUS if self.has_focus else Tone.FRAME
        side, rule = Span(glyphs.vertical, tone), Span(glyphs.horizontal, tone)
        body = [_framed(row, side, inner_width) for row in inside[:inner_height]]
        body += [_framed(line(), side, inner_width)] * (inner_height - len(body))
        above = _edge(self._title, self._note, rule, inner_width)
        below = _edge((), self._foot, rule, inner_width)
        return [
            line(Span(glyphs.top_left, tone), *above.spans, Span(glyphs.top_right, tone)),
            *body,
            line(Span(glyphs.bottom_left, tone), *below.spans, Span(glyphs.bottom_right, tone)),
        ][:height]

    def inside(self, width: int, height: int) -> Sequence[Line]:
        """The visible lines without the frame."""
        found = list(self._build(width, height))
        self._offset = max(min(self._offset, len(found) - height), 0)
        shown = found[self._offset : self._offset + height]
        below = len(found) - self._offset - height
        if below > 0 and shown:
            shown[-1] = line(Span(f" {below + 1} more lines below", Tone.DIM))
        return shown

    def scroll_by(self, lines: int) -> None:
        """Move what is visible; the ends hold it."""
        self._offset = max(self._offset + lines, 0)
        self.update_lines()

    @property
    def page(self) -> int:
        """Lines that one page key moves."""
        return max(self.size.height - 3, 1)

    def action_down(self) -> None:
        """One line on."""
        self.scroll_by(1)

    def action_up(self) -> None:
        """One line back."""
        self.scroll_by(-1)

    def action_page_down(self) -> None:
        """One page on."""
        self.scroll_by(self.page)

    def action_page_up(self) -> None:
        """One page back."""
        self.scroll_by(-self.page)

    def action_top(self) -> None:
        """The first line."""
        self.scroll_by(-self._offset)

    def action_bottom(self) -> None:
        """The last line."""
        self.scroll_by(len(self._build(*self.size)))

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show whether the keys go here."""
        super().watch_has_focus(has_focus)
        self.update_lines()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel moves what is visible, not the cursor."""
        event.stop()
        self.scroll_by(_WHEEL_LINES)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel moves what is visible, not the cursor."""
        event.stop()
        self.scroll_by(-_WHEEL_LINES)


def _framed(row: Line, side: Span, width: int) -> Line:
    content = crop(row, width)
    blank = Span(" " * (width - line_width(content)))
    inner = (span._replace(ground=row.base) for span in (*content.spans, blank))
    return line(side, *inner, side)


def _edge(left: Sequence[Span | str], right: Sequence[Span | str], rule: Span, width: int) -> Line:
    """The frame between its corners, with what is written in it at either end."""
    head, tail = _written(left, rule, first=True), _written(right, rule, first=False)
    head = crop(head, max(width - 2, 0))
    gap = width - line_width(head) - line_width(tail)
    if gap < 1:
        tail, gap = line(), width - line_width(head)
    return line(*head.spans, rule._replace(text=rule.text * max(gap, 0)), *tail.spans)


def _written(parts: Sequence[Span | str], rule: Span, *, first: bool) -> Line:
    if not parts:
        return line()
    padded = (" ", *parts, " ")
    return line(rule, *padded) if first else line(*padded, rule)

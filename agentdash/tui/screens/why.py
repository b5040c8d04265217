"""The first tab of a pool's page, why it has its number: the rules of the decision, what is there
now, the readings, and how the pool went.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.foreseen import Ahead
from agentdash.tui.charts import history_lines
from agentdash.tui.lines import Span, Tone
from agentdash.tui.screens.base import ViewScreen, share_lines
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.why import gone_lines, now_decided_lines, now_lines, reading_lines, title_spans
from agentdash.tui.widgets.panel import Panel

_LEAST_LINES: Final = (8, 6)
"""Of the decision, and of what is there now, each with its frame."""
_FEWEST_LINES: Final = (6, 4)
"""On a screen that has no room for so many."""
_HISTORY_LINES: Final = 7
_DAY_LINES: Final = 13
"""Of a history of 15 minutes, and of one of 24 hours too."""
_READINGS: Final = 4


class WhyScreen(ViewScreen):
    """One pool. The view stays with it, however the tables change."""

    COUNTS_SECONDS: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__("why", tab="why")
        self._shown: tuple[PoolRow, Frame] | None = None
        self.decision = Panel(id="decision")
        self.now = Panel(id="now")
        self.readings = Panel(id="readings")
        self.history = Panel(id="history")

    def on_resize(self) -> None:
        """Share the lines again."""
        super().on_resize()
        self.call_after_refresh(self._share_lines)

    def compose_body(self) -> ComposeResult:
        """The panels; the style sheet arranges them."""
        yield self.decision
        yield self.now
        yield self.readings
        yield self.history

    def _ahead_of(self, frame: Frame) -> Ahead | str:
        """What is known of what follows; empty until an answer comes."""
        if frame.moment is not None:
            return "known only of now: a journal keeps what was decided, not how"
        return frame.asked.ahead if frame.asked.ahead_of == self.pool else ""

    def draw_body(self, frame: Frame) -> None:
        """Fill the panels."""
        row = frame.row(self.pool)
        if row is None:
            self._draw_gone(frame)
        else:
            self._draw_row(row, frame)

    def _draw_gone(self, frame: Frame) -> None:
        key, glyphs = self.pool, frame.glyphs
        for panel, name in self._named:
            title = (Span(name, Tone.TITLE),)
            panel.show_titled(lambda *_: (), title=title, glyphs=glyphs)
        self.decision.show_titled(
            lambda width, _: gone_lines(key, width),
            title=(Span("pool", Tone.TITLE),),
            glyphs=glyphs,
        )

    @property
    def _named(self) -> tuple[tuple[Panel, str], ...]:
        return (self.now, "now"), (self.readings, "readings"), (self.history, "history")

    def _draw_row(self, row: PoolRow, frame: Frame) -> None:
        left, right = title_spans(row, frame)
        ahead = self._ahead_of(frame)
        self.decision.show_titled(
            lambda width, height: now_decided_lines(row, frame, width, height, ahead),
            title=left,
            note=right,
            glyphs=frame.glyphs,
        )
        builders = (
            lambda width, _: now_lines(row, frame, width),
            lambda width, _: reading_lines(row, frame, width),
            lambda width, height: history_lines(row.history, frame, width, height),
        )
        for (panel, name), builder in zip(self._named, builders, strict=True):
            panel.show_titled(builder, title=(Span(name, Tone.TITLE),), glyphs=frame.glyphs)
        self._shown = row, frame
        self._share_lines()

    def _share_lines(self) -> None:
        """In one column, each panel is as high as its lines. The decision and what is there now
        come first; the history of 15 minutes, and that of 24 hours, have their place where there is
        room. On a wide screen the style sheet says where the panels are.
        """
        width = self.app.size.width - 2
        for body in self.query("#body"):
            if self.is_wide or self._shown is None:
                self.remove_class("-no-history")
                body.styles.clear_rule("grid_rows")
                continue
            row, frame = self._shown
            room = self.body_lines
            rules = len(now_decided_lines(row, frame, width, 0, self._ahead_of(frame))) + 2
            now = max(len(now_lines(row, frame, width * 5 // 8 - 2)), _READINGS) + 2
            has_history = room >= sum(_LEAST_LINES) + _HISTORY_LINES
            below = [_HISTORY_LINES] if has_history else []
            left = room - sum(below)
            if has_history and left >= rules + now + _DAY_LINES - _HISTORY_LINES:
                below, left = [_DAY_LINES], left - _DAY_LINES + _HISTORY_LINES
            least = _LEAST_LINES if left >= sum(_LEAST_LINES) else _FEWEST_LINES
            above = share_lines(left, (rules, now), least)
            self.set_class(not has_history, "-no-history")
            body.styles.grid_rows = " ".join(map(str, (1, *above, *below)))

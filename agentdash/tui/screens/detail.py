"""One row in full: a scale event with the decision of its moment, a finding, a person's change."""

from __future__ import annotations

from typing import Final, TypeAlias

from textual.app import ComposeResult

from agentdash.tui import figures, words
from agentdash.tui.cells import change_text, when_parts
from agentdash.tui.lines import Line, Span, Tone, cut_middle, labelled, labelled_text
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables.attention import finding_lines
from agentdash.tui.tables.log import change_lines
from agentdash.tui.view import Frame
from agentdash.tui.why import decision_lines, outcome_lines
from agentdash.tui.widgets.panel import Panel
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Finding, ScaleEvent

Opened: TypeAlias = ScaleEvent | Finding | IntentChange
"""What can be shown in full."""
_TITLE_WIDTH: Final = 48


class DetailScreen(ViewScreen):
    """One panel. It shows the row as it was when it was opened, however the tables change."""

    def __init__(self) -> None:
        super().__init__("detail")
        self._opened: Opened | None = None
        self._about: str | None = None
        self.panel = Panel(id="detail")

    def open(self, row: Opened, pool: str) -> None:
        """Show this row from the next draw on; `pool` is the pool that it belongs to."""
        self._opened, self._about = row, pool or None
        self.panel.scroll_by(-self.panel.offset_lines)

    def compose_body(self) -> ComposeResult:
        """The panel."""
        yield self.panel

    @property
    def subject(self) -> str | None:
        """The pool that the row belongs to."""
        return self._about

    @property
    def scope_under_cursor(self) -> Scope | None:
        """Nothing is changed from here."""
        return None

    def draw_body(self, frame: Frame) -> None:
        """Fill the panel."""
        row = self._opened
        if row is None:
            return
        then = (Span("as decided then; d: as it is now", Tone.DIM),)
        self.panel.show_titled(
            lambda width, height: _lines(row, frame, width, height),
            title=(Span(_title(row, frame), Tone.TITLE),),
            note=then if isinstance(row, ScaleEvent) else (),
            glyphs=frame.glyphs,
        )


def _title(row: Opened, frame: Frame) -> str:
    match row:
        case ScaleEvent():
            name = cut_middle(row.pool, _TITLE_WIDTH - 18, frame.glyphs.ellipsis)
            return f"{name} at {figures.time_of_day(row.at)}"
        case Finding():
            return cut_middle(f"attention: {row.subject}", _TITLE_WIDTH, frame.glyphs.ellipsis)
        case IntentChange():
            return f"change {row.revision}"


def _lines(row: Opened, frame: Frame, width: int, height: int) -> list[Line]:
    match row:
        case ScaleEvent():
            return event_lines(row, frame, width, height)
        case Finding():
            return finding_lines(row, frame, width)
        case IntentChange():
            return change_lines(row, frame, width)


def event_lines(event: ScaleEvent, frame: Frame, width: int, height: int) -> list[Line]:
    """What was decided at that moment, rule by rule, and what became of it."""
    lines = labelled("when", when_parts(event.at, frame), width)
    if event.decision is None:
        change = change_text(event.before, event.after, frame)
        lines += labelled("change", (f"{change}, bound by {event.bound}",), width)
        because = words.reason_sentence(event.reason, event.at)
        lines += labelled_text("because", because, width)
        return lines + outcome_lines(event.outcome, width)
    return lines + decision_lines(
        event.decision, event.outcome, frame, width, max(height - 1, 1), at=event.at
    )

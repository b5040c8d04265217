"""The timeline: every scale event that the controller remembers, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agentdash.tui.actions import KeyScope
from agentdash.tui.events import (
    NEWEST_FIRST,
    TIMELINE_COLUMNS,
    event_filter_text,
    event_lines,
)
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.screens.table_view import RowTarget, TableView
from agentdash.tui.tables import event_key
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import TableSpec
from controller.model.snapshot import ScaleEvent


class EventsScreen(TableView[ScaleEvent]):
    """One row for each write; a row opens the decision of its moment."""

    VIEW: ClassVar[str] = "events"
    SCOPE: ClassVar[KeyScope] = KeyScope.EVENTS
    SPEC = TableSpec[ScaleEvent](
        "scale events",
        TIMELINE_COLUMNS,
        key=event_key,
        filter_text=event_filter_text,
        sort=NEWEST_FIRST,
        name=lambda event: event.pool,
    )

    def __init__(self) -> None:
        super().__init__()
        self._events: Sequence[ScaleEvent] = ()

    @property
    def subject(self) -> str | None:
        """The pool of the event under the cursor."""
        event = self.table.cursor_row
        return None if event is None else event.pool

    def rows(self, frame: Frame) -> Sequence[ScaleEvent]:
        """The snapshot's events."""
        events = () if frame.snapshot is None else frame.snapshot.events
        if events != self._events:
            self._events = events
        return self._events

    def nothing(self, frame: Frame) -> Sequence[Line]:
        """A controller that has not scaled anything yet."""
        del frame
        return [
            line(Span(" nothing has been scaled yet", Tone.DIM)),
            line(Span(" each write since the controller began appears here", Tone.DIM)),
        ]

    def detail_lines(self, row: ScaleEvent, frame: Frame, width: int) -> Sequence[Line]:
        """The event in full."""
        return event_lines(row, frame, width)

    def opening(self, row: ScaleEvent) -> RowTarget | None:
        """No other view: an event opens in full, with the decision of its moment."""
        del row
        return None

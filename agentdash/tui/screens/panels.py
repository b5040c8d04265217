"""Views of one panel: a row in full, the keys of a view, and how a pool or the fleet went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from textual.app import ComposeResult

from agentdash.tui import figures, words
from agentdash.tui.actions import UserAction
from agentdash.tui.cells import change_text, when_parts
from agentdash.tui.charts import FleetHistory, history_lines, token_history_lines
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import Line, Span, Tone, cut_middle, labelled, labelled_text, line
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables.attention import finding_lines
from agentdash.tui.tables.log import change_lines
from agentdash.tui.tables.tasks import task_in_full
from agentdash.tui.tables.tenants import tenant_history
from agentdash.tui.view import Frame
from agentdash.tui.why import decision_lines, outcome_lines
from agentdash.tui.widgets.panel import Panel
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Finding, ScaleEvent
from controller.model.tasks import TaskRow

Opened: TypeAlias = ScaleEvent | Finding | IntentChange | TaskRow
"""What can be shown in full."""
_TITLE_WIDTH: Final = 48


class PanelScreen(ViewScreen):
    """One panel, as high as the screen."""

    def __init__(self, view: str, *, tab: str = "") -> None:
        super().__init__(view, tab=tab)
        self.panel = Panel(id=view)

    def compose_body(self) -> ComposeResult:
        """The panel."""
        yield self.panel

    def draw_body(self, frame: Frame) -> None:
        """Fill the panel."""
        self.panel.show_titled(
            lambda width, height: self._lines(frame, width, height),
            title=(Span(self._title(frame), Tone.TITLE),),
            note=self._note(),
            glyphs=frame.glyphs,
        )

    def _title(self, frame: Frame) -> str:
        raise NotImplementedError

    def _note(self) -> tuple[Span, ...]:
        return ()

    def _lines(self, frame: Frame, width: int, height: int) -> list[Line]:
        raise NotImplementedError


class DetailScreen(PanelScreen):
    """A row as it was when it was opened, however the tables change: a scale event with the
    decision of its moment, a finding, a person's change.
    """

    def __init__(self) -> None:
        super().__init__("detail")
        self.opened: Opened | None = None
        self._about: str | None = None

    def open(self, row: Opened, pool: str) -> None:
        """Show this row from the next draw on; `pool` is the pool that it belongs to."""
        self.opened, self._about = row, pool or None
        self.panel.scroll_by(-self.panel.offset_lines)

    @property
    def subject(self) -> str | None:
        """The pool that the row belongs to."""
        return self._about

    @property
    def scope_under_cursor(self) -> Scope | None:
        """Nothing is changed from here."""
        return None

    def _note(self) -> tuple[Span, ...]:
        then = (Span("as decided then; d: as it is now", Tone.DIM),)
        return then if isinstance(self.opened, ScaleEvent) else ()

    def _title(self, frame: Frame) -> str:
        match self.opened:
            case ScaleEvent() as row:
                name = cut_middle(row.pool, _TITLE_WIDTH - 18, frame.glyphs.ellipsis)
                return f"{name} at {figures.time_of_day(row.at)}"
            case Finding() as row:
                return cut_middle(f"attention: {row.subject}", _TITLE_WIDTH, frame.glyphs.ellipsis)
            case IntentChange() as row:
                return f"change {row.revision}"
            case TaskRow() as row:
                return cut_middle(f"task {row.id}", _TITLE_WIDTH, frame.glyphs.ellipsis)
        return ""

    def _lines(self, frame: Frame, width: int, height: int) -> list[Line]:
        match self.opened:
            case ScaleEvent() as row:
                return event_lines(row, frame, width, height)
            case Finding() as row:
                return finding_lines(row, frame, width)
            case IntentChange() as row:
                return list(change_lines(row, frame, width))
            case TaskRow() as row:
                found = frame.asked.task if frame.asked.task_of == row.key else None
                return list(task_in_full(row, found, frame, width))
        return []


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


class HelpScreen(PanelScreen):
    """The keys of the view from which it was opened, the roles and the commands."""

    def __init__(self) -> None:
        super().__init__("help")
        self._about = ""
        self._about_actions: tuple[UserAction, ...] = ()
        self._about_columns: Mapping[str, str] = {}
        self._off: str | None = None

    def explain(self, view: ViewScreen, off: str | None) -> None:
        """Show the keys of this view from the next draw on, and why those that change something are
        off.
        """
        self._off = off
        self._about, self._about_actions = view.VIEW, view.actions
        self._about_columns = view.columns

    def _title(self, frame: Frame) -> str:
        del frame
        return f"keys in {self._about}"

    def _lines(self, frame: Frame, width: int, height: int) -> list[Line]:
        del height
        return help_lines(self._about_actions, width, frame.glyphs, self._about_columns, self._off)


class HistoryScreen(PanelScreen):
    """The last 15 minutes and 24 hours of one pool, of one tenant, or of all pools together."""

    def __init__(self, *, tab: str = "") -> None:
        super().__init__("history", tab=tab)
        self._of = Scope()
        self._fleet_history = FleetHistory()

    def show_of(self, scope: Scope) -> None:
        """Show the history of this from the next draw on."""
        self._of = scope
        self.panel.scroll_by(-self.panel.offset_lines)

    def _title(self, frame: Frame) -> str:
        name = self.pool or self._of.pool or self._of.tenant or "the fleet"
        return f"history of {cut_middle(name, _TITLE_WIDTH, frame.glyphs.ellipsis)}"

    def _lines(self, frame: Frame, width: int, height: int) -> list[Line]:
        snapshot = frame.snapshot
        scope = Scope(pool=self.pool) if self.pool else self._of
        if snapshot is None:
            return [line(Span(" no snapshot yet", Tone.DIM))]
        if scope.tenant is not None:
            history = tenant_history(scope.tenant, frame)
            return token_history_lines(history, frame, width, height)
        if scope.pool is None:
            history = self._fleet_history.of(snapshot.histories)
            return history_lines(history, frame, width, height, both=True)
        row = frame.row(scope.pool)
        if row is None:
            return [line(Span(" it is no pool of this fleet now", Tone.WARN))]
        return history_lines(row.history, frame, width, height, both=True)

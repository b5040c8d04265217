"""One row in full: a scale event with the decision of that moment, a finding, a pod."""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import KeyScope
from agentdash.tui.audit import audit_lines
from agentdash.tui.details import event_lines, finding_lines, pod_lines
from agentdash.tui.lines import Line, Span, Tone, cut_middle
from agentdash.tui.pod_log import PodRef
from agentdash.tui.requests import Reach
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.view import Frame
from agentdash.tui.widgets.panel import Panel
from controller.model.intents import IntentChange
from controller.model.observation import Pod
from controller.model.snapshot import Finding, ScaleEvent

Opened: TypeAlias = ScaleEvent | Finding | Pod | IntentChange
"""What can be shown in full."""

_TITLE_WIDTH: Final = 48


class DetailScreen(ViewScreen):
    """One panel. It shows the row as it was when it was opened, however the tables change."""

    VIEW: ClassVar[str] = "detail"
    SCOPE: ClassVar[KeyScope] = KeyScope.DETAIL
    REACH: ClassVar[Reach | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._opened: Opened | None = None
        self._pool: str | None = None
        self.panel = Panel(id="detail")

    def open(self, row: Opened, pool: str | None) -> None:
        """Show this row from the next draw on; `pool` is the pool that it belongs to."""
        self._opened, self._pool = row, pool
        self.panel.scroll_by(-self.panel.offset_lines)

    def compose_body(self) -> ComposeResult:
        """The panel."""
        yield self.panel

    @property
    def subject(self) -> str | None:
        """The pool that the row belongs to."""
        return self._pool

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod that is shown, if it is one."""
        if self._pool is None or not isinstance(self._opened, Pod):
            return None
        return PodRef(self._pool, self._opened.name)

    def draw_body(self, frame: Frame) -> None:
        """Fill the panel."""
        row = self._opened
        if row is None:
            return
        self.panel.show_titled(
            lambda width, height: _lines(row, frame, width, height),
            title=(Span(_title(row, frame), Tone.TITLE),),
            note=(Span("as decided then; d: as it is now", Tone.DIM),)
            if isinstance(row, ScaleEvent)
            else (),
            glyphs=frame.glyphs,
        )


def _title(row: Opened, frame: Frame) -> str:
    match row:
        case ScaleEvent():
            name = cut_middle(row.pool, _TITLE_WIDTH - 18, frame.glyphs.ellipsis)
            return f"{name} at {figures.time_of_day(row.at)}"
        case Finding():
            return cut_middle(f"attention: {row.subject}", _TITLE_WIDTH, frame.glyphs.ellipsis)
        case Pod():
            return cut_middle(f"pod {row.name}", _TITLE_WIDTH, frame.glyphs.ellipsis)
        case IntentChange():
            return f"change {row.revision}"


def _lines(row: Opened, frame: Frame, width: int, height: int) -> list[Line]:
    match row:
        case ScaleEvent():
            return event_lines(row, frame, width, height)
        case Finding():
            return finding_lines(row, frame, width)
        case Pod():
            return pod_lines(row, frame, width)
        case IntentChange():
            return audit_lines(row, frame, width, mine=False)

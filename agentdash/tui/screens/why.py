"""Why a pool has its number: the rules of the decision, the readings, how the pool went, and its
pods that are not ready.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.history_chart import history_lines
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables import POD_COLUMNS
from agentdash.tui.view import Frame, PoolRow, unready_pods
from agentdash.tui.why import gone_lines, now_decided_lines, now_lines, reading_lines, title_spans
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from agentdash.tui.widgets.panel import Panel
from controller.model.observation import Pod
from controller.model.readings import Fresh


class WhyScreen(ViewScreen):
    """One pool. `pool` is its key: the view stays with it, however the tables change."""

    VIEW: ClassVar[str] = "why"
    SCOPE: ClassVar[KeyScope] = KeyScope.WHY
    HAS_POOLS: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.pool = ""
        self.decision = Panel(id="decision")
        self.now = Panel(id="now")
        self.readings = Panel(id="readings")
        self.history = Panel(id="history")
        self.pods: LiveTable[Pod] = LiveTable(
            TableSpec(
                "pods that are not ready",
                POD_COLUMNS,
                key=lambda pod: pod.name,
                filter_text=lambda pod: f"{pod.name} {pod.phase} {pod.node}",
            ),
            id="pods",
        )

    def compose_body(self) -> ComposeResult:
        """The panels; the style sheet arranges them."""
        yield self.decision
        yield self.now
        yield self.readings
        yield self.history
        yield self.pods

    @property
    def subject(self) -> str | None:
        """The pool that the view explains."""
        return self.pool

    def draw_body(self, frame: Frame) -> None:
        """Fill the panels."""
        row = frame.row(self.pool)
        if row is None:
            self._draw_gone(frame)
        else:
            self._draw_row(row, frame)

    def _draw_gone(self, frame: Frame) -> None:
        key, glyphs = self.pool, frame.glyphs
        self.decision.show_titled(
            lambda width, _: gone_lines(key, width),
            title=(Span("pool", Tone.TITLE),),
            glyphs=glyphs,
        )
        named = ((self.now, "now"), (self.readings, "readings"), (self.history, "history"))
        for panel, name in named:
            title = (Span(name, Tone.TITLE),)
            panel.show_titled(lambda *_: (), title=title, glyphs=glyphs)
        self.set_class(True, "-no-pods")
        self.pods.set_rows((), frame)

    def _draw_row(self, row: PoolRow, frame: Frame) -> None:
        left, right = title_spans(row, frame)
        self.decision.show_titled(
            lambda width, height: now_decided_lines(row, frame, width, height),
            title=left,
            note=right,
            glyphs=frame.glyphs,
        )
        self.now.show_titled(
            lambda width, _: now_lines(row, frame, width),
            title=(Span("now", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
        self.readings.show_titled(
            lambda width, _: reading_lines(row, frame, width),
            title=(Span("readings", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
        self.history.show_titled(
            lambda width, height: history_lines(row.history, frame, width, height),
            title=(Span("last 15 minutes and 24 hours", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
        unready = unready_pods(row.pods)
        self.set_class(not unready, "-no-pods")
        self.pods.set_rows(unready, frame, [no_pod_line(row, frame)])


def no_pod_line(row: PoolRow, frame: Frame) -> Line:
    """Why no pod is listed: that every pod is ready is said of fresh pods that exist only."""
    reading = row.view.observation.pods
    if row.pods is None:
        return line(Span(" the pods are not known", Tone.WARN))
    if frame.stale or not isinstance(reading, Fresh):
        return line(Span(" none when the pods were seen last", Tone.WARN))
    if not row.pods.ready:
        return line(Span(" there is no pod", Tone.DIM))
    return line(Span(" every pod is ready", Tone.OK))

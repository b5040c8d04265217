"""Why a pool has its number: the rules of the decision, the readings, how the pool went, and its
pods that are not ready.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui.actions import KeyScope
from agentdash.tui.heights import share_lines
from agentdash.tui.history_chart import history_lines
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.operating import Ahead
from agentdash.tui.pod_log import PodRef
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables import POD_COLUMNS
from agentdash.tui.view import Frame, PoolRow, unready_pods
from agentdash.tui.why import gone_lines, now_decided_lines, now_lines, reading_lines, title_spans
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from agentdash.tui.widgets.panel import Panel
from controller.model.observation import Pod
from controller.model.readings import Fresh

_LEAST_LINES: Final = (8, 6)
"""Of the decision, and of what is there now, each with its frame."""
_HISTORY_LINES: Final = 7
_PODS_LINES: Final = 4
_TALL_PODS_LINES: Final = 6
_NO_PODS_LINES: Final = 3


class WhyScreen(ViewScreen):
    """One pool. `pool` is its key: the view stays with it, however the tables change."""

    VIEW: ClassVar[str] = "why"
    SCOPE: ClassVar[KeyScope] = KeyScope.WHY
    HAS_POOLS: ClassVar[bool] = False
    HAS_PODS: ClassVar[bool] = True
    COPIES_ROWS: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.pool = ""
        self._shown: tuple[PoolRow, Frame] | None = None
        self._ahead: tuple[str, Ahead | str] = ("", "")
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
        yield self.pods

    def show_ahead(self, pool: str, ahead: Ahead | str) -> None:
        """Show from the next draw on what follows for this pool, or why that is not known."""
        self._ahead = (pool, ahead)

    def _ahead_of(self, frame: Frame) -> Ahead | str:
        """What is known of what follows; empty until an answer comes."""
        if frame.moment is not None:
            return "known only of now: a journal keeps what was decided, not how"
        pool, ahead = self._ahead
        return ahead if pool == self.pool else ""

    @property
    def has_rows(self) -> bool:
        """Whether there is a pod that is not ready."""
        return not self.has_class("-no-pods")

    @property
    def subject(self) -> str | None:
        """The pool that the view explains."""
        return self.pool

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod under the cursor of the table below."""
        pod = self.pods.cursor_row
        return None if pod is None else PodRef(self.pool, pod.name)

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
        ahead = self._ahead_of(frame)
        self.decision.show_titled(
            lambda width, height: now_decided_lines(row, frame, width, height, ahead),
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
            title=(Span("history", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
        unready = unready_pods(row.pods)
        self.set_class(not unready, "-no-pods")
        self.pods.set_rows(unready, frame, [no_pod_line(row, frame)])
        self._shown = row, frame
        self._share_lines()

    def _share_lines(self) -> None:
        """In one column, the decision is as high as its rules need, and what is there now has the
        rest. On a wide screen the style sheet says where the panels are.
        """
        is_tall = self.has_class("-h36")
        one_column = not (self.has_class("-w140") and is_tall)
        width = self.decision.size.width - 2
        for body in self.query("#body"):
            if not one_column or width <= 0 or self._shown is None:
                body.styles.clear_rule("grid_rows")
                continue
            pods = [_TALL_PODS_LINES if is_tall else _PODS_LINES]
            if self.has_class("-no-pods"):
                pods = [_NO_PODS_LINES] if is_tall else []
            below = [_HISTORY_LINES, *pods] if is_tall else pods
            row, frame = self._shown
            rules = now_decided_lines(row, frame, width, 0, self._ahead_of(frame))
            room = body.size.height - sum(below)
            decision, now = share_lines(room, (len(rules) + 2, room), _LEAST_LINES)
            body.styles.grid_rows = " ".join(map(str, (decision, max(now, 1), *below)))


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

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
_FEWEST_LINES: Final = (6, 4)
"""On a screen that has no room for so many."""
_HISTORY_LINES: Final = 7
_DAY_LINES: Final = 13
"""Of a history of 15 minutes, and of one of 24 hours too."""
_PODS_LINES: Final = (4, 6)
"""Of the pods that are not ready, at most: without their history above them, and with it."""
_NO_PODS_LINES: Final = 3
_READINGS: Final = 4


class WhyScreen(ViewScreen):
    """One pool. `pool` is its key: the view stays with it, however the tables change."""

    VIEW: ClassVar[str] = "why"
    COUNTS_SECONDS = True
    SCOPE: ClassVar[KeyScope] = KeyScope.WHY
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
        """Whether there is a pod that is not ready, and room for it."""
        return not (self.has_class("-no-pods") or self.has_class("-low"))

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
        """In one column, each panel is as high as its lines. The decision and what is there now
        come first; the pods, the history of 15 minutes and that of 24 hours have their places where
        there is room. On a wide screen the style sheet says where the panels are.
        """
        width = self.app.size.width - 2
        for body in self.query("#body"):
            if self.is_wide or self._shown is None:
                self.remove_class("-low", "-no-history")
                body.styles.clear_rule("grid_rows")
                continue
            row, frame = self._shown
            room = self.body_lines
            rules = len(now_decided_lines(row, frame, width, 0, self._ahead_of(frame))) + 2
            now = max(len(now_lines(row, frame, width * 5 // 8 - 2)), _READINGS) + 2
            has_history = room >= sum(_LEAST_LINES) + _HISTORY_LINES + _PODS_LINES[0]
            unready = len(unready_pods(row.pods))
            pods = min(unready + 3, _PODS_LINES[has_history])
            if not unready:
                pods = _NO_PODS_LINES if has_history else 0
            is_low = room < sum(_LEAST_LINES) + pods
            below = [_HISTORY_LINES] if has_history else []
            below += [pods] if pods and not is_low else []
            left = room - sum(below)
            if has_history and left >= rules + now + _DAY_LINES - _HISTORY_LINES:
                below[0], left = _DAY_LINES, left - _DAY_LINES + _HISTORY_LINES
            least = _FEWEST_LINES if is_low else _LEAST_LINES
            above = share_lines(left, (rules, now), least)
            self.set_class(is_low or not pods, "-low")
            self.set_class(not has_history, "-no-history")
            body.styles.grid_rows = " ".join(map(str, (*above, *below)))


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

"""The overview: what is wrong, where and since when, and what the controller does about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import KeyScope
from agentdash.tui.charts import FleetHistory, history_lines
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, width_of
from agentdash.tui.screens.base import ViewScreen, share_lines
from agentdash.tui.screens.table_screen import nothing_lines
from agentdash.tui.tables import views
from agentdash.tui.view import Frame
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.panel import Panel
from controller.model.snapshot import Finding, Link, LinkState

_LINK_TONES: Final = {LinkState.CONNECTED: Tone.OK, LinkState.CONNECTING: Tone.WARN}
_ENGINE_NAME_WIDTH: Final = 11
# cells that a name and the blanks beside it take from a line
_BESIDE_NAME: Final = 14
# of pools, findings and scale events in one column, and where there is no room for so many
_LEAST_LINES: Final = (8, 5, 5)
_FEWEST_LINES: Final = (6, 3, 3)
_HISTORY_LINES: Final = 7
# cells of a finding's line beside its text
_BESIDE_FINDING: Final = 34


class OverviewScreen(ViewScreen):
    """Pools by pressure, findings, scale events, and on a wide screen the engine itself."""

    SCOPE: ClassVar[KeyScope] = KeyScope.OVERVIEW

    def __init__(self) -> None:
        super().__init__("overview")
        self.pools, self.findings, self.events = (
            LiveTable(each, id=each.name) for each in views()["overview"].tables
        )
        self.history = Panel(id="history")
        self.history.can_focus = False
        self._fleet_history = FleetHistory()
        self.engine = Panel(id="engine")

    def on_resize(self) -> None:
        """Share the lines again."""
        super().on_resize()
        self._share_lines()

    def _share_lines(self) -> None:
        """In one column, a panel without rows is as low as can be, and its place goes to those that
        have some. The history has its place where all have enough without it; on a low screen the
        events are the first to go. On a wide screen the style sheet says where the panels are.
        """
        room = self.body_lines
        is_wide = self.is_wide
        has_history = is_wide or room >= sum(_LEAST_LINES) + _HISTORY_LINES
        has_events = is_wide or room >= sum(_FEWEST_LINES)
        self.history.display, self.events.display = has_history, has_events
        if is_wide:
            self.findings.styles.height = self.events.styles.height = "1fr"
            return
        room -= _HISTORY_LINES if has_history else 0
        findings = [row.finding for row in self.findings.shown_rows]
        events, found = len(self.events.shown_rows), len(findings) + self._more_lines(findings)
        wanted = [len(self.pools.shown_rows) + 3, max(found + 2, 3), events + 3 if events else 3]
        least = _LEAST_LINES if room >= sum(_LEAST_LINES) else _FEWEST_LINES
        panels = 3 if has_events else 2
        shared = [*share_lines(room, wanted[:panels], least[:panels]), 1]
        self.findings.styles.height, self.events.styles.height = shared[1:3]

    def compose_body(self) -> ComposeResult:
        """The panels; the style sheet arranges them."""
        yield self.pools
        yield self.findings
        yield self.history
        yield self.events
        yield self.engine

    def _more_lines(self, findings: Sequence[Finding]) -> int:
        """The most lines that a finding goes on for when the cursor is on it."""
        room = max(self.app.size.width - _BESIDE_FINDING, 1)
        return max((width_of(each.text) // room for each in findings), default=0)

    def draw_body(self, frame: Frame) -> None:
        """Fill the panels."""
        snapshot = frame.snapshot
        for table in (self.pools, self.findings, self.events):
            rows = table.spec.rows(frame)
            says = not rows and (snapshot is not None or table is self.pools)
            table.set_rows(rows, frame, nothing_lines(table.spec, frame) if says else [])
        self._share_lines()
        history = self._fleet_history.of({} if snapshot is None else snapshot.histories)
        self.history.show_titled(
            lambda width, height: history_lines(history, frame, width, height),
            title=(Span("all pools, 15 minutes", Tone.TITLE),),
            glyphs=frame.glyphs,
        )
        self.engine.show_titled(
            lambda width, _: engine_lines(frame, width),
            title=(Span("engine", Tone.TITLE),),
            glyphs=frame.glyphs,
        )


def engine_lines(frame: Frame, width: int) -> list[Line]:
    """The loop and the connections in numbers."""
    snapshot = frame.snapshot
    if snapshot is None:
        return []
    loop = snapshot.loop
    writes = f"{figures.count(loop.writes)}  failed {figures.count(loop.failed_writes)}"
    lines = [
        _named("ticks", f"{figures.count(loop.ticks)}  late {figures.count(loop.late_ticks)}"),
        _named("last tick", figures.milliseconds(loop.last_tick_s)),
        _named("decisions", figures.count(loop.decisions)),
        _named("writes", writes),
        _named("running", figures.age(snapshot.at - snapshot.epoch)),
        line(),
    ]
    for link in snapshot.links:
        lines += _link_lines(link, frame, width)
    return lines


def _link_lines(link: Link, frame: Frame, width: int) -> list[Line]:
    since = figures.age(frame.now - link.since)
    lines = [_named(link.name, f"{link.state} {since}", _LINK_TONES.get(link.state, Tone.CRIT))]
    if link.detail:
        detail = cut(link.detail, width - _BESIDE_NAME, frame.glyphs.ellipsis)
        lines.append(_named("", detail, Tone.DIM))
    if link.last_good_at is not None and link.state is not LinkState.CONNECTED:
        age = figures.age(frame.now - link.last_good_at)
        lines.append(_named("", f"last good answer {age} ago", Tone.DIM))
    return lines


def _named(name: str, text: str, tone: Tone = Tone.PLAIN) -> Line:
    return line(Span(f" {fit(name, _ENGINE_NAME_WIDTH)} ", Tone.DIM), Span(text, tone))

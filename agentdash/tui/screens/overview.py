"""The overview: what is wrong, where and since when, and what the controller does about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import KeyScope
from agentdash.tui.fleet_history import FleetHistory
from agentdash.tui.heights import share_lines
from agentdash.tui.history_chart import history_lines
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, width_of, wrap
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables import (
    BY_PRESSURE,
    EVENT_COLUMNS,
    FINDING_COLUMNS,
    FINDING_COLUMNS_NARROW,
    POOL_COLUMNS_SHORT,
    event_key,
    finding_key,
)
from agentdash.tui.view import Frame, PoolRow, findings_by_severity
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from agentdash.tui.widgets.panel import Panel
from controller.model.snapshot import Finding, Link, LinkState, ScaleEvent

_LINK_TONES: Final = {LinkState.CONNECTED: Tone.OK, LinkState.CONNECTING: Tone.WARN}
_ENGINE_NAME_WIDTH: Final = 11
# cells that a name and the blanks beside it take from a line
_BESIDE_NAME: Final = 14
_ENGINE_STOPPED: Final = ("the engine has stopped", "the dashboard goes on waiting")
_CONTROLLER_NOT_SEEN: Final = (
    "the controller runs elsewhere and cannot be seen from here",
    "it may well go on",
)
# of pools, findings and scale events in one column, and where there is no room for so many
_LEAST_LINES: Final = (8, 5, 5)
_FEWEST_LINES: Final = (6, 3, 3)
_HISTORY_LINES: Final = 7
# cells of a finding's line beside its text
_BESIDE_FINDING: Final = 34


class OverviewScreen(ViewScreen):
    """Pools by pressure, findings, scale events, and on a wide screen the engine itself."""

    VIEW: ClassVar[str] = "overview"
    SCOPE: ClassVar[KeyScope] = KeyScope.OVERVIEW

    def __init__(self) -> None:
        super().__init__()
        self.pools: LiveTable[PoolRow] = LiveTable(
            TableSpec(
                "pools, the worst first",
                POOL_COLUMNS_SHORT,
                key=lambda row: row.key,
                filter_text=lambda row: row.filter_text,
                sort=BY_PRESSURE,
            ),
            id="pools",
        )
        self.findings: LiveTable[Finding] = LiveTable(
            TableSpec(
                "attention",
                FINDING_COLUMNS,
                key=finding_key,
                filter_text=lambda finding: f"{finding.subject} {finding.text}",
                narrow=FINDING_COLUMNS_NARROW,
                details=lambda finding: finding.text,
                headings_from=6,
            ),
            id="attention",
        )
        self.events: LiveTable[ScaleEvent] = LiveTable(
            TableSpec(
                "scale events",
                EVENT_COLUMNS,
                key=event_key,
                filter_text=lambda event: event.pool,
            ),
            id="events",
        )
        self.history = Panel(id="history")
        self.history.can_focus = False
        self._fleet_history = FleetHistory()
        self.engine = Panel(id="engine")
        self._rows = (0, 0, 0)
        self._known: Sequence[PoolRow] = ()

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
        pools, findings, events = self._rows
        wanted = [pools + 3, max(findings + 2, 3), events + 3 if events else 3]
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

    @property
    def subject(self) -> str | None:
        """The pool under the cursor of the panel that has the focus: of its scale event, of its
        finding if that is about a pool, else of the table of pools.
        """
        if self.focused is self.events and (event := self.events.cursor_row) is not None:
            return event.pool
        if self.focused is self.findings and (finding := self.findings.cursor_row) is not None:
            is_pool = any(row.key == finding.subject for row in self._known)
            return finding.subject if is_pool else None
        return self.pools.cursor_key

    def _more_lines(self, findings: Sequence[Finding]) -> int:
        """The most lines that a finding goes on for when the cursor is on it."""
        room = max(self.app.size.width - _BESIDE_FINDING, 1)
        return max((width_of(each.text) // room for each in findings), default=0)

    def draw_body(self, frame: Frame) -> None:
        """Fill the panels."""
        snapshot = frame.snapshot
        self.pools.set_rows(frame.rows, frame, placeholder_lines(frame))
        findings = () if snapshot is None else snapshot.findings
        events = () if snapshot is None else snapshot.events
        no_finding, no_event = [], []
        if snapshot is not None:
            no_finding = [line(Span(" nothing needs attention", Tone.OK))]
            no_event = [line(Span(" nothing has been scaled yet", Tone.DIM))]
        self._rows = (len(frame.rows), len(findings) + self._more_lines(findings), len(events))
        self._known = frame.rows
        self._share_lines()
        self.findings.set_rows(findings_by_severity(findings), frame, no_finding)
        newest_first = sorted(events, key=lambda event: event.at, reverse=True)
        self.events.set_rows(newest_first, frame, no_event)
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


def placeholder_lines(frame: Frame) -> list[Line]:
    """What a table of pools shows without pools: loading, an error, or an empty fleet."""
    if frame.snapshot is not None:
        return [
            line(Span(" no pools", Tone.WARN)),
            line(Span(" the fleet file names none; add one and it appears here", Tone.DIM)),
        ]
    waited = figures.age(frame.waited_s)
    if problem := frame.engine_error or frame.feed_problem:
        heading, hope = _ENGINE_STOPPED if frame.engine_error else _CONTROLLER_NOT_SEEN
        return [
            line(Span(f" {heading}", Tone.CRIT)),
            *(line(f" {part}") for part in wrap(problem, 74)),
            line(Span(f" no snapshot for {waited}; {hope}", Tone.DIM)),
        ]
    return [
        line(Span(f" loading  {waited}", Tone.TITLE)),
        line(Span(f" waiting for {frame.waits_for}", Tone.DIM)),
    ]


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

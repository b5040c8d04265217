"""The overview: what is wrong, where and since when, and what the controller does about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import KeyScope
from agentdash.tui.heights import share_lines
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, wrap
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
from agentdash.tui.view import Frame, PoolRow
from agentdash.tui.widgets.live_table import LiveTable, TableSpec
from agentdash.tui.widgets.panel import Panel
from controller.model.snapshot import Finding, Link, LinkState, ScaleEvent, Severity

_WORST_FIRST: Final = tuple(reversed(Severity))
_LINK_TONES: Final = {LinkState.CONNECTED: Tone.OK, LinkState.CONNECTING: Tone.WARN}
_ENGINE_NAME_WIDTH: Final = 11
# cells that a name and the blanks beside it take from a line
_BESIDE_NAME: Final = 14
# of pools, findings and scale events in one column
_LEAST_LINES: Final = (8, 5, 5)


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
        self.engine = Panel(id="engine")
        self._rows = (0, 0, 0)

    def on_resize(self) -> None:
        """Share the lines again."""
        super().on_resize()
        self.call_after_refresh(self._share_lines)

    def _share_lines(self) -> None:
        """In one column, a panel without rows is as low as can be, and its place goes to those that
        have some. On a wide screen the style sheet says where the panels are.
        """
        one_column = not (self.has_class("-w140") and self.has_class("-h36"))
        room = sum(body.size.height for body in self.query("#body"))
        pools, findings, events = self._rows
        wanted = [pools + 3, max(findings + 2, 3), max(events + 3, 3) if events else 3]
        shared = share_lines(room, wanted, _LEAST_LINES)
        heights = [str(max(lines, 1)) if one_column and room else "1fr" for lines in shared]
        self.findings.styles.height, self.events.styles.height = heights[1:]

    def compose_body(self) -> ComposeResult:
        """The panels; the style sheet arranges them."""
        yield self.pools
        yield self.findings
        yield self.events
        yield self.engine

    @property
    def subject(self) -> str | None:
        """The pool of the scale event under the cursor, if that table has the focus; else the pool
        under the cursor.
        """
        event = self.events.cursor_row
        if self.focused is self.events and event is not None:
            return event.pool
        return self.pools.cursor_key

    def draw_body(self, frame: Frame) -> None:
        """Fill the four panels."""
        snapshot = frame.snapshot
        self.pools.set_rows(frame.rows, frame, placeholder_lines(frame))
        findings = () if snapshot is None else snapshot.findings
        events = () if snapshot is None else snapshot.events
        no_finding, no_event = [], []
        if snapshot is not None:
            no_finding = [line(Span(" nothing needs attention", Tone.OK))]
            no_event = [line(Span(" nothing has been scaled yet", Tone.DIM))]
        self._rows = (len(frame.rows), len(findings), len(events))
        self._share_lines()
        self.findings.set_rows(by_severity(findings), frame, no_finding)
        newest_first = sorted(events, key=lambda event: event.at, reverse=True)
        self.events.set_rows(newest_first, frame, no_event)
        self.engine.show_titled(
            lambda width, _: engine_lines(frame, width),
            title=(Span("engine", Tone.TITLE),),
            glyphs=frame.glyphs,
        )


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, the worst first, then the oldest first."""
    return sorted(
        findings, key=lambda finding: (_WORST_FIRST.index(finding.severity), finding.since)
    )


def placeholder_lines(frame: Frame) -> list[Line]:
    """What a table of pools shows without pools: loading, an error, or an empty fleet."""
    if frame.snapshot is not None:
        return [
            line(Span(" no pools", Tone.WARN)),
            line(Span(" the fleet file names none; add one and it appears here", Tone.DIM)),
        ]
    waited = figures.age(frame.waited_s)
    if frame.engine_error:
        text = wrap(frame.engine_error, 74)
        return [
            line(Span(" the engine has stopped", Tone.CRIT)),
            *(line(f" {part}") for part in text),
            line(Span(f" no snapshot for {waited}; the dashboard goes on waiting", Tone.DIM)),
        ]
    return [
        line(Span(f" loading  {waited}", Tone.TITLE)),
        line(Span(" waiting for the first snapshot: queues and Deployments are read", Tone.DIM)),
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

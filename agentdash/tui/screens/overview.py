"""The overview: is anything wrong, where, since when, and what is the controller doing about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import Scope
from agentdash.tui.lines import Line, Span, Tone, cut, fit, line, wrap
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables import (
    BY_PRESSURE,
    EVENTS,
    FINDINGS,
    FINDINGS_NARROW,
    POOLS_SHORT,
    event_key,
    finding_key,
)
from agentdash.tui.view import PoolRow, Scene
from agentdash.tui.widgets.live_table import LiveTable, Table
from agentdash.tui.widgets.panel import Panel
from controller.model.snapshot import Finding, LinkState, ScaleEvent


class OverviewScreen(ViewScreen):
    """Pools by pressure, attention, scale events, and on a wide screen the engine itself."""

    VIEW: ClassVar[str] = "overview"
    SCOPE: ClassVar[Scope] = Scope.OVERVIEW

    def __init__(self) -> None:
        super().__init__()
        self.pools: LiveTable[PoolRow] = LiveTable(
            Table(
                "pools by pressure",
                POOLS_SHORT,
                key=lambda row: row.key,
                haystack=lambda row: row.haystack,
                sort=BY_PRESSURE,
            ),
            id="pools",
        )
        self.findings: LiveTable[Finding] = LiveTable(
            Table(
                "attention",
                FINDINGS,
                key=finding_key,
                haystack=lambda finding: f"{finding.subject} {finding.text}",
                narrow=FINDINGS_NARROW,
                story=lambda finding: finding.text,
            ),
            id="attention",
        )
        self.events: LiveTable[ScaleEvent] = LiveTable(
            Table("scale events", EVENTS, event_key, lambda event: event.pool), id="events"
        )
        self.engine = Panel(id="engine")

    def compose_body(self) -> ComposeResult:
        """A grid; the style sheet says where each panel goes."""
        yield self.pools
        yield self.findings
        yield self.events
        yield self.engine

    @property
    def subject(self) -> str | None:
        """The pool under the cursor of the panel with the focus."""
        event = self.events.cursor_row
        if self.focused is self.events and event is not None:
            return event.pool
        return self.pools.cursor_key

    def draw_body(self, scene: Scene) -> None:
        """Fill the four panels."""
        snapshot = scene.snapshot
        self.pools.set_rows(scene.rows, scene, placeholder_lines(scene))
        findings = () if snapshot is None else snapshot.findings
        events = () if snapshot is None else snapshot.events
        quiet = [] if snapshot is None else [line(Span(" nothing needs attention", Tone.OK))]
        self.findings.set_rows(by_severity(findings), scene, quiet)
        still = [] if snapshot is None else [line(Span(" nothing has been scaled yet", Tone.DIM))]
        newest = sorted(events, key=lambda event: event.at, reverse=True)
        self.events.set_rows(newest, scene, still)
        self.engine.show_framed(
            lambda width, _: engine_lines(scene, width),
            title=(Span("engine", Tone.TITLE),),
            glyphs=scene.glyphs,
        )


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first, then the oldest."""
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: (order[finding.severity], finding.since))


def placeholder_lines(scene: Scene) -> list[Line]:
    """What stands where the pools would: loading, an error, or an empty fleet."""
    if scene.snapshot is not None:
        return [
            line(Span(" no pools", Tone.WARN)),
            line(Span(" the fleet file names none; add one and it appears here", Tone.DIM)),
        ]
    waited = figures.age(scene.waited_s)
    if scene.trouble:
        text = wrap(scene.trouble, 74)
        return [
            line(Span(" the engine has stopped", Tone.CRIT)),
            *(line(f" {part}") for part in text),
            line(Span(f" no snapshot for {waited}; the dashboard goes on waiting", Tone.DIM)),
        ]
    return [
        line(Span(f" loading  {waited}", Tone.TITLE)),
        line(Span(" waiting for the first snapshot: queues and Deployments are read", Tone.DIM)),
    ]


def engine_lines(scene: Scene, width: int) -> list[Line]:
    """The loop and the connections, in numbers."""
    snapshot = scene.snapshot
    if snapshot is None:
        return []
    loop = snapshot.loop
    lines = [
        _fact("ticks", f"{figures.count(loop.ticks)}  late {figures.count(loop.late_ticks)}"),
        _fact("last tick", figures.milliseconds(loop.last_tick_s)),
        _fact("decisions", figures.count(loop.decisions)),
        _fact(
            "writes", f"{figures.count(loop.writes)}  failed {figures.count(loop.failed_writes)}"
        ),
        _fact("running", figures.age(snapshot.at - snapshot.epoch)),
        line(),
    ]
    tones = {LinkState.CONNECTED: Tone.OK, LinkState.CONNECTING: Tone.WARN}
    for link in snapshot.links:
        since = figures.age(scene.now - link.since)
        tone = tones.get(link.state, Tone.CRIT)
        lines.append(_fact(link.name, f"{link.state} {since}", tone))
        if link.detail:
            lines.append(_fact("", cut(link.detail, width - 14, scene.glyphs.ellipsis), Tone.DIM))
        if link.last_good_at is not None and link.state is not LinkState.CONNECTED:
            good = f"last good answer {figures.age(scene.now - link.last_good_at)} ago"
            lines.append(_fact("", good, Tone.DIM))
    return lines


def _fact(name: str, text: str, tone: Tone = Tone.PLAIN) -> Line:
    return line(Span(f" {fit(name, 11)} ", Tone.DIM), Span(text, tone))

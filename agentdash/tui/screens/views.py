"""The views: the overview, any view of tables with the details of the row under the cursor, and the
views of one panel: a row in full, the keys of a view, and how a pool or the fleet went.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from textual.app import ComposeResult

from agentdash.tui import figures
from agentdash.tui.actions import Keymap, UserAction
from agentdash.tui.cells import change_text, when_parts
from agentdash.tui.charts import FleetHistory, history_lines, token_history_lines
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import (
    Line,
    Span,
    Tone,
    cut,
    cut_middle,
    fit,
    labelled,
    labelled_text,
    line,
    width_of,
    wrap,
)
from agentdash.tui.screens.base import Chrome, ViewScreen, details_lines, share_lines
from agentdash.tui.screens.why import decision_lines, outcome_lines
from agentdash.tui.table import KeyScope, Opened, Opening, PodRef, Table, View
from agentdash.tui.tables import views
from agentdash.tui.tables.attention import finding_lines
from agentdash.tui.tables.log import change_lines
from agentdash.tui.tables.pods import pod_in_full
from agentdash.tui.tables.pools import nothing_seen
from agentdash.tui.tables.tasks import task_in_full
from agentdash.tui.tables.tenants import tenant_history
from agentdash.tui.view import Frame
from agentdash.tui.widgets.lines_widget import LinesBuilder, Panel
from agentdash.tui.widgets.live_table import LiveTable
from controller.model.intents import IntentChange, Scope
from controller.model.snapshot import Finding, Link, LinkState, ScaleEvent
from controller.model.tasks import TaskRow
from controller.planning import explain

_AROUND_ROWS: Final = 3
"""The frame and the headings of a table."""
_NOTE_WIDTH: Final = 76
_LEAST_TABLE: Final = 4
"""Of a table among others: one row with its headings."""


class TableScreen(ViewScreen):
    """The tables of a view. One without rows gives its lines away, unless it is the first."""

    def __init__(self, view: View, *, tab: str = "", keys: Keymap) -> None:
        super().__init__(view.name, tab=tab, scope=view.scope, keys=keys)
        self.shown_view = view
        self.tables = [LiveTable(each, id=each.name) for each in view.tables]
        self.details = Panel(id="details")
        self._where: Callable[[Any], bool] | None = None
        self._frame: Frame | None = None

    @property
    def table(self) -> LiveTable[Any]:
        """Its first table."""
        return self.tables[0]

    def compose_body(self) -> ComposeResult:
        """The tables above, the details below."""
        yield from self.tables
        yield self.details

    def show_only(self, opening: Opening | None) -> None:
        """Show only the rows that belong to this from the next draw on; None: all of them."""
        self._where = None if opening is None else opening.where
        self.table.of = "" if opening is None else opening.of

    def show_log_of(self, pod: PodRef) -> None:
        """Its lines are those of this pod from the next draw on."""
        self.log_of, self.explains, self.table.of = pod, pod.pool, pod.name

    def draw_body(self, frame: Frame) -> None:
        """Fill the tables."""
        self._frame = frame
        for table in self.tables:
            rows = table.spec.rows(frame)
            if self._where is not None:
                rows = [row for row in rows if self._where(row)]
            if self.tab:
                rows = [row for row in rows if self._is_of_pool(row, table.spec)]
            table.set_rows(rows, frame, [] if rows else nothing_lines(table.spec, frame))
        self.share()

    def _is_of_pool(self, row: object, table: Table[Any]) -> bool:
        about = table.about(row)
        return about is not None and about.pool == self.pool

    def draw_chrome(self, frame: Frame, chrome: Chrome) -> None:
        """Draw the details with everything around the tables: the cursor may have moved."""
        super().draw_chrome(frame, chrome)
        self._frame = frame
        self.share()

    def share(self) -> None:
        """Give each table and the details their lines."""
        frame, table = self._frame, self.filtered
        if frame is None:
            return
        row = None if table is None else table.cursor_row
        find = None if table is None else table.spec.details
        self.details.display = row is not None and find is not None
        height = 0
        if table is not None and row is not None and find is not None:
            # the panel is as wide as the screen, also before the first layout
            lines = list(find(row, frame, self.app.size.width - 2))
            height = self._details_height(len(lines), table)
            self._draw_details(table.spec, row, frame)
        self.details.styles.height = height
        self._share_among_tables(self.body_lines - height)

    def _details_height(self, lines: int, table: LiveTable[Any]) -> int:
        if len(self.tables) == 1:
            return details_lines(self.body_lines, len(table.visible_keys), lines)
        return min(lines + 2, max(self.body_lines // 3, 3))

    def _share_among_tables(self, room: int) -> None:
        seen = [each for each in self.tables if each is self.table or each.visible_keys]
        seen = seen if self._frame is None or self._frame.snapshot is not None else self.tables[:1]
        for each in self.tables:
            each.display = each in seen
        rows = [len(each.visible_keys) for each in seen]
        wanted = [each + _AROUND_ROWS if each else _LEAST_TABLE for each in rows]
        shared = share_lines(room, wanted, [_LEAST_TABLE] * len(seen))
        # what nobody needs goes to the one with most rows
        longest, spare = wanted.index(max(wanted)), max(shared[0] - wanted[0], 0)
        shared[0] -= spare
        shared[longest] += spare
        for each, lines in zip(seen, shared, strict=True):
            each.styles.height = lines

    def _draw_details(self, spec: Table[Any], row: object, frame: Frame) -> None:
        find, name = spec.details, (spec.called or spec.key)(row)
        if find is None:
            return
        self.details.show_titled(
            lambda width, _: list(find(row, frame, width)),
            title=cut(name, 60, frame.glyphs.ellipsis),
            glyphs=frame.glyphs,
        )


def nothing_lines(table: Table[Any], frame: Frame) -> Sequence[Line]:
    """What a table says without rows, each part on lines of its own."""
    waits = frame.snapshot is None and not table.asked
    lines: list[Line] = []
    for span in nothing_seen(frame) if waits else table.nothing(frame):
        is_short = width_of(span.text) <= _NOTE_WIDTH
        parts = [span.text] if is_short else wrap(span.text, _NOTE_WIDTH)
        lines += [line(Span(f" {part}", span.tone)) for part in parts]
    return lines


_LINK_TONES: Final = {LinkState.CONNECTED: Tone.OK, LinkState.CONNECTING: Tone.WARN}
_ENGINE_NAME_WIDTH: Final = 11
# cells that a name and the blanks beside it take from a line
_BESIDE_NAME: Final = 14
# of pools, findings and scale events in one column, and where there is no room for so many
_LEAST_LINES: Final = (8, 5, 5)
_FEWEST_LINES: Final = (6, 3, 3)
_HISTORY_LINES: Final = 7
_HISTORY_HEIGHTS: Final = (14, 18, 22)
"""Of bars of 2 to 4 lines, with a blank line between two series."""
_ENGINE_LINES: Final = 12
# cells of a finding's line beside its text
_BESIDE_FINDING: Final = 34


class OverviewScreen(ViewScreen):
    """Pools by pressure, findings, scale events, and on a wide screen the engine itself."""

    def __init__(self, *, keys: Keymap) -> None:
        super().__init__("overview", scope=KeyScope.OVERVIEW, keys=keys)
        self.pools, self.findings, self.events = (
            LiveTable(each, id=each.name) for each in views()["overview"].tables
        )
        self.history = Panel(id="history")
        self.history.can_focus = False
        self._fleet_history = FleetHistory()
        self.engine = Panel(id="engine")

    def share(self) -> None:
        """In one column, a panel without rows is as low as can be, and its place goes to those that
        have some. The history has its place where all have enough without it; on a low screen the
        events are the first to go. On a wide screen what the pools leave goes to the bars of the
        history, and then to the events.
        """
        room = self.body_lines
        is_wide = self.is_wide
        has_history = is_wide or room >= sum(_LEAST_LINES) + _HISTORY_LINES
        has_events = is_wide or room >= sum(_FEWEST_LINES)
        self.history.display, self.events.display = has_history, has_events
        if is_wide:
            for each in (self.findings, self.events, self.history):
                each.styles.height = "1fr"
            pools = min(max(len(self.pools.shown_rows) + 3, _ENGINE_LINES), room * 2 // 5 + 1)
            history = _history_height(room - pools - min(_ENGINE_LINES, room // 3))
            self.body.styles.grid_rows = f"{pools} {history} 1fr"
            return
        findings = [row.finding for row in self.findings.shown_rows]
        events, found = len(self.events.shown_rows), len(findings) + self._more_lines(findings)
        wanted = [len(self.pools.shown_rows) + 3, max(found + 2, 3), events + 3 if events else 3]
        panels = 3 if has_events else 2
        self.history.styles.height = history = _history_height(room - sum(wanted))
        room -= history if has_history else 0
        least = _LEAST_LINES if room >= sum(_LEAST_LINES) else _FEWEST_LINES
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
        self.share()
        history = self._fleet_history.of({} if snapshot is None else snapshot.histories)
        self.history.show_titled(
            lambda width, height: history_lines(history, frame, width, height),
            title=f"{frame.scope_words or 'all pools'}, 15 minutes",
            glyphs=frame.glyphs,
        )
        self.engine.show_titled(
            lambda width, _: engine_lines(frame, width),
            title="engine, of all tenants" if frame.scope_words else "engine",
            glyphs=frame.glyphs,
        )


def _history_height(room: int) -> int:
    """Of the history: the highest bars for which there is room."""
    return max([each for each in _HISTORY_HEIGHTS if each <= room], default=_HISTORY_LINES)


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


_TITLE_WIDTH: Final = 48


class Content(NamedTuple):
    """What a panel shows of one frame."""

    title: str
    lines: LinesBuilder
    note: str = ""


class PanelScreen(ViewScreen):
    """One panel, as high as the screen. A row in full is as it was when it was `opened`, however
    the tables change; nothing is changed from here.
    """

    def __init__(self, view: str, *, tab: str = "", keys: Keymap) -> None:
        super().__init__(view, tab=tab, keys=keys)
        self.panel = Panel(id=view)
        self.opened: Opened | None = None
        self._content: Callable[[Frame], Content] | None = None
        self._fleet_history = FleetHistory()

    def compose_body(self) -> ComposeResult:
        """The panel."""
        yield self.panel

    def show(
        self, content: Callable[[Frame], Content], opened: Opened | None = None, pool: str = ""
    ) -> None:
        """Show this from the next draw on; `pool` is the pool that it belongs to."""
        self._content, self.opened, self.explains = content, opened, pool
        self.log_of = opened if isinstance(opened, PodRef) else None
        self.panel.action_do("top")

    def show_history(self, scope: Scope) -> None:
        """Show the last 15 minutes and 24 hours of a pool, of a tenant, or of all pools."""
        self.show(lambda frame: _history(scope, frame, self._fleet_history))

    def draw_body(self, frame: Frame) -> None:
        """Fill the panel."""
        if self.tab:
            content = _history(Scope(pool=self.pool), frame, self._fleet_history)
        elif self._content is not None:
            content = self._content(frame)
        else:
            return
        self.panel.show_titled(
            content.lines,
            title=content.title,
            note=(Span(content.note, Tone.DIM),) if content.note else (),
            glyphs=frame.glyphs,
        )


def row_in_full(opened: Opened, frame: Frame) -> Content:
    """A scale event with the decision of its moment, a finding, a change, a pod, a task."""
    ellipsis = frame.glyphs.ellipsis
    match opened:
        case ScaleEvent() as event:
            name = cut_middle(event.pool, _TITLE_WIDTH - 18, ellipsis)
            return Content(
                f"{name} at {figures.time_of_day(event.at)}",
                lambda width, height: event_lines(event, frame, width, height),
                "as decided then; d: as it is now",
            )
        case Finding() as finding:
            title = cut_middle(f"attention: {finding.subject}", _TITLE_WIDTH, ellipsis)
            return Content(title, lambda width, _: finding_lines(finding, frame, width))
        case IntentChange() as change:
            title = f"change {change.revision}"
            return Content(title, lambda width, _: list(change_lines(change, frame, width)))
        case PodRef() as pod:
            title = cut_middle(f"pod {pod.name}", _TITLE_WIDTH, ellipsis)
            return Content(title, lambda width, _: list(pod_in_full(pod, frame, width)))
        case TaskRow() as row:
            found = frame.asked.task if frame.asked.task_of == row.key else None
            title = cut_middle(f"task {row.id}", _TITLE_WIDTH, ellipsis)
            return Content(title, lambda width, _: list(task_in_full(row, found, frame, width)))


def event_lines(event: ScaleEvent, frame: Frame, width: int, height: int) -> list[Line]:
    """What was decided at that moment, rule by rule, and what became of it."""
    lines = labelled("when", when_parts(event.at, frame), width)
    if event.decision is None:
        change = change_text(event.before, event.after, frame)
        lines += labelled("change", (f"{change}, bound by {event.bound}",), width)
        because = explain.sentence(event.reason, event.at)
        lines += labelled_text("because", because, width)
        return lines + outcome_lines(event.outcome, width)
    return lines + decision_lines(
        event.decision, event.outcome, frame, width, max(height - 1, 1), at=event.at
    )


def keys_of(
    view: str, actions: Sequence[UserAction], columns: Mapping[str, str], off: str | None
) -> Callable[[Frame], Content]:
    """The keys of a view and what its columns mean; `off`: why those that change something are."""
    return lambda frame: Content(
        f"keys in {view}", lambda width, _: help_lines(actions, width, frame.glyphs, columns, off)
    )


def _history(scope: Scope, frame: Frame, fleet: FleetHistory) -> Content:
    name = scope.pool or scope.tenant or frame.scope_words or "the fleet"
    title = f"history of {cut_middle(name, _TITLE_WIDTH, frame.glyphs.ellipsis)}"
    if frame.snapshot is None:
        return Content(title, lambda *_: [line(Span(" no snapshot yet", Tone.DIM))])
    if scope.tenant is not None:
        tokens = tenant_history(scope.tenant, frame)
        return Content(title, lambda *size: token_history_lines(tokens, frame, *size))
    row = None if scope.pool is None else frame.row(scope.pool)
    if scope.pool is not None and row is None:
        gone = Span(" it is no pool of this fleet now", Tone.WARN)
        return Content(title, lambda *_: [line(gone)])
    history = fleet.of(frame.snapshot.histories) if row is None else row.history
    return Content(
        title, lambda *size: history_lines(history, frame, *size, both=True, pool=scope.pool)
    )

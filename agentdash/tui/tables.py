"""The columns of every table: pools (short and full), scale events, findings, pods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from agentdash.tui import figures, words
from agentdash.tui.columns import Column, Sort, SortValue
from agentdash.tui.lines import Span, Tone
from agentdash.tui.sparkline import sparkline
from agentdash.tui.view import Frame, PoolRow, PoolState
from controller.model.decision import OutcomeKind
from controller.model.observation import Pod, PodPhase, WakeWatch
from controller.model.snapshot import Finding, ScaleEvent, Severity

PHASE_TONES: Final = {
    PodPhase.CRASHING: Tone.CRIT,
    PodPhase.FAILED: Tone.CRIT,
    PodPhase.UNSCHEDULED: Tone.WARN,
    PodPhase.STARTING: Tone.BUSY,
    PodPhase.RUNNING: Tone.BUSY,
    PodPhase.TERMINATING: Tone.DIM,
    PodPhase.READY: Tone.OK,
}
RECENT_CELLS: Final = 15
"""The last 15 minutes, a minute to a cell."""
_REPLICA_CELLS: Final = 6
_REPLICAS_TITLE: Final = "READY  TARGET"
"""Each of the words stands over its bars."""
SEVERITY_MARKS: Final = {
    Severity.CRITICAL: Span("!!", Tone.CRIT),
    Severity.WARNING: Span("!", Tone.WARN),
    Severity.INFO: Span("i", Tone.BUSY),
}


def number_span(value: int | None, frame: Frame, *, old: bool = False, width: int = 7) -> Span:
    """A number; `?` if it is not known, with `~` if only the last known value can be shown."""
    if value is None:
        return Span(frame.glyphs.unknown, Tone.WARN)
    text = figures.count(value, width)
    if old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.DIM if value == 0 else Tone.PLAIN)


def change_text(before: int | None, after: int | None, frame: Frame) -> str:
    """`12→20`, or one number if it does not change."""
    old, new = (frame.glyphs.unknown if n is None else str(n) for n in (before, after))
    if before == after:
        return old
    return f"{old}{frame.glyphs.arrow}{new}"


def _state(row: PoolRow, frame: Frame) -> Span:
    del frame
    return Span(f"{row.state.mark:<2} {row.state.word}", row.state.tone)


def since_span(at: float | None, frame: Frame) -> Span:
    """When something that is shown began."""
    if at is None:
        return Span(frame.glyphs.none, Tone.DIM)
    return Span(figures.since(at, frame.now), Tone.DIM)


def _ready(row: PoolRow, frame: Frame) -> Span:
    return number_span(row.ready, frame, old=row.workload_is_old, width=5)


def _next(row: PoolRow, frame: Frame) -> Span:
    tone = Tone.DIM if row.current == row.next == 0 else Tone.PLAIN
    text = change_text(row.current, row.next, frame)
    if row.workload_is_old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.BUSY if row.current != row.next else tone)


def _target(row: PoolRow, frame: Frame) -> Span:
    old = row.queue_is_old or row.workload_is_old
    return number_span(row.target, frame, old=old, width=6)


def _demand(row: PoolRow, frame: Frame) -> Span:
    return number_span(row.demand, frame, old=row.queue_is_old, width=4)


def _pending(row: PoolRow, frame: Frame) -> Span:
    span = number_span(
        row.queue.pending if row.queue else None, frame, old=row.queue_is_old, width=6
    )
    if row.queue_is_old or frame.stale:
        return span
    trend = {1: frame.glyphs.up, -1: frame.glyphs.down}.get(row.trend, "")
    return Span(trend + span.text, span.tone)


def _in_flight(row: PoolRow, frame: Frame) -> Span:
    value = row.queue.in_flight if row.queue else None
    return number_span(value, frame, old=row.queue_is_old, width=6)


def _pressure(row: PoolRow, frame: Frame) -> Span:
    if row.pressure is None or row.state is PoolState.BLIND:
        return Span(frame.glyphs.unknown, Tone.WARN)
    text = figures.ratio(row.pressure)
    if row.queue_is_old or row.workload_is_old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    tone = Tone.WARN if row.pressure > 1 else Tone.DIM if row.pressure == 0 else Tone.PLAIN
    return Span(text, tone)


def _bound(row: PoolRow, frame: Frame) -> Span:
    decision = row.view.decision
    if decision is None:
        return Span(frame.glyphs.none, Tone.DIM)
    if row.not_woken_below is not None and decision.gate is None:
        return Span(f"activation {row.not_woken_below}")
    return Span(row.bound, Tone.WARN if decision.gate else Tone.PLAIN)


def _range(row: PoolRow, frame: Frame) -> Span:
    del frame
    return Span(f"{row.view.min}/{row.view.max}", Tone.DIM)


def _wake(row: PoolRow, frame: Frame) -> Span:
    wake = row.view.observation.wake
    if wake is WakeWatch.OFF:
        return Span(frame.glyphs.none, Tone.DIM)
    return Span(str(wake), Tone.WARN if wake is WakeWatch.POLLED else Tone.OK)


def _why(row: PoolRow, frame: Frame) -> Span:
    decision = row.view.decision
    if decision is None:
        return Span("no decision yet", Tone.DIM)
    return Span(words.last_sentence(decision, frame.at), Tone.PLAIN)


def recent_span(series: Sequence[int], frame: Frame) -> Span:
    """The last 15 minutes of a series, a minute to a cell."""
    return Span(sparkline(series, RECENT_CELLS, frame.glyphs), Tone.DIM)


def _recent(row: PoolRow, frame: Frame) -> Span:
    """The messages that waited."""
    return recent_span(row.history.recent.pending, frame)


def _recent_replicas(row: PoolRow, frame: Frame) -> Span:
    """Those that were ready, and the target, on one scale."""
    recent = row.history.recent
    most = max((*recent.ready, *recent.target), default=0)
    ready, target = (
        sparkline(series, _REPLICA_CELLS, frame.glyphs, most)
        for series in (recent.ready, recent.target)
    )
    return Span(f"{ready:<{_REPLICA_CELLS}} {target}", Tone.DIM)


def _known(value: float | None) -> SortValue | None:
    return None if value is None else (value,)


def _trouble_then_pressure(row: PoolRow) -> SortValue:
    """A pool that cannot work comes before one that only has much to do."""
    return (row.state.trouble, math.inf if row.pressure is None else row.pressure)


_POOL_COLUMN: Final = Column[PoolRow](
    "POOL",
    18,
    lambda row, _: Span(row.key),
    lambda row: (row.key,),
    widest=40,
    letter="N",
    names=True,
)
_STATE_COLUMN: Final = Column[PoolRow](
    "STATE", 9, _state, lambda row: (float(row.state.rank),), letter="S", descending=True
)
_STATE_SINCE_COLUMN: Final = Column[PoolRow](
    "SINCE",
    6,
    lambda row, frame: since_span(row.since, frame),
    lambda row: _known(row.since),
    descending=True,
)
_READY_COLUMN: Final = Column[PoolRow](
    "READY", 6, _ready, lambda row: _known(row.ready), right=True, letter="R", descending=True
)
_NEXT_COLUMN: Final = Column[PoolRow](
    "NOW→NEXT", 8, _next, lambda row: _known(row.next), right=True, letter="X", descending=True
)
_WANT_COLUMN: Final = Column[PoolRow](
    "WANT",
    5,
    _demand,
    lambda row: _known(row.demand),
    rank=4,
    right=True,
    letter="W",
    descending=True,
)
_PENDING_COLUMN: Final = Column[PoolRow](
    "PENDING",
    8,
    _pending,
    lambda row: _known(row.queue.pending if row.queue else None),
    right=True,
    letter="Q",
    descending=True,
)
_PRESSURE_COLUMN: Final = Column[PoolRow](
    "PRESS", 6, _pressure, _trouble_then_pressure, right=True, letter="P", descending=True
)
_BOUND_COLUMN: Final = Column[PoolRow](
    "BOUND", 8, _bound, lambda row: (row.bound,), rank=3, letter="B"
)
_TIER_COLUMN: Final = Column[PoolRow](
    "TIER",
    10,
    lambda row, _: Span(row.view.tier),
    lambda row: (row.view.tier,),
    rank=10,
    letter="T",
)
_TARGET_COLUMN: Final = Column[PoolRow](
    "TARGET",
    7,
    _target,
    lambda row: _known(row.target),
    rank=6,
    right=True,
    letter="A",
    descending=True,
)
_IN_FLIGHT_COLUMN: Final = Column[PoolRow](
    "IN FLIGHT",
    9,
    _in_flight,
    lambda row: _known(row.queue.in_flight if row.queue else None),
    rank=6,
    right=True,
    letter="F",
    descending=True,
)
_RANGE_COLUMN: Final = Column[PoolRow]("MIN/MAX", 8, _range, rank=10, right=True)
_WAKE_COLUMN: Final = Column[PoolRow]("WAKE", 6, _wake, rank=11)
_RECENT_COLUMN: Final = Column[PoolRow]("LAST 15 MIN", RECENT_CELLS, _recent, rank=5)
_REPLICAS_COLUMN: Final = Column[PoolRow](
    _REPLICAS_TITLE, 2 * _REPLICA_CELLS + 1, _recent_replicas, rank=5
)
_WHY_COLUMN: Final = Column[PoolRow]("WHY", 24, _why, rank=9, fill=True)

POOL_COLUMNS_SHORT: Final = (
    _POOL_COLUMN,
    _STATE_COLUMN,
    _STATE_SINCE_COLUMN,
    _READY_COLUMN,
    _NEXT_COLUMN,
    _WANT_COLUMN,
    _PENDING_COLUMN,
    _PRESSURE_COLUMN,
    _BOUND_COLUMN,
    _TIER_COLUMN,
    _RECENT_COLUMN,
    _REPLICAS_COLUMN,
)
POOL_COLUMNS: Final = (
    _POOL_COLUMN,
    _TIER_COLUMN,
    _STATE_COLUMN,
    _STATE_SINCE_COLUMN,
    _READY_COLUMN,
    _NEXT_COLUMN,
    _TARGET_COLUMN,
    _WANT_COLUMN,
    _PENDING_COLUMN,
    _IN_FLIGHT_COLUMN,
    _RANGE_COLUMN,
    _PRESSURE_COLUMN,
    _BOUND_COLUMN,
    _RECENT_COLUMN,
    _REPLICAS_COLUMN,
    _WAKE_COLUMN,
    _WHY_COLUMN,
)
BY_PRESSURE: Final = Sort("PRESS", descending=True)


def _change(event: ScaleEvent, frame: Frame) -> Span:
    difference = event.after - event.before
    return Span(f"{change_text(event.before, event.after, frame)} {difference:+d}", Tone.BUSY)


def event_reason(event: ScaleEvent, frame: Frame) -> Span:
    """Why the number was changed, or why it was not written."""
    del frame
    if event.outcome.kind is not OutcomeKind.APPLIED:
        return Span(
            f"not written, {words.as_words(event.outcome.kind)}: {event.outcome.detail}", Tone.CRIT
        )
    return Span(words.reason_sentence(event.reason, event.at))


EVENT_COLUMNS: Final = (
    Column[ScaleEvent]("TIME", 8, lambda event, _: Span(figures.time_of_day(event.at), Tone.DIM)),
    Column[ScaleEvent]("POOL", 18, lambda event, _: Span(event.pool), widest=30, names=True),
    Column[ScaleEvent]("CHANGE", 10, _change),
    Column[ScaleEvent]("BOUND", 8, lambda event, _: Span(event.bound), rank=1),
    Column[ScaleEvent]("BECAUSE", 26, event_reason, fill=True),
)
_MARK_COLUMN: Final = Column[Finding]("!", 2, lambda finding, _: SEVERITY_MARKS[finding.severity])
_SINCE_COLUMN: Final = Column[Finding](
    "SINCE",
    6,
    lambda finding, frame: since_span(finding.since, frame),
    rank=1,
)
FINDING_COLUMNS: Final = (
    _MARK_COLUMN,
    Column[Finding]("SUBJECT", 18, lambda finding, _: Span(finding.subject), widest=30, names=True),
    Column[Finding]("WHAT", 20, lambda finding, _: Span(finding.text), fill=True),
    _SINCE_COLUMN,
)
FINDING_COLUMNS_NARROW: Final = (
    _MARK_COLUMN,
    Column[Finding]("SUBJECT", 18, lambda finding, _: Span(finding.subject), fill=True, names=True),
    _SINCE_COLUMN,
)
POD_COLUMNS: Final = (
    Column[Pod]("POD", 26, lambda pod, _: Span(pod.name), widest=44, names=True),
    Column[Pod]("PHASE", 11, lambda pod, _: Span(str(pod.phase), PHASE_TONES[pod.phase])),
    Column[Pod](
        "AGE",
        6,
        lambda pod, frame: Span(figures.age(frame.now - pod.created_at) if pod.created_at else "-"),
        right=True,
    ),
    Column[Pod]("RST", 3, lambda pod, _: Span(str(pod.restarts), Tone.DIM), rank=2, right=True),
    Column[Pod]("NODE", 16, lambda pod, frame: Span(pod.node or frame.glyphs.none), rank=3),
    Column[Pod](
        "WHY IT WAITS",
        26,
        lambda pod, _: Span(": ".join(part for part in (pod.reason, pod.message) if part)),
        fill=True,
    ),
)

SORT_LETTERS: Final = {
    column.letter: column.title
    for column in POOL_COLUMNS
    if column.letter and column.sort_key is not None
}


def event_key(event: ScaleEvent) -> str:
    """Identifies a scale event."""
    return f"{event.at:.6f} {event.pool} {event.before} {event.after}"


def finding_key(finding: Finding) -> str:
    """Identifies a finding; its text may change, so it is not part of the key."""
    return f"{finding.kind} {finding.subject}"

"""Every table's columns: pools (short and full), scale events, attention, pods."""

from __future__ import annotations

from typing import Final

from agentdash.tui import figures, words
from agentdash.tui.columns import Column, Ordering, Sort
from agentdash.tui.lines import Span, Tone
from agentdash.tui.view import BLIND, PoolRow, Scene
from controller.model.observation import Pod, PodPhase, WakeWatch
from controller.model.outcome import OutcomeKind
from controller.model.snapshot import Finding, ScaleEvent, Severity

_PHASE_TONES: Final = {
    PodPhase.CRASHING: Tone.CRIT,
    PodPhase.FAILED: Tone.CRIT,
    PodPhase.UNSCHEDULED: Tone.WARN,
    PodPhase.STARTING: Tone.BUSY,
    PodPhase.RUNNING: Tone.BUSY,
    PodPhase.TERMINATING: Tone.DIM,
    PodPhase.READY: Tone.OK,
}
_MARKS: Final = {
    Severity.CRITICAL: Span("!!", Tone.CRIT),
    Severity.WARNING: Span("!", Tone.WARN),
    Severity.INFO: Span("i", Tone.BUSY),
}


def number(value: int | None, scene: Scene, *, old: bool = False, width: int = 7) -> Span:
    """A number, `?` where nobody knows it, with `~` where it is only the last known."""
    if value is None:
        return Span(scene.glyphs.unknown, Tone.WARN)
    text = figures.count(value, width)
    if old or scene.stale:
        return Span(text + scene.glyphs.stale, Tone.WARN)
    return Span(text, Tone.DIM if value == 0 else Tone.PLAIN)


def step(before: int | None, after: int | None, scene: Scene) -> str:
    """`12→20`, or the one number where nothing changes."""
    old, new = (scene.glyphs.unknown if n is None else str(n) for n in (before, after))
    if before == after:
        return old
    return f"{old}{scene.glyphs.arrow}{new}"


def _state(row: PoolRow, scene: Scene) -> Span:
    del scene
    return Span(f"{row.state.mark:<2} {row.state.word}", row.state.tone)


def _ready(row: PoolRow, scene: Scene) -> Span:
    return number(row.ready, scene, old=row.workload_is_old, width=5)


def _next(row: PoolRow, scene: Scene) -> Span:
    tone = Tone.DIM if row.current == row.next == 0 else Tone.PLAIN
    text = step(row.current, row.next, scene)
    if row.workload_is_old or scene.stale:
        return Span(text + scene.glyphs.stale, Tone.WARN)
    return Span(text, Tone.BUSY if row.current != row.next else tone)


def _target(row: PoolRow, scene: Scene) -> Span:
    return number(row.target, scene, width=6)


def _demand(row: PoolRow, scene: Scene) -> Span:
    return number(row.demand, scene, width=4)


def _pending(row: PoolRow, scene: Scene) -> Span:
    span = number(row.queue.pending if row.queue else None, scene, old=row.queue_is_old, width=6)
    if row.queue_is_old or scene.stale:
        return span
    trend = {1: scene.glyphs.up, -1: scene.glyphs.down}.get(row.trend, "")
    return Span(trend + span.text, span.tone)


def _in_flight(row: PoolRow, scene: Scene) -> Span:
    value = row.queue.in_flight if row.queue else None
    return number(value, scene, old=row.queue_is_old, width=6)


def _pressure(row: PoolRow, scene: Scene) -> Span:
    if row.pressure is None or row.state is BLIND:
        return Span(scene.glyphs.unknown, Tone.WARN)
    text = figures.ratio(row.pressure)
    if row.queue_is_old or row.workload_is_old or scene.stale:
        return Span(text + scene.glyphs.stale, Tone.WARN)
    tone = Tone.WARN if row.pressure > 1 else Tone.DIM if row.pressure == 0 else Tone.PLAIN
    return Span(text, tone)


def _bound(row: PoolRow, scene: Scene) -> Span:
    decision = row.view.decision
    if decision is None:
        return Span(scene.glyphs.none, Tone.DIM)
    return Span(row.bound, Tone.WARN if decision.gate else Tone.PLAIN)


def _range(row: PoolRow, scene: Scene) -> Span:
    del scene
    return Span(f"{row.view.min}/{row.view.max}", Tone.DIM)


def _wake(row: PoolRow, scene: Scene) -> Span:
    wake = row.view.observation.wake
    if wake is WakeWatch.OFF:
        return Span(scene.glyphs.none, Tone.DIM)
    return Span(str(wake), Tone.WARN if wake is WakeWatch.POLLED else Tone.OK)


def _why(row: PoolRow, scene: Scene) -> Span:
    decision = row.view.decision
    if decision is None:
        return Span("no decision yet", Tone.DIM)
    del scene
    return Span(words.last_word(decision), Tone.PLAIN)


def _known(value: float | None) -> Ordering | None:
    return None if value is None else (value,)


_POOL: Final = Column[PoolRow](
    "POOL",
    19,
    lambda row, _: Span(row.key),
    lambda row: (row.key,),
    widest=34,
    letter="N",
    keep_end=True,
)
_STATE: Final = Column[PoolRow](
    "STATE", 9, _state, lambda row: (float(row.state.rank),), letter="S", descending=True
)
_READY: Final = Column[PoolRow](
    "READY", 6, _ready, lambda row: _known(row.ready), right=True, letter="R", descending=True
)
_NEXT: Final = Column[PoolRow](
    "NOW→NEXT", 8, _next, lambda row: _known(row.next), right=True, letter="X", descending=True
)
_WANT: Final = Column[PoolRow](
    "WANT", 5, _demand, lambda row: _known(row.demand), right=True, letter="W", descending=True
)
_PENDING: Final = Column[PoolRow](
    "PENDING",
    8,
    _pending,
    lambda row: _known(row.queue.pending if row.queue else None),
    right=True,
    letter="Q",
    descending=True,
)
_PRESSURE: Final = Column[PoolRow](
    "PRESS", 6, _pressure, lambda row: _known(row.pressure), right=True, letter="P", descending=True
)
_BOUND: Final = Column[PoolRow](
    "BOUND", 8, _bound, lambda row: (row.bound,), rank=3, widest=18, letter="B"
)
_TIER: Final = Column[PoolRow](
    "TIER", 10, lambda row, _: Span(row.view.tier), lambda row: (row.view.tier,), rank=4, letter="T"
)
_TARGET: Final = Column[PoolRow](
    "TARGET",
    7,
    _target,
    lambda row: _known(row.target),
    rank=5,
    right=True,
    letter="A",
    descending=True,
)
_IN_FLIGHT: Final = Column[PoolRow](
    "IN FLIGHT",
    9,
    _in_flight,
    lambda row: _known(row.queue.in_flight if row.queue else None),
    rank=6,
    right=True,
    letter="F",
    descending=True,
)
_RANGE: Final = Column[PoolRow]("MIN/MAX", 8, _range, rank=7, right=True)
_WAKE: Final = Column[PoolRow]("WAKE", 6, _wake, rank=8)
_WHY: Final = Column[PoolRow]("WHY", 30, _why, rank=9, widest=200)

POOLS_SHORT: Final = (_POOL, _STATE, _READY, _NEXT, _WANT, _PENDING, _PRESSURE, _BOUND, _TIER)
POOLS: Final = (
    _POOL,
    _TIER,
    _STATE,
    _READY,
    _NEXT,
    _TARGET,
    _WANT,
    _PENDING,
    _IN_FLIGHT,
    _RANGE,
    _PRESSURE,
    _BOUND,
    _WAKE,
    _WHY,
)
BY_PRESSURE: Final = Sort("PRESS", descending=True)


def _change(event: ScaleEvent, scene: Scene) -> Span:
    difference = event.after - event.before
    return Span(f"{step(event.before, event.after, scene)} {difference:+d}", Tone.BUSY)


def _because(event: ScaleEvent, scene: Scene) -> Span:
    del scene
    if event.outcome.kind is not OutcomeKind.APPLIED:
        return Span(
            f"not written, {words.spoken(event.outcome.kind)}: {event.outcome.detail}", Tone.CRIT
        )
    return Span(words.sentence(event.reason))


EVENTS: Final = (
    Column[ScaleEvent]("TIME", 8, lambda event, _: Span(figures.time_of_day(event.at), Tone.DIM)),
    Column[ScaleEvent]("POOL", 18, lambda event, _: Span(event.pool), widest=24, keep_end=True),
    Column[ScaleEvent]("CHANGE", 10, _change),
    Column[ScaleEvent]("BOUND", 8, lambda event, _: Span(event.bound), rank=1),
    Column[ScaleEvent]("BECAUSE", 26, _because, widest=200),
)
_MARK: Final = Column[Finding]("!", 2, lambda finding, _: _MARKS[finding.severity])
_SINCE: Final = Column[Finding](
    "SINCE",
    6,
    lambda finding, scene: Span(figures.age(scene.now - finding.since), Tone.DIM),
    right=True,
    rank=1,
)
FINDINGS: Final = (
    _MARK,
    Column[Finding]("SUBJECT", 18, lambda finding, _: Span(finding.subject), widest=24),
    Column[Finding]("WHAT", 20, lambda finding, _: Span(finding.text), widest=200),
    _SINCE,
)
FINDINGS_NARROW: Final = (
    _MARK,
    Column[Finding]("SUBJECT", 18, lambda finding, _: Span(finding.subject), widest=200),
    _SINCE,
)
PODS: Final = (
    Column[Pod]("POD", 26, lambda pod, _: Span(pod.name), widest=44, keep_end=True),
    Column[Pod]("PHASE", 11, lambda pod, _: Span(str(pod.phase), _PHASE_TONES[pod.phase])),
    Column[Pod](
        "AGE",
        6,
        lambda pod, scene: Span(figures.age(scene.now - pod.created_at) if pod.created_at else "-"),
        right=True,
    ),
    Column[Pod]("RST", 3, lambda pod, _: Span(str(pod.restarts), Tone.DIM), rank=2, right=True),
    Column[Pod]("NODE", 16, lambda pod, scene: Span(pod.node or scene.glyphs.none), rank=3),
    Column[Pod](
        "WHY IT WAITS",
        26,
        lambda pod, _: Span(": ".join(part for part in (pod.reason, pod.message) if part)),
        widest=200,
    ),
)

SORT_LETTERS: Final = {
    column.letter: column.title for column in POOLS if column.letter and column.order is not None
}


def event_key(event: ScaleEvent) -> str:
    """What makes a scale event itself."""
    return f"{event.at:.6f} {event.pool} {event.before} {event.after}"


def finding_key(finding: Finding) -> str:
    """What makes a finding itself, though its text changes."""
    return f"{finding.kind} {finding.subject}"

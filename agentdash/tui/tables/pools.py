"""The pools: what each has, what it is given next, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from agentdash.tui import figures
from agentdash.tui.cells import (
    RECENT_CELLS,
    change_text,
    last_sentence,
    none_span,
    pool_column,
    recent_span,
    series,
    since_column,
    state_column,
    unknown_span,
    value_span,
)
from agentdash.tui.charts import sparkline
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, Opening, Sort, SortValue, Table, View
from agentdash.tui.view import Frame, PoolRow, PoolState
from controller.model.intents import Scope
from controller.model.observation import WakeWatch

_REPLICA_CELLS: Final = 5


def _next(row: PoolRow, frame: Frame) -> Span:
    tone = Tone.DIM if row.current == row.next == 0 else Tone.PLAIN
    tone = Tone.BUSY if row.current != row.next else tone
    text = change_text(row.current, row.next, frame)
    return value_span(text, frame, old=row.workload_is_old, tone=tone)


def _pending(row: PoolRow, frame: Frame) -> Span:
    """The number, with an arrow where the queue grows or shrinks."""
    if row.queue is None:
        return unknown_span(frame)
    trend = {1: frame.glyphs.up, -1: frame.glyphs.down}.get(row.trend, "")
    trend = "" if row.queue_is_old or frame.stale else trend
    pending = row.queue.pending
    tone = Tone.PLAIN if pending else Tone.DIM
    return value_span(trend + figures.count(pending, 6), frame, old=row.queue_is_old, tone=tone)


def _is_old(row: PoolRow) -> bool:
    return row.queue_is_old or row.workload_is_old


def _pressure(row: PoolRow, frame: Frame) -> Span:
    if row.pressure is None or row.state is PoolState.BLIND:
        return unknown_span(frame)
    tone = Tone.WARN if row.pressure > 1 else Tone.DIM if row.pressure == 0 else Tone.PLAIN
    return value_span(figures.ratio(row.pressure), frame, old=_is_old(row), tone=tone)


def _trouble_then_pressure(row: PoolRow) -> SortValue:
    """A pool that cannot work comes before one that only has much to do."""
    return (row.state.trouble, math.inf if row.pressure is None else row.pressure)


def _bound(row: PoolRow, frame: Frame) -> Span:
    decision = row.view.decision
    if decision is None:
        return none_span(frame)
    if row.not_woken_below is not None and decision.gate is None:
        return Span(f"activation {row.not_woken_below}")
    return Span(row.bound, Tone.WARN if decision.gate else Tone.PLAIN)


def _wake(row: PoolRow, frame: Frame) -> Span:
    wake = row.view.observation.wake
    if wake is WakeWatch.OFF:
        return none_span(frame)
    return Span(str(wake), Tone.WARN if wake is WakeWatch.POLLED else Tone.OK)


def _why(row: PoolRow, frame: Frame) -> str | None:
    decision = row.view.decision
    return None if decision is None else last_sentence(decision, frame.at)


def _replicas(row: PoolRow, frame: Frame) -> Span:
    """Those that were ready, and the target, on one scale, and its highest bar."""
    recent = row.history.recent
    most = max((*recent.ready, *recent.target), default=0)
    ready, target = (
        f"{sparkline(numbers, _REPLICA_CELLS, frame.glyphs, most):<{_REPLICA_CELLS}}"
        for numbers in (recent.ready, recent.target)
    )
    return Span(f"{ready} {target} {figures.count(most, 3) if most > 0 else ''}", Tone.DIM)


_Column = Column[PoolRow]
POOL_COLUMNS: Final[Sequence[Column[PoolRow]]] = (
    pool_column("key", widest=40, letter="N"),
    state_column(lambda row: row.state),
    since_column("since"),
    _Column(
        "READY", 6, "replicas that are ready", "ready", unknown=True,
        text=lambda ready: figures.count(ready, 5), old="workload_is_old",
        more={"workload_is_old": "workload_is_old"}, right=True, letter="R", descending=True,
    ),
    _Column(
        "NOW→NEXT", 8, "spec.replicas now, and what is written next", "next", cell=_next,
        more={"replicas": "current"}, right=True, letter="X", descending=True,
    ),
    _Column(
        "TARGET", 7, "what it should have, after every limit", "target", unknown=True,
        text=lambda target: figures.count(target, 6), old=_is_old,
        rank=6, right=True, letter="A", descending=True,
    ),
    _Column(
        "WANT", 5, "what its work asks for, before any limit", "wanted", "demand",
        text=lambda wanted: figures.count(wanted, 4), unknown=True, old="queue_is_old",
        more={"recommended": "view.decision.recommendation"},
        rank=4, right=True, letter="W", descending=True,
    ),
    _Column(
        "PENDING", 8, "messages not delivered yet; an arrow says that the queue grows or shrinks",
        "pending", "queue.pending", _pending, more={"queue_is_old": "queue_is_old"},
        right=True, letter="Q", descending=True,
    ),
    _Column(
        "IN FLIGHT", 9, "messages delivered, not yet acknowledged", "in_flight", "queue.in_flight",
        text=lambda in_flight: figures.count(in_flight, 6), unknown=True, old="queue_is_old",
        rank=7, right=True, letter="F", descending=True,
    ),
    _Column(
        "PRESS", 6, "wanted replicas for each ready one; pools in trouble come before it",
        "pressure", cell=_pressure, sort=_trouble_then_pressure,
        right=True, letter="P", descending=True,
    ),
    _Column(
        "BOUND", 8, "the rule that decided the target, or the gate that holds next; activation: too"
        " little work to wake it", "bound", lambda row: row.bound or None, _bound,
        rank=3, letter="B",
    ),
    _Column(
        "TIER", 10, "the tenant's tier", "tier", "view.tier", rank=10, letter="T",
    ),
    _Column(
        "QUEUE, 15 MIN", RECENT_CELLS, "the messages that waited, and the most; a dot is not known",
        cell=lambda row, frame: recent_span(row.history.recent.pending, frame),
        more={"pending_last_15_min": lambda row, _: series(row.history.recent.pending)},
        rank=5, drawn=True,
    ),
    _Column(
        "SIZE, 15 MIN", 2 * _REPLICA_CELLS + 5, "replicas over the last 15 minutes, on one scale:"
        " ready ones, the target, and the most", cell=_replicas,
        more={
            "ready_last_15_min": lambda row, _: series(row.history.recent.ready),
            "target_last_15_min": lambda row, _: series(row.history.recent.target),
        },
        rank=5, drawn=True,
    ),
    _Column(
        "MIN/MAX", 8, "limits of the fleet file",
        cell=lambda row, _: Span(f"{row.view.min}/{row.view.max}", Tone.DIM),
        more={"min": "view.min", "max": "view.max"},
        rank=10, right=True,
    ),
    _Column(
        "WAKE", 6, "how a pool at zero notices its first message", "wake",
        lambda row: str(row.view.observation.wake), _wake, rank=11,
    ),
    _Column(
        "WHY", 22, "the last rule of the decision, in words", cell=lambda row, frame: (
            Span("no decision yet", Tone.DIM) if (why := _why(row, frame)) is None else Span(why)
        ),
        more={"why": _why}, rank=9, fill=True,
    ),
)  # fmt: skip


def nothing_seen(frame: Frame) -> list[Span]:
    """What a table of the fleet says before there is a snapshot, or without pools."""
    if frame.snapshot is not None:
        return [
            Span("no pools", Tone.WARN),
            Span("the fleet file names none; add one and it appears here", Tone.DIM),
        ]
    waited = figures.age(frame.waited_s)
    if problem := frame.engine_error or frame.feed_problem:
        heading = ("the engine has stopped", "the dashboard goes on waiting")
        if not frame.engine_error:
            heading = (
                "the controller runs elsewhere and cannot be seen from here",
                "it may well go on",
            )
        return [
            Span(heading[0], Tone.CRIT),
            Span(problem),
            Span(f"no snapshot for {waited}; {heading[1]}", Tone.DIM),
        ]
    return [
        Span(f"loading  {waited}", Tone.TITLE),
        Span(f"waiting for {frame.waits_for}", Tone.DIM),
    ]


POOLS: Final = Table[PoolRow](
    "pools",
    "pools",
    POOL_COLUMNS,
    lambda frame: frame.rows,
    key=lambda row: row.key,
    nothing=nothing_seen,
    text=lambda row: row.filter_text,
    sort=Sort("PRESS", descending=True),
    opens=lambda row, _: Opening("why", row.key),
    about=lambda row: Scope(pool=row.key),
)
VIEWS: Final = (View("pools", (POOLS,), "all pools", ("pl",)),)

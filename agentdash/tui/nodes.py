"""The nodes' room by class, and the pods that fit nowhere, as columns and as details."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agentdash.tui import amounts, figures
from agentdash.tui.columns import Column
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone, cut, line
from agentdash.tui.view import Frame, PoolRow
from controller.model.decision import Gate
from controller.model.observation import PodPhase
from controller.model.snapshot import NodeClassView

ALL_NODES: Final = "all nodes"
_NEARLY_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class UnplacedPods:
    """The pods of one pool that no node takes: how many, since when the first waits, and the
    scheduler's reason for it.
    """

    pool: PoolRow
    pods: int
    since: float
    reason: str

    @property
    def key(self) -> str:
        """The pool's key."""
        return self.pool.key

    @property
    def stops_growth(self) -> bool:
        """Whether they keep the pool from growing."""
        decision = self.pool.view.decision
        return decision is not None and decision.gate is Gate.NOT_BECOMING_READY


def unplaced_pods(rows: Sequence[PoolRow]) -> list[UnplacedPods]:
    """The pools with pods that fit nowhere, the one that waits longest first."""
    found = []
    for row in rows:
        if row.pods is None or not row.pods.unscheduled:
            continue
        waiting = [pod for pod in row.pods.items if pod.phase is PodPhase.UNSCHEDULED]
        if waiting:
            first = min(waiting, key=lambda pod: pod.created_at)
            reason = first.message or first.reason
            found.append(UnplacedPods(row, len(waiting), first.created_at, reason))
    return sorted(found, key=lambda each: (each.since, each.key))


def nobody_waits(rows: Sequence[PoolRow]) -> Line:
    """What is said where no pod is seen to wait for a node."""
    unknown = sum(row.pods is None for row in rows)
    if unknown:
        return line(
            Span(f" the pods of {figures.amount(unknown, 'pool')} are not known", Tone.WARN)
        )
    return line(Span(" every pod has a node", Tone.OK))


def class_name(view: NodeClassView) -> str:
    """The name of a class; the one without a name is all nodes."""
    return view.name or ALL_NODES


def is_room_old(frame: Frame) -> bool:
    """Whether only the nodes' last known state can be shown."""
    return frame.stale or (frame.snapshot is not None and frame.snapshot.room.is_old)


def room_span(used: int | None, room: int | None, text: Callable[[int], str], frame: Frame) -> Span:
    """`6.5/12`: what is used of the room; `?` for a part that is not known."""
    parts = (frame.glyphs.unknown if each is None else text(each) for each in (used, room))
    shown = "/".join(parts)
    if is_room_old(frame):
        return Span(shown + frame.glyphs.stale, Tone.WARN)
    if used is None or room is None:
        return Span(shown, Tone.WARN)
    full = used > 0 and used >= _NEARLY_FULL * room
    return Span(shown, Tone.WARN if full else Tone.PLAIN)


def _pods(view: NodeClassView, frame: Frame) -> Span:
    return room_span(view.pods, view.room.replicas, figures.count, frame)


def _cpu(view: NodeClassView, frame: Frame) -> Span:
    return room_span(view.used.cpu_milli, view.room.cpu_milli, amounts.cores, frame)


def _memory(view: NodeClassView, frame: Frame) -> Span:
    return room_span(view.used.memory_bytes, view.room.memory_bytes, amounts.memory, frame)


def _nodes(view: NodeClassView, frame: Frame) -> Span:
    there = len(view.nodes)
    text = str(there) if view.most_nodes is None else f"{there}/{view.most_nodes}"
    if not there and view.most_nodes is None:
        return Span(frame.glyphs.unknown, Tone.WARN)
    return Span(text + frame.glyphs.stale, Tone.WARN) if is_room_old(frame) else Span(text)


def _fits(view: NodeClassView, frame: Frame) -> Span:
    if view.fits is None:
        return Span(frame.glyphs.unknown, Tone.WARN)
    text = figures.count(view.fits, 6)
    if is_room_old(frame):
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.PLAIN if view.fits else Tone.CRIT)


def _typical(view: NodeClassView, frame: Frame) -> Span:
    return Span(view.typical or frame.glyphs.none, Tone.DIM)


CLASS_COLUMNS: Final = (
    Column[NodeClassView]("CLASS", 10, lambda view, _: Span(class_name(view)), widest=24),
    Column[NodeClassView]("NODES", 6, _nodes, right=True),
    Column[NodeClassView]("PODS", 11, _pods, right=True),
    Column[NodeClassView]("CPU", 9, _cpu, right=True),
    Column[NodeClassView]("MEMORY", 13, _memory, right=True),
    Column[NodeClassView]("FREE", 6, _fits, right=True),
    Column[NodeClassView]("REPLICAS OF", 14, _typical, widest=34, names=True),
)
UNPLACED_COLUMNS: Final = (
    Column[UnplacedPods]("POOL", 18, lambda row, _: Span(row.key), widest=34, names=True),
    Column[UnplacedPods]("PODS", 4, lambda row, _: Span(str(row.pods), Tone.CRIT), right=True),
    Column[UnplacedPods](
        "FOR", 6, lambda row, frame: Span(figures.age(frame.now - row.since)), right=True
    ),
    Column[UnplacedPods](
        "GROWTH",
        7,
        lambda row, _: (
            Span("stopped", Tone.WARN) if row.stops_growth else Span("goes on", Tone.DIM)
        ),
    ),
    Column[UnplacedPods]("THE SCHEDULER SAYS", 26, lambda row, _: Span(row.reason), widest=200),
)


def class_lines(view: NodeClassView, frame: Frame, width: int) -> list[Line]:
    """The room of a class in words: its nodes, what is used, and what still fits."""
    lines: list[Line] = []
    room = None if frame.snapshot is None else frame.snapshot.room
    if room is not None and room.why:
        label = "old" if room.is_old else "no nodes"
        lines += labelled_text(label, room.why, width, Tone.WARN)
    most = "" if view.most_nodes is None else f", at most {view.most_nodes}"
    names = cut(", ".join(view.nodes), max(width - 40, 10), frame.glyphs.ellipsis)
    count = f"{figures.amount(len(view.nodes), 'node')}{most}"
    lines += labelled("nodes", (count, Span(names, Tone.DIM)), width)
    shares = [
        Span(f"{name} {amounts.percent(used / there)}")
        for name, used, there in (
            ("pods", view.used.replicas, view.room.replicas),
            ("cpu", view.used.cpu_milli, view.room.cpu_milli),
            ("memory", view.used.memory_bytes, view.room.memory_bytes),
        )
        if used is not None and there
    ]
    note = Span("by this fleet's pods alone", Tone.DIM)
    lines += labelled("taken", (*shares, note), width)
    if view.typical is not None and view.fits is not None:
        fits = f"{figures.amount(view.fits, 'more replica')} of {view.typical}"
        lines += labelled("fits", (fits,), width)
    return lines

"""The pods: one row for each pod of each pool, its columns and its details."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agentdash.tui import figures, words
from agentdash.tui.columns import Column, Sort, SortValue
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.tables import PHASE_TONES, since_span
from agentdash.tui.view import PHASE_ORDER, Frame, PoolRow
from controller.model.observation import Pod, PodPhase, Pods
from controller.model.readings import Fresh, Reading, Stale, last_known
from controller.model.worker_messages import WorkerState

_ON_THE_WAY: Final = frozenset(
    {PodPhase.UNSCHEDULED, PodPhase.STARTING, PodPhase.RUNNING, PodPhase.CRASHING}
)


@dataclass(frozen=True, slots=True)
class PodRow:
    """One pod of a pool; `pod` is None for a pool whose pods are not known, and `is_old` says that
    only its last known pods can be shown.
    """

    pool: PoolRow
    pod: Pod | None
    is_old: bool

    @property
    def key(self) -> str:
        """The pod's name, which is unique in its namespace."""
        name = "pods not known" if self.pod is None else self.pod.name
        return f"{self.pool.key} {name}"

    @property
    def why(self) -> str:
        """That its node ends, and why it waits."""
        taint = "" if self.pod is None else self.pod.node_ends
        ends = f"node ends: {taint}" if taint else ""
        return "; ".join(part for part in (ends, self.waits) if part)

    @property
    def waits(self) -> str:
        """Why it waits, in the cluster's own words."""
        if self.pod is not None:
            return ": ".join(part for part in (self.pod.reason, self.pod.message) if part)
        reading = self.pool.view.observation.pods
        if isinstance(reading, Fresh):
            return ""
        return ": ".join(part for part in (words.as_words(reading.why), reading.detail) if part)

    @property
    def rank(self) -> int:
        """The worst first: a pool whose pods are not known, then by phase."""
        return 0 if self.pod is None else PHASE_ORDER.index(self.pod.phase) + 1

    @property
    def filter_text(self) -> str:
        """The text that a filter searches."""
        pod = self.pod
        if pod is None:
            return f"{self.key} unknown {self.why}"
        return f"{pod.name} {self.pool.key} {pod.phase} {pod.node} {self.why}"


class PodRows:
    """The rows of all pools; those of a pool are made again only when its pods change, or what its
    workers say.
    """

    def __init__(self) -> None:
        self._pools: dict[str, tuple[Reading[Pods], _WorkersSaid, tuple[PodRow, ...]]] = {}
        self._of: tuple[PoolRow, ...] | None = None
        self._rows: tuple[PodRow, ...] = ()

    def rows(self, frame: Frame) -> tuple[PodRow, ...]:
        """The same object as long as no pool's pods change."""
        if frame.rows is self._of:
            return self._rows
        self._of = frame.rows
        before, self._pools = self._pools, {}
        changed = before.keys() != {row.key for row in frame.rows}
        for row in frame.rows:
            reading = row.view.observation.pods
            known = before.get(row.key)
            said = _said(row)
            if known is None or known[0] is not reading or known[1] != said:
                known = reading, said, tuple(_of_pool(row))
                changed = True
            self._pools[row.key] = known
        if changed:
            self._rows = tuple(each for *_, rows in self._pools.values() for each in rows)
        return self._rows


class _WorkersSaid(NamedTuple):
    """What the workers of a pool said last, and whether only the last known of it can be shown."""

    states: tuple[WorkerState, ...]
    is_old: bool


def _said(pool: PoolRow) -> _WorkersSaid:
    reading = pool.view.observation.workers
    workers = None if reading is None else last_known(reading)
    return _WorkersSaid(() if workers is None else workers.states, isinstance(reading, Stale))


def _of_pool(row: PoolRow) -> Iterator[PodRow]:
    reading = row.view.observation.pods
    pods = last_known(reading)
    if pods is None:
        yield PodRow(row, None, is_old=False)
        return
    for pod in pods.items:
        yield PodRow(row, pod, isinstance(reading, Stale))


def cold_start_s(pod: Pod, now: float) -> float | None:
    """Seconds from its creation until it was ready, or until now while it is on the way."""
    if not pod.created_at:
        return None
    if pod.ready_at is not None and pod.ready_at >= pod.created_at:
        return pod.ready_at - pod.created_at
    return max(now - pod.created_at, 0.0) if pod.phase in _ON_THE_WAY else None


def cold_start_steps(pod: Pod) -> tuple[float | None, float | None, float | None]:
    """Seconds until it had a node, from then until its containers ran, and from then until it was
    ready. None for a step that is not done, and where a restart made the times those of another
    start.
    """
    steps: list[float | None] = []
    last: float | None = pod.created_at or None
    for at in (pod.scheduled_at, pod.started_at, pod.ready_at):
        known = last is not None and at is not None and at >= last and not pod.restarts
        steps.append(at - last if known and at is not None and last is not None else None)
        last = at if known else None
    to_node, to_start, to_ready = steps
    return to_node, to_start, to_ready


def p90_ready_s(pods: Pods | None) -> float | None:
    """The seconds within which nine of ten of these pods were ready after their creation; None if
    none is known.
    """
    starts = sorted(
        pod.ready_at - pod.created_at
        for pod in (() if pods is None else pods.items)
        if pod.ready_at is not None and pod.created_at and pod.ready_at >= pod.created_at
    )
    return starts[-(-9 * len(starts) // 10) - 1] if starts else None


def _is_on_the_way(pod: Pod) -> bool:
    return pod.ready_at is None and pod.phase in _ON_THE_WAY


def _text(row: PodRow, text: str, frame: Frame, tone: Tone = Tone.PLAIN) -> Span:
    if row.is_old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, tone)


def _name(row: PodRow, frame: Frame) -> Span:
    del frame
    return Span("pods not known", Tone.WARN) if row.pod is None else Span(row.pod.name)


def _phase(row: PodRow, frame: Frame) -> Span:
    if row.pod is None:
        return Span("unknown", Tone.CRIT)
    return _text(row, str(row.pod.phase), frame, PHASE_TONES[row.pod.phase])


def _cold(row: PodRow, frame: Frame) -> Span:
    seconds = None if row.pod is None else cold_start_s(row.pod, frame.now)
    if row.pod is None or seconds is None:
        return Span(frame.glyphs.none, Tone.DIM)
    if _is_on_the_way(row.pod):
        return Span(f"{figures.age(seconds)}{frame.glyphs.ellipsis}", Tone.BUSY)
    return Span(figures.age(seconds), Tone.DIM)


def _cold_steps(row: PodRow, frame: Frame) -> Span:
    """`2+9+8s`; `?` for a step of which nothing is known."""
    steps = (None,) * 3 if row.pod is None else cold_start_steps(row.pod)
    if all(step is None for step in steps):
        return Span(frame.glyphs.none, Tone.DIM)
    parts = (frame.glyphs.unknown if step is None else f"{step:.0f}" for step in steps)
    return Span(f"{'+'.join(parts)}s", Tone.DIM)


def _since(row: PodRow, frame: Frame) -> Span:
    return since_span(None if row.pod is None else row.pod.since, frame)


def _age(row: PodRow, frame: Frame) -> Span:
    if row.pod is None or not row.pod.created_at:
        return Span(frame.glyphs.none, Tone.DIM)
    return Span(figures.age(frame.now - row.pod.created_at))


def _restarts(row: PodRow, frame: Frame) -> Span:
    if row.pod is None:
        return Span(frame.glyphs.none, Tone.DIM)
    return Span(str(row.pod.restarts), Tone.WARN if row.pod.restarts else Tone.DIM)


def _node(row: PodRow, frame: Frame) -> Span:
    node = "" if row.pod is None else row.pod.node
    return Span(node) if node else Span(frame.glyphs.none, Tone.DIM)


def _known(find: Callable[[Pod], float | str | None]) -> Callable[[PodRow], SortValue | None]:
    def key(row: PodRow) -> SortValue | None:
        value = None if row.pod is None else find(row.pod)
        return None if value is None else (value,)

    return key


def _started_later(pod: Pod) -> float | None:
    """Sorts by the cold start: that of pods on the way grows alike, the longest first."""
    if not pod.created_at:
        return None
    if _is_on_the_way(pod):
        return 1e12 - pod.created_at
    return cold_start_s(pod, 0.0)


def worker_state(pool: PoolRow, pod: Pod) -> WorkerState | None:
    """What the worker in this pod said last; None where it says nothing."""
    return next((state for state in _said(pool).states if state.worker == pod.name), None)


def work_span(row: PodRow, frame: Frame) -> Span:
    """`busy 2/4`: how many of its slots work; `idle`; `lost 1/4`: so many are held by agents that
    were cut and do not end; `?` where the worker of a pod that is ready says nothing.
    """
    state = None if row.pod is None else worker_state(row.pool, row.pod)
    if state is None and row.pod is not None and row.pod.phase is not PodPhase.READY:
        return Span(frame.glyphs.none, Tone.DIM)
    if state is None:
        return Span(frame.glyphs.unknown, Tone.DIM)
    text = f"busy {state.busy}/{state.slots}" if state.busy else "idle"
    if state.lost:
        text = f"lost {state.lost}/{state.slots}"
    if isinstance(row.pool.view.observation.workers, Stale) or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    tone = Tone.BUSY if state.busy else Tone.DIM
    return Span(text, Tone.CRIT if state.lost else tone)


def _busy(row: PodRow) -> SortValue | None:
    state = None if row.pod is None else worker_state(row.pool, row.pod)
    return None if state is None else (state.lost, state.busy)


POD_ROW_COLUMNS: Final = (
    Column[PodRow]("POD", 20, _name, lambda row: (row.key,), widest=27, letter="N", names=True),
    Column[PodRow](
        "POOL",
        17,
        lambda row, _: Span(row.pool.key),
        lambda row: (row.pool.key,),
        widest=20,
        letter="P",
        names=True,
    ),
    Column[PodRow]("PHASE", 11, _phase, lambda row: (float(row.rank),), letter="S"),
    Column[PodRow]("SINCE", 6, _since, _known(lambda pod: pod.since), rank=5, descending=True),
    Column[PodRow]("WORK", 8, work_span, _busy, descending=True),
    Column[PodRow](
        "AGE", 6, _age, _known(lambda pod: -pod.created_at), rank=4, right=True, letter="A"
    ),
    Column[PodRow](
        "COLD", 7, _cold, _known(_started_later), rank=1, right=True, letter="W", descending=True
    ),
    Column[PodRow]("STEPS", 10, _cold_steps, rank=6, right=True),
    Column[PodRow](
        "RST",
        3,
        _restarts,
        _known(lambda pod: pod.restarts),
        rank=2,
        right=True,
        letter="R",
        descending=True,
    ),
    Column[PodRow]("NODE", 14, _node, _known(lambda pod: pod.node), rank=3, widest=16, letter="X"),
    Column[PodRow]("WHY IT WAITS", 16, lambda row, _: Span(row.why), widest=200),
)
WORST_FIRST: Final = Sort("PHASE", descending=False)


def pod_lines(row: PodRow, frame: Frame, width: int) -> list[Line]:
    """Where a pod is on its way, beside the other pods of its pool, and why it waits."""
    pod = row.pod
    if pod is None:
        return labelled_text("unknown", row.why or "never read", width, Tone.WARN)
    phase = _phase(row, frame)
    restarts = figures.amount(pod.restarts, "restart") if pod.restarts else ""
    node = f"on {pod.node}" if pod.node else "on no node yet"
    if pod.since is not None:
        phase = phase._replace(text=f"{phase.text} since {figures.since(pod.since, frame.now)}")
    work = work_span(replace(row, pool=frame.row(row.pool.key) or row.pool), frame)
    told = {frame.glyphs.unknown: "busy or idle is not told", frame.glyphs.none: ""}
    work = work._replace(text=told.get(work.text, work.text))
    lines = labelled("now", (phase, work, node, Span(restarts, Tone.WARN)), width)
    lines += labelled("cold start", _steps(pod, frame), width)
    if marks := _worker_marks(row, pod, frame):
        lines += labelled("its worker", marks, width)
    if pod.node_ends:
        text = f"taint {pod.node_ends}: its worker hands its tasks back"
        lines += labelled_text("node ends", text, width, Tone.WARN)
    if row.waits:
        lines += labelled_text("waits", row.waits, width, Tone.WARN)
    lines += labelled("its pool", _others(row), width)
    for warning in row.pool.view.observation.warnings:
        if warning.object_name == pod.name:
            since = figures.age(frame.now - warning.at)
            times = f" x{warning.count}" if warning.count > 1 else ""
            text = f"{warning.reason}{times}, {since} ago: {warning.message}"
            lines += labelled_text("cluster", text, width, Tone.WARN)
    return lines


def _steps(pod: Pod, frame: Frame) -> list[Span]:
    if not pod.created_at:
        return [Span("not known", Tone.DIM)]
    since = figures.age(frame.now - pod.created_at)
    parts = [Span(f"created {figures.time_of_day(pod.created_at)}Z, {since} ago")]
    to_node, to_start, to_ready = cold_start_steps(pod)
    if to_node is not None:
        parts.append(Span(f"{_took(to_node)} to a node"))
    if to_start is not None:
        parts.append(Span(f"{_took(to_start)} to start"))
    if to_ready is not None:
        parts.append(Span(f"{_took(to_ready)} to be ready"))
    if pod.ready_at is not None:
        parts.append(Span(f"ready after {_took(pod.ready_at - pod.created_at)}", Tone.OK))
    elif _is_on_the_way(pod):
        parts.append(Span("not ready yet", Tone.BUSY))
    return parts


def _worker_marks(row: PodRow, pod: Pod, frame: Frame) -> list[Span]:
    """When its worker reached the steps of its start, each after the one before; empty if it has
    none, or does not say.
    """
    # a row is as old as its pod, and its worker may have gone on since
    now = next((each for each in frame.rows if each.key == row.pool.key), row.pool)
    state = worker_state(now, pod)
    marks = {} if state is None else state.marks
    parts: list[Span] = []
    last = pod.started_at
    for name, at in sorted(marks.items(), key=lambda mark: mark[1]):
        if at < pod.created_at:
            continue  # the process serves several pods, as in the demo
        took = "" if last is None or at < last else f" after {_took(at - last)}"
        parts.append(Span(f"{name}{took}"))
        last = at
    return parts


def _took(seconds: float) -> str:
    return "<1s" if seconds < 1 else figures.age(seconds)


def _others(row: PodRow) -> list[Span]:
    pods = row.pool.pods
    parts = [Span("not known", Tone.DIM)]
    if pods is not None:
        parts = [Span(f"{figures.amount(len(pods.items), 'pod')}, {pods.ready} ready")]
    slowest = p90_ready_s(pods)
    if slowest is not None:
        parts.append(Span(f"9 of 10 were ready within {figures.age(slowest)}", Tone.DIM))
    return parts

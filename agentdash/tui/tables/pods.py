"""The pods: where each is on its way, what its worker does, and why it waits; the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import (
    age_span,
    none_span,
    pool_column,
    since_column,
    value_span,
    warning_heading,
)
from agentdash.tui.lines import BLANK, Line, Span, Tone, labelled, labelled_text, line
from agentdash.tui.table import Column, Opening, PodRef, Sort, Table, View, table_lines
from agentdash.tui.view import PHASE_ORDER, Frame, PoolRow
from controller.model.intents import Scope
from controller.model.observation import Pod, PodPhase, Pods
from controller.model.readings import Fresh, Stale, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import Container, PodEvent, PodInFull
from controller.model.text import clean_name
from controller.model.worker_messages import WorkerState

_ON_THE_WAY: Final = frozenset(
    {PodPhase.UNSCHEDULED, PodPhase.STARTING, PodPhase.RUNNING, PodPhase.CRASHING}
)
_PHASE_TONES: Final = {
    PodPhase.CRASHING: Tone.CRIT,
    PodPhase.FAILED: Tone.CRIT,
    PodPhase.UNSCHEDULED: Tone.WARN,
    PodPhase.STARTING: Tone.BUSY,
    PodPhase.RUNNING: Tone.BUSY,
    PodPhase.TERMINATING: Tone.DIM,
    PodPhase.READY: Tone.OK,
}


class PodRow(NamedTuple):
    """One pod of a pool; `pod` is None for a pool whose pods are not known, which is `unread` for
    this reason. `is_old`: only its last known pods can be shown; `work_is_old` the same of its
    workers. `worker` is what the worker in it said last.
    """

    pool: str
    pod: Pod | None
    is_old: bool = False
    worker: WorkerState | None = None
    work_is_old: bool = False
    unread: str = ""
    requests: Resources = Resources()

    @property
    def key(self) -> str:
        """The pod's name, which is unique in its namespace."""
        return f"{self.pool} {'pods not known' if self.pod is None else self.pod.name}"

    @property
    def waits(self) -> str:
        """Why it is not ready, in a sentence."""
        return self.unread if self.pod is None else self.pod.message or self.pod.reason

    @property
    def why(self) -> str:
        """That its node ends, why it waits, and for which pool it works that stands by."""
        taint = "" if self.pod is None else self.pod.node_ends
        return "; ".join(
            filter(None, (taint and f"node ends: {taint}", self.waits, self.stands_by))
        )

    @property
    def stands_by(self) -> str:
        """For whom one that stands by works now, and did last."""
        if self.worker is None:
            return ""
        now, last = clean_name(self.worker.works_for), clean_name(self.worker.did_last)
        return f"works for {now}" if now else last and f"did {last} last"

    @property
    def phase(self) -> str:
        """In one word."""
        return "unknown" if self.pod is None else str(self.pod.phase)

    @property
    def created_at(self) -> float | None:
        """When it was created (Unix seconds), None where that is not known."""
        return None if self.pod is None else self.pod.created_at or None

    @property
    def is_on_the_way(self) -> bool:
        """Whether it is not ready for the first time yet."""
        pod = self.pod
        return pod is not None and pod.ready_at is None and pod.phase in _ON_THE_WAY


def pods_of(row: PoolRow) -> Iterator[PodRow]:
    """The pods of one pool; one row that says why, where they are not known."""
    reading, told = row.view.observation.pods, row.view.observation.workers
    pods, workers = last_known(reading), None if told is None else last_known(told)
    if pods is None:
        parts = (
            () if isinstance(reading, Fresh) else (figures.as_words(reading.why), reading.detail)
        )
        yield PodRow(row.key, None, unread=": ".join(filter(None, parts)))
        return
    said = {} if workers is None else {state.worker: state for state in workers.states}
    # by the fleet file, else by the Deployment's pod template
    requests = row.view.requests
    if requests is None:
        requests = Resources() if row.workload is None else row.workload.requests
    is_old, work_is_old = isinstance(reading, Stale), isinstance(told, Stale)
    for pod in pods.items:
        yield PodRow(row.key, pod, is_old, said.get(pod.name), work_is_old, requests=requests)


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
    """Within how many seconds nine of ten of these pods were ready; None if none is known."""
    starts = sorted(
        pod.ready_at - pod.created_at
        for pod in (() if pods is None else pods.items)
        if pod.ready_at is not None and pod.created_at and pod.ready_at >= pod.created_at
    )
    return starts[-(-9 * len(starts) // 10) - 1] if starts else None


def _phase(row: PodRow, frame: Frame) -> Span:
    if row.pod is None:
        return Span("unknown", Tone.CRIT)
    return value_span(row.phase, frame, old=row.is_old, tone=_PHASE_TONES[row.pod.phase])


def _cold(row: PodRow, frame: Frame) -> Span:
    seconds = None if row.pod is None else cold_start_s(row.pod, frame.now)
    if seconds is None:
        return none_span(frame)
    if row.is_on_the_way:
        return Span(f"{figures.age(seconds)}{frame.glyphs.ellipsis}", Tone.BUSY)
    return Span(figures.age(seconds), Tone.DIM)


def _started_later(row: PodRow) -> float | None:
    """Sorts by the cold start: that of pods on the way grows alike, the longest first."""
    if row.pod is None or row.created_at is None:
        return None
    return 1e12 - row.created_at if row.is_on_the_way else cold_start_s(row.pod, 0.0)


def _cold_steps(row: PodRow, frame: Frame) -> Span:
    """`2+9+8s`; `?` for a step of which nothing is known."""
    steps = (None,) * 3 if row.pod is None else cold_start_steps(row.pod)
    if all(step is None for step in steps):
        return none_span(frame)
    parts = (frame.glyphs.unknown if step is None else f"{step:.0f}" for step in steps)
    return Span(f"{'+'.join(parts)}s", Tone.DIM)


def _work(row: PodRow, frame: Frame) -> Span:
    """`busy 2/4`: how many of its slots work; `idle`; `lost 1/4`: so many are held by agents that
    were cut and do not end; `?` where the worker of a pod that is ready says nothing.
    """
    state, pod = row.worker, row.pod
    if state is None:
        is_asked = pod is None or pod.phase is PodPhase.READY
        return Span(frame.glyphs.unknown, Tone.DIM) if is_asked else none_span(frame)
    text = f"busy {state.busy}/{state.slots}" if state.busy else "idle"
    tone = Tone.BUSY if state.busy else Tone.DIM
    if state.lost:
        text, tone = f"lost {state.lost}/{state.slots}", Tone.CRIT
    return value_span(text, frame, old=row.work_is_old, tone=tone)


_Column = Column[PodRow]
_COLUMNS: Final[Sequence[Column[PodRow]]] = (
    _Column(
        "POD", 20, "the pod's name", "name", "pod.name",
        lambda row, _: (
            Span("pods not known", Tone.WARN) if row.pod is None else Span(row.pod.name)
        ),
        sort=lambda row: row.key, widest=27, letter="N", names=True,
    ),
    pool_column("pool", 17, 20, letter="P"),
    _Column(
        "PHASE", 11, "where the pod is on its way", "phase", cell=_phase,
        # the worst first: a pool whose pods are not known, then by phase
        sort=lambda row: 0 if row.pod is None else PHASE_ORDER.index(row.pod.phase) + 1,
        more={"is_old": "is_old"}, letter="S",
    ),
    since_column("pod.since", rank=5),
    _Column(
        "WORK", 8, "how many of its slots are at work, as its worker says", "busy_slots",
        "worker.busy", _work,
        sort=lambda row: None if row.worker is None else (row.worker.lost, row.worker.busy),
        more={
            "lost_slots": "worker.lost", "works_for": "worker.works_for",
            "did_last": "worker.did_last",
        },
        descending=True,
    ),
    _Column(
        "AGE", 6, "since it was created", "created_at",
        cell=lambda row, frame: age_span(row.created_at, frame, whole=True),
        sort=lambda row: None if row.created_at is None else -row.created_at,
        rank=4, right=True, letter="A",
    ),
    _Column(
        "COLD", 7, "from its creation until it was ready", cell=_cold, sort=_started_later,
        more={
            "cold_start_s": lambda row, frame: (
                cold_start_s(row.pod, frame.now) if row.pod is not None else None
            ),
        },
        rank=1, right=True, letter="W", descending=True,
    ),
    _Column(
        "STEPS", 10, "seconds to a node, until its containers ran, until it was ready",
        cell=_cold_steps,
        more={each: f"pod.{each}" for each in ("scheduled_at", "started_at", "ready_at")},
        rank=6, right=True,
    ),
    _Column(
        "RST", 3, "how often its containers were started again", "restarts",
        "pod.restarts", tone=lambda row: Tone.WARN if row.pod and row.pod.restarts else Tone.DIM,
        rank=2, right=True, letter="R", descending=True,
    ),
    _Column(
        "NODE", 14, "the node that it runs on", "node",
        lambda row: None if row.pod is None else row.pod.node or None,
        more={"cpu_milli": "requests.cpu_milli", "memory_bytes": "requests.memory_bytes"},
        rank=3, widest=16, letter="X",
    ),
    _Column(
        "WHY IT WAITS", 16, "what keeps it from being ready; the taint of a node that ends",
        "why_it_waits", lambda row: row.why or None, lambda row, _: Span(row.why),
        more={"reason": "pod.reason"}, widest=200,
    ),
)  # fmt: skip


def pod_lines(row: PodRow, frame: Frame, width: int) -> Iterator[Line]:
    """Where a pod is on its way, beside the other pods of its pool, and why it waits."""
    pod, pool = row.pod, frame.row(row.pool)
    if pod is None:
        yield from labelled_text("unknown", row.why or "never read", width, Tone.WARN)
        return
    phase, work = _phase(row, frame), _work(row, frame)
    restarts = figures.amount(pod.restarts, "restart") if pod.restarts else ""
    node = f"on {pod.node}" if pod.node else "on no node yet"
    if pod.since is not None:
        phase = phase._replace(text=f"{phase.text} since {figures.since(pod.since, frame.now)}")
    told = {frame.glyphs.unknown: "busy or idle is not told", frame.glyphs.none: ""}
    work = work._replace(text=told.get(work.text, work.text))
    yield from labelled("now", (phase, work, node, Span(restarts, Tone.WARN)), width)
    yield from labelled("cold start", _steps(row, pod, frame), width)
    if marks := list(_worker_marks(row, pod)):
        yield from labelled("its worker", marks, width)
    if row.stands_by:
        yield from labelled_text("stands by", row.stands_by, width)
    if pod.node_ends:
        text = f"taint {pod.node_ends}: its worker hands its tasks back"
        yield from labelled_text("node ends", text, width, Tone.WARN)
    if row.waits:
        yield from labelled_text("not ready", row.waits, width, Tone.WARN)
    if pool is None:
        return
    others = [Span("not known", Tone.DIM)]
    if pool.pods is not None:
        slowest, count = p90_ready_s(pool.pods), figures.amount(len(pool.pods.items), "pod")
        within = "" if slowest is None else f"9 of 10 were ready within {figures.age(slowest)}"
        others = [Span(f"{count}, {pool.pods.ready} ready"), Span(within, Tone.DIM)]
    yield from labelled("its pool", others, width)
    for warning in pool.view.observation.warnings:
        if warning.object_name == pod.name:
            text = f"{warning_heading(warning, frame.now)}: {warning.message}"
            yield from labelled_text("cluster", text, width, Tone.WARN)


def _state_word(container: Container, frame: Frame) -> Span:
    """What it does and why; one of the start is well when it runs or has ended without error."""
    del frame
    state = container.state
    if state.word == "running":
        is_well = container.is_ready or container.is_init
        return Span("running", Tone.OK) if is_well else Span("running, not ready", Tone.WARN)
    if state.word == "ended":
        return Span(f"ended, {state.exit_words}", Tone.CRIT if state.exit_code else Tone.DIM)
    return Span(f"{state.word}: {state.reason}" if state.reason else state.word, Tone.WARN)


def _last_exit(container: Container, frame: Frame) -> Span:
    last = container.last
    if last is None:
        return none_span(frame)
    at = "" if last.at is None else f" at {figures.since(last.at, frame.now)}"
    return Span(f"{last.exit_words}{at}", Tone.WARN)


def _in_full(frame: Frame) -> PodInFull | None:
    return found if isinstance(found := frame.asked.pod, PodInFull) else None


def _not_read(frame: Frame) -> list[Span]:
    """Why nothing is there of a pod."""
    match frame.asked.pod:
        case PodInFull(events=str(why)) | str(why):
            return [Span(why, Tone.WARN)]
        case None:
            return [Span(f"reading {frame.glyphs.ellipsis}", Tone.DIM)]
    return [Span("none that the cluster still keeps", Tone.DIM)]


CONTAINERS: Final = Table[Container](
    "containers",
    "containers",
    (
        Column[Container](
            "CONTAINER", 10, "its name; `init`: it ends before the others start", "container",
            "name", lambda row, _: Span(f"{row.name} (init)" * row.is_init or row.name, Tone.TITLE),
            more={"is_init": "is_init", "is_ready": "is_ready"}, names=True,
        ),
        Column[Container](
            "DOES", 10, "it waits, runs or has ended, and why", "state", "state.word", _state_word,
            more={"reason": "state.reason", "exit_code": "state.exit_code"}, widest=40,
        ),
        since_column("state.at"),
        Column[Container](
            "RST", 3, "how often it was started again", "restarts", right=True, rank=1,
            tone=lambda row: Tone.WARN if row.restarts else Tone.DIM,
        ),
        Column[Container](
            "LAST EXIT", 9, "how it ended before it was started again", "last_exit_code",
            "last.exit_code", _last_exit,
            more={"last_exit_reason": "last.reason", "last_exit_at": "last.at"}, widest=40,
        ),
        Column[Container]("IMAGE", 12, "its image", "image", widest=200, rank=2),
    ),
    lambda frame: () if (found := _in_full(frame)) is None else found.containers,
    key=lambda row: row.name,
    nothing=_not_read,
    asked=True,
)  # fmt: skip
POD_EVENTS: Final = Table[PodEvent](
    "events",
    "events",
    (
        since_column("at", name="at"),
        Column[PodEvent]("TIMES", 5, "how often it was said", "count", right=True, rank=1),
        Column[PodEvent](
            "REASON", 10, "in one word of the cluster", "reason", widest=30,
            more={"is_warning": "is_warning"},
            tone=lambda row: Tone.WARN if row.is_warning else Tone.PLAIN,
        ),
        Column[PodEvent]("MESSAGE", 30, "what the cluster said", "message", widest=400),
    ),
    lambda frame: (
        () if (found := _in_full(frame)) is None or isinstance(found.events, str) else found.events
    ),
    key=lambda row: f"{row.at} {row.reason}",
    nothing=_not_read,
    asked=True,
)  # fmt: skip


POD_TABLES: Final[tuple[Table[Any], ...]] = (CONTAINERS, POD_EVENTS)


def pod_named(name: str, frame: Frame) -> PodRow | None:
    """The pod of this name, or of this pool and name; None where none has it, or several."""
    pods = ((row, row.pod) for pool in frame.rows for row in pods_of(pool))
    found = [row for row, pod in pods if pod and name in {pod.name, f"{row.pool}/{pod.name}"}]
    return found[0] if len(found) == 1 else None


def pod_in_full(opened: PodRef, frame: Frame, width: int) -> Iterator[Line]:
    """A pod as it is now, with its containers and its events."""
    row = pod_named(f"{opened.pool}/{opened.name}", frame)
    yield from labelled_text("pool", opened.pool, width)
    if row is None:
        yield from labelled_text("now", "it is not there any longer", width, Tone.WARN)
    else:
        yield from pod_lines(row, frame, width)
    for table in POD_TABLES:
        yield BLANK
        for each in table_lines(table, table.rows(frame), frame, width - 2):
            yield line(Span(" "), *each.spans)
        if not isinstance(frame.asked.pod, PodInFull):
            return


def _steps(row: PodRow, pod: Pod, frame: Frame) -> Iterator[Span]:
    if not pod.created_at:
        yield Span("not known", Tone.DIM)
        return
    since = figures.age(frame.now - pod.created_at)
    yield Span(f"created {figures.time_of_day(pod.created_at)}, {since} ago")
    ends = ("to a node", "to start", "to be ready")
    for took, end in zip(cold_start_steps(pod), ends, strict=True):
        yield Span("" if took is None else f"{_took(took)} {end}")
    if pod.ready_at is not None:
        yield Span(f"ready after {_took(pod.ready_at - pod.created_at)}", Tone.OK)
    elif row.is_on_the_way:
        yield Span("not ready yet", Tone.BUSY)


def _worker_marks(row: PodRow, pod: Pod) -> Iterator[str]:
    """When its worker reached the steps of its start, each after the one before."""
    last = pod.started_at
    marks = {} if row.worker is None else row.worker.marks
    for name, at in sorted(marks.items(), key=lambda mark: mark[1]):
        if at >= pod.created_at:  # else the process serves several pods, as in the demo
            yield name if last is None or at < last else f"{name} after {_took(at - last)}"
            last = at


def _took(seconds: float) -> str:
    return "<1s" if seconds < 1 else figures.age(seconds)


PODS: Final = Table[PodRow](
    "pods", "pods", _COLUMNS,
    lambda frame: [each for row in frame.rows for each in pods_of(row)],
    key=lambda row: row.key,
    nothing=lambda _: [
        Span("no pods", Tone.DIM),
        Span("every pool that is shown here is at zero", Tone.DIM),
    ],
    # the one word of the cluster too, `CrashLoopBackOff`
    text=lambda row: (
        f"{row.key} {row.phase} {row.pod.node if row.pod else ''} {row.why} "
        f"{row.pod.reason if row.pod else ''}"
    ),
    sort=Sort("PHASE", descending=False),
    details=pod_lines,
    opens=lambda row, _: (
        Opening("why", row.pool)
        if row.pod is None
        else Opening("detail", row.pool, row=PodRef(row.pool, row.pod.name))
    ),
    about=lambda row: Scope(pool=row.pool),
    pod=lambda row: None if row.pod is None else PodRef(row.pool, row.pod.name),
)  # fmt: skip
VIEWS: Final = (View("pods", (PODS,), "every pod", ("po", "pod")),)

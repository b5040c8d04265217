"""A snapshot as the screens want it: rows with a state word, totals, ages. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from agentdash.tui.glyphs import UNICODE, Glyphs
from agentdash.tui.lines import Tone
from controller.model.decision import Bound
from controller.model.ids import PoolKey
from controller.model.observation import Pod, PodPhase, Pods, QueueDepth, Workload
from controller.model.outcome import OutcomeKind
from controller.model.readings import Absent, Fresh, Reading, Stale, last_known
from controller.model.snapshot import Link, LinkState, PoolView, Role, Snapshot

STALE_INTERVALS: Final = 2.0


class State(NamedTuple):
    """A pool's state in one word; `mark` repeats the rank without colour."""

    word: str
    mark: str
    tone: Tone
    rank: int


BLIND: Final = State("blind", "!!", Tone.CRIT, 9)
CRASH: Final = State("crash", "!!", Tone.CRIT, 8)
FAILED: Final = State("error", "!!", Tone.CRIT, 7)
STUCK: Final = State("stuck", "!!", Tone.CRIT, 6)
STALE: Final = State("stale", "~", Tone.WARN, 5)
HELD: Final = State("held", "!", Tone.WARN, 4)
CAPPED: Final = State("capped", "!", Tone.WARN, 3)
UP: Final = State("up", "", Tone.BUSY, 2)
DOWN: Final = State("down", "", Tone.BUSY, 2)
OKAY: Final = State("ok", "", Tone.OK, 1)
ZERO: Final = State("zero", "", Tone.DIM, 0)

# a conflict is settled by the next tick, which has seen the newer object
HARMLESS: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.READ_ONLY, OutcomeKind.CONFLICT})
# what may hold a pool below its demand for as long as it stands; its own pace is no ceiling
CEILINGS: Final = frozenset(
    {
        Bound.MAX,
        Bound.SCHEDULE,
        Bound.PAUSE,
        Bound.QUOTA,
        Bound.BUDGET,
        Bound.COST,
        Bound.RATE,
        Bound.CAPACITY,
    }
)


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool in plain values; a number that nobody knows is None, `~` marks the last known."""

    key: str
    view: PoolView
    state: State
    queue: QueueDepth | None
    queue_is_old: bool
    workload: Workload | None
    workload_is_old: bool
    pods: Pods | None
    pressure: float | None
    trend: int

    @property
    def ready(self) -> int | None:
        """Replicas that are ready."""
        return None if self.workload is None else self.workload.ready

    @property
    def current(self) -> int | None:
        """Replicas that the Deployment asks for."""
        return None if self.workload is None else self.workload.replicas

    @property
    def next(self) -> int | None:
        """Replicas to set now."""
        return None if self.view.decision is None else self.view.decision.next

    @property
    def target(self) -> int | None:
        """Replicas it should have."""
        return None if self.view.decision is None else self.view.decision.target

    @property
    def demand(self) -> int | None:
        """Replicas that the work asks for."""
        return None if self.view.decision is None else self.view.decision.demand

    @property
    def bound(self) -> str:
        """The rule that decided the target, or the gate that holds `next`."""
        decision = self.view.decision
        if decision is None:
            return ""
        return str(decision.gate or decision.bound).replace("_", " ")

    @property
    def haystack(self) -> str:
        """What a filter looks at."""
        return f"{self.key} {self.view.tier} {self.state.word} {self.bound}"


def pool_rows(snapshot: Snapshot, before: Snapshot | None = None) -> tuple[PoolRow, ...]:
    """Every pool of the snapshot; `before` tells which queues grow or shrink."""
    earlier: Mapping[PoolKey, PoolView] = (
        {} if before is None else {view.key: view for view in before.pools}
    )
    return tuple(pool_row(view, earlier.get(view.key)) for view in snapshot.pools)


def pool_row(view: PoolView, before: PoolView | None = None) -> PoolRow:
    """One pool."""
    seen = view.observation
    queue, workload = last_known(seen.queue), last_known(seen.workload)
    return PoolRow(
        key=view.key,
        view=view,
        state=state_of(view),
        queue=queue,
        queue_is_old=isinstance(seen.queue, Stale),
        workload=workload,
        workload_is_old=isinstance(seen.workload, Stale),
        pods=last_known(seen.pods),
        pressure=pressure_of(view),
        trend=_trend(queue, None if before is None else last_known(before.observation.queue)),
    )


def pressure_of(view: PoolView) -> float | None:
    """Demand per ready replica, where none counts as one; None where either is unknown."""
    workload = last_known(view.observation.workload)
    if view.decision is None or view.decision.demand is None or workload is None:
        return None
    return view.decision.demand / max(workload.ready, 1)


def state_of(view: PoolView) -> State:
    """The worst thing that can be said of it."""
    found = [*_seen_states(view), *_decided_states(view)]
    return max(found, key=lambda state: state.rank, default=OKAY)


def _seen_states(view: PoolView) -> list[State]:
    seen = view.observation
    readings: tuple[Reading[QueueDepth] | Reading[Workload] | Reading[Pods], ...] = (
        seen.queue,
        seen.workload,
        seen.pods,
    )
    found: list[State] = []
    if any(isinstance(reading, Absent) for reading in readings):
        found.append(BLIND)
    if any(isinstance(reading, Stale) for reading in readings):
        found.append(STALE)
    pods = last_known(seen.pods)
    if pods is not None and pods.crashing:
        found.append(CRASH)
    if pods is not None and pods.unscheduled:
        found.append(STUCK)
    return found


def _decided_states(view: PoolView) -> list[State]:
    found: list[State] = []
    decision, workload = view.decision, last_known(view.observation.workload)
    if view.outcome is not None and view.outcome.kind not in HARMLESS:
        found.append(FAILED)
    if decision is None:
        return found
    target, demand, upcoming = decision.target, decision.demand, decision.next
    if decision.gate is not None:
        found.append(HELD)
    wants_more = target is not None and demand is not None and target < demand
    if wants_more and decision.bound in CEILINGS:
        found.append(CAPPED)
    if workload is not None and upcoming is not None:
        if upcoming > min(workload.replicas, workload.ready):
            found.append(UP)
        elif upcoming < max(workload.replicas, workload.ready):
            found.append(DOWN)
        elif upcoming == 0:
            found.append(ZERO)
    return found or [OKAY]


def _trend(queue: QueueDepth | None, before: QueueDepth | None) -> int:
    if queue is None or before is None:
        return 0
    return (queue.total > before.total) - (queue.total < before.total)


@dataclass(frozen=True, slots=True)
class Totals:
    """The fleet in numbers; unknown pools count nothing but `blind`."""

    pools: int = 0
    at_zero: int = 0
    blind: int = 0
    ready: int = 0
    target: int = 0
    demand: int = 0
    starting: int = 0
    stuck: int = 0
    crashing: int = 0
    queued: int = 0
    in_flight: int = 0


def totals(rows: tuple[PoolRow, ...]) -> Totals:
    """Sums over all pools."""
    pods = [row.pods for row in rows if row.pods is not None]
    queues = [row.queue for row in rows if row.queue is not None]
    return Totals(
        pools=len(rows),
        at_zero=sum(row.state is ZERO for row in rows),
        blind=sum(row.state is BLIND for row in rows),
        ready=sum(row.ready or 0 for row in rows),
        target=sum(row.target or 0 for row in rows),
        demand=sum(row.demand or 0 for row in rows),
        starting=sum(each.starting for each in pods),
        stuck=sum(each.unscheduled for each in pods),
        crashing=sum(each.crashing for each in pods),
        queued=sum(queue.pending for queue in queues),
        in_flight=sum(queue.in_flight for queue in queues),
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a screen draws from at one moment; times are Unix seconds.

    `held_back` is None while the view is live, else how many snapshots came since it was frozen.
    `trouble` says why the engine does not run, if it does not. `news_at` is when the newest
    snapshot was taken, which a frozen view does not show.
    """

    title: str
    now: float
    started_at: float
    snapshot: Snapshot | None = None
    rows: tuple[PoolRow, ...] = ()
    totals: Totals = Totals()
    held_back: int | None = None
    trouble: str | None = None
    news_at: float | None = None
    glyphs: Glyphs = UNICODE

    @property
    def age_s(self) -> float:
        """Seconds since the snapshot was taken."""
        return 0.0 if self.snapshot is None else max(self.now - self.snapshot.at, 0.0)

    @property
    def stale(self) -> bool:
        """Whether more than two intervals have passed without news."""
        snapshot = self.snapshot
        if snapshot is None:
            return False
        silence = self.now - (snapshot.at if self.news_at is None else self.news_at)
        return silence > STALE_INTERVALS * max(snapshot.interval_s, 1.0)

    @property
    def waited_s(self) -> float:
        """Seconds since the dashboard began."""
        return max(self.now - self.started_at, 0.0)

    @property
    def lost_links(self) -> tuple[Link, ...]:
        """The connections that are down."""
        links = () if self.snapshot is None else self.snapshot.links
        return tuple(link for link in links if link.state is LinkState.DISCONNECTED)

    @property
    def writes(self) -> bool:
        """Whether this process may change anything."""
        return self.snapshot is not None and self.snapshot.role is Role.LEADER

    def row(self, key: str) -> PoolRow | None:
        """The pool of that key."""
        return next((row for row in self.rows if row.key == key), None)


def is_newer(candidate: Snapshot, shown: Snapshot | None) -> bool:
    """Whether it comes after what is shown: a later process, or a later tick of the same one."""
    if shown is None:
        return True
    return (candidate.epoch, candidate.sequence) > (shown.epoch, shown.sequence)


def unready_pods(pods: Pods | None) -> tuple[Pod, ...]:
    """Pods that do not work yet or no more, the worst first."""
    if pods is None:
        return ()
    waiting = (pod for pod in pods.items if pod.phase is not PodPhase.READY)
    return tuple(sorted(waiting, key=lambda pod: (_PHASE_ORDER.index(pod.phase), pod.name)))


_PHASE_ORDER: Final = (
    PodPhase.CRASHING,
    PodPhase.FAILED,
    PodPhase.UNSCHEDULED,
    PodPhase.STARTING,
    PodPhase.RUNNING,
    PodPhase.TERMINATING,
    PodPhase.READY,
)


def freshness(reading: Reading[QueueDepth] | Reading[Workload] | Reading[Pods]) -> str:
    """`fresh`, `stale` or `absent`."""
    if isinstance(reading, Fresh):
        return "fresh"
    return "stale" if isinstance(reading, Stale) else "absent"

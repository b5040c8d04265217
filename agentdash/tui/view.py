"""A snapshot as the screens need it: one row for each pool, totals and ages. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from operator import is_
from typing import Final, NamedTuple

from msgspec import structs

from agentdash.foreseen import Ahead
from agentdash.operate import Places
from agentdash.tui.figures import UNICODE, Glyphs, as_words
from agentdash.tui.lines import Tone
from controller.model.decision import Code, Decision
from controller.model.intents import Audit, Intent, Scope
from controller.model.observation import PodPhase, Pods, QueueDepth, Workload
from controller.model.readings import Stale, last_known
from controller.model.snapshot import (
    Finding,
    History,
    Link,
    LinkState,
    ModelView,
    PodInFull,
    PodLog,
    PoolView,
    Progress,
    Role,
    Snapshot,
    TenantView,
    condition_of,
)
from controller.model.tasks import TaskInFull, TaskPage

STALE_INTERVALS: Final = 2.0
OWN_FIRST_SNAPSHOT: Final = "the first snapshot: queues and Deployments are read"
"""What a dashboard waits for whose controller runs in the same process."""
NO_HISTORY: Final = History()
EVERYTHING: Final = Scope()


class State(NamedTuple):
    """The state of a thing in one word; `mark` says without colour how bad it is, and it is sorted
    by `rank`. `help` is what the help page says of it.
    """

    word: str
    mark: str
    tone: Tone
    rank: int
    help: str = ""


class PoolState(State, Enum):
    """The state of a pool in one word, the worst state first: its `Condition` of the same name."""

    BLIND = State("blind", "!!", Tone.CRIT, 9, "a reading is missing: nothing is lowered")
    CRASH = State("crash", "!!", Tone.CRIT, 8, "pods crash")
    ERROR = State("error", "!!", Tone.CRIT, 7, "the last write failed")
    STUCK = State("stuck", "!!", Tone.CRIT, 6, "pods fit on no node")
    STALE = State("stale", "~", Tone.WARN, 5, "a reading is old")
    HELD = State("held", "!", Tone.WARN, 4, "a gate holds it; a tenant: no growth")
    FROZEN = State("frozen", "!", Tone.WARN, 4, "an operator's freeze; d says whose")
    PAUSED = State("paused", "!", Tone.WARN, 3, "an operator's pause holds it; d says whose")
    CAPPED = State("capped", "!", Tone.WARN, 3, "a ceiling keeps it below its work")
    UP = State("up", "", Tone.BUSY, 2, "it grows")
    DOWN = State("down", "", Tone.BUSY, 2, "it shrinks")
    PINNED = State("pinned", "", Tone.OK, 1, "it has its pinned spares")
    OK = State("ok", "", Tone.OK, 1, "it has what it should have")
    ZERO = State("zero", "", Tone.DIM, 0, "at zero, without work")

    @property
    def trouble(self) -> int:
        """2 if a person should look now, 1 if something holds the pool, else 0."""
        return {"!!": 2, "": 0}.get(self.mark, 1)


class RoleLabel(NamedTuple):
    """`access` is RW (reads and writes) or RO (only reads), `help` fits one entry of the help."""

    access: str
    word: str
    help: str


ROLE_LABELS: Final[Mapping[Role, RoleLabel]] = {
    Role.ACTIVE: RoleLabel("RW", "ACTIVE", "writes; no lease is held"),
    Role.LEADER: RoleLabel("RW", "LEADER", "writes; holds the lease"),
    Role.FOLLOWER: RoleLabel("RO", "FOLLOWER", "waits for the lease"),
    Role.READ_ONLY: RoleLabel("RO", "READ-ONLY", "plans, but never writes"),
}


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool in plain values.

    A number that is not known is None. `queue_is_old` and `workload_is_old` are True if only the
    last known values can be shown. `trend` is 1 if the queue has grown since the snapshot before,
    -1 if it has shrunk, else 0. `history` is what was recorded of it.
    """

    key: str
    view: PoolView
    state: PoolState
    queue: QueueDepth | None
    queue_is_old: bool
    workload: Workload | None
    workload_is_old: bool
    pods: Pods | None
    pressure: float | None
    trend: int
    history: History = NO_HISTORY

    @property
    def ready(self) -> int | None:
        """Replicas that are ready."""
        return None if self.workload is None else self.workload.ready

    @property
    def current(self) -> int | None:
        """`spec.replicas` as it was seen."""
        return None if self.workload is None else self.workload.replicas

    @property
    def next(self) -> int | None:
        """What `spec.replicas` is set to now."""
        return None if self.view.decision is None else self.view.decision.next

    @property
    def target(self) -> int | None:
        """Replicas that the pool should have."""
        return None if self.view.decision is None else self.view.decision.target

    @property
    def demand(self) -> int | None:
        """Replicas that the work asks for, before any limit."""
        return None if self.view.decision is None else self.view.decision.demand

    @property
    def since(self) -> float | None:
        """When its state began (Unix seconds); None where the controller does not say it."""
        return None if self.view.standing is None else self.view.standing.since

    @property
    def bound(self) -> str:
        """The gate that holds `next`; without a gate, the rule that decided the target."""
        decision = self.view.decision
        return "" if decision is None else as_words(decision.gate or decision.bound)

    @property
    def not_woken_below(self) -> int | None:
        """The activation that keeps the pool at zero although it has work; None where none does."""
        decision = self.view.decision
        if decision is None or decision.target != 0 or not decision.demand:
            return None
        found = (each for each in decision.reasons if each.code is Code.INACTIVE)
        activation = next((each.numbers.get("activation") for each in found), None)
        return activation if isinstance(activation, int) else None

    @property
    def filter_text(self) -> str:
        """The text that a filter searches."""
        asleep = "" if self.not_woken_below is None else "activation"
        return f"{self.key} {self.view.tier} {self.state.word} {self.bound} {asleep}"


def pool_rows(snapshot: Snapshot, shown: tuple[PoolRow, ...] = ()) -> tuple[PoolRow, ...]:
    """One row for each pool of the snapshot.

    `shown` are the rows of the snapshot before. A pool that has not changed is the same `PoolView`
    object in both snapshots; its row is used again. If no row changes, the result is `shown`.
    """
    earlier: Sequence[PoolRow | None] = shown or [None] * len(snapshot.pools)
    if [row.key for row in shown] != [view.key for view in snapshot.pools]:
        by_key = {row.key: row for row in shown}
        earlier = [by_key.get(view.key) for view in snapshot.pools]
    histories = snapshot.histories
    rows = tuple(
        pool_row(view, before, histories.get(view.key, NO_HISTORY))
        for view, before in zip(snapshot.pools, earlier, strict=True)
    )
    unchanged = len(rows) == len(shown) and all(map(is_, rows, shown))
    return shown if unchanged else rows


def pool_row(
    view: PoolView, before: PoolRow | None = None, history: History = NO_HISTORY
) -> PoolRow:
    """The row of one pool; `before` is its row in the snapshot before."""
    if before is not None and before.view is view:
        if before.trend or before.history is not history:
            return replace(before, trend=0, history=history)
        return before
    seen = view.observation
    queue, workload = last_known(seen.queue), last_known(seen.workload)
    shown = None if before is None else before.queue
    trend, pressure = 0, None
    demand = None if view.decision is None else view.decision.demand
    if queue is not None and shown is not None:
        trend = (queue.total > shown.total) - (queue.total < shown.total)
    if demand is not None and workload is not None:
        pressure = demand / max(workload.ready, 1)
    return PoolRow(
        key=view.key,
        view=view,
        state=PoolState[condition_of(view).name],
        queue=queue,
        queue_is_old=isinstance(seen.queue, Stale),
        workload=workload,
        workload_is_old=isinstance(seen.workload, Stale),
        pods=last_known(seen.pods),
        pressure=pressure,
        trend=trend,
        history=history,
    )


class Totals(NamedTuple):
    """Sums over all pools. An unknown number counts as 0: `demand_unknown` is how many pools have
    one. `queue_old` is how many pools have only a last known value, and so on.
    """

    pools: int = 0
    at_zero: int = 0
    blind: int = 0
    ready: int = 0
    target: int = 0
    demand: int = 0
    starting: int = 0
    stuck: int = 0
    crashing: int = 0
    pending: int = 0
    in_flight: int = 0
    ready_unknown: int = 0
    target_unknown: int = 0
    demand_unknown: int = 0
    queue_unknown: int = 0
    ready_old: int = 0
    queue_old: int = 0
    pods_old: int = 0


NO_TOTALS: Final = Totals()


def totals(
    rows: Sequence[PoolRow], shown: Sequence[PoolRow] = (), shown_totals: Totals = NO_TOTALS
) -> Totals:
    """The sums over these rows.

    `shown` and `shown_totals` are the rows and the sums of the snapshot before. Only the rows that
    differ from them are counted again.
    """
    if len(rows) != len(shown):
        return _sums(rows)
    pairs = zip(rows, shown, strict=True)
    changes = [(row, before) for row, before in pairs if row is not before]
    if len(changes) > len(rows) // 2:
        return _sums(rows)
    added, removed = _sums([row for row, _ in changes]), _sums([before for _, before in changes])
    each = zip(shown_totals, added, removed, strict=True)
    return Totals(*(total + more - less for total, more, less in each))


def _sums(rows: Sequence[PoolRow]) -> Totals:
    pods = [row.pods for row in rows if row.pods is not None]
    queues = [row.queue for row in rows if row.queue is not None]
    states = [row.state for row in rows]
    return Totals(
        pools=len(rows),
        at_zero=states.count(PoolState.ZERO),
        blind=states.count(PoolState.BLIND),
        ready=sum(row.ready or 0 for row in rows),
        target=sum(row.target or 0 for row in rows),
        demand=sum(row.demand or 0 for row in rows),
        starting=sum(each.starting for each in pods),
        stuck=sum(each.unscheduled for each in pods),
        crashing=sum(each.crashing for each in pods),
        pending=sum(queue.pending for queue in queues),
        in_flight=sum(queue.in_flight for queue in queues),
        ready_unknown=sum(row.ready is None for row in rows),
        target_unknown=sum(row.target is None for row in rows),
        demand_unknown=sum(row.demand is None for row in rows),
        queue_unknown=len(rows) - len(queues),
        ready_old=sum(row.workload_is_old for row in rows),
        queue_old=sum(row.queue_is_old for row in rows),
        pods_old=sum(isinstance(row.view.observation.pods, Stale) for row in rows),
    )


class ShownMoment(NamedTuple):
    """That a moment of the past is shown: of a journal if `is_replay`, else of what this process
    has kept. `end_at` is the newest moment (Unix seconds), `begins_at` how far back a journal is
    read so far, None once all of it is.
    """

    is_replay: bool
    end_at: float
    begins_at: float | None = None


class LogAs(NamedTuple):
    """How the log of a pod is shown: of which run, whether it is read on, and the cells of a line
    that goes on in the next, 0 where it does not. `problem`: why it could not be read on.
    """

    is_previous: bool = False
    follows: bool = True
    wraps_at: int = 0
    problem: str = ""


class Asked(NamedTuple):
    """What a person has asked for and no snapshot brings: None while it is not known yet, a text
    that says why it cannot be known. `who` is the person, `places` the files of this process.
    `checked_at`: when all checks had ended (Unix seconds). `ahead` is of `ahead_of`, the key of a
    pool, as it was decided then (`ahead_for`); `task` of `task_of`, that of a task; `pod` of
    `pod_of`, the name of a pod.
    """

    audit: Audit | str | None = None
    who: str = ""
    places: Places = ()
    checks: Progress | str | None = None
    checked_at: float | None = None
    log: PodLog | str | None = None
    log_as: LogAs = LogAs()
    pod: PodInFull | str | None = None
    pod_of: str = ""
    ahead: Ahead | str = ""
    ahead_of: str = ""
    ahead_for: Decision | None = None
    tasks: TaskPage | str | None = None
    task: TaskInFull | str | None = None
    task_of: str = ""


NOTHING_ASKED: Final = Asked()


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything that a screen is drawn from at one moment; times are Unix seconds.

    `waiting` is None while the view is live. While the picture is still, it is the number of
    snapshots that came since then. `newest_at` is the time of the newest snapshot, which a still
    picture does not show; of another process, when it came here. `engine_error` says why the engine
    does not run; None while it runs. `feed_problem` says why nothing comes from a controller
    elsewhere. `moment` is set while the past is shown; `now` is then the time of the snapshot.
    `resume_key` is the key that ends a still picture, `end_key` the one that ends what stops a
    tenant or the fleet, `top_key` the one that goes to the first row.
    `waits_for` says what brings the first snapshot. `scope`: what is shown belongs to this
    tenant or pool, where it names one; `others` are the pools, tenants and models that it leaves
    out.
    """

    now: float
    started_at: float
    snapshot: Snapshot | None = None
    rows: tuple[PoolRow, ...] = ()
    totals: Totals = NO_TOTALS
    waiting: int | None = None
    engine_error: str | None = None
    feed_problem: str | None = None
    newest_at: float | None = None
    glyphs: Glyphs = UNICODE
    moment: ShownMoment | None = None
    resume_key: str = "."
    end_key: str = "E"
    top_key: str = "g"
    waits_for: str = OWN_FIRST_SNAPSHOT
    asked: Asked = NOTHING_ASKED
    scope: Scope = EVERYTHING
    others: frozenset[str] = frozenset()

    @property
    def scope_words(self) -> str:
        """`tenant acme`; empty where all is shown."""
        pool, tenant = self.scope.pool, self.scope.tenant
        return f"pool {pool}" if pool else f"tenant {tenant}" if tenant else ""

    def leaves_out(self, name: str) -> bool:
        """Whether the tenant or pool of this name is, or belongs to, what is not shown."""
        return not self.others.isdisjoint((name, name.partition("/")[0]))

    @property
    def at(self) -> float:
        """The time that the numbers and reasons in the frame speak of."""
        return self.now if self.snapshot is None else self.snapshot.at

    @property
    def age_s(self) -> float:
        """The age of the snapshot that is shown."""
        return 0.0 if self.snapshot is None else max(self.now - self.snapshot.at, 0.0)

    @property
    def stale(self) -> bool:
        """Whether no snapshot came for more than two intervals, or none can come."""
        snapshot = self.snapshot
        if snapshot is None:
            return False
        if self.feed_problem is not None:
            return True
        silence = self.now - (snapshot.at if self.newest_at is None else self.newest_at)
        return silence > STALE_INTERVALS * max(snapshot.interval_s, 1.0)

    @property
    def waited_s(self) -> float:
        """How long the dashboard has run."""
        return max(self.now - self.started_at, 0.0)

    @property
    def lost_links(self) -> tuple[Link, ...]:
        """The connections that are down; of a controller that runs no more, none."""
        if self.snapshot is None or self.snapshot.recalled:
            return ()
        links = self.snapshot.links
        return tuple(link for link in links if link.state is LinkState.DISCONNECTED)

    def row(self, key: str) -> PoolRow | None:
        """The row of one pool; None if the snapshot does not have it."""
        return next((row for row in self.rows if row.key == key), None)


def standing_above(frame: Frame) -> list[Intent]:
    """The freezes, pauses and holds of the whole fleet or a tenant that concern what is shown,
    those of the fleet first. Kill switches are not among them: no dashboard can end these.
    """
    snapshot = frame.snapshot
    if snapshot is None:
        return []
    found = dict.fromkeys(
        each
        for tenant in snapshot.tenants
        for each in (tenant.freeze, tenant.pause, tenant.no_growth)
        if each is not None and f"{each.who}: {each.why}" not in snapshot.frozen_by
    )
    return sorted(found, key=lambda each: each.scope.tenant is not None)


def is_newer(candidate: Snapshot, shown: Snapshot | None) -> bool:
    """Whether the snapshot is from a later process, or from a later tick of the same process. What
    a controller publishes is newer than what one has kept, whatever their clocks say.
    """
    if shown is None:
        return True
    if candidate.recalled != shown.recalled:
        return shown.recalled
    return (candidate.epoch, candidate.sequence) > (shown.epoch, shown.sequence)


def of_scope(snapshot: Snapshot, scope: Scope) -> tuple[Snapshot, frozenset[str]]:
    """What of the snapshot belongs to this tenant or pool: its pools, and what is about them or
    about no pool; and the pools, tenants and models that are left out.
    """
    if scope == EVERYTHING:
        return snapshot, frozenset()
    pool, tenant = scope.pool, scope.tenant or (scope.pool or "").partition("/")[0]
    pools = tuple(
        each for each in snapshot.pools if each.tenant == tenant and pool in {None, each.key}
    )
    keys = {each.key for each in pools}
    tenants = tuple(each for each in snapshot.tenants if each.name == tenant)
    models = tuple(_models_of(snapshot, keys, tenants if pool is None else ()))
    names = (each.name for each in snapshot.tenants if each.name != tenant)
    others = frozenset[str]((*(each.key for each in snapshot.pools), *names)) - keys
    others |= {each.key for each in snapshot.models} - {each.key for each in models}
    histories, of_tenants = snapshot.histories, snapshot.tenant_histories
    found = (_told_of(each, others) for each in snapshot.findings if each.subject not in others)
    classes = (
        structs.replace(each, typical=None, fits=None) if each.typical in others else each
        for each in snapshot.room.classes
    )
    own = structs.replace(
        snapshot,
        pools=pools,
        queues=tuple(each for each in snapshot.queues if each.pool in keys),
        tenants=tenants,
        models=models,
        room=structs.replace(snapshot.room, classes=tuple(classes)),
        events=tuple(each for each in snapshot.events if each.pool in keys),
        findings=tuple(each for each in found if each is not None),
        histories={key: each for key, each in histories.items() if key in keys},
        tenant_histories={key: each for key, each in of_tenants.items() if key == tenant},
    )
    return own, others


def _models_of(
    snapshot: Snapshot, keys: Collection[str], tenants: Sequence[TenantView]
) -> Iterator[ModelView]:
    """The models that these pools draw on, or that these tenants have used this month."""
    counted = [each.by_model for each in tenants if each.by_model is not None]
    used = {model.model for each in counted for model in each.models}
    used.update(model for each in counted if each.month for model in each.month.by_model)
    for model in snapshot.models:
        draws = tuple(each for each in model.draws if each.pool in keys)
        is_used = model.model in used and model.tenant in {"", *(each.name for each in tenants)}
        if draws or is_used:
            yield structs.replace(model, draws=draws)


_WORD: Final = r"[\w.-]*\w"
_NAME: Final = rf"{_WORD}/{_WORD}"
# pools, and tenants after `of`, as findings list them
_LISTED: Final = re.compile(
    rf"(?:{_NAME}(?:, {_NAME})*|(?<= of ){_WORD}(?:, {_WORD})*)(?P<more> and \d+ more)?"
)


def _told_of(finding: Finding, others: Collection[str]) -> Finding | None:
    """The finding without the names of `others`; None where it is about these alone."""
    is_about_others = False

    def own(found: re.Match[str]) -> str:
        nonlocal is_about_others
        names = found[0].removesuffix(found["more"] or "").split(", ")
        kept = [each for each in names if each not in others]
        if len(kept) == len(names):
            return found[0]
        is_about_others = is_about_others or not (kept or found["more"])
        return ", ".join(kept) + " and others" if kept else "others"

    text = _LISTED.sub(own, finding.text)
    return None if is_about_others else structs.replace(finding, text=text)


PHASE_ORDER: Final = (
    PodPhase.CRASHING,
    PodPhase.FAILED,
    PodPhase.UNSCHEDULED,
    PodPhase.STARTING,
    PodPhase.RUNNING,
    PodPhase.TERMINATING,
    PodPhase.READY,
)

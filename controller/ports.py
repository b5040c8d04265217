"""What the engine needs of the world: small Protocols, each with a fake that ships."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from controller.model.decision import Announcement, Outcome
from controller.model.fleet import Pool
from controller.model.ids import PoolKey, QueueName, WorkloadName
from controller.model.intents import (
    Audit,
    Estimate,
    Intent,
    IntentChange,
    IntentKey,
    Operator,
    Scope,
    StandingIntent,
    StoredIntents,
)
from controller.model.memory import Memory, QueueMark, SavedMemory
from controller.model.observation import (
    ClusterEvent,
    ClusterRoom,
    MeasuredPod,
    MetricValue,
    Pods,
    QueueDepth,
    RefusedEvents,
    TenantSpent,
    TierUsage,
    TokensByModel,
    TokenUsage,
    WakeWatch,
    Workers,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading
from controller.model.scarcity import NodeClass, Resources, TaskUsage
from controller.model.settings import LeaseRecord, SeenLease
from controller.model.snapshot import PodInFull, PodLog, Snapshot
from controller.model.tasks import TaskInFull, TaskPage, TaskQuestion, TaskRow
from controller.model.worker_messages import PoolAllowance, PoolOrders

if TYPE_CHECKING:
    from controller.planning.whatif import Effect, Outlook


class Clock(Protocol):
    """The engine's only clock: Unix seconds that go back only in `follow_step`."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds since some moment, for ages and waits of this process; no step changes them."""

    def follow_step(self) -> float:
        """Take over a step of the system's clock; returns its seconds, 0.0 if there was none."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""


async def sleep_unless(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Sleep for so long, or until the event is set."""
    sleep = asyncio.ensure_future(clock.sleep(seconds))
    is_set = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({sleep, is_set}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleep.cancel()
        is_set.cancel()


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let this work go on while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in work]
        yield
        for each in running:
            each.cancel()


class Workloads(Protocol):
    """The pools' workloads and pods, kept up to date by watches."""

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's workload."""

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods."""

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while their list is not complete, and for
        pools without a metric that needs pods.
        """

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times that are not the server's: of marks on pods."""

    def unmarkable(self, pool: Pool) -> str:
        """Why the pool's pods cannot be given a deletion cost; empty as far as is known."""

    def unfreezable(self, pool: Pool) -> str:
        """Why it is not known whether an annotation freezes the pool's namespace; empty if it is,
        as far as is known.
        """

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The recent Kubernetes warning events about the pool's objects."""

    async def reread(self, pool: Pool) -> None:
        """Read the pool's workload by itself, beside its watch. A failure changes nothing."""

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        """Call back with (namespace, workload) when a workload or its pods change."""


class Supply(Protocol):
    """The cluster's own limits, kept up to date by watches."""

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's ResourceQuotas leave for these workloads together."""

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes can hold, and the nodes of each of these classes."""


class Actuator(Protocol):
    """Writes to the cluster; nothing else does."""

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the workload still has `resource_version`. An `urgent` write goes
        before others. Every answer is an outcome; a failure does not raise.
        """

    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        """Give one of the pool's pods this deletion cost, or none. Every answer is an outcome."""


class Announcer(Protocol):
    """Announces what happened to a pool where people look at its workload."""

    def announce(self, pool: Pool, news: Announcement) -> None:
        """Have it announced; never waits, and a failure changes nothing."""

    def refusal(self) -> str:
        """Why nothing is announced, in words; empty if it is, as far as is known."""


class Lease(Protocol):
    """The record of the process that leads a fleet, replaced by compare-and-set.

    It only stores: who may take it and when is decided by `engine/lead.py`.
    """

    @property
    def name(self) -> str:
        """What it is and where, in words."""

    async def read(self) -> SeenLease | None:
        """The lease as it is stored now; None if there is none. Raises StoreError."""

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Store the record in place of what was read, or where there was none; returns the lease
        as it is then. Raises StoreError.
        """

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back after changes, until cancelled; some may be missed. Raises nothing."""


class StoreError(Exception):
    """Stored data cannot be read or written; the message may be shown to users.

    StoreError
    ├── StoreAwayError       no answer: a write may or may not have happened
    ├── StoreRefusedError    our user may not do this: nothing was written
    ├── StoreMissingError    the store was never created
    ├── StoreUnreadableError what it holds cannot be understood
    ├── UndoRefusedError     the change cannot be taken back: nothing was written
    └── StoreConflictError   another process has written since we read
        └── IntentConflictError  another operator was first
    """


class StoreAwayError(StoreError):
    """There is no usable answer: a write may or may not have happened."""


class StoreRefusedError(StoreError):
    """Our user may not do this: nothing was written."""


class StoreMissingError(StoreError):
    """The store was never created."""


class StoreUnreadableError(StoreError):
    """What the store holds cannot be understood."""


class StoreConflictError(StoreError):
    """Another process has written since we read."""


class IntentConflictError(StoreConflictError):
    """Another operator was first: the message says who, when and why. `standing` is what is asked
    for now; None if it was taken back, or cannot be read. `revision` is what to replace.
    """

    def __init__(self, words: str, *, standing: StandingIntent | None, revision: int) -> None:
        super().__init__(words)
        self.standing = standing
        self.revision = revision


class UndoRefusedError(StoreError):
    """A change cannot be taken back: the message says why."""


class MemoryStore(Protocol):
    """Stores the planner's memory beyond restarts."""

    async def load(self) -> SavedMemory | None:
        """The last saved memory, complete; None if none was ever saved. Raises StoreError."""

    async def save(self, memory: Memory, now: float) -> None:
        """Replace it, whole or not at all; `now`: Unix seconds. Raises StoreError."""

    async def seen(self, *, is_partial: bool) -> None:
        """Note that the saved memory is all there is to know until now, or that it `is_partial`:
        what was seen since then and matters is not saved yet. Raises StoreError.
        """


class SnapshotStore(Protocol):
    """Stores the last snapshot beyond the end of the process."""

    async def load(self) -> Snapshot | None:
        """The last one that was saved; None if there is none. Raises StoreError."""

    async def save(self, snapshot: Snapshot) -> None:
        """Replace it, as a whole or not at all. Raises StoreError."""


class IntentStore(Protocol):
    """Operators' intents, kept up to date as they change."""

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""

    async def first_read(self) -> None:
        """Return when the intents have been read for the first time."""

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back on the event loop with the scopes whose intents came, went or changed."""


class QueueSource(Protocol):
    """Reads the depths of queues, and knows where they stand in their histories, beyond the end of
    a process: so the next one notices that a history went back while no process ran.
    """

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each of these pools; a failure is a reading too, and nothing is raised.
        While a queue's numbers stay the same, its readings have the same QueueDepth object.
        """

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        """Of a pool with several queues, the last reading of each; else empty."""

    @property
    def milestones(self) -> int:
        """How often the next process would need to know more than it can from what was saved: a
        queue was first read, turned out to be another one of the same name, or got work after it
        had none.
        """

    def marks(self, queues: Iterable[QueueName]) -> tuple[QueueMark, ...]:
        """For each of these queues the last answer that was believed, if there is one."""

    def go_on_from(self, marks: Iterable[QueueMark]) -> None:
        """Compare the next answer about each of these queues with what an earlier process saw."""


class MetricKey(NamedTuple):
    """One metric or signal of one pool, with a name of planning/demand/hpa_metrics.py."""

    pool: PoolKey
    name: str


MetricAnswer: TypeAlias = Fresh[MetricValue] | Absent
"""A source's answer about one metric: a value from a complete answer, or why there is none."""


class MetricSource(Protocol):
    """A source of pools' metrics and signals: a Prometheus server, or an API of the cluster."""

    @property
    def name(self) -> str:
        """The source's name in findings."""

    @property
    def reads(self) -> Collection[MetricKey]:
        """The metrics that `read` answers."""

    @property
    def every_s(self) -> float:
        """The least time between two calls of `read`, in seconds."""

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        """An answer for each of `reads` within `timeout_s`, failures too. Raises nothing."""


class WakeSource(Protocol):
    """Notices the first message for pools at zero."""

    async def watch(self, pools: Collection[Pool]) -> bool:
        """Watch exactly these pools; True if one is new: its queue must be read again."""

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        """How this pool is watched, and if it is only polled, why."""

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop when a watched pool's first message is published."""


class UsageSource(Protocol):
    """The tenants' token usage, kept up to date by their workers' events."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The token usage of each tenant with a token budget, by name; `in_flight` gives the number
        of a pool's running tasks.
        """

    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tenant used today of each class of models; nothing of those without any."""

    def by_model(self) -> Mapping[str, TokensByModel]:
        """What each tenant used today of each model; nothing of those that used none."""

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        """Call back on the event loop when tokens of a tenant with a token budget are counted: with
        its name, and all that it has used of its day.
        """

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """The average usage of one task of this pool; None before enough tasks are known."""

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""

    @property
    def counted(self) -> int:
        """The number of events that were counted."""

    def spent(self) -> Mapping[str, TenantSpent]:
        """Each tenant's account, for the next process."""

    def go_on_from(self, spent: Mapping[str, TenantSpent]) -> None:
        """Count on from the accounts that a process before has left."""


class WorkerSource(Protocol):
    """What the pools' workers say they do, and what they are told."""

    def read(self, pool: PoolKey) -> Reading[Workers] | None:
        """The pool's workers, the same object until one of them says something else. None if our
        user may not read what they say.
        """

    def is_unconfirmed(self, pool: PoolKey) -> bool:
        """Whether a pod was told to stop, and it is not known whether it has a worker."""

    async def tell(self, pool: PoolKey, orders: PoolOrders) -> None:
        """Store these orders if they are not what is stored, and find out which of the pods that
        must stop have no worker. Raises StoreError.
        """

    async def release(self, pools: Collection[PoolKey]) -> None:
        """Remove the orders of pools that are no longer in the fleet. Raises StoreError."""

    async def first_read(self, timeout_s: float) -> None:
        """Return once everything was read, or cannot be read, at the latest after `timeout_s`."""

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop when one of the pool's workers is drained, or is the
        first that is heard.
        """

    def problem(self) -> str:
        """Why what workers say cannot be read, in words; empty if it can, or without a connection,
        which has its own finding.
        """


class AllowanceStore(Protocol):
    """Where workers read what they may use."""

    async def allow(self, pool: PoolKey, allowance: PoolAllowance) -> None:
        """Store what the workers of a pool may use from now on. Raises StoreError."""


class Feed(Protocol):
    """Passes snapshots to subscribers; only the latest is kept, and the publisher never waits."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""

    def earlier(self) -> tuple[Snapshot, ...]:
        """What another process remembers of the time before the first, the oldest first."""

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns what ends it."""


Place: TypeAlias = tuple[int, int]
"""Where a moment is in its past; later moments have larger ones."""


class PastMoment(NamedTuple):
    """A snapshot of the past, and where it is there."""

    place: Place
    snapshot: Snapshot


class Past(Protocol):
    """The snapshots of earlier moments."""

    def last(self) -> PastMoment | None:
        """The newest moment; None without any."""

    def at(self, at: float) -> PastMoment | None:
        """The last moment at this time or before it (Unix seconds), else the first of all."""

    def before(self, place: Place) -> PastMoment | None:
        """The change before this place, else the first moment; None at the first."""

    def after(self, place: Place) -> PastMoment | None:
        """The change after this place, else the last moment; None at the last."""

    def notes(self) -> Sequence[str]:
        """What could not be read, in words."""

    def begins_at(self) -> float | None:
        """How far back it is read so far (Unix seconds); None once all of it is."""


class IntentDesk(Protocol):
    """Where one operator writes intents, each as a replacement of one known revision: so no
    operator undoes unseen what another has just done. Every change is kept, with its author.

    All methods raise StoreError. After a StoreAwayError read again before writing again, because
    the write may have happened.
    """

    async def standing(self) -> Sequence[StandingIntent]:
        """The intents in force, in the order of their keys."""

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key. Raises IntentConflictError for one that cannot be read:
        it can be replaced by its revision.
        """

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it in the operator's name, in place of the one with this revision, or where there
        is none. Raises IntentConflictError, and ValueError for what no intent can ask.
        """

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision; with 0, one that the controller goes by and the
        bucket does not have. Raises IntentConflictError.
        """

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before the change. Raises UndoRefusedError if the intent has been changed
        since, and for a change of which it is not known what was before.
        """


class NoEffectError(Exception):
    """What an intent would change, or what a pool would have, cannot be said; the text says why."""


class Foreseen(NamedTuple):
    """What an intent would change at `now` (Unix seconds), and the one at its key that the
    controller goes by, which its bucket may not have any longer.
    """

    effect: Effect | Estimate
    now: float
    standing: Intent | None = None


class PodUnknownError(Exception):
    """Nothing is known of a pod; the text says why and what to do, and may be shown."""


class PodDesk(Protocol):
    """The pods of the cluster, for a person. All methods raise PodUnknownError."""

    async def look(self, namespace: str, pod: str) -> PodInFull:
        """All that is known of a pod now."""

    async def tail(
        self, namespace: str, pod: str, known: PodLog | None = None, *, previous: bool = False
    ) -> PodLog:
        """The last lines of the pod's first container; where some are `known`, of theirs, and gone
        on with. A mark says where it was started again. `previous`: of the run before this one.
        """


class TasksUnknownError(Exception):
    """Tasks cannot be read, or nothing was done to one; the text says why, and may be shown."""


class TaskDesk(Protocol):
    """The tasks of pools, for a person. All methods raise TasksUnknownError."""

    async def page(self, asked: TaskQuestion) -> TaskPage:
        """What runs, waits, has ended and is dead."""

    async def look(self, row: TaskRow) -> TaskInFull:
        """All that is kept of a task."""

    async def cancel(self, row: TaskRow, why: str) -> str:
        """End it as cancelled; returns what became of it, in words."""

    async def retry(self, row: TaskRow) -> str:
        """Give one that is dead or has failed to its queue again; returns what became of it."""


class OpenDesk(NamedTuple):
    """Where a user interface asks for something. All of it belongs to the event loop in which it
    was opened.

    `foresee` says what would change if an intent is put at the key, or taken back from there if it
    is None; `look_ahead` what a pool would have without each of its rules, and what it will have
    next. Both raise NoEffectError. `is_refused` is True once the server has said that our user may
    write no intents. `pods` are None where what runs behind it does not speak to Kubernetes.
    """

    desk: IntentDesk
    foresee: Callable[[IntentKey, Intent | None], Awaitable[Foreseen]]
    look_ahead: Callable[[PoolKey], Awaitable[Outlook]]
    is_refused: Callable[[], bool]
    pods: PodDesk | None = None
    tasks: TaskDesk | None = None


class Person(NamedTuple):
    """The person at a user interface. `at_desk` is called in the event loop of what runs behind it
    when the desk opens, and with None when it closes. `tasks` makes what reads tasks over a
    connection to NATS (NatsSession).
    """

    operator: Operator
    at_desk: Callable[[OpenDesk | None], None]
    tasks: Callable[[Any], TaskDesk | None] = lambda _: None

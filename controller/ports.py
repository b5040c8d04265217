"""The interfaces of everything that the engine needs from outside. Each is a small Protocol with a
working fake in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from controller.model.audit import Audit, IntentChange, StandingIntent
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, Scope
from controller.model.memory import Memory
from controller.model.metrics import MeasuredPod, MetricValue
from controller.model.observation import (
    ClusterEvent,
    ClusterRoom,
    Pods,
    QueueDepth,
    RefusedEvents,
    TokenUsage,
    WakeWatch,
    Workload,
)
from controller.model.outcome import Outcome
from controller.model.readings import Absent, Fresh, Reading
from controller.model.scarcity import NodeClass, Resources, TaskUsage
from controller.model.snapshot import Link, Snapshot
from controller.model.stored import SavedMemory, StoredIntents


class Clock(Protocol):
    """The engine's only clock: Unix seconds that go back only in `follow_step`."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def follow_step(self) -> float:
        """Take over a step of the system's clock; returns its seconds, 0.0 if there was none."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...


class QueueSource(Protocol):
    """Reads the depths of queues."""

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each of these pools; a failure is a reading too, and nothing is raised.
        While a queue's numbers stay the same, its readings have the same QueueDepth object.
        """
        ...


class MetricKey(NamedTuple):
    """One metric or signal of one pool, with a name of planning/demand/metrics/names.py."""

    pool: PoolKey
    name: str


MetricAnswer: TypeAlias = Fresh[MetricValue] | Absent
"""A source's answer about one metric: a value from a complete answer, or why there is none."""


class MetricSource(Protocol):
    """A source of pools' metrics and signals: a Prometheus server, or an API of the cluster."""

    @property
    def name(self) -> str:
        """The source's name in findings."""
        ...

    @property
    def reads(self) -> Collection[MetricKey]:
        """The metrics that `read` answers."""
        ...

    @property
    def every_s(self) -> float:
        """The least time between two calls of `read`, in seconds."""
        ...

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        """An answer for each of `reads` within `timeout_s`; a failure is an answer too, and nothing
        is raised.
        """
        ...


class WakeSource(Protocol):
    """Notices the first message for pools at zero."""

    async def watch(self, pools: Collection[Pool]) -> bool:
        """Watch exactly these pools. True if one of them was not watched before; then its queue
        has to be read again.
        """
        ...

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        """How this pool is watched, and if it is only polled, why."""
        ...

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop when a watched pool's first message is published."""
        ...


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
        ...

    async def save(self, memory: Memory, now: float) -> None:
        """Replace the saved memory, as a whole or not at all; `now` is Unix seconds. Raises
        StoreError.
        """
        ...


class IntentStore(Protocol):
    """Operators' intents, kept up to date as they change."""

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""
        ...

    async def first_read(self) -> None:
        """Return when the intents have been read for the first time."""
        ...

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back on the event loop with the scopes whose intents came, went or changed."""
        ...


class IntentDesk(Protocol):
    """Where one operator writes intents, each as a replacement of one known revision: so no
    operator undoes unseen what another has just done. Every change is kept, with its author.

    All methods raise StoreError. After a StoreAwayError read again before writing again, because
    the write may have happened.
    """

    async def standing(self) -> Sequence[StandingIntent]:
        """The intents in force, in the order of their keys."""
        ...

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key. Raises IntentConflictError for one that cannot be read:
        it can be replaced by its revision.
        """
        ...

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it in the operator's name, in place of the one with this revision, or where there
        is none. Raises IntentConflictError, and ValueError for what no intent can ask.
        """
        ...

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision. Raises IntentConflictError."""
        ...

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        ...

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before the change. Raises UndoRefusedError if the intent has been changed
        since, and for a change of which it is not known what was before.
        """
        ...


class UsageSource(Protocol):
    """The tenants' token usage, kept up to date by their workers' events."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The token usage of each tenant with a token budget, by name; `in_flight` gives the number
        of a pool's running tasks.
        """
        ...

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """The average usage of one task of this pool; None before enough tasks are known."""
        ...

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""
        ...


class Workloads(Protocol):
    """The pools' Deployments and pods, kept up to date by watches."""

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's Deployment."""
        ...

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods."""
        ...

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while their list is not complete, and for
        pools without a metric that needs pods.
        """
        ...

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The recent Kubernetes warning events about the pool's objects."""
        ...

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call back with (namespace, Deployment's name) when a Deployment or its pods change."""
        ...


class Supply(Protocol):
    """The cluster's own limits, kept up to date by watches."""

    def quota(self, namespace: str, deployments: frozenset[str]) -> Reading[Resources]:
        """What the namespace's ResourceQuotas leave for these Deployments together."""
        ...

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes can hold, and the nodes of each of these classes."""
        ...


class Actuator(Protocol):
    """Writes to the cluster; nothing else does."""

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the Deployment still has `resource_version`. An `urgent` write goes
        before others. Every answer is an outcome; a failure does not raise.
        """
        ...


class LinkStatus(Protocol):
    """A connection that reports its state."""

    def link(self) -> Link:
        """The connection's state now."""
        ...


class Feed(Protocol):
    """Passes snapshots to subscribers; only the latest is kept, and the publisher never waits."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        ...

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns a function that ends
        the subscription.
        """
        ...


class Journal(Protocol):
    """Keeps each snapshot in a file."""

    def problem(self) -> str | None:
        """Why snapshots are missing in it, in words; None while all are written."""
        ...


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
        ...

    def at(self, at: float) -> PastMoment | None:
        """The last moment at this time or before it (Unix seconds), else the first of all."""
        ...

    def before(self, place: Place) -> PastMoment | None:
        """The change before this place, else the first moment; None at the first."""
        ...

    def after(self, place: Place) -> PastMoment | None:
        """The change after this place, else the last moment; None at the last."""
        ...

    def notes(self) -> Sequence[str]:
        """What could not be read, in words."""
        ...

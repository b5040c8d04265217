"""The seams: what the engine needs of the world, each a small Protocol with a real fake in the
tests.
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
    """The engine's one clock: Unix seconds that never run backwards by themselves."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def follow_step(self) -> float:
        """Follow a step of the system's clock once; returns its seconds, 0.0 if there was none."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        ...


class QueueSource(Protocol):
    """Where a queue's depth comes from."""

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each pool asked about. Failures are readings too; nothing is raised. While
        a queue's numbers stay the same, its readings hold the same QueueDepth object.
        """
        ...


class MetricKey(NamedTuple):
    """One metric or signal of one pool; its name is of planning/demand/metrics/names.py."""

    pool: PoolKey
    name: str


MetricAnswer: TypeAlias = Fresh[MetricValue] | Absent
"""What a source has to say of one metric: a value from a complete answer, or why there is none."""


class MetricSource(Protocol):
    """Where pools' metrics and signals are read from: a Prometheus server, an API of the cluster.

    `name` is what people call it, `reads` are the metrics it answers for, and it is not worth
    asking more often than every `every_s` seconds.
    """

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def reads(self) -> Collection[MetricKey]:
        """The metrics it answers for."""
        ...

    @property
    def every_s(self) -> float:
        """The least time between two rounds."""
        ...

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        """An answer for each of `reads` within so many seconds; failures are answers too, nothing
        is raised.
        """
        ...


class WakeSource(Protocol):
    """Notices the first message for pools at zero."""

    async def watch(self, pools: Collection[Pool]) -> bool:
        """Watch exactly these pools. True if one is newly watched: read its queue again then."""
        ...

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        """How this pool is watched, and why it is only polled."""
        ...

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop when a watched pool's first message is published."""
        ...


class StoreError(Exception):
    """What is kept beyond the end of a process cannot be read or written; the message may be shown.

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
    """There is no answer that can be used: a write may or may not have happened."""


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
    """Keeps the planner's memory over restarts."""

    async def load(self) -> SavedMemory | None:
        """What was saved last, complete; None if nothing was ever saved. Raises StoreError."""
        ...

    async def save(self, memory: Memory, now: float) -> None:
        """Replace what was saved, all of it or nothing. Raises StoreError."""
        ...


class IntentStore(Protocol):
    """What operators ask for, followed as it changes."""

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""
        ...

    async def first_read(self) -> None:
        """Return once they were read for the first time."""
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
    """How many tokens tenants have used, kept up to date by their workers' events."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The totals of each tenant with a token budget; `in_flight` says how many tasks of a pool
        are running.
        """
        ...

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        ...

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""
        ...


class Workloads(Protocol):
    """The cluster as last seen, kept up to date by watches."""

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's Deployment."""
        ...

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods."""
        ...

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; none while they are not known for sure, and for
        pools whose metrics do not ask about pods.
        """
        ...

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """What the cluster's own controllers warned of lately about the pool's objects."""
        ...

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call back with (namespace, Deployment's name) when one of them or its pods changed."""
        ...


class Supply(Protocol):
    """What the cluster itself allows, kept up to date by watches."""

    def quota(self, namespace: str, deployments: frozenset[str]) -> Reading[Resources]:
        """What the namespace's quotas leave to these Deployments together."""
        ...

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What the nodes hold, and those of each class."""
        ...


class Actuator(Protocol):
    """The only hand on the cluster."""

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the Deployment still has that version. Answers never raise."""
        ...


class LinkStatus(Protocol):
    """A connection that can say how it is."""

    def link(self) -> Link:
        """Its state now."""
        ...


class Feed(Protocol):
    """Snapshots for whoever watches: the latest wins, the publisher never waits."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot, if there was one."""
        ...

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns what ends it."""
        ...

"""What the engine reads: queues, metrics, first messages, usage and workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol, TypeAlias

from controller.model.fleet import Pool
from controller.model.ids import PoolKey, QueueName
from controller.model.metrics import MetricValue
from controller.model.observation import (
    QueueDepth,
    RefusedEvents,
    TierUsage,
    TokensByModel,
    TokenUsage,
    WakeWatch,
    Workers,
)
from controller.model.queue_mark import QueueMark
from controller.model.readings import Absent, Fresh, Reading
from controller.model.scarcity import TaskUsage
from controller.model.snapshot import Link
from controller.model.worker_messages import PoolAllowance, PoolOrders


class QueueSource(Protocol):
    """Reads the depths of queues."""

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        """A reading for each of these pools; a failure is a reading too, and nothing is raised.
        While a queue's numbers stay the same, its readings have the same QueueDepth object.
        """
        ...

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        """Of a pool with several queues, the last reading of each; else empty."""
        ...


class QueueHistories(Protocol):
    """Where queues stand in their histories, beyond the end of a process: so the next one notices
    that a history went back while no process ran.
    """

    @property
    def milestones(self) -> int:
        """How often the next process would need to know more than it can from what was saved: a
        queue was first read, turned out to be another one of the same name, or got work after it
        had none.
        """
        ...

    def marks(self, queues: Iterable[QueueName]) -> tuple[QueueMark, ...]:
        """For each of these queues the last answer that was believed, if there is one."""
        ...

    def go_on_from(self, marks: Iterable[QueueMark]) -> None:
        """Compare the next answer about each of these queues with what an earlier process saw."""
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


class UsageSource(Protocol):
    """The tenants' token usage, kept up to date by their workers' events."""

    def read(self, in_flight: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        """The token usage of each tenant with a token budget, by name; `in_flight` gives the number
        of a pool's running tasks.
        """
        ...

    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tenant used today of each class of models; nothing of those without any."""
        ...

    def by_model(self) -> Mapping[str, TokensByModel]:
        """What each tenant used today of each model; nothing of those that used none."""
        ...

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        """Call back on the event loop when tokens of a tenant with a token budget are counted: with
        its name, and all that it has used of its day.
        """
        ...

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """The average usage of one task of this pool; None before enough tasks are known."""
        ...

    def refused(self) -> RefusedEvents:
        """The events that were not counted."""
        ...


class WorkerSource(Protocol):
    """What the pools' workers say they do, and what they are told."""

    def read(self, pool: PoolKey) -> Reading[Workers] | None:
        """The pool's workers, the same object until one of them says something else. None if our
        user may not read what they say.
        """
        ...

    def is_unconfirmed(self, pool: PoolKey) -> bool:
        """Whether a pod was told to stop, and it is not known whether it has a worker."""
        ...

    async def tell(self, pool: PoolKey, orders: PoolOrders) -> None:
        """Store these orders if they are not what is stored, and find out which of the pods that
        must stop have no worker. Raises StoreError.
        """
        ...

    async def release(self, pools: Collection[PoolKey]) -> None:
        """Remove the orders of pools that are no longer in the fleet. Raises StoreError."""
        ...

    async def first_read(self, timeout_s: float) -> None:
        """Return once everything was read, or cannot be read, at the latest after `timeout_s`."""
        ...

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop when one of the pool's workers is drained."""
        ...

    def problem(self) -> str:
        """Why what workers say cannot be read, in words; empty if it can, or without a connection,
        which has its own finding.
        """
        ...


class AllowanceStore(Protocol):
    """Where workers read what they may use."""

    async def allow(self, pool: PoolKey, allowance: PoolAllowance) -> None:
        """Store what the workers of a pool may use from now on. Raises StoreError."""
        ...


class LinkStatus(Protocol):
    """A connection that reports its state."""

    def link(self) -> Link:
        """The connection's state now."""
        ...

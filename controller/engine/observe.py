"""Step 1 of a tick: everything that can be seen, under a deadline, failures included."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from controller.engine.metric_polls import MetricPolls
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.observation import (
    Observation,
    PoolObservation,
    QueueDepth,
    RefusedEvents,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why, last_known
from controller.ports import Clock, QueueSource, Supply, UsageSource, WakeSource, Workloads

_NOTHING: Final[Mapping[PoolKey, int]] = MappingProxyType({})


class Observer:
    """Sees the fleet: depths by asking, Deployments, pods, quotas and nodes from the watches, wakes
    and tokens as they come, metrics as they were polled last.

    `deadline_s` bounds the asking; what has not answered by then is a reading too. Without `usage`
    nobody's tokens are known, without `metrics` nothing but the queues is measured.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        queues: QueueSource,
        wakes: WakeSource,
        workloads: Workloads,
        supply: Supply,
        clock: Clock,
        deadline_s: float,
        usage: UsageSource | None = None,
        metrics: MetricPolls | None = None,
    ) -> None:
        self._fleet = fleet
        self._deployments = _by_tenant(fleet)
        self._queues = queues
        self._wakes = wakes
        self._workloads = workloads
        self._supply = supply
        self._usage = usage
        self._metrics = metrics
        self._clock = clock
        self._deadline_s = deadline_s
        self._depths: dict[PoolKey, Reading[QueueDepth]] = {}
        self._woken: dict[PoolKey, float] = {}
        self.failed = 0

    def woken(self, pool: PoolKey) -> None:
        """A first message was published for this pool just now."""
        self._woken[pool] = self._clock.now()

    async def ask(self, pools: Sequence[Pool]) -> None:
        """Read the queues of these pools and keep the readings; returns by the deadline."""
        answers: Mapping[PoolKey, Reading[QueueDepth]] = {}
        why, detail = Why.INCOMPLETE, "the source gave no reading for this pool"
        try:
            async with asyncio.timeout(self._deadline_s):
                answers = await self._queues.read(pools)
        except TimeoutError:
            why, detail = Why.TIMED_OUT, f"no answer within {self._deadline_s:g} s"
        for pool in pools:
            reading = answers.get(pool.key) or self._without_answer(pool.key, why, detail)
            self._depths[pool.key] = reading
            self.failed += not isinstance(reading, Fresh)

    def see(
        self,
        pools: Collection[Pool],
        *,
        under_way: Mapping[PoolKey, int] = _NOTHING,
        clock_step_s: float = 0.0,
    ) -> Observation:
        """What is known at this instant of these pools, and of all that they share with the others;
        never waits, so it is one view. `under_way`: the pools that are being written, and the most
        replicas they may have then.
        """
        for pool in pools:
            if pool.key not in under_way:
                self._settle_wake(pool.key)
        usage = {} if self._usage is None else self._usage.read(self._in_flight)
        return Observation(
            pools={pool.key: self._see(pool) for pool in pools},
            clock_step_s=clock_step_s,
            tenants={tenant.name: self._tenant(tenant, usage) for tenant in self._fleet.tenants},
            capacity=self._supply.room(self._fleet.capacity.node_classes),
            refused_events=RefusedEvents() if self._usage is None else self._usage.refused(),
            under_way=dict(under_way),
        )

    def knows_work(self, pool: Pool) -> bool:
        """Whether the last reading says that more than the pool's activation is waiting."""
        depth = self._depths.get(pool.key)
        return isinstance(depth, Fresh) and depth.value.total > pool.activation

    def is_woken(self, pool: PoolKey) -> bool:
        """Whether a wake has come that no LIST has counted yet."""
        return pool in self._woken

    def shift(self, seconds: float) -> None:
        """Follow a step of the clock."""
        self._woken = {pool: at + seconds for pool, at in self._woken.items()}
        if self._metrics is not None:
            self._metrics.shift(seconds)

    def _settle_wake(self, pool: PoolKey) -> None:
        """A LIST asked after the wake counts the message itself."""
        woken_at, queue = self._woken.get(pool), self._depths.get(pool)
        if woken_at is None or queue is None or isinstance(queue, Absent):
            return
        if queue.at > woken_at:
            del self._woken[pool]

    def _see(self, pool: Pool) -> PoolObservation:
        wake, wake_detail = self._wakes.state(pool.key)
        return PoolObservation(
            queue=self._depths.get(pool.key) or Absent(why=Why.NEVER_READ),
            workload=self._workloads.workload(pool),
            pods=self._workloads.pods(pool),
            woken_at=self._woken.get(pool.key),
            wake=wake,
            wake_detail=wake_detail,
            warnings=self._workloads.warnings(pool),
            metrics={} if self._metrics is None else self._metrics.readings(pool.key),
            measured_pods=self._workloads.measured_pods(pool),
            task_usage=None if self._usage is None else self._usage.measured(pool.key),
        )

    def _tenant(
        self, tenant: Tenant, usage: Mapping[str, Reading[TokenUsage]]
    ) -> TenantObservation:
        ours = self._deployments.get(tenant.name, frozenset())
        return TenantObservation(
            quota=self._supply.quota(tenant.namespace, ours),
            usage=usage.get(tenant.name) or Absent(why=Why.NEVER_READ),
        )

    def _in_flight(self, pool: PoolKey) -> int:
        """As many tasks as were running last."""
        known = self._depths.get(pool)
        depth = None if known is None else last_known(known)
        return 0 if depth is None else depth.in_flight

    def _without_answer(self, pool: PoolKey, why: Why, detail: str) -> Reading[QueueDepth]:
        known = self._depths.get(pool)
        value = last_known(known) if known is not None else None
        if known is None or value is None:
            return Absent(why=why, at=self._clock.now(), detail=detail)
        return Stale(value=value, at=known.at, why=why, detail=detail)


def _by_tenant(fleet: Fleet) -> dict[str, frozenset[str]]:
    """Each tenant's Deployments."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pool in fleet.pools:
        found[pool.tenant].add(pool.deployment)
    return {tenant: frozenset(names) for tenant, names in found.items()}

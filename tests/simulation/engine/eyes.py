"""What one process sees: of the cluster by watches, of the queues by requests, of the workers by
buckets. All of it is late, and with faults it is less than the truth; each says so, as the
product's own sources do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey, WorkloadName
from controller.model.observation import (
    DELETED_FIRST,
    ClusterEvent,
    ClusterRoom,
    MeasuredPod,
    Pods,
    QueueDepth,
    RefusedEvents,
    TenantSpent,
    TierUsage,
    TokensByModel,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources, TaskUsage
from controller.model.snapshot import Link, LinkState
from controller.nats.jetstream import NatsDisconnectedError
from controller.nats.workers import WorkerBuckets, WorkerOrders, WorkerStates
from controller.ports import Clock
from simulation.engine.cluster import Sight
from simulation.engine.kernel import Kernel, Machine
from simulation.engine.wire import RemoteBucket, Wire
from simulation.engine.work import Crew, Store

DETECTED_S: Final = 1.0


class ClusterView:
    """The `Workloads` and `Supply` ports, and what is told of our own writes.

    `faults` by pool say why its pods, or all of it, are not known now.
    """

    def __init__(
        self,
        clock: Clock,
        wire: Wire,
        sights: Mapping[PoolKey, Sight],
        sight: Callable[[PoolKey], Sight],
    ) -> None:
        self._clock = clock
        self._workloads: dict[PoolKey, Workload] = {k: s.workload for k, s in sights.items()}
        self._marked: dict[str, float] = {}
        self._pods = {key: self._with_marks(s.pods) for key, s in sights.items()}
        self._written: dict[PoolKey, int] = {}
        self._readings: dict[tuple[PoolKey, str], Reading[Workload] | Reading[Pods]] = {}
        self._callback: Callable[[str, WorkloadName], None] = lambda *_: None
        self.applied_version: dict[PoolKey, int] = {}
        self.gaps: dict[PoolKey, int] = {}
        self.halves: dict[PoolKey, int] = {}
        self._sight = sight
        self._wire = wire

    def report(self, pool: Pool, sight: Sight) -> None:
        """The watches report a change."""
        key = pool.key
        if int(sight.workload.resource_version) >= self._written.get(key, 0):
            self._written.pop(key, None)
            if self._workloads[key] != sight.workload:
                self._workloads[key] = sight.workload
        pods, before = self._with_marks(sight.pods), self._pods[key]
        if before != pods:
            self._pods[key] = pods
            for name in {pod.name for pod in before.items} - {pod.name for pod in pods.items}:
                self._marked.pop(name, None)
        self.forget(key)
        self._callback(pool.namespace, pool.workload)

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """The result of our own write, as `WorkloadView.applied`."""
        del uid  # a Deployment is never made anew here
        known = self._workloads[pool.key]
        self.applied_version[pool.key] = int(version)
        if int(known.resource_version) >= int(version):
            return  # the watch was faster
        self._written[pool.key] = int(version)
        generation = known.generation + (replicas != known.replicas)
        self._workloads[pool.key] = replace(
            known, replicas=replicas, resource_version=version, generation=generation
        )
        self.forget(pool.key)

    def refused_mark(self, pool: Pool, detail: str) -> None:
        """Never in these histories."""

    def forget(self, key: PoolKey) -> None:
        """What is known of the pool, or how well, has changed."""
        self._readings.pop((key, "workload"), None)
        self._readings.pop((key, "pods"), None)

    def is_certain(self, key: PoolKey) -> bool:
        """Whether both are known now."""
        return not self.gaps.get(key) and not self.halves.get(key)

    def version(self, key: PoolKey) -> str:
        """That of the object as it is seen now."""
        return self._workloads[key].resource_version

    def workload(self, pool: Pool) -> Reading[Workload]:
        return self._reading(pool.key, "workload")  # type: ignore[return-value]

    def pods(self, pool: Pool) -> Reading[Pods]:
        return self._reading(pool.key, "pods")  # type: ignore[return-value]

    def _reading(self, key: PoolKey, what: str) -> Reading[Workload] | Reading[Pods]:
        known = self._readings.get((key, what))
        if known is None:
            known = self._readings[key, what] = self._judged(key, what)
        return known

    def _judged(self, key: PoolKey, what: str) -> Reading[Workload] | Reading[Pods]:
        now = self._clock.now()
        if self.gaps.get(key):
            detail = "the watch is down"
            if what == "workload":
                return Stale(
                    value=self._workloads[key], at=now, why=Why.DISCONNECTED, detail=detail
                )
            return Stale(value=self._pods[key], at=now, why=Why.DISCONNECTED, detail=detail)
        if what == "workload":
            return Fresh(value=self._workloads[key], at=now)
        if self.halves.get(key):
            pods = self._pods[key]
            half = pods.items[: len(pods.items) // 2]
            value = Pods(ready=len(half), items=half)
            return Stale(value=value, at=now, why=Why.VIEW_INCOMPLETE)
        return Fresh(value=self._pods[key], at=now)

    def _with_marks(self, pods: Pods) -> Pods:
        items = []
        for pod in pods.items:
            if pod.deletion_cost != DELETED_FIRST:
                self._marked.pop(pod.name, None)
                items.append(pod)
            else:
                at = self._marked.setdefault(pod.name, self._clock.now())
                items.append(replace(pod, marked_at=at))
        return replace(pods, items=tuple(items))

    def shift(self, seconds: float) -> None:
        self._marked = {name: at + seconds for name, at in self._marked.items()}
        for key, pods in self._pods.items():
            self._pods[key] = self._with_marks(pods)
            self.forget(key)

    def measured_pods(self, _: Pool) -> tuple[MeasuredPod, ...]:
        return ()

    def unmarkable(self, _: Pool) -> str:
        return ""

    def unfreezable(self, _: Pool) -> str:
        return ""

    def warnings(self, _: Pool) -> tuple[ClusterEvent, ...]:
        return ()

    def quota(self, _namespace: str, _workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        return _NO_QUOTA

    def room(self, _classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        return _ROOM

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        self._callback = callback

    async def reread(self, pool: Pool) -> None:
        try:
            async with asyncio.timeout(3.0):
                sight = await self._wire.ask(lambda: self._sight(pool.key))
        except TimeoutError:
            return
        if int(sight.workload.resource_version) > int(self._workloads[pool.key].resource_version):
            self._workloads[pool.key] = sight.workload
            self.forget(pool.key)
            self._callback(pool.namespace, pool.workload)


_NO_QUOTA = Fresh(value=Resources(), at=0.0)
_ROOM = Fresh(value=ClusterRoom(), at=0.0)


class QueueView:
    """The `QueueSource` port. `ill` by pool: why its depth is not known. `certain` are the pools
    whose last answer was complete.
    """

    def __init__(self, wire: Wire, clock: Clock, crews: Mapping[PoolKey, Crew]) -> None:
        self._wire = wire
        self._clock = clock
        self._crews = crews
        self.ill: dict[PoolKey, list[str]] = {}
        self.certain: set[PoolKey] = set()
        self.last: dict[PoolKey, QueueDepth] = {}
        self.read_at: dict[PoolKey, float] = {}

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        keys = [pool.key for pool in pools]
        at = self._clock.now()
        try:
            found = await self._wire.ask(
                lambda: {key: self._crews[key].queue.depth() for key in keys}
            )
            if any("hangs" in self.ill.get(key, ()) for key in keys):
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.certain.difference_update(keys)
            raise
        readings: dict[PoolKey, Reading[QueueDepth]] = {}
        for key, depth in found.items():
            ill = self.ill.get(key)
            self.certain.discard(key)
            if not ill:
                self.certain.add(key)
                self.last[key], self.read_at[key] = depth, asyncio.get_running_loop().time()
                readings[key] = Fresh(value=depth, at=at)
            elif ill[0] == "absent":
                readings[key] = Absent(why=Why.CONSUMER_MISSING, at=at)
            elif ill[0] == "absurd":
                readings[key] = Fresh(value=QueueDepth(pending=-1, in_flight=0), at=at)
            elif ill[0] == "stale":
                zero = QueueDepth(pending=0, in_flight=0)
                last = self.last.get(key, zero)
                readings[key] = Stale(value=last, at=at, why=Why.HISTORY_REGRESSED)
        return readings


class WorkerView(WorkerBuckets):
    """The product's own `WorkerSource`, on simulated buckets and without its watches: what they
    would tell is told to `states` and `orders`.
    """

    def __init__(
        self, wire: Wire, clock: Clock, fleet: Fleet, states: Store, orders: Store
    ) -> None:
        self._clock = clock
        self._names = {pool.key: (pool.tenant, pool.name) for pool in fleet.pools}
        said, told = RemoteBucket(wire, states), RemoteBucket(wire, orders)
        # no session: neither watch runs
        self._states = self.states = WorkerStates(None, said, clock, self._state_changed)  # type: ignore[arg-type]
        self._orders = self.orders = WorkerOrders(None, told, clock, self._forget)  # type: ignore[arg-type]
        self._silent = {}
        self._readings = {}
        self._judged_by = None
        self._callbacks = []

    def found(self, states: Store, orders: Store) -> None:
        """Both buckets were read."""
        self.states.found(states.entries(), is_another=False)
        self.orders.found(orders.entries(), is_another=False)
        self._readings.clear()

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        """The last one given: an engine of an earlier fleet has ended, and has had its own view."""
        self._callbacks = [callback]

    def lose(self) -> None:
        """Neither is followed any more."""
        for each in (self.states, self.orders):
            each.lost(NatsDisconnectedError("the connection is down"))
        self._readings.clear()


class Watch:
    """How one process follows something that the server tells of. While it has `gaps` nothing is
    heard; a second later this is noticed, and after the last one all is read anew. `number` is that
    of the reading: what was sent in an earlier one is not heard any longer.
    """

    def __init__(
        self, kernel: Kernel, machine: Machine, lose: Callable[[], None], find: Callable[[], None]
    ) -> None:
        self.gaps = 0
        self.number = 0
        self.is_lost = False
        self.of_deleted = 0
        self._kernel = kernel
        self._machine = machine
        self._lose = lose
        self._find = find

    def begin_gap(self) -> None:
        self.gaps += 1
        self.number += 1
        self._kernel.after(DETECTED_S, partial(self._machine.post, self._notice))

    def end_gap(self) -> None:
        self.gaps -= 1
        self._machine.post(self._again)

    def _notice(self) -> None:
        if self.gaps and not self.is_lost:
            self.is_lost = True
            self._lose()

    def _again(self) -> None:
        if not self.gaps:
            self.number += 1
            self.is_lost = False
            self._find()


class UsageView:
    """The `UsageSource` port: each finished task of a tenant has used so many tokens."""

    def __init__(
        self, fleet: Fleet, clock: Clock, crews: Mapping[PoolKey, Crew], tokens: int
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._crews = crews
        self._tokens = tokens

    def used(self, tenant: str) -> int:
        """The tokens of today."""
        done = sum(c.queue.done for c in self._crews.values() if c.pool.tenant == tenant)
        return done * self._tokens

    def read(self, _: Callable[[PoolKey], int]) -> Mapping[str, Reading[TokenUsage]]:
        now = self._clock.now()
        return {
            tenant.name: Fresh(value=TokenUsage(used=Decimal(self.used(tenant.name))), at=now)
            for tenant in self._fleet.tenants
            if tenant.budget.tokens_per_day is not None
        }

    def tiers(self) -> Mapping[str, TierUsage]:
        return {}

    def by_model(self) -> Mapping[str, TokensByModel]:
        return {}

    def on_use(self, callback: Callable[[str, Decimal], None]) -> None:
        """Its ticks see what is used."""

    def measured(self, _: PoolKey) -> TaskUsage | None:
        return None

    def refused(self) -> RefusedEvents:
        return RefusedEvents()

    counted = 0

    def spent(self) -> Mapping[str, TenantSpent]:
        return {}

    def go_on_from(self, spent: Mapping[str, TenantSpent]) -> None:
        """The simulated queues themselves know what was used."""


class LinkView:
    """A connection that says it is well: what it brings says more."""

    def __init__(self, name: str, machine: Machine) -> None:
        self._link = Link(name=name, state=LinkState.CONNECTED, since=machine.kernel.now)

    def link(self) -> Link:
        return self._link

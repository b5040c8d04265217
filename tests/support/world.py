"""Real fakes of the engine's ports: small worlds that move only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from controller.model.decision import Outcome, OutcomeKind
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules, Tenant, Tier
from controller.model.ids import PoolKey, WorkloadName, pool_key
from controller.model.observation import (
    ClusterEvent,
    ClusterRoom,
    MeasuredPod,
    Pod,
    Pods,
    PoolObservation,
    QueueDepth,
    WakeWatch,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.snapshot import Link, LinkState, PoolView

START = 1_700_000_000.0


class VirtualClock:
    """A clock that a test moves; sleepers wake in order as it passes them."""

    def __init__(self, start: float = START) -> None:
        self._now = start
        self._step = 0.0
        self._stepped = 0.0
        self._end = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def step(self, seconds: float) -> None:
        """The system's clock is set by so much."""
        self._step += seconds

    def follow_step(self) -> float:
        step, self._step = self._step, 0.0
        self._now += step
        self._stepped += step
        # a sleep takes as long as it would have taken
        self._sleepers = [(at + step, number, future) for at, number, future in self._sleepers]
        self._end += step
        return step

    def monotonic(self) -> float:
        return self._now - self._stepped

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass; everything that was waiting for them runs."""
        self._end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= self._end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = self._end
        await settle()


async def settle(turns: int = 30) -> None:
    """Let the event loop run until what was ready has run."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeQueues:
    """Queue depths that a test sets; `hang` makes every read wait for ever."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.depths: dict[PoolKey, QueueDepth | Stale[QueueDepth] | Absent] = {}
        self.hang = False
        self.reads: list[tuple[PoolKey, ...]] = []

    async def read(self, pools: Sequence[Pool]) -> Mapping[PoolKey, Reading[QueueDepth]]:
        self.reads.append(tuple(pool.key for pool in pools))
        if self.hang:
            await asyncio.get_running_loop().create_future()
        at = self._clock.now()
        readings: dict[PoolKey, Reading[QueueDepth]] = {}
        for pool in pools:
            depth = self.depths.get(pool.key, QueueDepth(pending=0, in_flight=0))
            known = isinstance(depth, QueueDepth)
            readings[pool.key] = Fresh(value=depth, at=at) if known else depth
        return readings


class FakeWakes:
    """Remembers which pools are watched; `wake` is a first message."""

    def __init__(self) -> None:
        self.watched: frozenset[PoolKey] = frozenset()
        self._callback: Callable[[PoolKey], None] = lambda _: None

    async def watch(self, pools: Collection[Pool]) -> bool:
        before, self.watched = self.watched, frozenset(pool.key for pool in pools)
        return bool(self.watched - before)

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        return (WakeWatch.ARMED if pool in self.watched else WakeWatch.OFF, "")

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        self._callback = callback

    def wake(self, pool: PoolKey) -> None:
        self._callback(pool)


class FakeCluster:
    """Deployments by key: a Workloads, a Supply and an Actuator with versions and failures to
    order. `quotas` are by namespace; there is no limit until a test sets one.
    """

    def __init__(self, clock: VirtualClock, pools: Iterable[Pool], replicas: int = 0) -> None:
        self._clock = clock
        self._version = itertools.count(1)
        self._callback: Callable[[str, WorkloadName], None] = lambda *_: None
        self.replicas = {pool.key: replicas for pool in pools}
        self.versions = {pool.key: next(self._version) for pool in pools}
        self.absent: dict[PoolKey, Absent] = {}
        self.quotas: dict[str, Reading[Resources]] = {}
        self.nodes: Reading[ClusterRoom] = Fresh(value=ClusterRoom(), at=clock.now())
        self.answers: dict[PoolKey, list[Outcome]] = {}
        self.gate: asyncio.Event | None = None
        self.writes: list[tuple[PoolKey, int, bool]] = []
        self.unseen: dict[PoolKey, tuple[int, int]] = {}
        self.reread_pools: list[PoolKey] = []
        self.items: dict[PoolKey, dict[str, Pod]] = {}
        self.marks: list[tuple[str, int | None]] = []
        self.refusal = ""

    def workload(self, pool: Pool) -> Reading[Workload]:
        if pool.key in self.absent:
            return self.absent[pool.key]
        known = self.replicas[pool.key], self.versions[pool.key]
        replicas, version = self.unseen.get(pool.key, known)
        value = Workload(
            replicas=replicas,
            current=replicas,
            updated=replicas,
            ready=replicas,
            resource_version=str(version),
        )
        return Fresh(value=value, at=self._clock.now())

    def pods(self, pool: Pool) -> Reading[Pods]:
        if pool.key in self.absent:
            return Absent(why=Why.VIEW_INCOMPLETE)
        items = tuple(self.items.get(pool.key, {}).values())
        return Fresh(value=Pods(ready=self.replicas[pool.key], items=items), at=self._clock.now())

    def measured_pods(self, _: Pool) -> tuple[MeasuredPod, ...]:
        return ()

    def shift(self, seconds: float) -> None:
        """No pod was marked."""

    def unmarkable(self, _: Pool) -> str:
        return self.refusal

    def unfreezable(self, _: Pool) -> str:
        return ""

    def warnings(self, _: Pool) -> tuple[ClusterEvent, ...]:
        return ()

    def quota(self, namespace: str, _workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        return self.quotas.get(namespace) or Fresh(value=Resources(), at=self._clock.now())

    def room(self, _classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        return self.nodes

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        self._callback = callback

    async def reread(self, pool: Pool) -> None:
        self.reread_pools.append(pool.key)
        self.unseen.pop(pool.key, None)
        self._callback(pool.namespace, pool.workload)

    def set_unseen(self, pool: Pool, replicas: int) -> None:
        """Somebody else sets the replicas, and no watch reports it."""
        self.unseen[pool.key] = (self.replicas[pool.key], self.versions[pool.key])
        self.replicas[pool.key] = replicas
        self.versions[pool.key] = next(self._version)

    def set(self, pool: Pool, replicas: int) -> None:
        """Somebody else sets the replicas."""
        self.replicas[pool.key] = replicas
        self.versions[pool.key] = next(self._version)
        self._callback(pool.namespace, pool.workload)

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        self.writes.append((pool.key, replicas, urgent))
        if self.gate is not None:
            await self.gate.wait()
        if answers := self.answers.get(pool.key):
            return answers.pop(0)
        if resource_version != str(self.versions[pool.key]):
            return Outcome(kind=OutcomeKind.CONFLICT, status=409, detail="modified")
        self.replicas[pool.key] = replicas
        self.versions[pool.key] = next(self._version)
        return Outcome(kind=OutcomeKind.APPLIED, status=200)

    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        self.marks.append((pod, cost))
        if self.refusal:
            return Outcome(kind=OutcomeKind.FORBIDDEN, status=403, detail=self.refusal)
        pods = self.items[pool.key]
        pods[pod] = replace(pods[pod], deletion_cost=cost or 0)
        self._callback(pool.namespace, pool.workload)
        return Outcome(kind=OutcomeKind.APPLIED, status=200)


class FakeLink:
    """A connection whose state a test sets."""

    def __init__(self, name: str) -> None:
        self.value = Link(name=name, state=LinkState.CONNECTED, since=START)

    def link(self) -> Link:
        return self.value


TIER = Tier(name="growth", priority=500)
NO_LIMIT = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0),
)


def make_pool(
    name: str = "research",
    *,
    tenant: str = "acme",
    minimum: int = 0,
    maximum: int = 10,
    target: int = 1,
    activation: int = 0,
    cooldown_s: float = 60.0,
    behavior: Behavior = NO_LIMIT,
) -> Pool:
    return Pool(
        key=pool_key(tenant, name),
        name=name,
        tenant=tenant,
        namespace=f"tenant-{tenant}",
        deployment=name,
        stream="TASKS",
        consumer=f"{tenant}-{name}",
        min=minimum,
        max=maximum,
        target=target,
        activation=activation,
        cooldown_s=cooldown_s,
        behavior=behavior,
    )


def a_view(pool: Pool, **known: Any) -> PoolView:
    """The pool as a snapshot shows it, with what is known of it."""
    known = {"observation": PoolObservation(), **known}
    return PoolView(
        key=pool.key,
        tenant=pool.tenant,
        tier=TIER.name,
        namespace=pool.namespace,
        deployment=pool.deployment,
        stream=pool.stream,
        consumer=pool.consumer,
        slots=pool.slots,
        target_per_replica=pool.target,
        min=pool.min,
        max=pool.max,
        **known,
    )


def make_fleet(*pools: Pool) -> Fleet:
    tenants = {
        pool.tenant: Tenant(name=pool.tenant, tier=TIER, namespace=pool.namespace) for pool in pools
    }
    return Fleet(tiers=(TIER,), tenants=tuple(tenants.values()), pools=pools)

"""A cluster that follows every decision in virtual time, with a past of its own, and with what else
can be seen of its Deployments and pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Plan
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ConditionStatus,
    ContainerRequest,
    MeasuredPod,
    Observation,
    Pod,
    PodPhase,
    PodReadiness,
    Pods,
    PodUsage,
    PodUsages,
    PoolObservation,
    QueueDepth,
    Series,
    StatusPhase,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import TaskUsage
from controller.planning.inputs import (
    FORCE_ACTIVATION,
    FREEZE,
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from property.fleets import (
    CPU,
    LAG,
    UNREAD,
    MetricContext,
    fleets,
    intents_for,
    some_sizes,
    surroundings_of,
)
from property.queues import SETTLING, Counted, Load, Past, pasts
from property.worlds import START, as_bytes
from support.planning import plan


class Sight(NamedTuple):
    """What is seen of a pool beside its queue: its Deployment's annotations, pods on their way out,
    since when the others are ready and how long they took, and what its tasks took.
    """

    annotations: Mapping[str, str] = {}
    terminating: int = 0
    ready_for_s: float = 900.0
    ready_after_s: float = 9.0
    usage: TaskUsage | None = None


PLAIN = Sight()
SIGHTS = (
    PLAIN,
    Sight(terminating=2),
    Sight(ready_for_s=2.0, ready_after_s=40.0),
    Sight(usage=TaskUsage(input_tokens=3000, output_tokens=900, seconds=Decimal(20))),
)
HALTED_SIGHTS = tuple(
    Sight(annotations={name: value})
    for name, value in (
        (PAUSED, "true"),
        (PAUSED_REPLICAS, "2"),
        (PAUSED_REPLICAS, "many"),
        (PAUSED_SCALE_IN, "true"),
        (PAUSED_SCALE_OUT, "true"),
        (FREEZE, "OPS-881"),
        (FORCE_ACTIVATION, "true"),
    )
)
sights = st.sampled_from(SIGHTS)
halted_sights = st.sampled_from([PLAIN, *HALTED_SIGHTS])


class Cluster:
    """A fleet whose Deployments follow every decision at once, in virtual time. Where `counts`, its
    queues count their deliveries, and pools are sized by what was learned; `step_s` is how far the
    clock has jumped since the last plan.
    """

    def __init__(
        self,
        fleet: Fleet,
        sizes: Sequence[int],
        intents: Intents | None = None,
        surroundings: MetricContext | None = None,
        *,
        counts: bool = False,
        sights: Sequence[Sight] = (PLAIN,),
    ) -> None:
        self.fleet = fleet
        self.intents = intents or Intents()
        around: MetricContext = surroundings or ({}, UNREAD)
        self.tenants, self.room = around
        self.memory = Memory()
        self.now, self.step_s = START, 0.0
        self.replicas: dict[PoolKey, int] = {}
        self.resize(sizes)
        self.counts = counts
        self.counted = {pool.key: Counted() for pool in fleet.pools}
        self.sights = {
            pool.key: sights[number % len(sights)] for number, pool in enumerate(fleet.pools)
        }

    def __repr__(self) -> str:
        said = (self.fleet, self.intents, self.replicas, self.tenants, self.room, self.memory)
        own = f"{self.counted if self.counts else 'nothing counted'}\n{self.sights}"
        return "\n".join([*(as_bytes(one).decode() for one in said), own])

    def twin(self) -> Cluster:
        """A copy that goes on by itself."""
        other = copy(self)
        other.replicas, other.counted = dict(self.replicas), dict(self.counted)
        return other

    def resize(self, sizes: Sequence[int]) -> None:
        """Another writer sets every pool's size."""
        for number, pool in enumerate(self.fleet.pools):
            self.replicas[pool.key] = sizes[number % len(sizes)]

    def seen(self, work: Sequence[Load]) -> Observation:
        """Everything, as it is now; each pool has its turn of the loads."""
        return Observation(
            pools={
                pool.key: self._pool(pool, work[number % len(work)])
                for number, pool in enumerate(self.fleet.pools)
            },
            tenants=self.tenants,
            capacity=self.room,
            clock_step_s=self.step_s,
        )

    def ask(self, seen: Observation) -> tuple[Plan, Memory]:
        """What would be decided and remembered; nothing is written."""
        return plan(seen, self.fleet, self.intents, self.memory, self.now)

    def tick(self, work: Sequence[Load]) -> Plan:
        """Decide, remember and write."""
        decided, self.memory = self.ask(self.seen(work))
        self.obey(decided)
        self.step_s = 0.0
        for number, pool in enumerate(self.fleet.pools):
            self.counted[pool.key] = self.counted[pool.key].after(work[number % len(work)])
        return decided

    def obey(self, decided: Plan) -> None:
        for key, decision in decided.decisions.items():
            if decision.next is not None:
                self.replicas[key] = decision.next

    def live(self, past: Past) -> Cluster:
        for wait_s, work in past:
            self.tick(work)
            self.now += wait_s
        return self

    def is_warming_up(self, pool: Pool, memory: Memory) -> bool:
        """Whether what is remembered of it does not reach back one window yet."""
        window_s = pool.behavior.scale_down.stabilization_window_s
        return pool.key not in memory.pools or memory.pools[pool.key].since + window_s > self.now

    def usage(self, pool: Pool) -> TaskUsage | None:
        """What a task of the pool takes."""
        return self.sights[pool.key].usage or pool.usage

    def _pool(self, pool: Pool, load: Load) -> PoolObservation:
        size, sight = self.replicas[pool.key], self.sights[pool.key]
        depth = QueueDepth(pending=load.pending, in_flight=load.in_flight)
        if self.counts:
            depth = self.counted[pool.key].after(load).depth(load)
        workload = Workload(replicas=size, current=size, annotations=dict(sight.annotations))
        ready_at = self.now - sight.ready_for_s
        items = tuple(_ready(number, ready_at, sight.ready_after_s) for number in range(size))
        pods = Pods(ready=size, terminating=sight.terminating, items=items)
        return PoolObservation(
            queue=Fresh(value=depth, at=self.now),
            workload=Fresh(value=workload, at=self.now),
            pods=Fresh(value=pods, at=self.now),
            metrics={
                LAG: Fresh(value=Series(values_milli=(1000 * load.lag,)), at=self.now),
                CPU: Fresh(value=_in_use(1000 * load.lag, size, self.now), at=self.now),
            },
            measured_pods=tuple(_serving(number) for number in range(size)),
            task_usage=sight.usage,
        )


def _ready(number: int, ready_at: float, after_s: float) -> Pod:
    return Pod(
        name=str(number), phase=PodPhase.READY, created_at=ready_at - after_s, ready_at=ready_at
    )


def _in_use(milli: int, size: int, now: float) -> PodUsages:
    """So much CPU in all, divided among the pods."""
    share: dict[str, int | None] = {"agent": milli // max(size, 1)}
    return PodUsages(
        items=tuple(
            PodUsage(pod=str(number), containers=share, at=now, window_s=30.0)
            for number in range(size)
        )
    )


@lru_cache
def _serving(number: int) -> MeasuredPod:
    return MeasuredPod(
        name=str(number),
        phase=StatusPhase.RUNNING,
        started_at=START - 900,
        readiness=PodReadiness(status=ConditionStatus.TRUE, since=START - 900),
        containers=(ContainerRequest(name="agent", requests_milli={CPU: 1000}),),
    )


@st.composite
def clusters(
    draw: st.DrawFn,
    *,
    scarce: bool = True,
    measured: bool = True,
    overridden: bool = True,
    most: int = 6,
    counts: bool | None = None,
) -> Cluster:
    """A fleet after a past of its own, and after sizes were set by hand. With `counts` its pools
    are sized by what was learned; None is either.
    """
    fleet = draw(fleets(scarce=scarce, measured=measured, most=most))
    intents = draw(intents_for(fleet)) if overridden else Intents()
    around = draw(surroundings_of(fleet)) if scarce else None
    learns = draw(st.booleans()) if counts is None else counts
    beside = st.one_of(sights, halted_sights) if overridden else sights
    cluster = Cluster(
        fleet,
        draw(some_sizes),
        intents,
        around,
        counts=learns,
        sights=draw(st.lists(beside, min_size=1, max_size=3)),
    )
    if learns:
        cluster.live(SETTLING)
    times = draw(st.sampled_from([1, 1, 4])) if learns else 1
    cluster.live(draw(pasts) * times)
    by_hand = draw(st.one_of(st.none(), some_sizes))
    if by_hand is not None:
        cluster.resize(by_hand)
    return cluster


def of_pools(seen: Observation, changes: Mapping[PoolKey, Mapping[str, object]]) -> Observation:
    """The same view, these fields of these pools seen otherwise."""
    pools = {
        key: replace(pool, **changes[key]) if key in changes else pool
        for key, pool in seen.pools.items()
    }
    return replace(seen, pools=pools)

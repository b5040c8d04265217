"""A pool whose workers say what they do, as a tick sees it, and what is decided of it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import Pool
from controller.model.intents import Intents
from controller.model.memory import Memory, PendingWrite, PoolMemory, RecommendationRun
from controller.model.observation import (
    DELETED_FIRST,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Workers,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.worker_messages import PoolOrders, WorkerState
from support.asked import a_cap, intents_of
from support.planning import plan
from support.world import START, make_fleet, make_pool

POOL = replace(make_pool(maximum=20), cooldown_s=0.0)
OLD = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
MEMORY = PoolMemory(since=START - 9000, last_active_at=START - 9000, recommendations=(OLD,))


def pod(name: str, phase: PodPhase = PodPhase.READY, *, first: bool = False, **more: object) -> Pod:
    """A pod; with `first` it has the lowest deletion cost."""
    ready_at = START - 600 if phase is PodPhase.READY else None
    given: dict[str, object] = {"ready_at": ready_at, "created_at": START - 700.0, **more}
    cost = DELETED_FIRST if first else 0
    return Pod(name=name, phase=phase, deletion_cost=cost, **given)  # type: ignore[arg-type]


def state(name: str, busy: int = 0, *, pulling: bool = True, obeyed: int = 1) -> WorkerState:
    return WorkerState(worker=name, slots=1, busy=busy, pulling=pulling, obeyed=obeyed)


def crew(
    pods: Iterable[Pod],
    states: Iterable[WorkerState],
    *,
    told: tuple[str, ...] = (),
    orders: PoolOrders | None = None,
    revision: int = 1,
    silent: tuple[str, ...] = (),
    replicas: int | None = None,
    in_flight: int | None = None,
    workload: Workload | None = None,
) -> PoolObservation:
    """Work enough for the whole pool waits. By default so many messages are in flight as the
    workers say, and the Deployment asks for the pods that there are.
    """
    items, known = tuple(pods), tuple(states)
    size = len(items) if replicas is None else replicas
    flying = sum(each.busy for each in known) if in_flight is None else in_flight
    workers = Workers(
        states=known,
        orders=PoolOrders(drain=told) if orders is None else orders,
        revision=revision,
        silent=silent,
    )
    return PoolObservation(
        queue=Fresh(value=QueueDepth(pending=100, in_flight=flying), at=START),
        workload=Fresh(
            value=workload or Workload(replicas=size, current=size, updated=size), at=START
        ),
        pods=Fresh(value=Pods(ready=size, items=items), at=START),
        workers=Fresh(value=workers, at=START),
    )


def decide(
    seen: PoolObservation,
    target: int,
    *,
    pool: Pool = POOL,
    intents: Intents | None = None,
    now: float = START,
    asked_for: PendingWrite | None = None,
) -> Decision:
    """The decision about the pool, whose target is an operator's cap. `asked_for`: a write whose
    answer is not known.
    """
    asked = intents or intents_of(caps=(a_cap(pool=pool.key, replicas=target),))
    memory = Memory(pools={pool.key: replace(MEMORY, asked=asked_for)})
    result, _ = plan(Observation(pools={pool.key: seen}), make_fleet(pool), asked, memory, now)
    return result.decisions[pool.key]


def told(decision: Decision) -> tuple[str, ...]:
    """The pods that must stop pulling."""
    assert decision.drain is not None
    return decision.drain.orders.drain


def removable(decision: Decision) -> tuple[str, ...]:
    assert decision.drain is not None
    return decision.drain.removable

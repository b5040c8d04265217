"""Pools beside replicas that stand by for them: one virtual cluster, sized by one `plan()`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, PoolObservation, StandBy, Workers
from controller.model.readings import Fresh
from controller.model.worker_messages import WorkerState
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept
from controller.planning.planner import plan
from controller.simulate.planned import RUNNING_S, START_AT, TICK_S, observed
from controller.simulate.trace import Trace
from controller.simulate.world import (
    GIVE_UP_S,
    NEVER,
    PoolRun,
    SeenPool,
    Standbys,
    VirtualPool,
    World,
    next_moment,
)

_NO_INTENTS: Final = Intents()
_Word = tuple[SeenPool, StandBy | None]
_AT_REST_S: Final = 60.0
"""It looks so often where nothing happens: what was learned fades."""


def with_standbys(
    trace: Trace,
    pools: Mapping[str, Pool],
    standbys: Iterable[Pool],
    alone: Mapping[str, PoolRun],
    world: World,
) -> dict[str, PoolRun]:
    """The runs of all pools and of those that stand by, each under its name. Pools for which none
    stands by run as they did `alone`.
    """
    runs = dict(alone)
    for standby in standbys:
        served = [name for name in trace.pools if pools[name].key in standby.serves]
        if served:
            cluster = SharedCluster(trace, {name: pools[name] for name in served}, standby, world)
            *own, theirs = cluster.run()
            runs |= zip(served, own, strict=True)
            runs[standby.key] = theirs
    return runs


class SharedCluster:
    """Pools of a trace and the standbys that serve them all. It looks once a second after an event,
    and every few seconds while an idle replica might be removed.
    """

    def __init__(
        self, trace: Trace, pools: Mapping[str, Pool], standby: Pool, world: World
    ) -> None:
        self._end_s = trace.end_s
        own = [
            replace(pool, key=pool_key(pool.tenant, f"p{number}"))
            for number, pool in enumerate(pools.values())
        ]
        self._pools = [
            VirtualPool(trace.pools[name], of_pool(world, pool), trace.end_s)
            for name, pool in pools.items()
        ]
        self._standbys = Standbys(self._pools, of_pool(world, standby), trace.end_s)
        standby = replace(standby, serves=tuple(pool.key for pool in own))
        self._every: list[tuple[PoolKey, VirtualPool]] = [
            *zip(standby.serves, self._pools, strict=True),
            (standby.key, self._standbys),
        ]
        self._terms = compile_fleet(Fleet(pools=(*own, standby)))
        self._memory = Memory()
        self._kept: Kept | None = None
        self._known: dict[PoolKey, tuple[_Word, float, PoolObservation]] = {}

    def run(self) -> list[PoolRun]:
        """The runs of the pools, in their order, and that of the standbys."""
        every = [pool for _, pool in self._every]
        next_at = [pool.next_at() for pool in every]
        now = look_at = 0.0
        while True:
            event_at = min(next_at)
            if event_at > look_at:
                patience_s = GIVE_UP_S if any(pool.queue for pool in every) else 0.0
                if event_at == NEVER and look_at > self._end_s + patience_s:
                    break
                now = look_at
                look_at = self._look(now)
                next_at = [pool.next_at() for pool in every]
                continue
            now, number = event_at, next_at.index(event_at)
            every[number].happen(now)
            next_at[number], next_at[-1] = every[number].next_at(), every[-1].next_at()
            look_at = min(look_at, next_moment(now, TICK_S))
        return [pool.ended(max(now, self._end_s)) for pool in every]

    def _look(self, now: float) -> float:
        """Size every pool by one plan, and say when to look again."""
        at = START_AT + now
        seen = [(key, pool, pool.seen()) for key, pool in self._every]
        observation = Observation(pools=self._observed([one for _, _, one in seen], at))
        made = plan(observation, self._terms, _NO_INTENTS, self._memory, at, self._kept)
        self._memory, self._kept = made.memory, made.kept
        look_at = now + _AT_REST_S
        for key, pool, one in seen:
            decision = made.plan.decisions[key]
            asked = one.replicas if decision.next is None else decision.next
            pool.resize(max(asked, min(one.busy, one.replicas)), now)
            if (decision.demand or 0) > asked:
                look_at = now + TICK_S
            elif asked > one.busy:
                look_at = min(look_at, now + RUNNING_S)
        return look_at

    def _observed(self, seen: Sequence[SeenPool], at: float) -> dict[PoolKey, PoolObservation]:
        """The observation of each pool; the one before while it is young and nothing changed."""
        *own, theirs = seen
        idle, pools = theirs.ready - theirs.busy, {}
        # how many are free beyond its messages changes nothing for a pool
        words: list[_Word] = [
            (one, StandBy(busy=busy, free=min(idle, one.pending + 1)))
            for one, busy in zip(own, self._standbys.busy_for(), strict=True)
        ]
        for (key, _), word in zip(self._every, [*words, (theirs, None)], strict=True):
            known = self._known.get(key)
            if known is None or known[0] != word or at - known[1] >= RUNNING_S:
                known = self._known[key] = word, at, _observation(*word, at)
            pools[key] = known[2]
        return pools


def _observation(seen: SeenPool, stand_by: StandBy | None, at: float) -> PoolObservation:
    """What is observed of a pool with standbys, or without of the standbys. Those are removed as a
    virtual pool's replicas are, idle ones first, so that none needs to be told to stop.
    """
    if stand_by is not None:
        return replace(observed(seen, at), stand_by=stand_by)
    states = tuple(
        WorkerState(worker=f"{number}", slots=1, busy=int(number < seen.busy), pulling=True)
        for number in range(seen.ready)
    )
    workers = Fresh(value=Workers(states=states), at=at)
    return replace(observed(seen, at), workers=workers, unmarkable="a virtual pool")


def of_pool(world: World, pool: Pool) -> World:
    """The cluster as this pool has it."""
    return world._replace(slots=pool.slots, least=pool.min)

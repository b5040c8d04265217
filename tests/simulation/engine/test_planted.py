"""Faults that are planted in the product from outside, one at a time, each with the rule and a seed
that finds it: `PYTHONPATH=.:tests python -m simulation.engine.test_planted` counts the seeds that
do, of all faults or of those whose names have one of the given words.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pytest
from msgspec.structs import replace

from controller.engine.intents import Switches
from controller.engine.lead import Elector, WriteRight
from controller.engine.loop import Planner
from controller.engine.memory import Keeper
from controller.engine.supervise import SystemClock
from controller.kube.writes import ClusterActuator, KubernetesLease
from controller.model.decision import Outcome, OutcomeKind
from controller.model.fleet import Behavior, Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import IntentKind, Intents
from controller.model.memory import Memory, SavedMemory
from controller.model.observation import Observation, PoolObservation, QueueDepth
from controller.model.readings import Fresh, Stale, last_known
from controller.nats.bucket import BucketEntry
from controller.nats.intents import IntentBucket
from controller.nats.jetstream import NatsError
from controller.nats.state import MemoryBucket
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.memo import Kept, Planned
from controller.planning.planner import plan
from simulation.engine.controller import Parts
from simulation.engine.eyes import WorkerView
from simulation.engine.history import play
from simulation.engine.world import SHORT, STEPS

WITHIN: Final = 100
"""Of so many seeds at least one finds each."""


class Planted(NamedTuple):
    """What is wrong, in which part of a process, and by what rule which seed finds it."""

    words: str
    parts: Parts
    rule: str
    seed: int

    def is_found(self, seed: int) -> bool:
        """Whether its own rule finds it in this history."""
        return self.rule in (play(seed, parts=self.parts).broken or "")


def _planning(
    *,
    observation: Callable[[Observation], Observation] = lambda it: it,
    fleet: Callable[[Fleet], Fleet] = lambda it: it,
    intents: Callable[[Intents], Intents] = lambda it: it,
    memory: Callable[[Memory], Memory] = lambda it: it,
) -> Parts:
    """A planner that is handed something else."""
    compiled: dict[int, tuple[FleetTerms, FleetTerms]] = {}

    def wrong(
        seen: Observation,
        terms: FleetTerms,
        asked: Intents,
        known: Memory,
        now: float,
        _: Kept | None = None,
    ) -> Planned:
        if id(terms) not in compiled:
            compiled[id(terms)] = terms, compile_fleet(fleet(terms.fleet))
        _, others = compiled[id(terms)]
        return plan(observation(seen), others, intents(asked), memory(known), now, None)

    planner: Planner = wrong
    return Parts(plan=planner)


def _without(*kinds: IntentKind) -> Parts:
    def left(asked: Intents) -> Intents:
        return Intents(asked=tuple(each for each in asked if each.kind not in kinds))

    return _planning(intents=left)


def _of_pools_only(asked: Intents) -> Intents:
    return Intents(asked=tuple(each for each in asked if each.scope.pool is not None))


def _pools(change: Callable[[Pool], Pool]) -> Parts:
    return _planning(
        fleet=lambda fleet: replace(fleet, pools=tuple(change(pool) for pool in fleet.pools))
    )


def _seen(change: Callable[[PoolObservation], PoolObservation]) -> Parts:
    def changed(seen: Observation) -> Observation:
        return replace(seen, pools={key: change(each) for key, each in seen.pools.items()})

    return _planning(observation=changed)


def _all_fresh(reading: Any) -> Any:
    known = None if reading is None else last_known(reading)
    return reading if known is None else Fresh(value=known, at=reading.at)


def _nothing_waits(seen: PoolObservation) -> PoolObservation:
    if isinstance(seen.queue, Fresh) and seen.queue.value.pending >= 0:
        return seen
    return replace(seen, queue=Fresh(value=QueueDepth(pending=0, in_flight=0), at=seen.queue.at))


def _idle(seen: PoolObservation) -> PoolObservation:
    workers = seen.workers
    if not isinstance(workers, Fresh):
        return seen
    states = tuple(replace(each, busy=0, pulling=False) for each in workers.value.states)
    return replace(seen, workers=replace(workers, value=replace(workers.value, states=states)))


def _nothing_used(seen: Observation) -> Observation:
    tenants = {
        name: replace(
            each, usage=replace(each.usage, value=replace(each.usage.value, used=Decimal(0)))
        )
        if isinstance(each.usage, Fresh | Stale)
        else each
        for name, each in seen.tenants.items()
    }
    return replace(seen, tenants=tenants)


def _warm(memory: Memory) -> Memory:
    return replace(memory, pools={k: replace(each, since=0.0) for k, each in memory.pools.items()})


class _Deaf(IntentBucket):
    """Every second change is lost."""

    heard = 0

    def changed(self, entry: BucketEntry) -> None:
        self.heard += 1
        if self.heard % 2:
            super().changed(entry)


class _Forgetful(IntentBucket):
    """What cannot be read is not in force."""

    def lost(self, error: NatsError) -> None:
        super().lost(error)
        self.found({}, is_another=False)


class _Anew(IntentBucket):
    """Another bucket is taken for the one that was."""

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        del is_another
        super().found(entries, is_another=False)


class _Unversioned(ClusterActuator):
    async def scale(self, pool: Pool, replicas: int, version: str, *, urgent: bool) -> Outcome:
        del version
        return await super().scale(pool, replicas, "", urgent=urgent)


class _Stubborn(ClusterActuator):
    """After a conflict the same number is written over the newer version."""

    async def scale(self, pool: Pool, replicas: int, version: str, *, urgent: bool) -> Outcome:
        found = await super().scale(pool, replicas, version, urgent=urgent)
        if found.kind is OutcomeKind.CONFLICT:
            newer = str(int(version) + 1)
            found = await super().scale(pool, replicas, newer, urgent=urgent)
        return found


class _Twice(ClusterActuator):
    """A write without an answer is sent again."""

    async def scale(self, pool: Pool, replicas: int, version: str, *, urgent: bool) -> Outcome:
        found = await super().scale(pool, replicas, version, urgent=urgent)
        if found.kind in {OutcomeKind.UNKNOWN, OutcomeKind.APPLIED}:
            found = await super().scale(pool, replicas + 1, version, urgent=urgent)
        return found


class _Markless(ClusterActuator):
    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        del pool, pod, cost
        return Outcome(kind=OutcomeKind.APPLIED)


class _Switchless(Switches):
    def allow(self) -> bool:
        return True


class _Lasting(WriteRight):
    """It does not end with time."""

    def may_write(self) -> bool:
        return self._until > 0


class _Late(WriteRight):
    """It counts from the answer, and a little longer."""

    def extend(self, until: float) -> None:
        super().extend(until + 3.0)


class _Stolen(KubernetesLease):
    """Whoever holds it, it is free."""

    async def read(self) -> Any:
        found = await super().read()
        return None if found is None else replace(found, holder="", duration_s=1.0)


class _Keen(Elector):
    def unable(self, why: str) -> None:
        del why


class _Wall(SystemClock):
    """Steps of the system's clock are not followed."""

    def follow_step(self) -> float:
        super().follow_step()
        return 0.0


class _Windowless(MemoryBucket):
    """The windows of an earlier process are forgotten."""

    async def load(self) -> SavedMemory | None:
        left = await super().load()
        if left is None:
            return None
        pools = {
            key: replace(
                each, recommendations=each.recommendations[-1:], active_since=None, since=0.0
            )
            for key, each in left.memory.pools.items()
        }
        return replace(left, memory=replace(left.memory, pools=pools))


class _Absent(Keeper):
    """Nothing is read of what an earlier process left."""

    async def recall(self) -> Memory:
        await super().recall()
        return Memory()

    async def take_over(self, watched: Callable[[], Memory]) -> Memory | None:
        await super().take_over(watched)
        return Memory()


class _Unread(Keeper):
    """Intents are taken only from the second minute on."""

    def intents(self) -> Intents:
        return Intents() if self._clock.monotonic() - self._began < 60.0 else super().intents()


class _Untold(WorkerView):
    """Workers are told nothing."""

    async def tell(self, pool: PoolKey, orders: Any) -> None:
        del pool, orders


class _Hopeful(WorkerView):
    """What workers said last is true, heard or not."""

    def read(self, pool: PoolKey) -> Any:
        return _all_fresh(super().read(pool))


def _with(behavior: Behavior, **changes: Any) -> Behavior:
    return replace(behavior, scale_down=replace(behavior.scale_down, **changes))


PLANTED: Final[Collection[Planted]] = (
    Planted("a pause is dropped", _without(IntentKind.PAUSE), "though a pause has stood", 0),
    Planted("a freeze is dropped", _without(IntentKind.FREEZE), "though a freeze has stood", 7),
    Planted(
        "a stop of growth is dropped",
        _without(IntentKind.NO_GROWTH),
        "though a no-growth has stood",
        6,
    ),
    Planted("a cap is dropped", _without(IntentKind.CAP), "though a cap has stood", 5),
    Planted("a pin is dropped", _without(IntentKind.PIN), "though a pin has stood", 93),
    Planted(
        "an intent for more than a pool is dropped",
        _planning(intents=_of_pools_only),
        "has stood for",
        0,
    ),
    Planted("an intent is lost", Parts(intents=_Deaf), "has stood for", 6),
    Planted("intents that cannot be read end", Parts(intents=_Forgetful), "has stood for", 13),
    Planted("intents of a deleted bucket end", Parts(intents=_Anew), "has stood for", 70),
    Planted("a process begins without intents", Parts(keeper=_Unread), "has stood for", 0),
    Planted(
        "a write has no resourceVersion", Parts(actuator=_Unversioned), "over version '', saw", 0
    ),
    Planted("a conflict is written over", Parts(actuator=_Stubborn), "over version", 1),
    Planted("a write is sent twice", Parts(actuator=_Twice), "was decided", 0),
    Planted("pods are not marked", Parts(actuator=_Markless), "replicas without work", 0),
    Planted(
        "a full journal stops no write", Parts(switches=_Switchless), "though a switch is on", 47
    ),
    Planted(
        "two write: the right does not end", Parts(right=_Lasting), "after its right had ended", 14
    ),
    Planted("two write: the right ends late", Parts(right=_Late), "after its right had ended", 15),
    Planted("two write: the lease is always free", Parts(lease=_Stolen), " leads", 0),
    Planted("who cannot decide keeps the lease", Parts(elector=_Keen), "keeps the lease", 22),
    Planted("a step of the clock is not followed", Parts(clock=_Wall), " needed ", 10),
    Planted("a window is forgotten at a kill", Parts(memories=_Windowless), " needed ", 14),
    Planted("memory is not read", Parts(keeper=_Absent), "has not come to rest", 13),
    Planted(
        "a reload forgets the memory",
        Parts(handover=lambda left: left._replace(memory=Memory())),
        "at most at once",
        31,
    ),
    Planted(
        "there is no cooldown", _pools(lambda it: replace(it, cooldown_s=0.0)), "it cools down", 2
    ),
    Planted("there is no warm-up gate", _planning(memory=_warm), "seen for the first time", 19),
    Planted(
        "there is no window",
        _pools(lambda it: replace(it, behavior=_with(it.behavior, stabilization_window_s=0))),
        "seen for the first time",
        0,
    ),
    Planted(
        "there are no steps",
        _pools(lambda it: replace(it, behavior=SHORT) if it.behavior == STEPS else it),
        "at most at once",
        0,
    ),
    Planted(
        "a pool grows above its max",
        _pools(lambda it: replace(it, max=it.max + 1)),
        "above its max",
        0,
    ),
    Planted(
        "a pool shrinks below its min", _pools(lambda it: replace(it, min=0)), "below its min", 0
    ),
    Planted("an unknown queue is empty", _seen(_nothing_waits), "without knowing its work", 7),
    Planted(
        "half a list of pods is all",
        _seen(lambda it: replace(it, pods=_all_fresh(it.pods))),
        "without a view of it",
        6,
    ),
    Planted(
        "an old view of a workload is good",
        _seen(lambda it: replace(it, workload=_all_fresh(it.workload), pods=_all_fresh(it.pods))),
        "without a view of it",
        4,
    ),
    Planted("a busy worker is deleted", _seen(_idle), "was stopped at work", 0),
    Planted("workers are told nothing", Parts(workers=_Untold), "replicas without work", 0),
    Planted(
        "workers that are not heard are known",
        Parts(workers=_Hopeful),
        "does not hear its workers",
        7,
    ),
    Planted("a spent budget is not seen", _planning(observation=_nothing_used), "budget", 0),
)


@pytest.mark.timeout(300)  # of a busy machine; a history takes a third of a second
@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.words)
def test_a_planted_fault_is_found_by_its_own_rule(planted: Planted) -> None:
    assert planted.seed < WITHIN
    assert planted.is_found(planted.seed)


if __name__ == "__main__":
    for each in PLANTED:
        if not sys.argv[1:] or any(word in each.words for word in sys.argv[1:]):
            seeds = [seed for seed in range(WITHIN) if each.is_found(seed)]
            print(
                f"{each.words}: {len(seeds)} of {WITHIN} seeds, the first {seeds[:3]}", flush=True
            )

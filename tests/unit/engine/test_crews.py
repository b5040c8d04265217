"""The engine tells workers what the plan says, marks their pods, and only then lowers a pool."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace

from controller.engine.actuate import IN_FLIGHT_LIMIT
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.memory import Memory, SavedMemory
from controller.model.observation import DELETED_FIRST, Workers
from controller.model.readings import Fresh, Reading
from controller.model.worker_messages import PoolOrders, WorkerState
from controller.ports import StoreAwayError
from support.asked import a_freeze, a_pause, intents_of
from support.crews import MEMORY, pod, state
from support.world import START, make_pool, settle
from unit.engine.conftest import Harness

POOL = replace(make_pool(minimum=1), cooldown_s=0.0)


class FakeWorkers:
    """Workers of which a test says what they say."""

    def __init__(self) -> None:
        self.readings: dict[PoolKey, Reading[Workers]] = {}
        self.told: list[tuple[PoolKey, PoolOrders]] = []
        self.released: list[PoolKey] = []
        self.error: StoreAwayError | None = None
        self._callback: Callable[[PoolKey], None] = lambda _: None

    def say(self, pool: PoolKey, *states: WorkerState) -> None:
        known = self._known(pool)
        self.readings[pool] = Fresh(value=replace(known, states=states), at=START)
        self._callback(pool)

    def read(self, pool: PoolKey) -> Reading[Workers] | None:
        return self.readings.setdefault(pool, Fresh(value=Workers(), at=START))

    def is_unconfirmed(self, pool: PoolKey) -> bool:
        known = self._known(pool)
        heard = {*known.silent, *(each.worker for each in known.states)}
        return not heard.issuperset(known.orders.drain)

    async def tell(self, pool: PoolKey, orders: PoolOrders) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((pool, orders))
        known = self._known(pool)
        silent = tuple(sorted(set(orders.drain) - {each.worker for each in known.states}))
        after = replace(known, orders=orders, revision=known.revision + 1, silent=silent)
        self.readings[pool] = Fresh(value=after, at=START)

    async def release(self, pools: Collection[PoolKey]) -> None:
        self.released += pools

    async def first_read(self, _: float) -> None:
        return

    def on_change(self, callback: Callable[[PoolKey], None]) -> None:
        self._callback = callback

    def problem(self) -> str:
        return ""

    def _known(self, pool: PoolKey) -> Workers:
        reading = self.read(pool)
        assert isinstance(reading, Fresh)
        return reading.value


def two_workers(*, writes: bool = True) -> tuple[Harness, FakeWorkers]:
    """A pool of two, one of them idle, with work for one."""
    workers = FakeWorkers()
    world = Harness(POOL, replicas=2, writes=writes, workers=workers)
    world.memories.kept = SavedMemory(memory=Memory(pools={POOL.key: MEMORY}), saved_at=START)
    world.cluster.items[POOL.key] = {name: pod(name) for name in ("busy", "idle")}
    world.queue(POOL, pending=0, in_flight=1)
    workers.say(POOL.key, state("busy", 1, obeyed=0), state("idle", obeyed=0))
    return world, workers


async def test_a_pool_is_lowered_after_its_worker_has_obeyed_and_its_pod_is_marked() -> None:
    world, workers = two_workers()
    async with world.running():
        await world.clock.advance(1.0)
        assert [orders.drain for _, orders in workers.told] == [("idle",)]
        assert (world.cluster.marks, world.cluster.writes) == ([], [])
        at = world.clock.now()
        workers.say(POOL.key, state("busy", 1), state("idle", pulling=False))
        await settle()
        assert world.cluster.marks == [("idle", DELETED_FIRST)]
        assert world.cluster.writes == [(POOL.key, 1, False)]
        assert world.clock.now() == at, "without waiting for the interval"


async def test_a_pod_that_stays_after_all_loses_its_mark() -> None:
    world, workers = two_workers()
    async with world.running():
        await world.clock.advance(1.0)
        workers.say(POOL.key, state("busy", 1), state("idle", pulling=False))
        world.cluster.items[POOL.key]["late"] = pod("late", first=True)
        await world.clock.advance(1.0)
        assert ("late", None) in world.cluster.marks
        assert world.cluster.items[POOL.key]["late"].deletion_cost == 0


async def test_what_cannot_be_told_is_a_finding_and_tried_again() -> None:
    world, workers = two_workers()
    workers.error = StoreAwayError("no answer")
    async with world.running():
        await world.clock.advance(2.0)
        findings = (await world.snapshot()).findings
        text = "its workers cannot be told: no answer"
        assert [each.text for each in findings if each.kind == "orders"] == [text]
        workers.error = None
        await world.clock.advance(2.0)
        assert len(workers.told) == 1
        assert not [each for each in (await world.snapshot()).findings if each.kind == "orders"]


async def test_where_pods_cannot_be_marked_a_finding_says_what_follows() -> None:
    world, workers = two_workers()
    world.cluster.refusal = "cannot patch pods"
    async with world.running():
        await world.clock.advance(1.0)
        [finding] = [each for each in (await world.snapshot()).findings if each.kind == "drain"]
    assert "Kubernetes chooses which of them go" in finding.text
    assert world.cluster.writes == [(POOL.key, 1, False)]
    assert [orders for _, orders in workers.told] == [PoolOrders()]


async def test_a_pause_is_told_to_more_pools_at_once_than_may_be_written() -> None:
    pools = [
        replace(make_pool(f"p{number}"), cooldown_s=0.0) for number in range(2 * IN_FLIGHT_LIMIT)
    ]
    workers = FakeWorkers()
    world = Harness(*pools, replicas=1, workers=workers)
    for each in pools:
        world.cluster.items[each.key] = {"a": pod("a")}
        world.queue(each, pending=5, in_flight=1)
        workers.say(each.key, state("a", 1, obeyed=0))
    async with world.running():
        await world.clock.advance(1.5)
        workers.told.clear()
        world.intents.set(intents_of(pauses=(a_pause(scope=Scope()),)), Scope())
        await settle()
        assert {pool for pool, orders in workers.told if not orders.pull} == {
            each.key for each in pools
        }


async def test_workers_that_begin_while_their_pool_is_paused_are_told_at_their_first_word() -> None:
    workers = FakeWorkers()
    world = Harness(POOL, replicas=2, workers=workers)
    world.queue(POOL, pending=2)
    async with world.running():
        await world.clock.advance(1.5)
        world.queue(POOL, pending=0, in_flight=2)
        world.intents.set(intents_of(pauses=(a_pause(scope=Scope()),)), Scope())
        await settle()
        # what an interval ago was not in flight is at work by now
        assert (workers.told, world.cluster.writes) == ([], [])
        workers.say(POOL.key, state("a", 1, obeyed=0), state("b", 1, obeyed=0))
        await settle()
        assert [orders.pull for _, orders in workers.told] == [False]
        assert world.cluster.writes == []


async def test_nobody_is_told_anything_by_a_controller_that_may_not_write_or_is_frozen() -> None:
    world, workers = two_workers(writes=False)
    async with world.running():
        await world.clock.advance(3.0)
    assert workers.told == []
    world, workers = two_workers()
    world.intents.set(intents_of(freezes=(a_freeze(scope=Scope()),)))
    async with world.running():
        await world.clock.advance(3.0)
    assert workers.told == []

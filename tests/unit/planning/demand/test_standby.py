"""Pools for which others stand by, and how many should stand by, as plan() decides it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controller.config import parse
from controller.model.decision import Code, Decision
from controller.model.intents import Intent, IntentKind, Intents, Scope
from controller.model.memory import BINS, ArrivalRate, Memory, NativeMemory, NativeState, PoolMemory
from controller.model.observation import (
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    StandBy,
    TenantObservation,
    TokenUsage,
    Workers,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.worker_messages import WorkerState
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept
from controller.planning.planner import plan
from tests.unit.planning.story import START, codes

FLEET = """
version: 1
nats: {servers: ["nats://nats.example:4222"]}
tenants: {acme: {tier: growth, budget: {tokens_per_day: 1000}}}
pools:
  - {name: research, tenant: acme, queue: {stream: T, consumer: a}, replicas: {max: 20}}
standby:
  - {name: spare, tenant: acme, pools: [research], least: 1, most: 9}
"""
POOL, SPARE = "acme/research", "acme/spare"
TERMS = compile_fleet(parse(FLEET, "fleet.yaml").fleet)


def learned(rate: float, service_s: float) -> NativeMemory:
    state = NativeState(
        at=START,
        arrivals=100,
        completions=100,
        moves=(0.0,) * (BINS - 1) + (1.0,),
        rate=ArrivalRate(slow=rate, slow_observed=20.0, fast_observed=20.0),
        worked_s=100 * service_s,
        worked=100.0,
    )
    return NativeMemory(learned=state, asked_at=START, pending=0, delivered=0)


class Street:
    """One pool and its standbys, tick by tick; a size that is decided is seen at the next tick."""

    def __init__(self, native: NativeMemory | None = None, replicas: int = 0) -> None:
        self.sizes = {POOL: replicas, SPARE: 3}
        since = START - 9000
        self.memory = Memory(
            pools={
                POOL: PoolMemory(since=since, native=native),
                SPARE: PoolMemory(since=since),
            }
        )
        self.now, self.kept, self.intents = START, None, Intents()
        self.used = Decimal(0)

    def tick(
        self,
        pending: int = 0,
        in_flight: int = 0,
        *,
        busy: int = 0,
        free: int = 3,
        woken: bool = False,
    ) -> Decision:
        self.now += 1
        queue = QueueDepth(pending=pending, in_flight=in_flight)
        states = tuple(
            WorkerState(
                worker=f"spare-{number}",
                slots=1,
                busy=int(number < busy),
                pulling=True,
                works_for=POOL if number < busy else "",
            )
            for number in range(busy + free)
        )
        seen = {
            POOL: self._seen(
                POOL,
                queue=Fresh(value=queue, at=self.now),
                stand_by=StandBy(busy=busy, free=free),
                woken_at=self.now if woken else None,
                workers=Fresh(value=Workers(), at=self.now),
            ),
            SPARE: self._seen(
                SPARE,
                queue=Fresh(value=QueueDepth(pending=0, in_flight=0), at=self.now),
                workers=Fresh(value=Workers(states=states), at=self.now),
            ),
        }
        usage = Fresh(value=TokenUsage(used=self.used), at=self.now)
        observation = Observation(
            pools=seen,  # type: ignore[arg-type]
            tenants={"acme": TenantObservation(usage=usage)},
        )
        planned = plan(observation, TERMS, self.intents, self.memory, self.now, self.kept)
        self.memory, self.kept = planned.memory, planned.kept
        self.decisions = planned.plan.decisions
        for key, one in self.decisions.items():
            self.sizes[key] = one.next if one.next is not None else self.sizes[key]
        return self.decisions[POOL]  # type: ignore[index]

    def spare(self) -> Decision:
        return self.decisions[SPARE]  # type: ignore[index]

    def _seen(self, key: str, **parts: Any) -> PoolObservation:
        size = self.sizes[key]
        workload = Workload(replicas=size, current=size, ready=size, updated=size, available=size)
        return PoolObservation(
            workload=Fresh(value=workload, at=self.now),
            pods=Fresh(value=Pods(ready=size), at=self.now),
            **parts,
        )

    kept: Kept | None


def test_a_message_that_a_standby_has_taken_wakes_nothing_and_the_reason_says_so() -> None:
    street = Street()
    assert street.tick(woken=True).next == 0
    for _ in range(30):
        decision = street.tick(in_flight=1, busy=1, free=2)
        assert decision.next == 0
    (reason,) = [each for each in decision.reasons if each.code is Code.LEFT_TO_STANDBYS]
    assert (reason.numbers["busy"], reason.numbers["free"], reason.numbers["share"]) == (1, 2, 0.5)


def test_the_count_of_the_queue_may_come_before_the_word_of_the_standby() -> None:
    street = Street()
    assert street.tick(in_flight=1, busy=0, free=3).next == 0
    assert street.tick(in_flight=1, busy=1, free=2).next == 0


def test_where_none_is_free_the_pools_own_start_begins_with_the_same_message() -> None:
    assert Street().tick(pending=1, busy=3, free=0).next == 1
    assert Street().tick(woken=True, busy=3, free=0).next == 1


def test_without_a_word_of_standbys_the_pool_starts_as_if_there_were_none() -> None:
    assert Street().tick(pending=1, free=0).next == 1


def test_a_message_that_no_free_standby_takes_wakes_the_pool_after_two_seconds() -> None:
    street = Street()
    assert [street.tick(pending=1).next for _ in range(4)] == [0, 0, 1, 1]


def test_more_messages_than_are_free_wake_the_pool_at_once() -> None:
    assert (Street().tick(pending=4, free=3).next or 0) > 0


def test_a_pool_whose_work_keeps_more_than_half_of_one_busy_has_replicas_of_its_own() -> None:
    left, own = Street(learned(1 / 60, 20.0)), Street(learned(1 / 60, 40.0))
    assert left.tick(in_flight=1, busy=1, free=2).next == 0
    decision = own.tick(in_flight=1, busy=1, free=2)
    assert decision.next == 1
    assert Code.LEFT_TO_STANDBYS not in codes(decision)


def test_a_pools_own_replicas_keep_their_work() -> None:
    street = Street(replicas=1)
    assert street.tick(in_flight=1, busy=0, free=3).demand == 1


def test_so_many_stand_by_that_one_first_message_in_a_hundred_finds_none() -> None:
    street = Street(learned(1 / 60, 10.0))
    street.tick()
    # 9 s to ready, a message a minute: P(Poisson(0.15) > 1) = 1.02 %, > 2: 0.05 %
    reason = next(each for each in street.spare().reasons if each.code is Code.STANDS_BY)
    assert (reason.numbers["busy"], reason.numbers["free"]) == (0, 2)
    street.tick(in_flight=2, busy=2, free=1)
    assert street.spare().demand == 4
    assert street.sizes[SPARE] == 4


def test_a_pool_with_replicas_of_its_own_asks_for_no_standby() -> None:
    street = Street(learned(1.0, 40.0))
    street.tick()
    reason = next(each for each in street.spare().reasons if each.code is Code.STANDS_BY)
    assert reason.numbers["free"] == 0


def test_standbys_are_told_of_a_pause_and_of_a_spent_budget_of_a_pool_that_sleeps() -> None:
    street = Street()
    drain = street.tick().drain
    assert drain is not None
    assert drain.orders.pull
    pause = Intent(kind=IntentKind.PAUSE, scope=Scope(pool=POOL), who="ann", why="")  # type: ignore[arg-type]
    street.intents = Intents((pause,))
    drain = street.tick().drain
    assert drain is not None
    assert (drain.orders.pull, drain.orders.because) == (False, "pause")
    street.intents, street.used = Intents(), Decimal(2000)
    drain = street.tick().drain
    assert drain is not None
    assert (drain.orders.pull, drain.orders.because) == (False, "budget")


def test_nothing_kept_changes_a_decision() -> None:
    street = Street(learned(1 / 60, 10.0))
    for counts in ((1, 0, 0, 3), (0, 1, 0, 3), (0, 1, 1, 2), (2, 1, 1, 2), (0, 0, 0, 3)):
        pending, in_flight, busy, free = counts
        other = Street()
        other.sizes, other.memory, other.now = dict(street.sizes), street.memory, street.now
        street.tick(pending, in_flight, busy=busy, free=free)
        other.tick(pending, in_flight, busy=busy, free=free)
        assert street.decisions == other.decisions
        assert replace(street.memory) == other.memory

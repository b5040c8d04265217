"""What a plan takes over from the plan before, one rule at a time.

Each story changes one thing; a plan of all pools must be the same without anything kept.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import Behavior, Pool, ScalingRules, Schedule, Tenant, WeeklyWindow
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Budget, LlmModel, Price, Resources, TaskUsage
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept, Planned
from controller.planning.planner import plan
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.world import START, TIER, make_fleet, make_pool

OLD = RecommendationRun(replicas=0, first_at=START - 9000, last_at=START - 9000)
OBSERVED_FOR_LONG = PoolMemory(
    since=START - 9000, last_active_at=START - 9000, recommendations=(OLD,)
)
A, B, C = (make_pool(name, tenant=name, maximum=50, cooldown_s=0.0) for name in "abc")
UNSEEN = Absent(why=Why.NEVER_READ)


class Keeper:
    """Pools that have been observed for long, and a planner of them that keeps results."""

    def __init__(self, *pools: Pool, **fields: object) -> None:
        self.fleet = replace(make_fleet(*pools), **fields)
        self.terms = compile_fleet(self.fleet)
        self.seen: dict[str, PoolObservation] = {}
        self.tenants: dict[str, TenantObservation] = {}
        self.room: Reading[ClusterRoom] = UNSEEN
        self.under_way: dict[str, int] = {}
        self.intents = Intents()
        self.now = START
        self.memory = Memory(pools={pool.key: OBSERVED_FOR_LONG for pool in pools})
        self.kept: Kept | None = None
        self.changed: set[str] = set()

    def see(
        self,
        pool: Pool,
        pending: int,
        replicas: int,
        *,
        requests: Resources | None = None,
        items: tuple[Pod, ...] = (),
    ) -> None:
        """From now on the pool has so many messages and replicas."""
        workload = Workload(replicas=replicas, requests=requests or Resources())
        self.seen[pool.key] = PoolObservation(
            queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=self.now),
            workload=Fresh(value=workload, at=self.now),
            pods=Fresh(value=Pods(ready=replicas, items=items), at=self.now),
        )

    def lose(self, pool: Pool, replicas: int) -> None:
        """Its Deployment cannot be read any more."""
        known = Stale(value=Workload(replicas=replicas), at=self.now)
        self.seen[pool.key] = replace(self.seen[pool.key], workload=known)

    def limit(self, **resources: int) -> None:
        """What the nodes can hold, from now on."""
        self.room = Fresh(value=ClusterRoom(resources=Resources(**resources)), at=self.now)

    def use(self, tenant: str, tokens: int) -> None:
        """What the ledger says of a tenant, as of now."""
        usage = Fresh(value=TokenUsage(used=Decimal(tokens)), at=self.now)
        self.tenants = {tenant: TenantObservation(usage=usage)}

    def plan(self, *only: Pool, after_s: float = 1.0) -> dict[str, Decision]:
        """A plan so much later, of all pools or only of these; the decisions by the pools' names.

        A plan of all pools must be the same without anything kept.
        """
        self.now += after_s
        pools = {pool.key: self.seen[pool.key] for pool in only} if only else dict(self.seen)
        seen = Observation(
            pools=pools,  # type: ignore[arg-type]  # keys are texts here
            tenants=self.tenants,
            capacity=self.room,
            under_way=self.under_way,  # type: ignore[arg-type]
        )
        planned = plan(seen, self.terms, self.intents, self.memory, self.now, self.kept)
        if not only:
            anew = plan(seen, self.terms, self.intents, self.memory, self.now)
            assert planned.plan.decisions == anew.plan.decisions
            assert planned.memory == anew.memory
        self.changed = {key.partition("/")[2] for key in planned.changed}
        return self._after(planned)

    def rest(self) -> None:
        """Plan until nothing changes any more, as unseen writes do at their first repetition."""
        self.plan()
        while self.changed:
            self.plan()

    def _after(self, planned: Planned) -> dict[str, Decision]:
        self.memory, self.kept = planned.memory, planned.kept
        return {key.partition("/")[2]: each for key, each in planned.plan.decisions.items()}


def targets(decisions: dict[str, Decision]) -> dict[str, int | None]:
    return {name: each.target for name, each in decisions.items()}


def two() -> Keeper:
    """Two pools that have what they need, planned until nothing changes any more."""
    keeper = Keeper(A, B)
    keeper.see(A, 3, 3)
    keeper.see(B, 5, 5)
    for _ in range(3):
        keeper.plan()
    return keeper


def test_a_pool_of_which_nothing_has_changed_is_not_decided_again() -> None:
    keeper = two()
    before = keeper.plan()
    keeper.see(A, 7, 3)
    after = keeper.plan()
    assert keeper.changed == {"a"}
    assert after["b"] is before["b"]
    assert after["a"].next == 7


def test_a_pool_that_is_seen_otherwise_is_decided_again() -> None:
    keeper = two()
    keeper.see(B, 1, 5)
    assert keeper.plan()["b"].next == 1


def test_a_fleet_file_that_was_read_again_is_planned_anew() -> None:
    keeper = two()
    keeper.fleet = make_fleet(replace(A, max=2), B)
    keeper.terms = compile_fleet(keeper.fleet)
    assert keeper.plan()["a"].target == 2


def test_a_time_before_the_last_plan_is_planned_anew() -> None:
    keeper = two()
    keeper.intents = intents_of(pauses=(a_pause(scope=Scope(), until=keeper.now + 5),))
    assert keeper.plan(after_s=9)["a"].target == 3
    assert keeper.plan(after_s=-6)["a"].target == 0


def test_a_write_that_is_never_seen_is_asked_for_again_in_time() -> None:
    """Nothing is seen otherwise; only the memory of the write grows old."""
    keeper = two()
    keeper.see(A, 7, 3)
    keeper.plan()
    first = keeper.memory.pools[A.key].asked
    keeper.plan(after_s=31)
    again = keeper.memory.pools[A.key].asked
    assert first is not None
    assert again is not None
    assert (first.at, again.at) == (keeper.now - 31, keeper.now)


def test_a_cooldown_ends_in_time_though_nothing_else_happens() -> None:
    keeper = Keeper(replace(A, cooldown_s=5.0))
    keeper.see(A, 1, 1)
    keeper.plan()
    keeper.see(A, 0, 1)
    # the last plan that saw a message was one second before the first of these
    assert [keeper.plan()["a"].next for _ in range(6)] == [1, 1, 1, 1, 1, 0]


def test_an_upward_window_ends_in_time_though_nothing_else_happens() -> None:
    windows = Behavior(
        scale_up=ScalingRules(stabilization_window_s=5),
        scale_down=ScalingRules(stabilization_window_s=30),
    )
    keeper = Keeper(replace(A, behavior=windows))
    keeper.see(A, 1, 1)
    keeper.plan()
    keeper.see(A, 9, 1)
    assert [keeper.plan()["a"].next for _ in range(5)] == [1, 1, 1, 1, 9]


def test_a_window_that_opens_is_obeyed_in_that_minute() -> None:
    """START is 22:13:20 on a Tuesday."""
    quarter = WeeklyWindow(days=(1,), from_minute=22 * 60 + 15, until_minute=22 * 60 + 16)
    keeper = Keeper(replace(A, schedules=(Schedule(window=quarter, min=4),)))
    keeper.see(A, 1, 1)
    sizes = [keeper.plan(after_s=10.0)["a"].target for _ in range(17)]
    assert sizes == [1] * 9 + [4] * 6 + [1] * 2


def test_a_memory_that_was_lost_is_planned_with_anew() -> None:
    keeper = two()
    keeper.memory = Memory()
    keeper.plan()
    assert keeper.changed == {"a", "b"}
    assert keeper.memory.pools[A.key].since == keeper.now


@pytest.mark.parametrize(
    ("intents", "expected"),
    [
        (intents_of(pauses=(a_pause(scope=Scope()),)), {"a": 0, "b": 0}),
        (intents_of(pauses=(a_pause(scope=Scope(tenant="a")),)), {"a": 0, "b": 5}),
        (intents_of(pauses=(a_pause(scope=Scope(pool=B.key)),)), {"a": 3, "b": 0}),
        (intents_of(pins=(a_pin(pool=B.key, replicas=2),)), {"a": 3, "b": 7}),
    ],
)
def test_an_intent_that_comes_or_goes_is_obeyed_at_once(
    intents: Intents, expected: dict[str, int]
) -> None:
    keeper = two()
    keeper.intents = intents
    assert targets(keeper.plan()) == expected
    keeper.rest()
    keeper.intents = Intents()
    assert targets(keeper.plan()) == {"a": 3, "b": 5}


def test_an_intent_for_one_tenant_lets_no_other_pool_be_decided_again() -> None:
    keeper = two()
    keeper.intents = intents_of(freezes=(a_freeze(scope=Scope(tenant="a")),))
    keeper.plan()
    assert keeper.changed == {"a"}


def test_a_pool_that_is_being_written_is_decided_again_when_the_write_has_ended() -> None:
    keeper = two()
    keeper.under_way = {A.key: 3}
    assert list(keeper.plan()) == ["b"]
    keeper.plan()
    keeper.under_way = {}
    assert keeper.plan()["a"].next == 3


def test_a_pool_that_is_not_observed_any_more_has_no_decision() -> None:
    keeper = two()
    # another pool is observed that the fleet does not have, so this is no plan of a part
    keeper.seen[C.key] = keeper.seen.pop(B.key)
    assert list(keeper.plan()) == ["a"]


# what is shared


def scarce(keeper: Keeper, **resources: int) -> Keeper:
    """The same pools in a cluster with so much room, planned until nothing changes any more."""
    keeper.limit(**resources)
    for _ in range(3):
        keeper.plan()
    return keeper


def test_the_work_of_one_pool_changes_what_the_division_leaves_another() -> None:
    keeper = Keeper(A, B)
    keeper.see(A, 20, 3)
    keeper.see(B, 2, 2)
    scarce(keeper, replicas=10)
    assert keeper.plan()["a"].target == 8
    keeper.see(B, 4, 2)
    assert keeper.plan()["a"].target == 6


def test_a_size_that_another_row_limits_now_says_so() -> None:
    """A has 8 replicas beside one of B, which takes 2 CPU; then beside 2 of C without CPU."""
    keeper = Keeper(A, B, C)
    keeper.see(A, 20, 3, requests=Resources(cpu_milli=1000))
    keeper.see(B, 1, 1, requests=Resources(cpu_milli=2000))
    keeper.see(C, 0, 0)
    scarce(keeper, replicas=10, cpu_milli=10_000)
    assert keeper.plan()["a"].reasons[-1].numbers["row"] == "cpu"
    keeper.see(B, 0, 0, requests=Resources(cpu_milli=2000))
    keeper.see(C, 2, 2)
    after = keeper.plan()["a"]
    assert (after.target, after.reasons[-1].numbers["row"]) == (8, "replicas")


def test_the_reason_tells_the_numbers_of_the_row_as_it_is_now() -> None:
    keeper = Keeper(A)
    keeper.see(A, 20, 5, requests=Resources(cpu_milli=1000))
    scarce(keeper, cpu_milli=5_500)
    keeper.limit(cpu_milli=5_900)
    after = keeper.plan()["a"]
    assert (after.target, after.reasons[-1].numbers["capacity"]) == (5, 5_900)


def test_a_row_with_more_room_gives_more() -> None:
    keeper = Keeper(A, B)
    keeper.see(A, 20, 3)
    keeper.see(B, 20, 2)
    scarce(keeper, replicas=10)
    keeper.limit(replicas=12)
    assert targets(keeper.plan()) == {"a": 6, "b": 6}


def test_a_row_of_another_name_is_shared_by_as_well() -> None:
    keeper = Keeper(A, B)
    keeper.see(A, 20, 3)
    keeper.see(B, 20, 2)
    scarce(keeper, replicas=10)
    quota = TenantObservation(quota=Fresh(value=Resources(replicas=2), at=keeper.now))
    keeper.tenants = {"a": quota}
    after = keeper.plan()
    assert (after["a"].target, after["a"].bound) == (2, Bound.QUOTA)
    assert after["b"].target == 8


def test_a_row_that_takes_the_place_of_another_is_shared_by_its_own_pools() -> None:
    keeper = Keeper(A, B)
    keeper.see(A, 20, 3)
    keeper.see(B, 20, 2)
    scarce(keeper, replicas=10)
    keeper.room = UNSEEN
    keeper.tenants = {"a": TenantObservation(quota=Fresh(value=Resources(replicas=2), at=START))}
    assert targets(keeper.plan()) == {"a": 2, "b": 20}


def test_room_that_becomes_scarce_counts_what_an_unknown_deployment_takes() -> None:
    keeper = Keeper(A, B)
    keeper.see(A, 20, 3)
    keeper.see(B, 5, 5)
    keeper.plan()
    keeper.lose(B, 5)
    for _ in range(3):
        keeper.plan()
    keeper.limit(replicas=9)
    assert keeper.plan()["a"].target == 4


STUCK = Pod(name="p", phase=PodPhase.CRASHING)


def budgeted() -> tuple[Keeper, Pool, Pool]:
    """Two pools of a tenant with a hard budget, whose ledger was read just now. They should grow
    from 3 to 9, but a pod of each crashes again and again, so nothing is written.
    """
    usage = TaskUsage(input_tokens=1, seconds=Decimal(60))
    first, second = (
        replace(make_pool(name, maximum=50, cooldown_s=0.0), usage=usage) for name in "ab"
    )
    budget = Budget(tokens_per_day=1_000_000)
    keeper = Keeper(
        first, second, tenants=(Tenant(name="acme", tier=TIER, namespace="acme", budget=budget),)
    )
    keeper.use("acme", 10)
    for pool in (first, second):
        keeper.see(pool, 9, 3, items=(STUCK,))
    for _ in range(3):
        assert targets(keeper.plan()) == {"a": 9, "b": 9}
    assert keeper.changed == set()
    return keeper, first, second


def test_a_ledger_that_grows_too_old_holds_growth() -> None:
    keeper, _, _ = budgeted()
    assert targets(keeper.plan(after_s=590)) == {"a": 9, "b": 9}
    held = keeper.plan(after_s=20)
    assert targets(held) == {"a": 3, "b": 3}
    assert Code.USAGE_UNKNOWN in {reason.code for reason in held["a"].reasons}


def test_a_ledger_that_says_the_same_again_is_known_again() -> None:
    keeper, _, _ = budgeted()
    keeper.plan(after_s=700)
    keeper.use("acme", 10)
    assert targets(keeper.plan()) == {"a": 9, "b": 9}


def test_a_budget_that_is_spent_stops_the_pool_at_once() -> None:
    keeper, _, _ = budgeted()
    keeper.use("acme", 1_000_000)
    assert targets(keeper.plan()) == {"a": 0, "b": 0}


def test_a_limit_by_which_nothing_can_be_shared_keeps_every_pool() -> None:
    """A weight of nothing is no share; it matters only once there is a row."""
    keeper = Keeper(replace(A, weight=Decimal(0)), B)
    keeper.see(A, 3, 3)
    keeper.see(B, 9, 5)
    assert keeper.plan()["b"].next == 9
    keeper.plan()
    keeper.limit(replicas=100)
    assert keeper.plan()["b"].next == 5
    keeper.room = UNSEEN
    assert keeper.plan()["b"].next == 9


# room


def leaving(keeper: Keeper) -> Keeper:
    """Room for 10: C goes from 5 to nothing, A stays at 2, and B grows to 5 where it may."""
    keeper.see(A, 2, 2)
    keeper.see(B, 5, 0)
    keeper.see(C, 0, 5)
    return keeper


def test_a_pool_grows_once_another_has_left_the_room() -> None:
    keeper = leaving(Keeper(A, B, C))
    keeper.limit(replicas=10)
    before = keeper.plan()["b"]
    assert (before.target, before.next, before.gate) == (5, 3, Gate.ROOM)
    keeper.rest()
    keeper.see(C, 0, 1)
    assert keeper.plan()["b"].next == 5


def test_room_that_becomes_scarce_is_taken_by_an_unknown_deployment() -> None:
    keeper = leaving(Keeper(A, B, C))
    keeper.plan()
    keeper.lose(A, 2)
    for _ in range(3):
        keeper.plan()
    keeper.limit(replicas=10)
    assert keeper.plan()["b"].next == 3


def test_a_pool_that_is_being_written_takes_room_for_all_it_may_have_then() -> None:
    keeper = leaving(Keeper(A, B, C))
    keeper.limit(replicas=11)
    assert keeper.plan()["b"].next == 4
    keeper.under_way = {A.key: 4}
    assert keeper.plan()["b"].next == 2


def test_more_room_lets_a_pool_grow_at_once() -> None:
    keeper = leaving(Keeper(A, B, C))
    keeper.limit(replicas=10)
    for _ in range(3):
        assert keeper.plan()["b"].next == 3
    keeper.limit(replicas=11)
    assert keeper.plan()["b"].next == 4


def test_replicas_that_request_more_leave_less_room() -> None:
    keeper, small = leaving(Keeper(A, B, C)), Resources(cpu_milli=1)
    for pool, (pending, replicas) in {A: (2, 2), B: (5, 0), C: (0, 5)}.items():
        keeper.see(pool, pending, replicas, requests=small)
    keeper.limit(cpu_milli=10)
    for _ in range(3):
        assert keeper.plan()["b"].next == 3
    keeper.see(A, 2, 2, requests=Resources(cpu_milli=2))
    after = keeper.plan()["b"]
    assert (after.target, after.next) == (5, 1)


# alerts


def test_an_alert_that_another_pool_reaches_is_told_of_every_costly_pool() -> None:
    usage = TaskUsage(input_tokens=1_000_000, seconds=Decimal(3600))
    model = LlmModel(name="m", price=Price(input=Decimal(1), output=Decimal(1)))
    first, second = (
        replace(make_pool(name, maximum=50, cooldown_s=0.0), model="m", usage=usage)
        for name in "ab"
    )
    tenant = Tenant(name="acme", tier=TIER, namespace="acme", budget=Budget(usd_alert=Decimal(9)))
    keeper = Keeper(first, second, tenants=(tenant,), models=(model,))
    keeper.see(first, 3, 3)
    keeper.see(second, 5, 5)
    for _ in range(3):
        keeper.plan()
    assert keeper.changed == set()
    keeper.see(second, 6, 6)
    after = keeper.plan()
    assert keeper.changed == {"a", "b"}
    assert Code.COST_ALERT in {reason.code for reason in after["a"].reasons}
    keeper.see(second, 5, 5)
    keeper.plan()
    assert keeper.changed == {"a", "b"}


# plans of a part of the fleet


def test_after_a_plan_of_one_pool_the_others_are_divided_anew() -> None:
    first, second = (make_pool(name, maximum=50, cooldown_s=0.0) for name in "ab")
    keeper = Keeper(first, second)
    quota = TenantObservation(quota=Fresh(value=Resources(replicas=10), at=START))
    keeper.tenants = {"acme": quota}
    keeper.see(first, 20, 3)
    keeper.see(second, 2, 2)
    for _ in range(3):
        keeper.plan()
    keeper.see(second, 4, 2)
    assert keeper.plan(second)["b"].target == 4
    assert keeper.plan()["a"].target == 6


def test_after_a_plan_of_one_pool_the_room_it_left_is_given_to_others() -> None:
    keeper = leaving(Keeper(A, B, C))
    keeper.limit(replicas=10)
    for _ in range(3):
        keeper.plan()
    keeper.see(C, 0, 1)
    assert list(keeper.plan(C)) == ["c"]
    assert keeper.plan()["b"].next == 5


def test_an_intent_that_comes_with_a_plan_of_one_pool_is_for_the_others_as_well() -> None:
    keeper = two()
    keeper.intents = intents_of(pauses=(a_pause(scope=Scope()),))
    assert keeper.plan(A)["a"].target == 0
    assert keeper.plan()["b"].target == 0


def test_a_limit_that_changes_with_a_plan_of_one_pool_is_for_the_others_as_well() -> None:
    keeper, first, _ = budgeted()
    assert targets(keeper.plan(first, after_s=700)) == {"a": 3}
    assert keeper.plan()["b"].target == 3


def test_a_memory_that_was_lost_before_a_plan_of_one_pool_is_lost_for_the_others_as_well() -> None:
    keeper = two()
    keeper.memory = Memory(pools=dict.fromkeys(keeper.memory.pools, OBSERVED_FOR_LONG))
    keeper.plan(A)
    keeper.plan()
    assert keeper.changed == {"a", "b"}


def test_a_memory_that_changed_before_a_plan_of_one_pool_counts_in_the_next() -> None:
    keeper = two()
    keeper.see(B, 9, 5)
    keeper.plan()
    keeper.plan(A)
    keeper.plan(after_s=31)
    asked = keeper.memory.pools[B.key].asked
    assert asked is not None
    assert asked.at == keeper.now


def test_a_write_that_ends_before_a_plan_of_another_pool_is_decided_in_the_next() -> None:
    keeper = two()
    keeper.under_way = {B.key: 9}
    keeper.plan()
    keeper.under_way = {}
    assert list(keeper.plan(A)) == ["a"]
    assert keeper.plan()["b"].next == 5


def test_a_pool_that_is_being_written_is_decided_in_no_plan_of_a_part() -> None:
    keeper = Keeper(A, B, C)
    for pool in (A, B, C):
        keeper.see(pool, 3, 3)
    keeper.plan()
    keeper.under_way = {B.key: 9}
    keeper.see(B, 9, 3)
    assert list(keeper.plan(A, B)) == ["a"]

"""The order of a plan: what operators asked for, what is scarce, what is busy, what is held."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import (
    Behavior,
    Fleet,
    Pool,
    ScalingRules,
    Schedule,
    Tenant,
    Tier,
    WeeklyWindow,
)
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    Pacing,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.planning.whatif import Counterfactual, counterfactuals
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan, seen_pool

# Tuesday 2026-03-03 12:00 UTC
NOON = 1_772_539_200.0
HIGH, LOW = Tier(name="enterprise", priority=1000), Tier(name="starter", priority=100)
AT_ONCE = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0),
)


def tenant(name: str, tier: Tier = HIGH, **fields: object) -> Tenant:
    return replace(Tenant(name=name, tier=tier, namespace=name), **fields)


def pool(name: str, of: str = "acme", *, low: int = 0, high: int = 100, **fields: object) -> Pool:
    made = Pool(
        key=pool_key(of, name),
        name=name,
        tenant=of,
        namespace=of,
        deployment=name,
        stream="TASKS",
        consumer=f"{of}-{name}",
        behavior=AT_ONCE,
        min=low,
        max=high,
        cooldown_s=0.0,
    )
    return replace(made, **fields)


def seen(
    waiting: int, replicas: int, *, busy: int = 0, pods: Pods | None = None
) -> PoolObservation:
    return seen_pool(waiting, replicas, in_flight=busy, at=NOON, pods=pods or Pods(ready=replicas))


class World:
    """A fleet that has been observed for long, and one plan of it."""

    def __init__(self, *pools: Pool, tenants: tuple[Tenant, ...] = (), **fleet: object) -> None:
        owners = tenants or tuple(tenant(name) for name in sorted({each.tenant for each in pools}))
        self.fleet = replace(Fleet(tenants=owners, pools=pools), **fleet)
        self.seen: dict[PoolKey, PoolObservation] = {}
        self.intents = Intents()
        self.usage: dict[str, TenantObservation] = {}
        self.room: Fresh[ClusterRoom] | Absent = Absent(why=Why.NEVER_READ)

    def without(self, decision: Decision) -> dict[Bound, Counterfactual]:
        """What is said when the decision's *why* is opened, by the rule that is lifted."""
        found = counterfactuals(
            decision,
            observation=self.observation(),
            fleet=self.fleet,
            intents=self.intents,
            memory=self.memory(),
            now=NOON,
        )
        return {each.lifted: each for each in found}

    def observation(self) -> Observation:
        return Observation(pools=self.seen, tenants=self.usage, capacity=self.room)

    def memory(self) -> Memory:
        old = RecommendationRun(replicas=0, first_at=NOON - 9000, last_at=NOON - 9000)
        memory = PoolMemory(since=NOON - 9000, last_active_at=NOON - 9000, recommendations=(old,))
        return Memory(pools=dict.fromkeys(self.seen, memory))

    def decide(self) -> dict[str, Decision]:
        result, _ = plan(
            self.observation(),
            self.fleet,
            self.intents,
            self.memory(),
            NOON,
        )
        return {key.partition("/")[2]: each for key, each in result.decisions.items()}


def codes(decision: Decision) -> set[Code]:
    return {reason.code for reason in decision.reasons}


def one(world: World) -> Decision:
    [decision] = world.decide().values()
    return decision


def test_a_pause_takes_idle_replicas_and_lets_busy_ones_finish() -> None:
    world = World(pool("a", low=1))
    world.seen = {PoolKey("acme/a"): seen(9, 6, busy=4)}
    world.intents = intents_of(
        pauses=(a_pause(scope=Scope(tenant="acme"), who="mara", why="OPS-1"),)
    )
    decision = one(world)
    assert (decision.target, decision.next) == (0, 4)
    assert (decision.bound, decision.gate) == (Bound.PAUSE, Gate.BUSY)
    assert {Code.PAUSED, Code.BUSY} <= codes(decision)


def test_a_pause_that_keeps_some_is_floor_and_ceiling_at_once() -> None:
    world = World(pool("a"), pool("b"))
    world.seen = {PoolKey("acme/a"): seen(0, 5), PoolKey("acme/b"): seen(50, 5)}
    world.intents = intents_of(pauses=(a_pause(scope=Scope(), keep=2),))
    assert {name: each.next for name, each in world.decide().items()} == {"a": 2, "b": 2}


def test_an_intent_ends_when_its_time_is_over() -> None:
    world = World(pool("a"))
    world.seen = {PoolKey("acme/a"): seen(3, 1)}
    world.intents = intents_of(pauses=(a_pause(scope=Scope(), until=NOON),))
    assert one(world).next == 3


def test_a_pin_ends_when_its_time_is_over() -> None:
    world = World(pool("a"))
    world.seen = {PoolKey("acme/a"): seen(3, 1)}
    world.intents = intents_of(pins=(a_pin(pool="acme/a", replicas=2, until=NOON),))
    assert one(world).next == 3


def test_a_pause_stops_a_pool_where_a_row_is_shared() -> None:
    world = World(pool("a"), pool("b"), capacity=Capacity(resources=Resources(replicas=9)))
    world.seen = {PoolKey("acme/a"): seen(5, 5), PoolKey("acme/b"): seen(5, 5)}
    world.intents = intents_of(pauses=(a_pause(scope=Scope(pool="acme/a")),))
    assert {name: each.target for name, each in world.decide().items()} == {"a": 0, "b": 5}


def test_pinned_spares_stand_on_top_of_the_work_and_ceilings_win() -> None:
    world = World(pool("a", low=1, high=6), pool("b", low=1, high=20))
    world.seen = {PoolKey("acme/a"): seen(4, 4), PoolKey("acme/b"): seen(4, 4)}
    world.intents = intents_of(
        pins=(a_pin(pool="acme/a", replicas=3, who="mara"), a_pin(pool="acme/b", replicas=3))
    )
    decisions = world.decide()
    assert (decisions["a"].next, decisions["a"].bound) == (6, Bound.MAX)
    assert (decisions["b"].next, decisions["b"].bound) == (7, Bound.PIN)
    assert decisions["b"].recommendation == 4


def test_configured_spares_are_kept_beside_the_work() -> None:
    world = World(pool("a", low=1, high=20, warm=Warm(replicas=2)))
    world.seen = {PoolKey("acme/a"): seen(4, 4)}
    decision = one(world)
    assert (decision.recommendation, decision.next, decision.bound) == (4, 6, Bound.WARM)
    assert Code.WARM_SPARES in codes(decision)


def test_a_frozen_pool_stays_and_other_pools_get_none_of_its_part() -> None:
    world = World(pool("a"), pool("b"), capacity=Capacity(resources=Resources(replicas=10)))
    world.seen = {PoolKey("acme/a"): seen(0, 6), PoolKey("acme/b"): seen(50, 1)}
    world.intents = intents_of(freezes=(a_freeze(scope=Scope(pool="acme/a"), who="jon"),))
    decisions = world.decide()
    assert (decisions["a"].next, decisions["a"].gate) == (6, Gate.FREEZE)
    assert Code.FROZEN in codes(decisions["a"])
    assert (decisions["b"].target, decisions["b"].bound) == (4, Bound.CAPACITY)


def changed(work: int, replicas: int, **fields: object) -> PoolObservation:
    """A pool whose Deployment differs in these fields."""
    found = seen(work, replicas)
    assert isinstance(found.workload, Fresh)
    workload = Fresh(value=replace(found.workload.value, **fields), at=NOON)
    return replace(found, workload=workload)


def test_a_pool_with_another_autoscaler_stays_and_other_pools_get_none_of_its_part() -> None:
    world = World(pool("a"), pool("b"), capacity=Capacity(resources=Resources(replicas=10)))
    rival = changed(0, 6, autoscaler="HorizontalPodAutoscaler a")
    world.seen = {PoolKey("acme/a"): rival, PoolKey("acme/b"): seen(50, 1)}
    decisions = world.decide()
    assert (decisions["a"].target, decisions["a"].gate) == (6, Gate.CONTESTED)
    assert (decisions["b"].target, decisions["b"].bound) == (4, Bound.CAPACITY)


@pytest.mark.parametrize("running", [1, 15])
@pytest.mark.parametrize("annotation", ["autoscaling.keda.sh/paused", "agentdash.dev/freeze"])
def test_a_tenant_that_holds_itself_above_its_quota_takes_no_room_from_others(
    annotation: str, running: int
) -> None:
    world = World(
        pool("big", "acme"),
        pool("small", "initech"),
        pool("second", "initech"),
        tenants=(tenant("acme", HIGH), tenant("initech", LOW, quota=Resources(replicas=1))),
        capacity=Capacity(resources=Resources(replicas=16)),
    )
    world.seen = {
        PoolKey("acme/big"): seen(15, running),
        PoolKey("initech/small"): changed(0, 15, annotations={annotation: "true"}),
        PoolKey("initech/second"): seen(5, 0),
    }
    decisions = world.decide()
    assert decisions["big"].target == 15
    # replicas that run are not taken away; more of them wait for physical room
    assert decisions["big"].next == running
    assert (decisions["small"].target, decisions["small"].next) == (15, 15)
    assert (decisions["second"].target, decisions["second"].bound) == (0, Bound.QUOTA)


def test_what_a_tenant_holds_above_its_quota_leaves_nothing_to_its_other_pools() -> None:
    world = World(
        pool("large", requests=Resources(cpu_milli=3000)),
        pool("second", requests=Resources(cpu_milli=1000)),
        tenants=(tenant("acme", quota=Resources(cpu_milli=4000)),),
    )
    paused = {"autoscaling.keda.sh/paused": "true"}
    world.seen = {
        PoolKey("acme/large"): changed(0, 2, annotations=paused),
        PoolKey("acme/second"): seen(5, 0),
    }
    assert world.decide()["second"].target == 0


def test_an_open_schedule_replaces_min_and_max() -> None:
    office = Schedule(
        window=WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=8 * 60, until_minute=18 * 60),
        min=3,
        max=5,
    )
    world = World(pool("a", high=50, schedules=(office,)), pool("b", schedules=(office,)))
    world.seen = {PoolKey("acme/a"): seen(40, 4), PoolKey("acme/b"): seen(0, 4)}
    decisions = world.decide()
    assert (decisions["a"].next, decisions["a"].bound) == (5, Bound.SCHEDULE)
    assert (decisions["b"].next, decisions["b"].bound) == (3, Bound.SCHEDULE)
    assert Code.SCHEDULED in codes(decisions["b"])


def test_capacity_goes_to_the_higher_tier_but_every_tenant_with_work_keeps_one() -> None:
    world = World(
        pool("big", "acme"),
        pool("small", "initech"),
        tenants=(tenant("acme", HIGH), tenant("initech", LOW)),
        capacity=Capacity(resources=Resources(replicas=10)),
    )
    world.seen = {PoolKey("acme/big"): seen(50, 5), PoolKey("initech/small"): seen(50, 5)}
    decisions = world.decide()
    assert (decisions["big"].target, decisions["small"].target) == (9, 1)
    assert (decisions["big"].bound, decisions["small"].bound) == (Bound.CAPACITY, Bound.CAPACITY)
    [reason] = [each for each in decisions["small"].reasons if each.code is Code.CAPACITY]
    assert (reason.value, reason.numbers) == (1, {"row": "replicas", "capacity": 10.0})
    # no pool grows into room that another still takes
    assert (decisions["big"].next, decisions["big"].gate) == (5, Gate.ROOM)
    assert decisions["small"].next == 1
    assert world.without(decisions["small"])[Bound.BASELINE].target == 0
    assert Bound.BASELINE not in world.without(decisions["big"])


def test_busy_replicas_finish_before_another_pool_gets_their_share() -> None:
    world = World(
        pool("big", "acme"),
        pool("small", "initech"),
        tenants=(tenant("acme", HIGH), tenant("initech", LOW)),
        capacity=Capacity(resources=Resources(replicas=10)),
    )
    world.seen = {PoolKey("acme/big"): seen(50, 0), PoolKey("initech/small"): seen(0, 10, busy=10)}
    decisions = world.decide()
    assert (decisions["small"].target, decisions["small"].next) == (1, 10)
    assert decisions["small"].gate is Gate.BUSY
    assert (decisions["big"].target, decisions["big"].next) == (9, 0)


def test_the_smaller_of_a_quota_in_the_file_and_the_namespaces_counts() -> None:
    world = World(
        pool("a", requests=Resources(cpu_milli=500)),
        tenants=(tenant("acme", quota=Resources(replicas=12, cpu_milli=4000)),),
    )
    world.seen = {PoolKey("acme/a"): seen(50, 0)}
    assert (one(world).next, one(world).bound) == (8, Bound.QUOTA)
    world.usage = {"acme": TenantObservation(quota=Fresh(value=Resources(replicas=3), at=NOON))}
    assert one(world).next == 3
    assert Code.QUOTA in codes(one(world))


BUDGETED = tenant("acme", budget=Budget(tokens_per_day=1_000_000))
# one replica: 60 tasks an hour of 1,000 tokens, 1,000 tokens a minute
USAGE = TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60))


def used(tokens: int, at: float = NOON) -> dict[str, TenantObservation]:
    usage = TokenUsage(used=Decimal(tokens), burn_per_minute=Decimal(2000))
    return {"acme": TenantObservation(usage=Fresh(value=usage, at=at))}


@pytest.mark.parametrize(
    ("tokens", "target", "bound"),
    [
        pytest.param(100_000, 20, Bound.DEMAND, id="plenty"),
        # 200,000 left for 720 minutes: 277 tokens a minute, not even one replica, yet one is kept
        pytest.param(800_000, 1, Bound.BUDGET, id="warned"),
        pytest.param(1_000_000, 0, Bound.BUDGET, id="spent"),
        pytest.param(2_000_000, 0, Bound.BUDGET, id="overspent"),
    ],
)
def test_a_daily_budget_paces_and_then_stops(tokens: int, target: int, bound: Bound) -> None:
    world = World(pool("a", low=1, usage=USAGE), tenants=(BUDGETED,))
    world.seen = {PoolKey("acme/a"): seen(20, 20)}
    world.usage = used(tokens)
    decision = one(world)
    assert (decision.target, decision.bound) == (target, bound)


def test_a_spent_budget_beats_min_and_pins_and_lets_busy_replicas_finish() -> None:
    world = World(pool("a", low=2, usage=USAGE), tenants=(BUDGETED,))
    world.seen = {PoolKey("acme/a"): seen(5, 6, busy=3)}
    world.usage = used(1_000_000)
    world.intents = intents_of(pins=(a_pin(pool="acme/a", replicas=2),))
    decision = one(world)
    assert (decision.target, decision.next, decision.gate) == (0, 3, Gate.BUSY)
    assert Code.BUDGET_SPENT in codes(decision)


def test_a_budget_that_is_not_hard_warns_and_paces_only() -> None:
    soft = tenant("acme", budget=Budget(tokens_per_day=1_000_000, hard=False, pacing=Pacing.NEVER))
    world = World(pool("a", usage=USAGE), tenants=(soft,))
    world.seen = {PoolKey("acme/a"): seen(7, 2)}
    world.usage = used(3_000_000)
    assert one(world).next == 7


@pytest.mark.parametrize("usage", [{}, used(0, at=NOON - 601)], ids=["never-read", "too-old"])
def test_an_unknown_token_usage_holds_growth_and_nothing_else(
    usage: dict[str, TenantObservation],
) -> None:
    world = World(pool("up", usage=USAGE), pool("down", usage=USAGE), tenants=(BUDGETED,))
    world.seen = {PoolKey("acme/up"): seen(9, 2), PoolKey("acme/down"): seen(1, 4)}
    world.usage = usage
    decisions = world.decide()
    assert (decisions["up"].next, decisions["up"].bound) == (2, Bound.BUDGET)
    assert Code.USAGE_UNKNOWN in codes(decisions["up"])
    assert decisions["down"].next == 1


def test_money_per_hour_pays_for_so_many_replicas() -> None:
    # 60 tasks an hour of 800 x 2.50 + 200 x 10.00 USD per million tokens: 0.24 USD an hour each
    model = LlmModel(name="gpt", price=Price(input=Decimal("2.50"), output=Decimal("10.00")))
    world = World(
        pool("a", usage=USAGE, model="gpt"),
        tenants=(tenant("acme", budget=Budget(usd_per_hour=Decimal("1.20"))),),
        models=(model,),
    )
    world.seen = {PoolKey("acme/a"): seen(50, 0)}
    assert (one(world).next, one(world).bound) == (5, Bound.COST)


def test_a_shared_rate_limit_is_divided_over_all_pools_that_use_the_model() -> None:
    model = LlmModel(name="gpt", limits=RateLimits(requests_per_minute=6))
    world = World(
        pool("a", "acme", usage=USAGE, model="gpt"),
        pool("b", "globex", usage=USAGE, model="gpt"),
        models=(model,),
    )
    world.seen = {PoolKey("acme/a"): seen(50, 0), PoolKey("globex/b"): seen(50, 0)}
    decisions = world.decide()
    assert (decisions["a"].target, decisions["b"].target) == (3, 3)
    assert decisions["a"].bound is Bound.RATE
    private = replace(world.fleet, models=(replace(model, shared=False),))
    world.fleet = private
    assert {each.target for each in world.decide().values()} == {6}


def test_a_model_without_price_or_limit_is_no_ceiling() -> None:
    world = World(pool("a", usage=USAGE, model="gpt"), models=(LlmModel(name="gpt"),))
    world.seen = {PoolKey("acme/a"): seen(50, 0)}
    assert one(world).next == 50


def test_a_pool_whose_deployment_is_not_known_keeps_its_part() -> None:
    world = World(pool("a"), pool("b"), capacity=Capacity(resources=Resources(replicas=10)))
    world.seen = {
        PoolKey("acme/a"): replace(seen(0, 7), workload=lost(7)),
        PoolKey("acme/b"): seen(50, 0),
    }
    decisions = world.decide()
    assert decisions["a"].next is None
    assert decisions["b"].target == 3


def lost(replicas: int) -> Stale[Workload]:
    return Stale(value=Workload(replicas=replicas), at=NOON - 60, why=Why.DISCONNECTED)


def test_pods_that_fit_nowhere_stop_growth_but_nothing_else() -> None:
    stuck = Pods(
        ready=2,
        unscheduled=1,
        items=(Pod(name="x", phase=PodPhase.UNSCHEDULED, reason="Unschedulable"),),
    )
    world = World(pool("a"), pool("b"))
    world.seen = {
        PoolKey("acme/a"): seen(9, 3, pods=stuck),
        PoolKey("acme/b"): seen(1, 3, pods=stuck),
    }
    decisions = world.decide()
    assert (decisions["a"].next, decisions["a"].gate) == (3, Gate.NOT_BECOMING_READY)
    assert decisions["b"].next == 1


def test_a_pod_that_the_scheduler_has_not_seen_yet_is_not_stuck() -> None:
    fresh = Pods(unscheduled=1, items=(Pod(name="x", phase=PodPhase.UNSCHEDULED),))
    world = World(pool("a"))
    world.seen = {PoolKey("acme/a"): seen(9, 1, pods=fresh)}
    assert one(world).next == 9


def test_replicas_within_their_minimum_runtime_are_not_taken_back_for_sharing() -> None:
    young = Pods(
        ready=4,
        items=tuple(
            Pod(name=f"p{number}", phase=PodPhase.READY, ready_at=NOON - 30 * number)
            for number in range(4)
        ),
    )
    world = World(
        pool("a", minimum_runtime_s=60.0), capacity=Capacity(resources=Resources(replicas=1))
    )
    world.seen = {PoolKey("acme/a"): seen(50, 4, pods=young)}
    decision = one(world)
    assert (decision.target, decision.next, decision.gate) == (1, 2, Gate.MINIMUM_RUNTIME)


def test_numbers_that_cannot_be_calculated_with_change_nothing() -> None:
    world = World(pool("a", weight=Decimal(0)), capacity=Capacity(resources=Resources(replicas=10)))
    world.seen = {PoolKey("acme/a"): seen(50, 4)}
    decision = one(world)
    assert decision.next == 4
    assert Code.UNSHAREABLE in codes(decision)


def test_the_room_of_the_nodes_is_the_limit_where_it_is_smaller() -> None:
    world = World(pool("a"), capacity=Capacity(resources=Resources(replicas=10)))
    world.seen = {PoolKey("acme/a"): seen(50, 0)}
    world.room = Fresh(value=ClusterRoom(resources=Resources(replicas=4)), at=NOON)
    assert (one(world).next, one(world).bound) == (4, Bound.CAPACITY)

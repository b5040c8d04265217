"""The order of a plan: what operators asked for, what is scarce, what is busy, what is held."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Schedule, Tier, WeeklyWindow
from controller.model.intents import Scope
from controller.model.observation import (
    ClusterRoom,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    TenantObservation,
    Workload,
)
from controller.model.readings import Fresh, Stale, Why
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
from support.asked import a_freeze, a_pause, a_pin
from support.table import tabled
from unit.planning.world import HIGH, LOW, NOON, World, pool, seen, tenant, used

OFFICE = Schedule(
    window=WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=8 * 60, until_minute=18 * 60),
    min=3,
    max=5,
)
BUDGETED = tenant(budget=Budget(tokens_per_day=1_000_000))
# one replica: 60 tasks an hour of 1,000 tokens, 1,000 tokens a minute; 0.24 USD an hour
USAGE = TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60))
PRICED = LlmModel(name="gpt", price=Price(input=Decimal("2.50"), output=Decimal("10.00")))
LIMITED = LlmModel(name="gpt", limits=RateLimits(requests_per_minute=6))
PAID: dict[str, Any] = {"usage": USAGE, "model": "gpt"}
WAITING = Pod(name="x", phase=PodPhase.UNSCHEDULED)
STUCK = Pods(ready=2, unscheduled=1, items=(replace(WAITING, reason="Unschedulable"),))
YOUNG = Pods(
    ready=4,
    items=tuple(
        Pod(name=f"p{number}", phase=PodPhase.READY, ready_at=NOON - 30 * number)
        for number in range(4)
    ),
)


def places(replicas: int) -> Capacity:
    return Capacity(resources=Resources(replicas=replicas))


def changed(waiting: int, replicas: int, **fields: object) -> PoolObservation:
    """A pool whose Deployment differs in these fields."""
    workload = replace(Workload(replicas=replicas), **fields)
    return replace(seen(waiting, replicas), workload=Fresh(value=workload, at=NOON))


def held(waiting: int, replicas: int, name: str = "autoscaling.keda.sh/paused") -> PoolObservation:
    return changed(waiting, replicas, annotations={name: "true"})


LOST = Stale(value=Workload(replicas=7), at=NOON - 60, why=Why.DISCONNECTED)
TWO_TIERS = (tenant("acme", HIGH), tenant("initech", LOW))

# fmt: off
WORLDS: dict[str, tuple[World, dict[str, str]]] = {
    "a pause takes idle replicas and lets busy ones finish": (
        World({pool("a", min=1): seen(9, 6, 4)}, asked=(a_pause(scope=Scope(tenant="acme")),)),
        {"a": "4 (0) pause busy paused"}),
    "a pause that keeps some is floor and ceiling at once": (
        World({pool("a"): (0, 5), pool("b"): (50, 5)}, asked=(a_pause(scope=Scope(), keep=2),)),
        {"a": "2", "b": "2"}),
    "a pause stops a pool where a row is shared": (
        World({pool("a"): (5, 5), pool("b"): (5, 5)}, capacity=places(9),
              asked=(a_pause(scope=Scope(pool="acme/a")),)),
        {"a": "_ (0)", "b": "_ (5)"}),
    "pinned spares stand on top of the work and ceilings win": (
        World({pool("a", min=1, max=6): (4, 4), pool("b", min=1, max=20): (4, 4)},
              asked=(a_pin(pool="acme/a", replicas=3), a_pin(pool="acme/b", replicas=3))),
        {"a": "6 max", "b": "7 (7, 4) pin"}),
    "configured spares are kept beside the work": (
        World({pool("a", min=1, max=20, warm=Warm(replicas=2)): (4, 4)}),
        {"a": "6 (6, 4) warm warm_spares"}),
    "other pools get nothing of what a frozen pool has": (
        World({pool("a"): (0, 6), pool("b"): (50, 1)}, capacity=places(10),
              asked=(a_freeze(scope=Scope(pool="acme/a")),)),
        {"a": "6 freeze frozen", "b": "_ (4) capacity"}),
    "nor of one with another autoscaler": (
        World({pool("a"): changed(0, 6, autoscaler="HPA"), pool("b"): (50, 1)},
              capacity=places(10)),
        {"a": "6 (6) contested", "b": "_ (4) capacity"}),
    "nor of one whose deployment is not known": (
        World({pool("a"): replace(seen(0, 7), workload=LOST), pool("b"): (50, 0)},
              capacity=places(10)),
        {"a": "None", "b": "_ (3)"}),
    "what a tenant holds above its quota leaves nothing to its other pools": (
        World({pool("large", requests=Resources(cpu_milli=3000)): held(0, 2),
               pool("second", requests=Resources(cpu_milli=1000)): (5, 0)},
              tenant(quota=Resources(cpu_milli=4000))),
        {"second": "_ (0)"}),
    "an open schedule replaces min and max": (
        World({pool("a", max=50, schedules=(OFFICE,)): (40, 4),
               pool("b", schedules=(OFFICE,)): (0, 4)}),
        {"a": "5 schedule", "b": "3 schedule scheduled"}),
    "busy replicas finish before another pool gets their share": (
        World({pool("big"): (50, 0), pool("small", "initech"): seen(0, 10, 10)}, *TWO_TIERS,
              capacity=places(10)),
        {"small": "10 (1) busy", "big": "0 (9)"}),
    "the smaller of a quota in the file and the namespace's counts": (
        World({pool("a", requests=Resources(cpu_milli=500)): (50, 0)},
              tenant(quota=Resources(replicas=12, cpu_milli=4000))),
        {"a": "8 quota"}),
    "that of the namespace": (
        World({pool("a", requests=Resources(cpu_milli=500)): (50, 0)},
              tenant(quota=Resources(replicas=12, cpu_milli=4000)),
              of_tenants={"acme": TenantObservation(
                  quota=Fresh(value=Resources(replicas=3), at=NOON))}),
        {"a": "3 quota"}),
    "a budget with plenty left": (
        World({pool("a", min=1, usage=USAGE): (20, 20)}, BUDGETED,
              of_tenants={"acme": used(100_000)}),
        {"a": "_ (20) demand"}),
    # 200,000 left for 720 minutes: 277 tokens a minute, not even one replica, yet one is kept
    "a budget that warns paces": (
        World({pool("a", min=1, usage=USAGE): (20, 20)}, BUDGETED,
              of_tenants={"acme": used(800_000)}),
        {"a": "_ (1) budget"}),
    "a spent budget beats min and pins and lets busy replicas finish": (
        World({pool("a", min=2, usage=USAGE): seen(5, 6, 3)}, BUDGETED,
              of_tenants={"acme": used(1_000_000)}, asked=(a_pin(pool="acme/a", replicas=2),)),
        {"a": "3 (0) budget busy budget_spent"}),
    "an overspent one, too": (
        World({pool("a", usage=USAGE): (20, 20)}, BUDGETED, of_tenants={"acme": used(2_000_000)}),
        {"a": "_ (0) budget"}),
    "a budget that is neither hard nor paced only warns": (
        World({pool("a", usage=USAGE): (7, 2)},
              tenant(budget=Budget(tokens_per_day=1_000_000, hard=False, pacing=Pacing.NEVER)),
              of_tenants={"acme": used(3_000_000)}),
        {"a": "7"}),
    "an unknown token usage holds growth and nothing else": (
        World({pool("up", usage=USAGE): (9, 2), pool("down", usage=USAGE): (1, 4)}, BUDGETED),
        {"up": "2 budget usage_unknown", "down": "1"}),
    "one that is too old, too": (
        World({pool("up", usage=USAGE): (9, 2), pool("down", usage=USAGE): (1, 4)}, BUDGETED,
              of_tenants={"acme": used(0, at=NOON - 601)}),
        {"up": "2 budget usage_unknown", "down": "1"}),
    "money per hour pays for so many replicas": (
        World({pool("a", **PAID): (50, 0)}, tenant(budget=Budget(usd_per_hour=Decimal("1.20"))),
              models=(PRICED,)),
        {"a": "5 cost"}),
    "a shared rate limit is divided over all pools that use the model": (
        World({pool("a", **PAID): (50, 0), pool("b", "globex", **PAID): (50, 0)},
              models=(LIMITED,)),
        {"a": "_ (3) rate", "b": "_ (3) rate"}),
    "one of each tenant is not": (
        World({pool("a", **PAID): (50, 0), pool("b", "globex", **PAID): (50, 0)},
              models=(replace(LIMITED, shared=False),)),
        {"a": "_ (6) rate", "b": "_ (6) rate"}),
    "a model without price or limit is no ceiling": (
        World({pool("a", **PAID): (50, 0)}, models=(LlmModel(name="gpt"),)), {"a": "50"}),
    "pods that fit nowhere stop growth but nothing else": (
        World({pool("a"): seen(9, 3, pods=STUCK), pool("b"): seen(1, 3, pods=STUCK)}),
        {"a": "3 not_becoming_ready", "b": "1"}),
    "a pod that the scheduler has not seen yet is not stuck": (
        World({pool("a"): seen(9, 1, pods=Pods(unscheduled=1, items=(WAITING,)))}), {"a": "9"}),
    "replicas within their minimum runtime are not taken back for sharing": (
        World({pool("a", minimum_runtime_s=60.0): seen(50, 4, pods=YOUNG)}, capacity=places(1)),
        {"a": "2 (1) minimum_runtime"}),
    "numbers that cannot be calculated with change nothing": (
        World({pool("a", weight=Decimal(0)): (50, 4)}, capacity=places(10)),
        {"a": "4 unshareable"}),
    "the room of the nodes is the limit where it is smaller": (
        World({pool("a"): (50, 0)}, capacity=places(10), room=Resources(replicas=4)),
        {"a": "4 capacity"}),
    "a replica takes what its pods request": (
        World({pool("a"): changed(50, 1, requests=Resources(cpu_milli=500, memory_bytes=1000))},
              room=Resources(replicas=100, cpu_milli=8000, memory_bytes=10_000)),
        {"a": "_ (10)"}),
    "unless the fleet file says all that it takes": (
        World({pool("a", requests=Resources(cpu_milli=500)):
               changed(50, 1, requests=Resources(cpu_milli=500, memory_bytes=1000))},
              room=Resources(replicas=100, cpu_milli=8000, memory_bytes=10_000)),
        {"a": "_ (16)"}),
    "requests that are not known take nothing": (
        World({pool("a"): (50, 1)}, room=Resources(replicas=100, cpu_milli=8000)),
        {"a": "_ (50)"}),
    "classes of nodes limit by what the pods request": (
        World({pool("a", nodes=("spot", "on-demand")):
               changed(50, 1, requests=Resources(cpu_milli=500))},
              room=ClusterRoom(classes={"spot": Resources(cpu_milli=1000),
                                        "on-demand": Resources(cpu_milli=7000)})),
        {"a": "_ (16)"}),
    "a class without a known limit takes all that others cannot": (
        World({pool("a", nodes=("on-demand", "spot")):
               changed(50, 1, requests=Resources(cpu_milli=500))},
              room=ClusterRoom(classes={"spot": Resources(),
                                        "on-demand": Resources(cpu_milli=1000)})),
        {"a": "_ (50)"}),
    "classes that were never seen are no limit": (
        World({pool("a", nodes=("spot", "on-demand")):
               changed(50, 1, requests=Resources(cpu_milli=500))}), {"a": "_ (50)"}),
}
# fmt: on


@tabled("name", WORLDS)
def test_a_world(name: str) -> None:
    world, lines = WORLDS[name]
    world.expect(**lines)


@tabled("running", [1, 15])
@tabled("name", ["autoscaling.keda.sh/paused", "agentdash.dev/freeze"])
def test_a_tenant_that_holds_itself_above_its_quota_takes_no_room_from_others(
    name: str, running: int
) -> None:
    world = World(
        {
            pool("big"): (15, running),
            pool("small", "initech"): held(0, 15, name),
            pool("second", "initech"): (5, 0),
        },
        tenant("acme", HIGH),
        tenant("initech", LOW, quota=Resources(replicas=1)),
        capacity=places(16),
    )
    # replicas that run are not taken away; more of them wait for physical room
    world.expect(big=f"{running} (15)", small="15 (15) above_quota", second="_ (0) quota")


@tabled("name", ["autoscaling.keda.sh/paused", "agentdash.dev/freeze"])
@tabled("tier", [HIGH, LOW])
def test_what_a_tenant_holds_above_its_quota_is_paid_by_its_tier_and_by_no_higher_one(
    name: str, tier: Tier
) -> None:
    def world(waiting: int, beside: int) -> World:
        return World(
            {
                pool("big"): (waiting, beside),
                pool("small", "initech"): held(0, 5, name),
                pool("other", "globex"): (5, 5),
            },
            tenant("acme", HIGH),
            tenant("initech", tier, quota=Resources(replicas=3)),
            tenant("globex", LOW),
            capacity=places(18),
        )

    # 3 of 5 are within the quota; the other 2 are taken from who is not above initech
    decisions = world(10, 8).decide()
    assert {key: each.target for key, each in decisions.items()} == {
        "big": 10,
        "small": 5,
        "other": 3,
    }
    # enterprise pays for a tenant of its own tier alone, and a tenant with work keeps its baseline
    paid = 2 if tier is HIGH else 0
    world(15, 13).expect(big=f"_ ({14 - paid})", small="5 (5) above_quota", other="1 (1)")


def test_enterprise_grows_into_what_a_held_starters_tier_has_given_back() -> None:
    sizes = {"big": 8, "other": 5}
    for _ in range(2):
        world = World(
            {
                pool("big"): (10, sizes["big"]),
                pool("small", "initech"): held(0, 5),
                pool("other", "globex"): (5, sizes["other"]),
            },
            tenant("acme", HIGH),
            tenant("initech", LOW, quota=Resources(replicas=3)),
            tenant("globex", LOW),
            capacity=places(18),
        )
        sizes = {key: each.next or 0 for key, each in world.decide().items()}
    assert (sizes["big"], sizes["small"], sizes["other"]) == (10, 5, 3)


def test_capacity_goes_to_the_higher_tier_but_every_tenant_with_work_keeps_one() -> None:
    world = World(
        {pool("big"): (50, 5), pool("small", "initech"): (50, 5)}, *TWO_TIERS, capacity=places(10)
    )
    # no pool grows into room that another still takes
    world.expect(big="5 (9) capacity room", small="1 (1) capacity row=replicas capacity=10")
    decisions = world.decide()
    assert world.without(decisions["small"])[Bound.BASELINE].target == 0
    assert Bound.BASELINE not in world.without(decisions["big"])

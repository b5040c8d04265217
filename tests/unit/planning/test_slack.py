"""A pool is decided alone only where the plan of the whole fleet would say the same of it."""

from __future__ import annotations

from decimal import Decimal

from controller.planning.slack import Slack
from hypothesis import event, given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    Workload,
)
from controller.model.readings import Absent, Fresh, Why
from controller.model.scarcity import Capacity, LlmModel, Price, Resources, TaskUsage
from controller.model.schedule import CronWindow, Schedule
from support.planning import plan
from support.world import TIER, make_pool

NOW = 1_700_000_000.0
SMALL, LARGE = Resources(cpu_milli=100), Resources(cpu_milli=700)


def seen(pending: int, replicas: int, requests: Resources = SMALL) -> PoolObservation:
    return PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=NOW),
        workload=Fresh(value=Workload(replicas=replicas, requests=requests), at=NOW),
        pods=Fresh(value=Pods(ready=replicas), at=NOW),
    )


def fleet_of(*pools: Pool, **fields: object) -> Fleet:
    names = sorted({pool.tenant for pool in pools})
    tenants = tuple(Tenant(name=name, tier=TIER, namespace=f"tenant-{name}") for name in names)
    return replace(Fleet(tenants=tenants, pools=pools), **fields)


def room(**resources: int) -> Fresh[ClusterRoom]:
    return Fresh(value=ClusterRoom(resources=Resources(**resources)), at=NOW)


def decided(fleet: Fleet, observation: Observation) -> dict[PoolKey, Decision]:
    return plan(observation, fleet, Intents(), Memory(), NOW)[0].decisions


def slack(fleet: Fleet, observation: Observation) -> Slack:
    return Slack(fleet, observation, decided(fleet, observation), NOW)


A, B = make_pool("a", maximum=10), make_pool("b", maximum=10)


def test_what_could_be_wanted_must_fit_beside_what_the_others_have() -> None:
    fleet, pools = fleet_of(A, B), {A.key: seen(0, 0), B.key: seen(5, 5)}
    enough = slack(fleet, Observation(pools=pools, capacity=room(replicas=15)))
    assert enough.take([A])
    assert not slack(fleet, Observation(pools=pools, capacity=room(replicas=14))).take([A])


def test_what_is_set_aside_is_there_once_and_for_its_own_pool() -> None:
    fleet, pools = fleet_of(A, B), {A.key: seen(0, 0), B.key: seen(0, 0)}
    left = slack(fleet, Observation(pools=pools, capacity=room(replicas=19)))
    assert not left.take([A, B])
    assert left.take([A])
    assert left.take([A]), "it was set aside for it already"
    assert not left.take([B])


def test_every_row_counts_by_what_the_pods_request() -> None:
    fleet = fleet_of(A, B)
    pools = {A.key: seen(0, 0, LARGE), B.key: seen(5, 5, SMALL)}
    assert slack(fleet, Observation(pools=pools, capacity=room(cpu_milli=7500))).take([A])
    assert not slack(fleet, Observation(pools=pools, capacity=room(cpu_milli=7499))).take([A])
    quota = {"acme": TenantObservation(quota=Fresh(value=Resources(replicas=9), at=NOW))}
    assert not slack(fleet, Observation(pools=pools, tenants=quota)).take([A])


def test_what_is_being_written_and_the_widest_schedule_count_in_full() -> None:
    pools = {A.key: seen(0, 0), B.key: seen(0, 0)}
    wide = replace(A, schedules=(Schedule(window=CronWindow(cron="0 0 * * *", for_s=60), max=12),))
    fleet, capacity = fleet_of(wide, B), room(replicas=15)
    assert slack(fleet, Observation(pools=pools, capacity=capacity)).take([wide])
    writing = Observation(pools=pools, capacity=capacity, under_way={B.key: 4})
    assert not slack(fleet, writing).take([wide])


def test_classes_of_nodes_are_everybodys_matter() -> None:
    pool = replace(A, nodes=("spot",))
    observation = Observation(pools={A.key: seen(0, 0)}, capacity=room(replicas=99))
    assert not slack(fleet_of(pool), observation).take([pool])


def test_money_is_reckoned_exactly() -> None:
    usage = TaskUsage(input_tokens=1, seconds=Decimal(3600))
    model = LlmModel(name="m", price=Price(input=Decimal(100_000), output=Decimal(0)))
    pool = replace(A, model="m", usage=usage)
    observation = Observation(pools={A.key: seen(0, 0)})
    for usd, fits in ((Decimal(1), True), (Decimal("0.99"), False)):
        fleet = fleet_of(pool, models=(model,), capacity=Capacity(usd_per_hour=usd))
        assert slack(fleet, observation).take([pool]) is fits


def test_what_cannot_be_shared_by_is_left_to_the_whole_plan() -> None:
    broken = replace(A, model="m", usage=TaskUsage(seconds=Decimal(0)))
    observation = Observation(pools={A.key: seen(1, 0)}, capacity=room(replicas=99))
    fleet = fleet_of(broken, models=(LlmModel(name="m"),))
    assert not slack(fleet, observation).take([broken])


def test_a_pool_that_is_not_known_holds_nothing_that_could_be_counted() -> None:
    fleet = fleet_of(A, B)
    unseen = PoolObservation(workload=Absent(why=Why.REFUSED))
    observation = Observation(pools={A.key: seen(0, 0), B.key: unseen}, capacity=room(replicas=10))
    assert slack(fleet, observation).take([A])


sizes = some.integers(0, 8)


@given(
    numbers=some.lists(some.tuples(sizes, sizes, some.booleans()), min_size=1, max_size=4),
    due=some.integers(0, 3),
    pending=some.integers(0, 30),
    replicas=some.integers(0, 80),
    cpu=some.integers(0, 60_000),
)
@settings(max_examples=150, deadline=None)
def test_alone_or_together_the_decision_is_the_same(
    numbers: list[tuple[int, int, bool]], due: int, pending: int, replicas: int, cpu: int
) -> None:
    pools = [
        make_pool(f"p{number}", tenant=f"t{number % 2}", maximum=8)
        for number in range(len(numbers))
    ]
    fleet = fleet_of(*pools)
    observation = Observation(
        pools={
            pool.key: seen(waiting, current, LARGE if large else SMALL)
            for pool, (waiting, current, large) in zip(pools, numbers, strict=True)
        },
        capacity=room(replicas=replicas, cpu_milli=cpu),
    )
    pool = pools[due % len(pools)]
    alone = slack(fleet, observation).take([pool])
    event(f"alone: {alone}")
    if not alone:
        return
    _, current, large = numbers[due % len(pools)]
    grown = seen(pending, current, LARGE if large else SMALL)
    together = replace(observation, pools={**observation.pools, pool.key: grown})
    only = replace(observation, pools={pool.key: grown})
    assert decided(fleet, only)[pool.key] == decided(fleet, together)[pool.key]

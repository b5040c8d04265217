"""The plan, its counterfactuals and its report answer any observation; none of them raises."""

from __future__ import annotations

import math
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.foreseen import ahead_of
from agentdash.verbs.tables import plan_table, why_table
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    NodeClass,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.planning.whatif import outlook_of
from controller.report.plan import encode_report, plan_report, pool_report
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan
from support.reports import decode_report
from unit.planning.story import make_pool

NOW = 1_700_000_000.0
TIER = Tier(name="growth", priority=500)
USAGE = TaskUsage(input_tokens=1000, output_tokens=100, calls=3, seconds=Decimal(30))
POOLS = tuple(
    make_pool(
        name,
        min=1,
        max=8,
        warm=Warm(replicas=1),
        model="large",
        usage=USAGE,
        requests=Resources(cpu_milli=500, memory_bytes=2**29),
        nodes=("spot",),
    )
    for name in ("research", "browser")
)
FLEET = Fleet(
    tiers=(TIER,),
    tenants=(
        Tenant(
            name="acme",
            tier=TIER,
            namespace="tenant-acme",
            quota=Resources(replicas=6),
            budget=Budget(tokens_per_day=10**6, usd_per_hour=Decimal(50)),
        ),
    ),
    pools=POOLS,
    models=(
        LlmModel(
            name="large",
            limits=RateLimits(requests_per_minute=60),
            price=Price(input=Decimal(3), output=Decimal(15)),
        ),
    ),
    capacity=Capacity(
        resources=Resources(cpu_milli=4000),
        node_classes=(NodeClass(name="spot", max_nodes=3),),
    ),
)

counts = st.sampled_from([0, 1, 7, 300, -1, -(2**63), 2**31, 2**63, 10**30])
maybe_counts = st.none() | counts
maybe_replicas = st.none() | st.sampled_from([0, 1, 300, -1, -(2**63), 2**31 - 1])
moments = st.sampled_from(
    [NOW, NOW - 1e4, NOW + 1e4, 0.0, -1.0, 1e300, math.nan, math.inf, -math.inf]
)
amounts = st.sampled_from(
    [Decimal(0), Decimal(10) ** 5, Decimal(-1), Decimal(2**63), Decimal("1e-30")]
)
resources = st.builds(
    Resources, replicas=maybe_counts, cpu_milli=maybe_counts, memory_bytes=maybe_counts
)


def readings(values: st.SearchStrategy[object]) -> st.SearchStrategy[Reading[object]]:
    whys = st.sampled_from(Why)
    return st.one_of(
        st.builds(Fresh, value=values, at=moments),
        st.builds(Stale, value=values, at=moments, why=whys),
        st.builds(Absent, why=whys, at=moments),
    )


pools = st.builds(
    PoolObservation,
    queue=readings(st.builds(QueueDepth, pending=counts, in_flight=counts)),
    workload=readings(st.builds(Workload, replicas=counts, ready=counts)),
    pods=readings(st.builds(Pods, ready=counts, unscheduled=counts, terminating=counts)),
    woken_at=st.none() | moments,
)
tenants = st.builds(
    TenantObservation,
    usage=readings(st.builds(TokenUsage, used=amounts, reserved=amounts, burn_per_minute=amounts)),
    quota=readings(resources),
)
observations = st.builds(
    Observation,
    pools=st.fixed_dictionaries({}, optional={pool.key: pools for pool in POOLS}),
    tenants=st.fixed_dictionaries({}, optional={"acme": tenants}),
    capacity=readings(
        st.builds(
            ClusterRoom,
            resources=resources,
            classes=st.fixed_dictionaries({}, optional={"spot": resources}),
        )
    ),
    clock_step_s=moments,
)
intents = st.builds(
    intents_of,
    pins=st.just(())
    | st.builds(
        a_pin, pool=st.just(POOLS[0].key), replicas=maybe_replicas.filter(lambda n: n is not None)
    ).map(lambda x: (x,)),
    pauses=st.just(())
    | st.builds(a_pause, scope=st.just(Scope(pool=POOLS[1].key)), keep=maybe_replicas).map(
        lambda pause: (pause,)
    ),
    freezes=st.sampled_from([(), (a_freeze(scope=Scope()),)]),
)


@given(first=observations, second=observations, asked=intents)
def test_the_planner_never_raises_whatever_was_observed(
    first: Observation, second: Observation, asked: Intents
) -> None:
    _, memory = plan(first, FLEET, asked, Memory(), NOW)
    second = replace(second, clock_step_s=0.0)
    decisions = plan(second, FLEET, asked, memory, NOW + 1)[0].decisions
    reports = []
    for pool in POOLS:
        decision = decisions.get(pool.key)
        if decision is None:
            continue
        outlook = outlook_of(
            pool.key,
            observation=second,
            fleet=FLEET,
            intents=asked,
            memory=memory,
            now=NOW + 1,
        )
        assert outlook is not None
        reports.append(pool_report(pool, decision, NOW + 1, outlook))
        assert why_table(NOW, decision, ahead_of(outlook))
    assert plan_table(NOW, list(decisions.values()))
    report = plan_report(NOW, tuple(reports))
    assert decode_report(encode_report(report)) == report

"""What is not known of a fleet, or is impossible, takes nothing away from any pool."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import ExternalMetric, Pool, Rule
from controller.model.ids import PoolKey
from controller.model.observation import (
    ClusterRoom,
    PoolObservation,
    Series,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.planning.explain import headline, sentence
from property.clusters import Cluster, clusters, of_pools
from property.fleets import CLASSES, CPU, HURRIED, LAG, STEADY, some_sizes
from property.ledger import bounds_of, scheduled
from property.queues import Load, loads
from property.worlds import ABSURD_COUNTS, ABSURD_TIMES, START, any_observation, as_bytes
from support.planning import plan

T = TypeVar("T")
work_now = st.lists(loads, min_size=1, max_size=3)
SOURCES = ("queue", "workload", "pods", "lag")
whys = st.sampled_from(Why)
blind_spots = st.dictionaries(
    st.integers(0, 5),
    st.one_of(
        st.sampled_from([{"queue"}, {LAG}, {"queue", LAG}]),
        st.sets(st.sampled_from(SOURCES), min_size=1),
    ),
    min_size=1,
    max_size=6,
)


def gone(reading: Reading[T], why: Why, *, stale: bool) -> Reading[T]:
    if stale and not isinstance(reading, Absent):
        return Stale(value=reading.value, at=reading.at, why=why)
    return Absent(why=why, at=reading.at)


def without(seen: PoolObservation, sources: set[str], why: Why, *, stale: bool) -> PoolObservation:
    for source in sources - {LAG}:
        seen = replace(seen, **{source: gone(getattr(seen, source), why, stale=stale)})
    if LAG in sources:
        metrics = {name: gone(one, why, stale=stale) for name, one in seen.metrics.items()}
        seen = replace(seen, metrics=metrics)
    return seen


def blinded(cluster: Cluster, spots: dict[int, set[str]]) -> dict[PoolKey, set[str]]:
    """The pools concerned, and which of their sources fell silent."""
    keys = [pool.key for pool in cluster.fleet.pools]
    return {keys[number]: sources for number, sources in spots.items() if number < len(keys)}


def sources_of(pool: Pool) -> set[str]:
    """What the pool is sized by; a formula and a fallback have answers to silence of their own."""
    if pool.modifiers or pool.fallback:
        return set()
    if pool.rule is Rule.HPA:
        return {LAG} if pool.metrics else {"queue"}
    return {"queue", LAG} if pool.metrics else {"queue"}


@HURRIED
@given(
    cluster=clusters(),
    work=work_now,
    spots=blind_spots,
    how=st.tuples(whys, st.booleans()),
    sizes=some_sizes,
)
def test_a_silent_source_takes_nothing_away(
    cluster: Cluster,
    work: list[Load],
    spots: dict[int, set[str]],
    how: tuple[Why, bool],
    sizes: list[int],
) -> None:
    why, stale = how
    cluster.tick(work)
    cluster.now += 31.0  # longer than any window: it is not a young memory that holds
    cluster.resize(sizes)
    silent = blinded(cluster, spots)
    goes_by = {pool.key: sources_of(pool) for pool in cluster.fleet.pools}
    for _ in range(2):
        seen = cluster.seen(work)
        pools = {
            key: without(pool, silent.get(key, set()), why, stale=stale)
            for key, pool in seen.pools.items()
        }
        decisions, cluster.memory = cluster.ask(replace(seen, pools=pools))
        for key, sources in silent.items():
            decision = decisions.decisions[key]
            if sources & {"workload", "pods"}:
                assert not decision.changes
            elif sources & goes_by[key]:
                assert decision.next is not None
                assert decision.next >= cluster.replicas[key]
        cluster.obey(decisions)
        cluster.now += 1.0


@HURRIED
@given(cluster=clusters(scarce=False), work=work_now, spots=blind_spots, why=whys)
def test_pools_that_are_known_are_decided_as_if_no_pool_were_blind(
    cluster: Cluster, work: list[Load], spots: dict[int, set[str]], why: Why
) -> None:
    """Where nothing is shared; where something is, a blind pool keeps its part of it."""
    silent = blinded(cluster, spots)
    seen = cluster.seen(work)
    pools = {
        key: without(pool, silent.get(key, set()), why, stale=False)
        for key, pool in seen.pools.items()
    }
    clear, _ = cluster.ask(seen)
    cloudy, _ = cluster.ask(replace(seen, pools=pools))
    for key in seen.pools.keys() - silent.keys():
        assert as_bytes(cloudy.decisions[key]) == as_bytes(clear.decisions[key])


@HURRIED
@given(cluster=clusters(scarce=False, overridden=False), work=work_now, why=whys)
def test_a_metric_that_is_fresh_still_adds_what_it_asks_for(
    cluster: Cluster, work: list[Load], why: Why
) -> None:
    """Without its metrics a pool has at least what it would have with its queue alone."""
    seen = cluster.seen(work)
    gone_at = Absent(why=why, at=cluster.now)
    lag_gone = {key: {"metrics": {LAG: gone_at, CPU: gone_at}} for key in seen.pools}
    half_blind, _ = cluster.ask(of_pools(seen, lag_gone))
    for pool in cluster.fleet.pools:
        if not pool.metrics or pool.rule is Rule.HPA or pool.modifiers or pool.fallback:
            continue
        if (
            pool.warm or pool.behavior != STEADY
        ):  # what a pool is held at has its spares among it, and a policy's step is of its size
            continue
        alone = tuple(
            replace(one, metrics=()) if one is pool else one for one in cluster.fleet.pools
        )
        by_queue, _ = plan(
            seen,
            replace(cluster.fleet, pools=alone),
            cluster.intents,
            cluster.memory,
            cluster.now,
        )
        decision, least = half_blind.decisions[pool.key], by_queue.decisions[pool.key]
        assert decision.next is not None
        assert decision.next >= max(least.next or 0, decision.current or 0)


ABSURD = [Decimal(each) for each in ("NaN", "Infinity", "-1", "-Infinity", 2**63)]


@HURRIED
@given(
    cluster=clusters(),
    work=work_now,
    field=st.sampled_from(["used", "reserved", "burn_per_minute", "at"]),
    number=st.sampled_from(ABSURD),
    at=st.sampled_from(ABSURD_TIMES),
)
def test_an_impossible_ledger_is_like_no_ledger(
    cluster: Cluster, work: list[Load], field: str, number: Decimal, at: float
) -> None:
    def tenants(usage: Reading[TokenUsage]) -> dict[str, TenantObservation]:
        return {tenant.name: TenantObservation(usage=usage) for tenant in cluster.fleet.tenants}

    usage = TokenUsage(used=Decimal(10))
    if field != "at":
        usage = replace(usage, **{field: number})
    cluster.tenants = tenants(Fresh(value=usage, at=at if field == "at" else cluster.now))
    absurd = cluster.ask(cluster.seen(work))
    cluster.tenants = tenants(Absent(why=Why.IMPLAUSIBLE))
    assert as_bytes(absurd) == as_bytes(cluster.ask(cluster.seen(work)))


def with_limits(cluster: Cluster, resources: Resources, where: str) -> Cluster:
    """The same cluster, whose nodes or whose tenants' quotas are said to have room for so much."""
    other = cluster.twin()
    if where == "quota":
        quota = Fresh(value=resources, at=other.now)
        names = [tenant.name for tenant in other.fleet.tenants]
        other.tenants = {name: TenantObservation(quota=quota) for name in names}
        return other
    room = ClusterRoom(resources=resources)
    if where == "class":
        room = ClusterRoom(classes={CLASSES[0]: resources})
    other.room = Fresh(value=room, at=other.now)
    return other


@HURRIED
@given(
    cluster=clusters(scarce=False),
    work=work_now,
    number=st.sampled_from([-1, -(2**63), 2**63, 10**30]),
    where=st.sampled_from(["quota", "nodes", "class"]),
)
def test_an_impossible_limit_lowers_no_pool_and_lets_none_grow(
    cluster: Cluster, work: list[Load], number: int, where: str
) -> None:
    usual, _ = with_limits(cluster, Resources(), where).ask(cluster.seen(work))
    strange = with_limits(cluster, Resources(replicas=number, cpu_milli=number), where)
    decisions = strange.ask(strange.seen(work))[0].decisions
    for pool in cluster.fleet.pools:
        decision, without = decisions[pool.key], usual.decisions[pool.key]
        assert decision.target is not None
        current = cluster.replicas[pool.key]
        floor = max(bounds_of(cluster, pool).floor, scheduled(pool).floor)
        assert min(current, without.target or 0) <= decision.target
        if decision.target > current:
            assert decision.target <= floor
        if decision.target != without.target:
            assert Code.LIMIT_UNREADABLE in {reason.code for reason in decision.reasons}


@HURRIED
@given(cluster=clusters(), work=work_now, number=st.sampled_from([-(2**63), 2**63, 10**30]))
def test_an_impossible_metric_takes_nothing_away(
    cluster: Cluster, work: list[Load], number: int
) -> None:
    seen = cluster.seen(work)
    lag = Fresh(value=Series(values_milli=(number,)), at=cluster.now)
    strange, _ = cluster.ask(
        of_pools(
            seen, {key: {"metrics": {**seen.pools[key].metrics, LAG: lag}} for key in seen.pools}
        )
    )
    for pool in cluster.fleet.pools:
        by_lag = any(isinstance(metric, ExternalMetric) for metric in pool.metrics)
        uses = by_lag and not pool.modifiers and not pool.fallback
        if uses and number not in range(-(2**63) + 1, 2**63):
            decision = strange.decisions[pool.key]
            assert decision.next is not None
            assert decision.next >= cluster.replicas[pool.key]


@HURRIED
@given(
    cluster=clusters(scarce=False),
    work=work_now,
    size=st.one_of(st.integers(max_value=-1), st.integers(min_value=2**31)),
)
def test_an_impossible_size_is_refused_and_all_other_pools_are_planned(
    cluster: Cluster, work: list[Load], size: int
) -> None:
    odd = cluster.fleet.pools[0].key
    seen = cluster.seen(work)
    workload = Fresh(value=Workload(replicas=size), at=cluster.now)
    strange, _ = cluster.ask(of_pools(seen, {odd: {"workload": workload}}))
    assert strange.decisions[odd].next is None
    assert strange.decisions[odd].reasons[-1].code is Code.WORKLOAD_UNKNOWN
    usual, _ = cluster.ask(seen)
    for key in seen.pools.keys() - {odd}:
        assert as_bytes(strange.decisions[key]) == as_bytes(usual.decisions[key])


@HURRIED
@given(
    cluster=clusters(),
    sights=st.lists(any_observation, min_size=1, max_size=6),
    count=st.sampled_from(ABSURD_COUNTS),
    step_s=st.one_of(st.just(0.0), st.floats(-4000, 4000), st.sampled_from(ABSURD_TIMES)),
)
def test_no_observation_of_a_fleet_makes_a_plan_raise(
    cluster: Cluster, sights: list[PoolObservation], count: int, step_s: float
) -> None:
    seen = cluster.seen([Load(3, 1, 2)])
    pools = {key: sights[number % len(sights)] for number, key in enumerate(seen.pools)}
    room = ClusterRoom(
        resources=Resources(replicas=count), classes={"spot": Resources(cpu_milli=count)}
    )
    view = replace(
        seen, pools=pools, clock_step_s=step_s, capacity=Fresh(value=room, at=cluster.now)
    )
    decided, _ = cluster.ask(view)
    for decision in decided.decisions.values():
        assert headline(decision, START)
        assert all(sentence(reason, START) for reason in decision.reasons)
        assert decision.next is None or 0 <= decision.next < 2**31

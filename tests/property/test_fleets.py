"""What holds of every fleet, whatever its tenants, limits, operators and past: through the plan."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import (
    ExternalMetric,
    Fleet,
    Pool,
    ResourceMetric,
    Rule,
    SelectPolicy,
    ValueTarget,
)
from controller.model.ids import PoolKey
from controller.model.intents import IntentKind
from controller.model.memory import Memory
from controller.model.readings import Fresh
from controller.model.scarcity import Capacity, Resources
from controller.planning.explain import UNKNOWN, headline, sentence
from property.clusters import Cluster, clusters, of_pools
from property.fleets import HURRIED, fleets, some_sizes
from property.ledger import accounts, bounds_of, is_frozen, scheduled, soft_limit
from property.queues import Load, Past, loads, pasts

_CODES_OF = {
    Bound.DEMAND: set(Code),
    Bound.MIN: {Code.AT_MIN},
    Bound.MAX: {Code.AT_MAX},
    Bound.SCHEDULE: {Code.SCHEDULED},
    Bound.PIN: {Code.PINNED},
    Bound.BASELINE: {Code.BASELINE},
    Bound.WARM: {Code.WARM_SPARES},
    Bound.PAUSE: {
        Code.PAUSED,
        Code.KEPT_WHILE_PAUSED,
        Code.KEPT_BY_ANNOTATION,
        Code.ANNOTATION_UNREADABLE,
        Code.NO_SHRINKING,
        Code.NO_GROWTH,
        Code.PAUSE_UNREADABLE,
    },
    Bound.CAP: {Code.CAPPED},
    Bound.NO_GROWTH: {Code.NOT_GROWING},
    Bound.QUOTA: {Code.QUOTA},
    Bound.BUDGET: {Code.BUDGET, Code.BUDGET_SPENT, Code.USAGE_UNKNOWN},
    Bound.COST: {Code.COST},
    Bound.RATE: {Code.RATE},
    Bound.CAPACITY: {Code.CAPACITY},
}
_CODES_OF_GATES = {
    Gate.BUSY: {Code.BUSY},
    Gate.ROOM: {Code.ROOM},
    Gate.MINIMUM_RUNTIME: {Code.MINIMUM_RUNTIME},
    Gate.FREEZE: {Code.FROZEN},
    Gate.BLIND: {Code.HELD_BLIND, Code.HELD_UNMEASURED, Code.PODS_UNKNOWN},
    Gate.WARM_UP: {Code.HELD_WARM_UP},
    Gate.NOT_BECOMING_READY: {Code.NOT_BECOMING_READY},
}
work_now = st.lists(loads, min_size=1, max_size=3)


def decided(cluster: Cluster, work: list[Load]) -> tuple[dict[PoolKey, Decision], Memory]:
    result, memory = cluster.ask(cluster.seen(work))
    return dict(result.decisions), memory


def is_held(cluster: Cluster, pool: Pool, decision: Decision, memory: Memory) -> bool:
    """Whether something outside its limits keeps a pool where it is."""
    stays = decision.target == decision.current
    return stays and (is_frozen(cluster, pool) or cluster.is_warming_up(pool, memory))


def by_total(pool: Pool) -> bool:
    return any(
        isinstance(metric, ExternalMetric) and isinstance(metric.target, ValueTarget)
        for metric in pool.metrics
    )


def by_cpu(pool: Pool) -> bool:
    return any(isinstance(metric, ResourceMetric) for metric in pool.metrics)


def is_held_back(cluster: Cluster, pool: Pool) -> bool:
    """Whether a window or a policy upwards may grant less than the work needs, where the pool has
    spares: then they stand on min alone.
    """
    pins = cluster.intents.of(IntentKind.PIN)
    pinned = any(pin.scope.pool == pool.key for pin in pins)
    up = pool.behavior.scale_up
    is_slow = bool(up.policies or up.stabilization_window_s) or (
        up.select_policy is SelectPolicy.DISABLED
    )
    return (pinned or pool.warm is not None) and (is_slow or pool.without_behavior)


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_no_target_is_above_its_ceiling(cluster: Cluster, work: list[Load]) -> None:
    decisions, memory = decided(cluster, work)
    for pool in cluster.fleet.pools:
        decision = decisions[pool.key]
        assert decision.target is not None
        if not is_held(cluster, pool, decision, memory):
            assert decision.target <= bounds_of(cluster, pool).ceiling


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_no_hard_limit_is_exceeded_by_targets(cluster: Cluster, work: list[Load]) -> None:
    decisions, memory = decided(cluster, work)
    held = {
        pool.key: decisions[pool.key].target or 0
        for pool in cluster.fleet.pools
        if is_held(cluster, pool, decisions[pool.key], memory)
    }
    shared = {key: decision.target or 0 for key, decision in decisions.items() if key not in held}
    for account in accounts(cluster):
        left = account._replace(limit=max(account.limit - account.drawn(held), Fraction(0)))
        assert left.holds(shared), account


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_floors_that_fit_are_kept(cluster: Cluster, work: list[Load]) -> None:
    decisions, memory = decided(cluster, work)
    taken = {}
    for pool in cluster.fleet.pools:
        decision = decisions[pool.key]
        # an idle size holds only at rest: by work, a schedule or force-activation it has its min
        awake = (decision.recommendation or 0) > (pool.idle or 0)
        floor = bounds_of(cluster, pool, awake=awake).floor
        held = is_held(cluster, pool, decision, memory)
        # its tenant's first replica and configured spares may come before another pool's floor
        spares = 1 + (pool.warm.replicas or 0 if pool.warm else 0)
        taken[pool.key] = max(decision.current or 0, floor + spares) if held else floor + spares
    if not all(account.holds(taken) for account in accounts(cluster)):
        return
    for pool in cluster.fleet.pools:
        decision = decisions[pool.key]
        by_hand = any(one.code is Code.SCALED_TO_ZERO_BY_HAND for one in decision.reasons)
        unmetered = any(one.code is Code.USAGE_UNKNOWN for one in decision.reasons)
        # a spent budget comes before every floor, also of pools whose use is not known
        spent = any(one.code is Code.BUDGET_SPENT for one in decision.reasons)
        if not (by_hand or unmetered or spent or is_held(cluster, pool, decision, memory)):
            assert decision.target is not None
            assert decision.target >= bounds_of(cluster, pool).floor


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_half_fed_replicas_pass_a_rate_limit_by_half_a_replica_at_most(
    cluster: Cluster, work: list[Load]
) -> None:
    """Or by what baselines and floors need: they are never refused for it."""
    decisions, memory = decided(cluster, work)
    if any(is_held(cluster, pool, decisions[pool.key], memory) for pool in cluster.fleet.pools):
        return
    promised = {
        pool.key: max(bounds_of(cluster, pool).floor, 1)
        + (pool.warm.replicas or 0 if pool.warm else 0)
        for pool in cluster.fleet.pools
    }
    wanted = {key: decision.target or 0 for key, decision in decisions.items()}
    for account in soft_limit(cluster):
        most = account.limit + max(account.uses.values(), default=Fraction(0)) / 2
        assert account.drawn(wanted) <= max(most, account.drawn(promised))


@HURRIED
@given(cluster=clusters(), work=work_now, more=st.integers(1, 30), data=st.data())
def test_more_lag_never_wants_less(
    cluster: Cluster, work: list[Load], more: int, data: st.DataObject
) -> None:
    pool = data.draw(st.sampled_from(cluster.fleet.pools))
    seen = cluster.seen(work)
    depth = seen.pools[pool.key].queue
    assert isinstance(depth, Fresh)
    grown = replace(depth, value=replace(depth.value, pending=depth.value.pending + more))
    less, memory = cluster.ask(seen)
    most, _ = cluster.ask(of_pools(seen, {pool.key: {"queue": grown}}))
    before, after = less.decisions[pool.key], most.decisions[pool.key]
    assert (after.demand or 0) >= (before.demand or 0)
    assert (after.recommendation or 0) >= (before.recommendation or 0)
    if is_held_back(cluster, pool):
        return
    if not is_held(cluster, pool, before, memory):
        assert (after.target or 0) >= (before.target or 0)
        assert (after.next or 0) >= (before.next or 0)


@HURRIED
@given(cluster=clusters(most=4), work=work_now, data=st.data())
def test_more_budget_never_lowers_its_own_pool(
    cluster: Cluster, work: list[Load], data: st.DataObject
) -> None:
    """A tenant of one pool: of several, one large pool that fits now may displace two small."""
    pool = data.draw(st.sampled_from(cluster.fleet.pools))
    more = data.draw(st.integers(1, 20_000_000))
    dollars = data.draw(st.integers(0, 20))
    alone = tuple(one for one in cluster.fleet.pools if one is pool or one.tenant != pool.tenant)

    def ask(*, tokens: int, usd: int) -> tuple[Decision, Memory]:
        tenants = tuple(
            replace(
                tenant,
                budget=replace(tenant.budget, tokens_per_day=tokens, usd_per_hour=Decimal(usd)),
            )
            if tenant.name == pool.tenant
            else tenant
            for tenant in cluster.fleet.tenants
        )
        cluster.fleet = replace(cluster.fleet, tenants=tenants, pools=alone)
        result, memory = cluster.ask(cluster.seen(work))
        return result.decisions[pool.key], memory

    tokens, usd = data.draw(st.integers(0, 1_000_000)), data.draw(st.integers(0, 20))
    poor, _ = ask(tokens=tokens, usd=usd)
    rich, _ = ask(tokens=tokens + more, usd=usd + dollars)
    assert (rich.target or 0) >= (poor.target or 0)


@HURRIED
@given(
    fleet=fleets(scarce=False, measured=False),
    sizes=some_sizes,
    past=pasts,
    work=work_now,
    places=st.integers(0, 24),
)
def test_a_higher_tier_never_goes_short_for_a_lower_one(
    fleet: Fleet, sizes: list[int], past: Past, work: list[Load], places: int
) -> None:
    """Where replicas are all that is scarce: a lower tier has no more than its floors and one
    replica for its work while a higher one goes without what it needs.
    """
    fleet = replace(fleet, capacity=Capacity(resources=Resources(replicas=places)))
    cluster = Cluster(fleet, sizes).live(past)
    decisions, memory = decided(cluster, work)
    priorities = {tenant.name: tenant.tier.priority for tenant in fleet.tenants}
    floors = {pool.key: bounds_of(cluster, pool).floor for pool in fleet.pools}
    short = [
        priorities[pool.tenant]
        for pool in fleet.pools
        if (decisions[pool.key].target or 0)
        < min(decisions[pool.key].recommendation or 0, bounds_of(cluster, pool).ceiling)
    ]
    for pool in fleet.pools:
        if is_held(cluster, pool, decisions[pool.key], memory):
            continue
        if any(priority > priorities[pool.tenant] for priority in short):
            spares = pool.warm.replicas or 0 if pool.warm else 0
            most = max(floors[pool.key], scheduled(pool).floor, 1)
            assert (decisions[pool.key].target or 0) <= most + spares


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_a_number_that_differs_from_the_demand_has_a_reason_and_every_reason_reads_well(
    cluster: Cluster, work: list[Load]
) -> None:
    for decision in decided(cluster, work)[0].values():
        codes = {reason.code for reason in decision.reasons}
        if decision.demand not in {decision.target, decision.next}:
            assert codes - {Code.QUEUE}, decision
        if decision.target != decision.recommendation:
            assert codes & _CODES_OF[decision.bound], decision
        if decision.next != decision.target:
            assert decision.gate is not None
            assert codes & _CODES_OF_GATES[decision.gate], decision
        for reason in decision.reasons:
            assert UNKNOWN not in sentence(reason, cluster.now), reason
        assert UNKNOWN not in headline(decision, cluster.now)


@HURRIED
@given(cluster=clusters(scarce=False), work=work_now)
def test_a_plan_that_was_obeyed_writes_nothing_more(cluster: Cluster, work: list[Load]) -> None:
    """Rule hpa takes two steps from zero, where KEDA takes the first, and from beyond its bounds;
    without `behavior` it doubles again and again. Where nothing runs no CPU is used. A metric whose
    total is the target asks for more until it falls.
    """
    plans = []
    for _ in range(3):
        plans.append(cluster.tick(work).decisions)
        work = [load.standing for load in work]
        cluster.now += 0.001  # the next plan is never of the same instant
    for pool in cluster.fleet.pools:
        if by_total(pool) or pool.without_behavior:
            continue
        later = plans[2 if pool.rule is Rule.HPA or by_cpu(pool) else 1]
        assert not later[pool.key].changes, [one[pool.key] for one in plans]


@HURRIED
@given(cluster=clusters(), work=work_now)
def test_a_plan_that_is_obeyed_over_and_over_comes_to_rest(
    cluster: Cluster, work: list[Load]
) -> None:
    """A pool that waits for room gets it one plan later; no pool grows and shrinks in turn. A
    metric that does not answer to replicas may take a pool one replica further with each plan, so
    the longest way is that of every pool to its max.
    """
    sizes = [dict(cluster.replicas)]
    longest = sum(max(pool.max, cluster.replicas[pool.key]) for pool in cluster.fleet.pools)
    for number in range(6 + longest):
        cluster.tick(work)
        work = [load.standing for load in work]
        sizes.append(dict(cluster.replicas))
        if number >= 5 and sizes[-1] == sizes[-2] == sizes[-3]:
            return
    raise AssertionError(f"no rest after {6 + longest} plans: {sizes[-4:]}")

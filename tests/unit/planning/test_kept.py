"""Which pools are decided again; that the plan stays the same is in tests/property/test_kept.py."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.fleet import Pool, Tenant
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import Budget, LlmModel, Price, Resources, TaskUsage
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept
from controller.planning.planner import plan
from support.asked import a_freeze, intents_of
from support.planning import seen_pool
from support.world import START, TIER, make_fleet, make_pool
from unit.planning.story import OBSERVED_FOR_LONG

A, B = (make_pool(name, tenant=name, maximum=50, cooldown_s=0.0) for name in "ab")
UNSEEN = Absent(why=Why.NEVER_READ)


class Keeper:
    """Pools that have been observed for long, and a planner of them that keeps results."""

    def __init__(self, *pools: Pool, **fields: object) -> None:
        self.fleet = replace(make_fleet(*pools), **fields)
        self.terms = compile_fleet(self.fleet)
        self.seen: dict[str, PoolObservation] = {}
        self.room: Reading[ClusterRoom] = UNSEEN
        self.intents = Intents()
        self.now = START
        self.memory = Memory(pools={pool.key: OBSERVED_FOR_LONG for pool in pools})
        self.kept: Kept | None = None
        self.changed: set[str] = set()

    def see(self, pool: Pool, pending: int, replicas: int) -> None:
        """From now on the pool has so many messages and replicas."""
        self.seen[pool.key] = seen_pool(pending, replicas, at=self.now)

    def limit(self, **resources: int) -> None:
        """What the nodes can hold, from now on."""
        self.room = Fresh(value=ClusterRoom(resources=Resources(**resources)), at=self.now)

    def plan(self, after_s: float = 1.0) -> dict[str, Decision]:
        """A plan so much later; the decisions by the pools' names. It must be the same without
        anything kept.
        """
        self.now += after_s
        pools = dict(self.seen)
        seen = Observation(pools=pools, capacity=self.room)  # type: ignore[arg-type]  # texts
        planned = plan(seen, self.terms, self.intents, self.memory, self.now, self.kept)
        anew = plan(seen, self.terms, self.intents, self.memory, self.now)
        assert planned.plan.decisions == anew.plan.decisions
        assert planned.memory == anew.memory
        self.changed = {key.partition("/")[2] for key in planned.changed}
        self.memory, self.kept = planned.memory, planned.kept
        return {key.partition("/")[2]: each for key, each in planned.plan.decisions.items()}


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


def test_an_intent_for_one_tenant_lets_no_other_pool_be_decided_again() -> None:
    keeper = two()
    keeper.intents = intents_of(freezes=(a_freeze(scope=Scope(tenant="a")),))
    keeper.plan()
    assert keeper.changed == {"a"}


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

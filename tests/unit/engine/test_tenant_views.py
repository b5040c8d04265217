"""Tenants as a snapshot shows them, and that nothing is made again while nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.ids import PoolKey
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TierUsage,
    TokensByModel,
    TokenUsage,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import (
    Budget,
    LlmModel,
    ModelTier,
    Pacing,
    Price,
    Resources,
    TaskUsage,
)
from controller.model.snapshot import Role, Snapshot, TenantTokens, TenantView, TokenState
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept
from controller.planning.planner import plan
from support.asked import a_budget, a_freeze, a_pause, intents_of, no_growth_of
from support.table import tabled
from support.world import START, make_pool

MIDNIGHT = START - START % 86_400
NOON = MIDNIGHT + 43_200
CAP = 1_440_000
USAGE = TaskUsage(input_tokens=1000, output_tokens=0, calls=2, seconds=Decimal(60))
MODEL = LlmModel(name="gpt", price=Price(input=Decimal(5), output=Decimal(10)))


class World:
    """A fleet that is planned for real, and the snapshots of it."""

    def __init__(self, *pools: Pool, budget: Budget | None = None) -> None:
        self.pools = pools or (make_pool("research"), make_pool("coder"))
        tier = Tier(name="growth", priority=500)
        names = dict.fromkeys(pool.tenant for pool in self.pools)
        fleet = Fleet(
            tiers=(tier,),
            tenants=tuple(
                Tenant(name=name, tier=tier, namespace=f"n-{name}", budget=budget or Budget())
                for name in names
            ),
            pools=self.pools,
            models=(MODEL,),
        )
        self.terms = compile_fleet(fleet)
        self.builder = SnapshotBuilder(
            fleet=fleet,
            recorder=Recorder(writes=False),
            name="fleet.yaml",
            context="test",
            interval_s=1.0,
            epoch=START,
        )
        self.intents = Intents()
        self.seen: dict[PoolKey, PoolObservation] = {}
        self.tenants: dict[str, TenantObservation] = {}
        self.tiers: dict[str, TierUsage] = {}
        self.by_model: dict[str, TokensByModel] = {}
        self.memory, self.kept = Memory(), None
        for pool in self.pools:
            self.see(pool, pool.min)

    memory: Memory
    kept: Kept | None

    def see(self, pool: Pool, replicas: int, requests: Resources | None = None) -> None:
        workload = Workload(
            replicas=replicas, ready=replicas, requests=requests or Resources(), uid=pool.name
        )
        self.seen[pool.key] = PoolObservation(
            queue=Fresh(value=QueueDepth(pending=0, in_flight=replicas), at=NOON),
            workload=Fresh(value=workload, at=NOON),
        )

    def use(self, reading: Reading[TokenUsage], quota: Reading[Resources] | None = None) -> None:
        quota = quota or Absent(why=Why.REFUSED)
        self.tenants = {"acme": TenantObservation(usage=reading, quota=quota)}

    def tick(self, now: float = NOON) -> Snapshot:
        observation = Observation(
            pools=dict(self.seen),
            tenants=dict(self.tenants),
            capacity=Fresh(value=ClusterRoom(), at=NOON),
            tiers=dict(self.tiers),
            by_model=dict(self.by_model),
        )
        planned = plan(observation, self.terms, self.intents, self.memory, now, self.kept)
        self.memory, self.kept = planned.memory, planned.kept
        self.builder.saw(observation)
        self.builder.decided(planned.changed)
        self.builder.planned(planned.kept, self.intents)
        return self.builder.snapshot(now=now, role=Role.ACTIVE)

    def tenant(self, now: float = NOON) -> TenantView:
        return self.tick(now).tenants[0]

    def tokens(self, now: float = NOON) -> TenantTokens:
        found = self.tenant(now).tokens
        assert found is not None
        return found


def used(tokens: int, burn: int = 0, reserved: int = 0) -> Fresh[TokenUsage]:
    value = TokenUsage(
        used=Decimal(tokens), reserved=Decimal(reserved), burn_per_minute=Decimal(burn)
    )
    return Fresh(value=value, at=NOON)


def test_without_a_budget_there_are_no_tokens() -> None:
    assert World().tenant() == TenantView(
        name="acme",
        tier="growth",
        namespace="n-acme",
        pools=2,
        unpriced=2,
        used=Resources(replicas=0, cpu_milli=0, memory_bytes=0),
    )


def test_what_went_to_each_tier_is_shown_and_stays_the_same_object_while_it_is_the_same() -> None:
    world = World()
    world.tiers = {"acme": TierUsage(tokens={ModelTier.NANO: 7}, saved_usd=0.5)}
    first = world.tick().tenants
    assert first[0].tiers == world.tiers["acme"]
    world.tiers = {"acme": TierUsage(tokens={ModelTier.NANO: 7}, saved_usd=0.5)}
    assert world.tick().tenants is first
    world.tiers = {"acme": TierUsage(tokens={ModelTier.NANO: 8}, saved_usd=0.5)}
    assert world.tenant().tiers == world.tiers["acme"]


STATES: Mapping[str, tuple[int, Budget, TokenState, float | None]] = {
    "half is left": (CAP // 2, Budget(tokens_per_day=CAP), TokenState.OK, None),
    "warned": (
        CAP * 9 // 10,
        Budget(tokens_per_day=CAP, pacing=Pacing.NEVER),
        TokenState.WARNED,
        None,
    ),
    "paced": (CAP * 9 // 10, Budget(tokens_per_day=CAP), TokenState.PACED, 200.0),
    "always paced": (
        CAP // 2,
        Budget(tokens_per_day=CAP, pacing=Pacing.ALWAYS),
        TokenState.PACED,
        1000.0,
    ),
    "spent": (CAP, Budget(tokens_per_day=CAP), TokenState.HARD, 0.0),
    "spent and soft": (
        CAP,
        Budget(tokens_per_day=CAP, hard=False, pacing=Pacing.NEVER),
        TokenState.WARNED,
        None,
    ),
}


@tabled("name", STATES)
def test_the_state_is_the_planners(name: str) -> None:
    tokens, budget, state, pace = STATES[name]
    world = World(budget=budget)
    world.use(used(tokens))
    found = world.tokens()
    assert (found.state, found.used, found.pace_per_minute) == (state, tokens, pace)
    assert found.resets_at == MIDNIGHT + 86_400


def test_it_runs_out_at_the_recent_pace_or_lasts_the_day() -> None:
    world = World(budget=Budget(tokens_per_day=CAP))
    world.use(used(CAP // 2, burn=2000))
    assert world.tokens().runs_out_at == NOON + 6 * 3600
    world.use(used(CAP // 2, burn=1000))
    assert world.tokens().runs_out_at is None
    world.use(used(CAP - 100, burn=0, reserved=100))
    assert world.tokens().runs_out_at == NOON


def test_a_silent_ledger_makes_the_state_unknown() -> None:
    world = World(budget=Budget(tokens_per_day=CAP))
    world.use(Absent(why=Why.STREAM_MISSING))
    assert world.tokens() == TenantTokens(
        cap=CAP, state=TokenState.UNKNOWN, resets_at=MIDNIGHT + 86_400, since=NOON
    )
    old = used(500).value
    world.use(Stale(value=old, at=NOON - 60, why=Why.DISCONNECTED))
    found = world.tokens()
    assert (found.state, found.used, found.is_old) == (TokenState.OK, 500, True)
    world.use(Stale(value=old, at=NOON - 700, why=Why.DISCONNECTED))
    found = world.tokens()
    assert (found.state, found.used, found.is_old) == (TokenState.UNKNOWN, 500, True)


def test_a_state_and_a_pause_say_since_when() -> None:
    world = World(budget=Budget(tokens_per_day=CAP, pacing=Pacing.NEVER))
    world.use(used(CAP // 2))
    assert world.tokens(NOON).since == NOON
    world.use(used(CAP // 2 + 1))
    assert world.tokens(NOON + 60).since == NOON
    world.use(used(CAP * 9 // 10))
    assert world.tokens(NOON + 90).since == NOON + 90
    pause = a_pause(scope=Scope(tenant="acme"), who="mara", until=NOON + 1000)
    world.intents = intents_of(pauses=(pause,))
    assert world.tenant(NOON + 100).pause_since == NOON + 100
    world.intents = intents_of(pauses=(replace(pause, until=NOON + 2000),))
    assert world.tenant(NOON + 200).pause_since == NOON + 100, "it was prolonged"
    world.intents = Intents()
    assert world.tenant(NOON + 300).pause_since is None


def test_the_day_ends_in_the_tenants_zone_and_the_next_one_begins() -> None:
    world = World(budget=Budget(tokens_per_day=CAP))
    assert world.tokens(MIDNIGHT + 86_399).resets_at == MIDNIGHT + 86_400
    assert world.tokens(MIDNIGHT + 86_400).resets_at == MIDNIGHT + 2 * 86_400


def test_the_cost_is_that_of_the_targets_and_says_what_is_not_in_it() -> None:
    priced = replace(make_pool("research", minimum=3), model="gpt", usage=USAGE)
    unpriced = make_pool("coder", minimum=5)
    world = World(priced, unpriced, budget=Budget(usd_per_hour=Decimal(2)))
    found = world.tenant()
    # 3 replicas, 60 tasks an hour each, 1,000 tokens a task, 5 USD per million
    assert found.usd_per_hour == pytest.approx(0.9)
    assert (found.usd_limit, found.unpriced) == (2.0, 1)


def test_what_was_measured_of_a_task_goes_before_what_the_file_says() -> None:
    pool = replace(make_pool("research", minimum=1), model="gpt", usage=USAGE)
    world = World(pool)
    dearer = replace(USAGE, input_tokens=2000)
    world.seen[pool.key] = replace(world.seen[pool.key], task_usage=dearer)
    assert world.tenant().usd_per_hour == pytest.approx(0.6)


def test_the_quota_is_the_least_one_and_unknown_requests_are_not_counted_as_nothing() -> None:
    world = World()
    each = Resources(cpu_milli=250, memory_bytes=100)
    world.see(world.pools[0], 4, each)
    world.see(world.pools[1], 2, Resources(cpu_milli=500))
    limit = Resources(replicas=9, cpu_milli=4000)
    world.use(used(0), Stale(value=limit, at=NOON - 9, why=Why.DISCONNECTED))
    found = world.tenant()
    assert found.quota == limit
    assert found.is_quota_old
    assert found.used == Resources(replicas=6, cpu_milli=2000, memory_bytes=None)


def test_while_nothing_changes_a_snapshot_has_the_same_objects() -> None:
    pools = [make_pool(f"agent-{n}", tenant=f"tenant-{n // 10}") for n in range(100)]
    world = World(*pools, budget=Budget(tokens_per_day=CAP))
    world.tick()
    before, after = world.tick(NOON + 0.2), world.tick(NOON + 0.4)
    assert after.pools is before.pools
    assert after.queues is before.queues
    assert after.tenants is before.tenants
    assert after.models is before.models
    assert after.room is before.room


def test_a_pool_that_changes_renews_only_its_tenant() -> None:
    world = World(make_pool("research", minimum=1), make_pool("voice", tenant="zeta"))
    acme, zeta = world.tick().tenants
    world.see(world.pools[0], 7)
    renewed, same = world.tick(NOON + 1).tenants
    assert renewed != acme
    assert renewed.used.replicas == 7
    assert same is zeta


def test_a_freeze_a_hold_and_a_day_budget_are_shown_until_they_end() -> None:
    world = World(make_pool("research"), make_pool("voice", tenant="zeta"))
    freeze = a_freeze(scope=Scope(tenant="acme"), until=NOON + 60, who="mara", why="OPS-882")
    hold = no_growth_of(scope=Scope(), who="jon")
    budget = a_budget(tenant="acme", tokens=8_000_000, until=NOON + 60, who="eve")
    pool = a_freeze(scope=Scope(pool="zeta/voice"))
    world.intents = intents_of(freezes=(pool, freeze), no_growths=(hold,), budgets=(budget,))
    acme_view, zeta_view = world.tick().tenants
    assert (acme_view.freeze, acme_view.no_growth, acme_view.day_budget) == (freeze, hold, budget)
    assert (zeta_view.freeze, zeta_view.no_growth, zeta_view.day_budget) == (None, hold, None)
    ended = world.tenant(NOON + 61)
    assert (ended.freeze, ended.no_growth, ended.day_budget) == (None, hold, None)


def test_an_operators_budget_of_the_day_is_what_tokens_and_findings_go_by_until_it_ends() -> None:
    world = World(make_pool("research"), budget=Budget(tokens_per_day=1000))
    world.use(used(1000))

    def seen(now: float) -> tuple[int, TokenState, list[str]]:
        snapshot = world.tick(now)
        tokens = snapshot.tenants[0].tokens
        assert tokens is not None
        found = [each.text for each in snapshot.findings if each.kind == "budget"]
        return tokens.cap, tokens.state, [text[:30] for text in found]

    spent = (1000, TokenState.HARD, ["the day's 1,000 tokens are spe"])
    assert seen(NOON) == spent
    world.intents = intents_of(budgets=(a_budget(tenant="acme", tokens=4000, until=NOON + 60),))
    assert seen(NOON + 1) == (4000, TokenState.OK, [])
    assert seen(NOON + 61) == spent

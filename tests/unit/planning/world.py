"""A fleet that has been observed for long, one plan of it, and what is expected of each pool."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controller.model.decision import Bound, Decision
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules, Tenant, Tier
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intent, Intents
from controller.model.memory import Memory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import Resources
from controller.planning.whatif import Counterfactual, counterfactuals
from support.planning import plan, seen_pool
from unit.planning.story import OBSERVED_FOR_LONG, START, Told

NOON = 1_772_539_200.0
"""Tuesday 2026-03-03 12:00 UTC."""
HIGH, LOW = Tier(name="enterprise", priority=1000), Tier(name="starter", priority=100)
AT_ONCE = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0),
)
Seen = PoolObservation | tuple[int, int]
"""As it is seen, or (messages that wait, replicas)."""


def tenant(name: str = "acme", tier: Tier = HIGH, **fields: object) -> Tenant:
    return replace(Tenant(name=name, tier=tier, namespace=name), **fields)


def pool(name: str, of: str = "acme", **fields: object) -> Pool:
    made = Pool(
        key=pool_key(of, name),
        name=name,
        tenant=of,
        namespace=of,
        deployment=name,
        stream="TASKS",
        consumer=f"{of}-{name}",
        behavior=AT_ONCE,
        max=100,
        cooldown_s=0.0,
    )
    return replace(made, **fields)


def seen(waiting: int, replicas: int, busy: int = 0, **fields: Any) -> PoolObservation:
    return seen_pool(waiting, replicas, in_flight=busy, at=NOON, **fields)


def used(tokens: int, at: float = NOON, **more: Any) -> TenantObservation:
    usage = TokenUsage(used=Decimal(tokens), burn_per_minute=Decimal(2000))
    return TenantObservation(usage=Fresh(value=usage, at=at), **more)


class World:
    """Pools with what is seen of each; of tenants that are not given only the names are known."""

    def __init__(
        self,
        pools: Mapping[Pool, Seen],
        *tenants: Tenant,
        asked: tuple[Intent, ...] = (),
        of_tenants: dict[str, TenantObservation] | None = None,
        room: Resources | ClusterRoom | None = None,
        now: float = NOON,
        **fleet: object,
    ) -> None:
        owners = tenants or tuple(tenant(name) for name in sorted({one.tenant for one in pools}))
        self.fleet = replace(Fleet(tenants=owners, pools=tuple(pools)), **fleet)
        self.intents, self.now = Intents(asked=asked), now
        capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
        if room is not None:
            found = room if isinstance(room, ClusterRoom) else ClusterRoom(resources=room)
            capacity = Fresh(value=found, at=NOON)
        self.seen: dict[PoolKey, PoolObservation] = {
            one.key: seen(*each) if isinstance(each, tuple) else each for one, each in pools.items()
        }
        self.observation = Observation(pools=self.seen, tenants=of_tenants or {}, capacity=capacity)
        shift = now - START
        runs = tuple(
            replace(run, first_at=run.first_at + shift, last_at=(run.last_at or 0.0) + shift)
            for run in OBSERVED_FOR_LONG.recommendations
        )
        long_ago = OBSERVED_FOR_LONG.since + shift
        remembered = replace(
            OBSERVED_FOR_LONG, since=long_ago, last_active_at=long_ago, recommendations=runs
        )
        self.memory = Memory(pools=dict.fromkeys(self.seen, remembered))

    def decide(self) -> dict[str, Decision]:
        """The decisions by the pools' names; where two tenants have one of a name, by its key."""
        result, _ = plan(self.observation, self.fleet, self.intents, self.memory, self.now)
        return {key.partition("/")[2]: each for key, each in result.decisions.items()}

    def expect(self, **lines: str) -> None:
        """Each as the right side of a line of `Told`."""
        decisions = self.decide()
        faults = {name: Told(f"0 : {text}").faults(decisions[name]) for name, text in lines.items()}
        assert not any(faults.values()), (faults, decisions)

    def without(self, decision: Decision) -> dict[Bound, Counterfactual]:
        """What is said when the decision's *why* is opened, by the rule that is lifted."""
        found = counterfactuals(
            decision,
            observation=self.observation,
            fleet=self.fleet,
            intents=self.intents,
            memory=self.memory,
            now=self.now,
        )
        return {each.lifted: each for each in found}

"""What a fleet may use, added up a second time from its own numbers: in fractions, without the
planner.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple
from zoneinfo import ZoneInfo

from controller.model.fleet import Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind
from controller.model.readings import last_known
from controller.model.scarcity import LlmModel, Pacing, Resources, TaskUsage
from controller.planning.inputs import (
    FREEZE,
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from property.clusters import Cluster
from property.fleets import ALWAYS

RESOURCES = ("replicas", "cpu_milli", "memory_bytes")


class Bounds(NamedTuple):
    """The least a pool is promised where it fits, and the most it may have."""

    floor: int
    ceiling: int


class Account(NamedTuple):
    """A hard limit, and what one replica of each pool takes of it. `first_passes`: one replica may
    overdraw it.
    """

    name: str
    limit: Fraction
    uses: Mapping[PoolKey, Fraction]
    first_passes: bool = False

    def drawn(self, replicas: Mapping[PoolKey, int]) -> Fraction:
        return sum((use * replicas.get(key, 0) for key, use in self.uses.items()), Fraction(0))

    def holds(self, replicas: Mapping[PoolKey, int]) -> bool:
        drawing = sum(replicas.get(key, 0) for key, use in self.uses.items() if use)
        return self.drawn(replicas) <= self.limit or (self.first_passes and drawing <= 1)


def scheduled(pool: Pool) -> Bounds:
    """Min and max, a schedule's where one is open."""
    low, high = pool.min, pool.max
    for schedule in pool.schedules:
        if schedule.window == ALWAYS:
            low = low if schedule.min is None else schedule.min
            high = high if schedule.max is None else schedule.max
            low, high = (min(low, high), high) if schedule.min is None else (low, max(low, high))
    return Bounds(low, high)


def bounds_of(cluster: Cluster, pool: Pool, *, awake: bool = False) -> Bounds:
    """Min and max, a schedule's where one is open; a pause is both; pinned spares under max; a cap
    is a ceiling to all of them, and without growth so is the present size. A pool that rests below
    its min is promised nothing, but while it is `awake` it has its min.
    """
    found = _without_growth_bans(cluster, pool, awake=awake)
    if any(in_force(one, cluster, pool) for one in cluster.intents.of(IntentKind.NO_GROWTH)):
        size = cluster.replicas[pool.key]
        return Bounds(min(found.floor, size), min(found.ceiling, size))
    return found


def _without_growth_bans(cluster: Cluster, pool: Pool, *, awake: bool) -> Bounds:
    low, high = scheduled(pool)
    caps = [
        max(one.count, 0)
        for one in cluster.intents.of(IntentKind.CAP)
        if in_force(one, cluster, pool)
    ]
    pause = next(
        (one for one in cluster.intents.of(IntentKind.PAUSE) if in_force(one, cluster, pool)), None
    )
    if pause is not None:
        size = cluster.replicas[pool.key]
        kept = (
            size if pause.amount is not None and pause.amount < 0 else min(pause.amount or 0, high)
        )
        kept = min(kept, *caps) if caps else kept
        return _halted(cluster, pool, Bounds(kept, kept))
    pins = sum(
        pin.count for pin in cluster.intents.of(IntentKind.PIN) if in_force(pin, cluster, pool)
    )
    rests_below = pool.idle is not None or (low == 0 and not pins)
    floor = 0 if rests_below and not awake else min(low + pins, high)
    return _halted(cluster, pool, Bounds(min(floor, high, *caps), min(high, *caps, high)))


def _halted(cluster: Cluster, pool: Pool, bounds: Bounds) -> Bounds:
    """The bounds under KEDA's annotations: what holds a Deployment as it is holds against all."""
    size, annotations = cluster.replicas[pool.key], cluster.sights[pool.key].annotations
    floor, ceiling = bounds
    if _holds(annotations):
        return Bounds(size, size)
    if PAUSED_REPLICAS in annotations:
        asked = (*cluster.intents.of(IntentKind.PAUSE), *cluster.intents.of(IntentKind.CAP))
        paused = any(in_force(one, cluster, pool) for one in asked)
        kept = int(annotations[PAUSED_REPLICAS])
        kept = min(kept, ceiling) if paused else kept
        return Bounds(kept, kept)
    if PAUSED_SCALE_IN in annotations:
        return Bounds(max(floor, min(size, ceiling)), ceiling)
    if PAUSED_SCALE_OUT in annotations:
        return Bounds(min(floor, size), min(ceiling, size))
    return bounds


def _holds(annotations: Mapping[str, str]) -> bool:
    """Whether the Deployment stays as it is, whatever size that is."""
    return PAUSED in annotations or annotations.get(PAUSED_REPLICAS) == "many"


def in_force(intent: Intent, cluster: Cluster, pool: Pool) -> bool:
    if intent.until is not None and cluster.now >= intent.until:
        return False
    scope = intent.scope
    if scope.pool is not None:
        return scope.pool == pool.key
    return scope.tenant in (None, pool.tenant)


def is_frozen(cluster: Cluster, pool: Pool) -> bool:
    """By an operator, or by an annotation that holds the Deployment as it is."""
    annotations = cluster.sights[pool.key].annotations
    by_annotation = FREEZE in annotations or _holds(annotations)
    return by_annotation or any(
        in_force(freeze, cluster, pool) for freeze in cluster.intents.of(IntentKind.FREEZE)
    )


def accounts(cluster: Cluster) -> list[Account]:
    """Every hard limit there is."""
    fleet = cluster.fleet
    room = last_known(cluster.room)
    found = [
        Account(f"cluster {what}", limit, _requests(fleet.pools, what))
        for what, limit in _least(fleet.capacity.resources, room.resources if room else None)
    ]
    found += _of_classes(cluster)
    if fleet.capacity.usd_per_hour is not None:
        limit = Fraction(fleet.capacity.usd_per_hour)
        found.append(Account("usd", limit, _prices(cluster, fleet.pools)))
    for tenant in fleet.tenants:
        own = [pool for pool in fleet.pools if pool.tenant == tenant.name]
        seen = cluster.tenants.get(tenant.name)
        quota = None if seen is None else last_known(seen.quota)
        found += [
            Account(f"quota {what} of {tenant.name}", limit, _requests(own, what))
            for what, limit in _least(tenant.quota, quota)
        ]
        if tenant.budget.usd_per_hour is not None:
            limit = Fraction(tenant.budget.usd_per_hour)
            found.append(Account(f"usd of {tenant.name}", limit, _prices(cluster, own)))
        found += _of_budget(cluster, tenant, own)
    return found


def _of_classes(cluster: Cluster) -> list[Account]:
    """Pools that may use no other classes than these have no more than there is of them."""
    room = last_known(cluster.room)
    if room is None:
        return []
    found = []
    for count in range(1, len(room.classes) + 1):
        for classes in combinations(sorted(room.classes), count):
            pools = [
                pool
                for pool in cluster.fleet.pools
                if pool.nodes
                and set(pool.nodes) & set(room.classes) <= set(classes)
                and set(pool.nodes) & set(room.classes)
            ]
            for what in RESOURCES:
                amounts = [getattr(room.classes[name], what) for name in classes]
                if None not in amounts:
                    name = f"{what} of {' and '.join(classes)}"
                    found.append(Account(name, Fraction(sum(amounts)), _requests(pools, what)))
    return found


def _of_budget(cluster: Cluster, tenant: Tenant, pools: list[Pool]) -> list[Account]:
    budget, seen = tenant.budget, cluster.tenants.get(tenant.name)
    usage = None if seen is None else last_known(seen.usage)
    if budget.tokens_per_day is None or usage is None:
        return []
    rest = Fraction(budget.tokens_per_day) - Fraction(usage.used) - Fraction(usage.reserved)
    uses = {
        pool.key: _tasks_per_minute(pool, task)
        * sum(
            Fraction(count) * weight
            for count, weight in (
                (task.input_tokens, Fraction(budget.count.input)),
                (task.output_tokens, Fraction(budget.count.output)),
                (task.cached_input_tokens, Fraction(budget.count.cached_input)),
            )
        )
        for pool in pools
        if (task := cluster.usage(pool)) is not None
    }
    name = f"tokens of {tenant.name}"
    if rest <= 0 and budget.hard:
        return [Account(name, Fraction(0), uses)]
    warned = budget.tokens_per_day - rest >= Fraction(budget.warn) * budget.tokens_per_day
    paced = budget.pacing is Pacing.ALWAYS or (budget.pacing is Pacing.ON_WARNING and warned)
    if not paced:
        return []
    local = datetime.fromtimestamp(cluster.now, ZoneInfo(tenant.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    minutes = Fraction(round(midnight.timestamp() - cluster.now), 60)
    return [Account(name, max(rest, Fraction(0)) / minutes, uses, first_passes=True)]


def soft_limit(cluster: Cluster) -> list[Account]:
    """The calls a minute that a shared model allows, which a half-fed replica may pass."""
    found = []
    for model in cluster.fleet.models:
        if model.limits is None or model.limits.requests_per_minute is None or not model.shared:
            continue
        uses = {
            pool.key: _tasks_per_minute(pool, task) * task.calls
            for pool in cluster.fleet.pools
            if pool.model == model.name and (task := cluster.usage(pool)) is not None
        }
        usable = model.limits.requests_per_minute * (1 - Fraction(model.limits.headroom))
        found.append(Account(f"calls of {model.name}", usable, uses))
    return found


def _tasks_per_minute(pool: Pool, task: TaskUsage) -> Fraction:
    return Fraction(60 * pool.slots) / Fraction(task.seconds)


def _prices(cluster: Cluster, pools: list[Pool] | tuple[Pool, ...]) -> dict[PoolKey, Fraction]:
    by_name = {model.name: model for model in cluster.fleet.models}
    return {
        pool.key: 60 * _tasks_per_minute(pool, task) * _usd_per_task(task, by_name[pool.model])
        for pool in pools
        if pool.model is not None and (task := cluster.usage(pool)) is not None
    }


def _usd_per_task(usage: TaskUsage, model: LlmModel) -> Fraction:
    price = model.price
    if price is None:
        return Fraction(0)
    tokens = usage.input_tokens * price.input + usage.output_tokens * price.output
    return Fraction(tokens) / 1_000_000


def _requests(pools: list[Pool] | tuple[Pool, ...], what: str) -> dict[PoolKey, Fraction]:
    if what == "replicas":
        return {pool.key: Fraction(1) for pool in pools}
    return {
        pool.key: Fraction((pool.requests and getattr(pool.requests, what)) or 0) for pool in pools
    }


def _least(*resources: Resources | None) -> list[tuple[str, Fraction]]:
    found = []
    for what in RESOURCES:
        said = [getattr(one, what) for one in resources if one is not None]
        known = [Fraction(amount) for amount in said if amount is not None]
        if known:
            found.append((what, min(known)))
    return found

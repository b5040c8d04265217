"""What is scarce now, as rows that pools draw on: capacity, quotas, budgets, money, rate limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Final
from zoneinfo import ZoneInfo

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Reading, last_known
from controller.model.scarcity import Capacity, Resources, TaskUsage
from controller.planning.allocation import Row
from controller.planning.budget import (
    BudgetStatus,
    TokenUse,
    budget_row,
    budget_status,
)
from controller.planning.calendar import Day, local_day
from controller.planning.cost import cost_row
from controller.planning.terms import ReplicaUses, Uses, terms_of

LEDGER_LIMIT_S: Final = 600.0
"""A ledger older than this lets a tenant with a hard budget grow no further."""
MOST_TOKENS: Final = 10**15
"""What no tenant uses in a day: a number this large is a fault of whoever counted."""
_UNSEEN: Final = TenantObservation()


class Scarcity:
    """The rows of one moment, and what a replica of each pool takes of them.

    `weights` are the pools'. `budgets` are the tenants' whose use is known; `blind_budgets` those
    with a hard budget whose ledger is silent: they grow no further.
    """

    def __init__(self, fleet: Fleet, observation: Observation, now: float) -> None:
        terms = terms_of(fleet)
        self._observation = observation
        self._room = last_known(observation.capacity) or ClusterRoom()
        self._now = now
        self._days: dict[str, Day] = {}
        self.budgets: dict[str, BudgetStatus] = {}
        self.blind_budgets: set[str] = set()
        self.tenant_weights, self.tiers = terms.tenant_weights, terms.tiers
        self.weights = terms.weights
        self.room = tuple(self._capacity(fleet))
        rows = list(self.room)
        if fleet.capacity.usd_per_hour is not None:
            rows.append(cost_row(fleet.capacity.usd_per_hour))
        for tenant in fleet.tenants:
            rows.extend(self._of_tenant(tenant))
        rows.extend(terms.rate_rows)
        self.rows = {row.name: row for row in rows}
        self._uses = terms.on(self.rows, self._room.classes)
        self._room_uses = terms.on({row.name: row for row in self.room}, {})

    def uses(self, pool: Pool) -> Uses:
        """What one replica takes of each row there is. Raises SharingError as `replica` does."""
        return self.replica(pool).everywhere

    def flavors(self, pool: Pool) -> tuple[Uses, ...]:
        """What a replica takes on each class of nodes it may use, in its order of preference;
        nothing on one whose room has no limit that is known.
        """
        return self.replica(pool).flavors

    def replica(self, pool: Pool) -> ReplicaUses:
        """What one replica takes of each row, everywhere and by class of nodes. Raises SharingError
        for a task that takes no time.
        """
        seen = self._observation.pools.get(pool.key)
        return self._uses.of(pool, _requests(pool, seen), _task_usage(pool, seen))

    def room_uses(self, pool: Pool) -> Uses:
        """What one replica takes of the cluster's room alone."""
        seen = self._observation.pools.get(pool.key)
        return self._room_uses.of(pool, _requests(pool, seen), None).everywhere

    def _capacity(self, fleet: Fleet) -> Iterator[Row]:
        for name, amount in _least(fleet.capacity.resources, self._room.resources):
            yield Row(name=name, capacity=amount, bound=Bound.CAPACITY, fair=True)
        for node_class, resources in self._room.classes.items():
            for name, amount in _least(resources, Resources()):
                yield Row(name=f"{name}@{node_class}", capacity=amount, bound=Bound.CAPACITY)

    def _of_tenant(self, tenant: Tenant) -> Iterator[Row]:
        seen = self._observation.tenants.get(tenant.name, _UNSEEN)
        quota = last_known(seen.quota) or Resources()
        for name, amount in _least(tenant.quota, quota):
            yield Row(name=f"quota-{name}:{tenant.name}", capacity=amount, bound=Bound.QUOTA)
        if tenant.budget.usd_per_hour is not None:
            yield cost_row(tenant.budget.usd_per_hour, tenant.name)
        if tenant.budget.tokens_per_day is None:
            return
        usage = _known_usage(seen.usage, self._now)
        if usage is None:
            if tenant.budget.hard:
                self.blind_budgets.add(tenant.name)
            return
        status = self._budget(tenant, usage)
        self.budgets[tenant.name] = status
        row = budget_row(tenant.name, status)
        if row is not None:
            yield row

    def _budget(self, tenant: Tenant, usage: TokenUsage) -> BudgetStatus:
        day = self._days.get(tenant.timezone)
        if day is None:
            day = local_day(self._now, ZoneInfo(tenant.timezone))
            self._days[tenant.timezone] = day
        return budget_status(
            tenant.budget,
            TokenUse(
                used=usage.used,
                reserved=usage.reserved,
                burn_per_minute=usage.burn_per_minute,
                minutes_to_reset=Fraction(round(day.end - self._now), 60),
                period_minutes=Fraction(round(day.end - day.start), 60),
            ),
        )


def is_shared(fleet: Fleet, observation: Observation) -> bool:
    """Whether pools draw on anything together: then one pool's number is everybody's matter."""
    tenants = observation.tenants.values()
    return (
        fleet.capacity != Capacity()
        or last_known(observation.capacity) not in (None, ClusterRoom())
        or any(last_known(tenant.quota) not in (None, Resources()) for tenant in tenants)
        or any(model.limits is not None for model in fleet.models)
        or any(
            tenant.quota != Resources()
            or tenant.budget.tokens_per_day is not None
            or tenant.budget.usd_per_hour is not None
            or tenant.budget.usd_alert is not None
            for tenant in fleet.tenants
        )
    )


def _task_usage(pool: Pool, seen: PoolObservation | None) -> TaskUsage | None:
    """What one task takes: as measured, else as the fleet file says."""
    measured = None if seen is None else seen.task_usage
    return pool.usage if measured is None or not _possible(measured) else measured


def _requests(pool: Pool, seen: PoolObservation | None) -> Resources | None:
    """What one replica takes of places, millicores and bytes: as its profile says, else as its
    Deployment's pods request.
    """
    if pool.requests is not None or seen is None:
        return pool.requests
    workload = last_known(seen.workload)
    return None if workload is None else workload.requests


def _known_usage(reading: Reading[TokenUsage], now: float) -> TokenUsage | None:
    """The ledger's last word, while it is not too old to go by."""
    if isinstance(reading, Absent) or not now - reading.at <= LEDGER_LIMIT_S:
        return None
    if not isfinite(reading.at):
        return None  # it would never grow old
    usage = reading.value
    plausible = all(each.is_finite() and 0 <= each < MOST_TOKENS for each in _numbers(usage))
    return usage if plausible else None


def _possible(usage: TaskUsage) -> bool:
    """Whether a task can have taken that."""
    counts = (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.calls)
    return min(counts) >= 0 and usage.seconds.is_finite() and usage.seconds > 0


def _numbers(usage: TokenUsage) -> Iterable[Decimal]:
    return usage.used, usage.reserved, usage.burn_per_minute


def _least(*all_resources: Resources) -> Iterator[tuple[str, int]]:
    """Of each resource the smallest amount that is said; nothing where none is. What cannot be is
    as if it had not been said.
    """
    for name, amounts in (
        ("replicas", [each.replicas for each in all_resources]),
        ("cpu", [each.cpu_milli for each in all_resources]),
        ("memory", [each.memory_bytes for each in all_resources]),
    ):
        known = [amount for amount in amounts if amount is not None and amount >= 0]
        if known:
            yield name, min(known)

"""What is scarce now, as rows that pools draw on: capacity, quotas, budgets, money, rate limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.observation import (
    ClusterRoom,
    Observation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Reading, last_known
from controller.model.scarcity import (
    Capacity,
    LlmModel,
    Price,
    Resources,
    TaskUsage,
    TokenCount,
)
from controller.planning.allocation import Amount, Row, SharingError
from controller.planning.budget import Budget as DailyTokens
from controller.planning.budget import (
    BudgetStatus,
    Pacing,
    TokenUse,
    budget_row,
    budget_status,
)
from controller.planning.calendar import local_day
from controller.planning.cost import FLEET_ROW, cost_row, replica_usd_per_hour
from controller.planning.rates import CallRate, RateLimit, calls_per_minute, rate_rows, rate_uses

LEDGER_LIMIT_S: Final = 600.0
"""A ledger older than this lets a tenant with a hard budget grow no further."""
MILLION: Final = 1_000_000
_UNSEEN: Final = TenantObservation()


class Scarcity:
    """The rows of one moment, and what a replica of each pool takes of them.

    `budgets` are the tenants' whose use is known; `blind_budgets` those with a hard budget whose
    ledger is silent: they grow no further.
    """

    def __init__(self, fleet: Fleet, observation: Observation, now: float) -> None:
        self._models = {model.name: model for model in fleet.models}
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._observation = observation
        self._room = last_known(observation.capacity) or ClusterRoom()
        self._now = now
        self.budgets: dict[str, BudgetStatus] = {}
        self.blind_budgets: set[str] = set()
        self.tenant_weights: Mapping[str, Amount] = {
            tenant.name: tenant.weight for tenant in fleet.tenants
        }
        self.room = tuple(self._capacity(fleet))
        rows = list(self.room)
        if fleet.capacity.usd_per_hour is not None:
            rows.append(cost_row(fleet.capacity.usd_per_hour))
        for tenant in fleet.tenants:
            rows.extend(self._of_tenant(tenant))
        rows.extend(self._rates(fleet))
        self.rows = {row.name: row for row in rows}

    def uses(self, pool: Pool) -> dict[str, Amount]:
        """What one replica takes of each row there is."""
        tenant = self._tenants.get(pool.tenant)
        amounts: dict[str, Amount] = {}
        for name, amount in self._requests(pool).items():
            amounts[name] = amount
            amounts[f"quota-{name}:{pool.tenant}"] = amount
        if pool.usage is not None:
            amounts.update(self._token_uses(pool, pool.usage, tenant))
        return {name: amount for name, amount in amounts.items() if name in self.rows and amount}

    def flavors(self, pool: Pool) -> tuple[dict[str, Amount], ...]:
        """What a replica takes on each class of nodes it may use, in its order of preference;
        nothing on one whose room has no limit that is known.
        """
        requests = self._requests(pool)
        return tuple(
            {
                row: amount
                for name, amount in requests.items()
                if amount and (row := f"{name}@{node_class}") in self.rows
            }
            for node_class in pool.nodes
            if node_class in self._room.classes
        )

    def _requests(self, pool: Pool) -> dict[str, Amount]:
        """What one replica takes of places, millicores and bytes: as its profile says, else as its
        Deployment's pods request.
        """
        requests = pool.requests
        if requests is None and (seen := self._observation.pools.get(pool.key)) is not None:
            workload = last_known(seen.workload)
            requests = None if workload is None else workload.requests
        return _amounts(requests)

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
        status = self._budget(tenant, tenant.budget.tokens_per_day, usage)
        self.budgets[tenant.name] = status
        row = budget_row(tenant.name, status)
        if row is not None:
            yield row

    def _budget(self, tenant: Tenant, tokens: int, usage: TokenUsage) -> BudgetStatus:
        day = local_day(self._now, ZoneInfo(tenant.timezone))
        return budget_status(
            DailyTokens(
                tokens=tokens,
                warn=tenant.budget.warn,
                hard=tenant.budget.hard,
                pacing=Pacing(tenant.budget.pacing.value),
            ),
            TokenUse(
                used=usage.used,
                reserved=usage.reserved,
                burn_per_minute=usage.burn_per_minute,
                minutes_to_reset=Fraction(round(day.end - self._now), 60),
                period_minutes=Fraction(round(day.end - day.start), 60),
            ),
        )

    def _rates(self, fleet: Fleet) -> Iterator[Row]:
        drawn = {(self._key(model, pool), model.name) for model, pool in self._drawing(fleet)}
        for key, name in sorted(drawn):
            yield from rate_rows(key, _limit(self._models[name]))

    def _drawing(self, fleet: Fleet) -> Iterator[tuple[LlmModel, Pool]]:
        for pool in fleet.pools:
            model = self._models.get(pool.model or "")
            if model is not None and model.limits is not None and pool.usage is not None:
                yield model, pool

    @staticmethod
    def _key(model: LlmModel, pool: Pool) -> str:
        return model.name if model.shared else f"{model.name}/{pool.tenant}"

    def _token_uses(self, pool: Pool, usage: TaskUsage, tenant: Tenant | None) -> dict[str, Amount]:
        tasks = tasks_per_minute(pool, usage)
        amounts: dict[str, Amount] = {}
        if tenant is not None:
            amounts[f"budget:{pool.tenant}"] = tasks * counted_tokens(usage, tenant.budget.count)
        model = self._models.get(pool.model or "")
        if model is None:
            return amounts
        if model.price is not None:
            usd = replica_usd_per_hour(Decimal(0), tasks, usd_per_task(usage, model.price))
            amounts[FLEET_ROW] = usd
            amounts[f"{FLEET_ROW}:{pool.tenant}"] = usd
        if model.limits is not None:
            rate = CallRate(
                calls=calls_per_minute(pool.slots, usage.calls, usage.seconds),
                input_tokens=tasks * usage.input_tokens,
                output_tokens=tasks * usage.output_tokens,
                slots=pool.slots,
            )
            amounts.update(rate_uses(self._key(model, pool), _limit(model), rate))
        return amounts


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


def tasks_per_minute(pool: Pool, usage: TaskUsage) -> Fraction:
    """Tasks one replica does with all its slots at work."""
    if usage.seconds <= 0:
        raise SharingError(pool.key, "a task that takes no time has no rate")
    return Fraction(60 * pool.slots) / Fraction(usage.seconds)


def counted_tokens(usage: TaskUsage, count: TokenCount) -> Fraction:
    """One task's tokens, weighed as the tenant's budget weighs them."""
    return Fraction(
        usage.input_tokens * count.input
        + usage.output_tokens * count.output
        + usage.cached_input_tokens * count.cached_input
    )


def usd_per_task(usage: TaskUsage, price: Price) -> Decimal:
    """What the tokens of one task cost."""
    cached = price.input if price.cached_input is None else price.cached_input
    return (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cached_input_tokens * cached
    ) / MILLION


def _known_usage(reading: Reading[TokenUsage], now: float) -> TokenUsage | None:
    """The ledger's last word, while it is not too old to go by."""
    if isinstance(reading, Absent) or not now - reading.at <= LEDGER_LIMIT_S:
        return None
    usage = reading.value
    plausible = all(each.is_finite() and each >= 0 for each in _numbers(usage))
    return usage if plausible else None


def _numbers(usage: TokenUsage) -> Iterable[Decimal]:
    return usage.used, usage.reserved, usage.burn_per_minute


def _limit(model: LlmModel) -> RateLimit:
    limits = model.limits
    if limits is None:
        return RateLimit()
    return RateLimit(
        requests_per_minute=limits.requests_per_minute,
        input_tokens_per_minute=limits.input_tokens_per_minute,
        output_tokens_per_minute=limits.output_tokens_per_minute,
        parallel=limits.parallel,
        headroom=limits.headroom,
    )


def _amounts(requests: Resources | None) -> dict[str, Amount]:
    """What one replica takes of places, millicores and bytes, where that is known."""
    amounts: dict[str, Amount] = {"replicas": 1}
    if requests is not None and requests.cpu_milli is not None:
        amounts["cpu"] = requests.cpu_milli
    if requests is not None and requests.memory_bytes is not None:
        amounts["memory"] = requests.memory_bytes
    return amounts


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

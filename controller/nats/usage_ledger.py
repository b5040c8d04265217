"""The arithmetic of the token ledger: the tokens of each tenant in its day, and their rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import TierUsage, TokensByModel, TokenUsage
from controller.model.scarcity import TaskUsage, TokenCount
from controller.model.usage_event import UsageEvent, UsedTokens
from controller.nats.usage_burn import BurnRate
from controller.nats.usage_days import Daily
from controller.nats.usage_models import ModelDays
from controller.nats.usage_tasks import MeasuredTasks
from controller.nats.usage_tiers import TierDays
from controller.nats.usage_tokens import Tokens
from controller.planning.share.calendar import Day

LOOK_BACK_S: Final = 3600.0
"""Events are read at least this far back, even if the day has only begun: for the burn rate and the
tasks.
"""


class TokenAccount:
    """One tenant's tokens, by days of the tenant's time zone."""

    def __init__(self, tenant: Tenant) -> None:
        self.count = tenant.budget.count
        self._sums = Daily(ZoneInfo(tenant.timezone), Tokens())
        self._burn = BurnRate()

    def day(self, at: float) -> Day:
        """The day that this moment belongs to."""
        return self._sums.day(at)

    def take(self, used: UsedTokens, at: float) -> None:
        """One task's tokens were reported at `at`."""
        self._sums.put(at, self._sums.sum(at).plus(used))
        self._burn.add(float(Tokens().plus(used).counted(self.count)), at)

    def used(self, now: float) -> Decimal:
        """Counted since the last reset."""
        return self._sums.sum(now).counted(self.count)

    def burn_per_minute(self, now: float) -> Decimal:
        """The recent rate."""
        return self._burn.per_minute(now)


class UsageLedger:
    """The accounts of all tenants, filled from events; each event must be given once."""

    def __init__(self, fleet: Fleet) -> None:
        self.tenants = frozenset(tenant.name for tenant in fleet.tenants)
        self._accounts = {
            tenant.name: TokenAccount(tenant)
            for tenant in fleet.tenants
            if tenant.budget.tokens_per_day is not None
        }
        self._pools: dict[str, list[Pool]] = {name: [] for name in self._accounts}
        for pool in fleet.pools:
            if pool.tenant in self._pools:
                self._pools[pool.tenant].append(pool)
        counts = {tenant.name: tenant.budget.count for tenant in fleet.tenants}
        self._tasks = {
            pool.key: MeasuredTasks(counts.get(pool.tenant, TokenCount()), pool.usage)
            for pool in fleet.pools
        }
        # with one tier only there is nothing to compare
        several = len({model.tier for model in fleet.models}) > 1
        self._tiers = {
            tenant.name: TierDays(tenant.timezone) for tenant in fleet.tenants if several
        }

        models = frozenset(model.name for model in fleet.models)
        self._models = {
            tenant.name: ModelDays(tenant.timezone, models)
            for tenant in fleet.tenants
            if models or self._accounts
        }

    @property
    def is_needed(self) -> bool:
        """Whether anything is made of the events."""
        return bool(self._models)

    @property
    def budgeted(self) -> Iterable[str]:
        """The tenants that have a budget of tokens."""
        return self._accounts.keys()

    def since(self, now: float) -> float:
        """Events from before this moment have no influence on what is known at `now`."""
        starts = [account.day(now).start for account in self._accounts.values()]
        starts += [models.day_start(now) for models in self._models.values()]
        return min(now - LOOK_BACK_S, *starts)

    def used(self, tenant: str, now: float) -> Decimal | None:
        """What this tenant has used since its last reset; None without a budget of tokens."""
        account = self._accounts.get(tenant)
        return None if account is None else account.used(now)

    def period_start(self, tenant: str, now: float) -> float:
        """When this tenant's budget was reset last."""
        return self._accounts[tenant].day(now).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count one event that was stored at `at` (Unix seconds)."""
        account = self._accounts.get(event.tenant)
        if account is not None:
            account.take(event.usage, at)
        tiers = self._tiers.get(event.tenant)
        if tiers is not None:
            tiers.take(event, at)
        models = self._models.get(event.tenant)
        if models is not None:
            models.take(event, at)
        tasks = self._tasks.get(pool_key(event.tenant, event.role))
        if tasks is not None:
            tasks.take(event)

    def usage(self, tenant: str, now: float, in_flight: Callable[[PoolKey], int]) -> TokenUsage:
        """A tenant's totals. Tokens are reserved for each task `in_flight` of a pool, because what
        a task used is reported only when it ends.
        """
        account = self._accounts[tenant]
        reserved = sum(
            (
                max(0, in_flight(pool.key)) * self._tasks[pool.key].expected()
                for pool in self._pools[tenant]
            ),
            Decimal(0),
        )
        return TokenUsage(
            used=account.used(now),
            reserved=reserved,
            burn_per_minute=account.burn_per_minute(now),
        )

    def tiers(self, now: float, known_from: float) -> Mapping[str, TierUsage]:
        """What was used today of each class of models, of the tenants that used any. Events from
        before `known_from` may be missing.
        """
        found: dict[str, TierUsage] = {}
        for name, days in self._tiers.items():
            used = days.used(now)
            if used is not None:
                is_old = days.day_start(now) < known_from
                found[name] = replace(used, is_old=True) if is_old else used
        return found

    def by_model(self, now: float, known_from: float) -> Mapping[str, TokensByModel]:
        """What was used today of each model, by kind, of the tenants that used any. Events from
        before `known_from` may be missing.
        """
        found: dict[str, TokensByModel] = {}
        for name, days in self._models.items():
            used = days.used(now)
            if used is not None:
                is_old = days.day_start(now) < known_from
                found[name] = replace(used, is_old=True) if is_old else used
        return found

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        tasks = self._tasks.get(pool)
        return None if tasks is None else tasks.mean()

"""The arithmetic of the token ledger: what each tenant used in its day, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from math import exp, log
from typing import Final
from zoneinfo import ZoneInfo

from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import TokenUsage
from controller.model.scarcity import TaskUsage, TokenCount
from controller.planning.share.calendar import Day, local_day
from controller.sources.usage_events import Usage, UsageEvent
from controller.sources.usage_tasks import Tasks
from controller.sources.usage_tokens import Tokens

BURN_HALF_LIFE_S: Final = 600.0
"""Tokens are told when a task ends, and tasks take up to half an hour: a shorter memory would call
the end of each long task a burst.
"""
LOOK_BACK_S: Final = 3600.0
"""As far back the events are read even if the day has only begun: for the burn and the tasks."""

_THOUSANDTH: Final = Decimal("0.001")


class Burn:
    """Tokens a minute, of which each half-life forgets a half."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._at = 0.0

    def add(self, tokens: float, at: float) -> None:
        """So many were used at `at` (Unix seconds)."""
        self._sum = self._left(at) + tokens
        self._at = max(self._at, at)

    def per_minute(self, now: float) -> Decimal:
        """The pace at `now`."""
        rate = self._left(now) * 60 * log(2) / BURN_HALF_LIFE_S
        return Decimal(rate).quantize(_THOUSANDTH)

    def _left(self, at: float) -> float:
        return self._sum * exp(-log(2) * max(0.0, at - self._at) / BURN_HALF_LIFE_S)


class Account:
    """One tenant's tokens, day by day of its own clock."""

    def __init__(self, tenant: Tenant) -> None:
        self.count = tenant.budget.count
        self._zone = ZoneInfo(tenant.timezone)
        self._days: dict[float, Tokens] = {}
        self._latest: Day | None = None
        self._burn = Burn()

    def day(self, at: float) -> Day:
        """The day that this moment belongs to."""
        day = self._latest
        if day is None or not day.start <= at < day.end:
            day = self._latest = local_day(at, self._zone)
        return day

    def take(self, usage: Usage, at: float) -> None:
        """One task's tokens were told at `at`."""
        day = self.day(at)
        if day.start not in self._days:
            # the day before stays: the engine's clock may be set back across midnight
            yesterday = local_day(day.start - 1, self._zone).start
            self._days = {start: each for start, each in self._days.items() if start >= yesterday}
        self._days[day.start] = self._days.get(day.start, Tokens()).plus(usage)
        self._burn.add(float(Tokens().plus(usage).counted(self.count)), at)

    def used(self, now: float) -> Decimal:
        """Counted since the last reset."""
        return self._days.get(self.day(now).start, Tokens()).counted(self.count)

    def burn_per_minute(self, now: float) -> Decimal:
        """The recent pace."""
        return self._burn.per_minute(now)


class UsageLedger:
    """All tenants' accounts, filled from events in any number, each given once."""

    def __init__(self, fleet: Fleet) -> None:
        self.tenants = frozenset(tenant.name for tenant in fleet.tenants)
        self._accounts = {
            tenant.name: Account(tenant)
            for tenant in fleet.tenants
            if tenant.budget.tokens_per_day is not None
        }
        self._pools: dict[str, list[Pool]] = {name: [] for name in self._accounts}
        for pool in fleet.pools:
            if pool.tenant in self._pools:
                self._pools[pool.tenant].append(pool)
        counts = {tenant.name: tenant.budget.count for tenant in fleet.tenants}
        self._tasks = {
            pool.key: Tasks(counts.get(pool.tenant, TokenCount()), pool.usage)
            for pool in fleet.pools
        }

    @property
    def budgeted(self) -> Iterable[str]:
        """The tenants that have a budget of tokens."""
        return self._accounts.keys()

    def since(self, now: float) -> float:
        """The first moment whose events matter now."""
        starts = (account.day(now).start for account in self._accounts.values())
        return min(now - LOOK_BACK_S, *starts)

    def period_start(self, tenant: str, now: float) -> float:
        """When this tenant's budget was reset last."""
        return self._accounts[tenant].day(now).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count one event that was stored at `at` (Unix seconds)."""
        account = self._accounts.get(event.tenant)
        if account is not None:
            account.take(event.usage, at)
        tasks = self._tasks.get(pool_key(event.tenant, event.role))
        if tasks is not None:
            tasks.take(event)

    def usage(self, tenant: str, now: float, in_flight: Callable[[PoolKey], int]) -> TokenUsage:
        """Where a tenant stands. For each task `in_flight` of a pool tokens are reserved: what it
        uses is told only when it ends.
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

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average, once enough of them are known."""
        tasks = self._tasks.get(pool)
        return None if tasks is None else tasks.mean()

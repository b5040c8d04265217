"""The arithmetic of the token ledger: each tenant's day, its burn, and what its tasks take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from math import ceil, exp, log
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import TokenUsage
from controller.model.scarcity import TaskUsage, TokenCount
from controller.planning.calendar import Day, local_day
from controller.sources.usage_events import Usage, UsageEvent

BURN_HALF_LIFE_S: Final = 600.0
"""Tokens are told when a task ends, and tasks take up to half an hour: a shorter memory would call
the end of each long task a burst.
"""
LOOK_BACK_S: Final = 3600.0
"""As far back the events are read even if the day has only begun: for the burn and the tasks."""
TASKS_KEPT: Final = 200
MEASURED_FROM: Final = 5
"""Fewer tasks than these say little about the next one."""

_P95: Final = 0.95
_THOUSANDTH: Final = Decimal("0.001")


class Tokens(NamedTuple):
    """Tokens by kind; sums of them are exact, and weighed only when they are asked for."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    def plus(self, usage: Usage) -> Tokens:
        """These and one task's."""
        return Tokens(
            self.input + usage.input,
            self.cached_input + usage.cached_input,
            self.output + usage.output,
        )

    def counted(self, count: TokenCount) -> Decimal:
        """As a tenant's budget counts them."""
        return (
            self.input * count.input
            + self.cached_input * count.cached_input
            + self.output * count.output
        )


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


class Tasks:
    """What the latest tasks of one pool took."""

    def __init__(self) -> None:
        self._events: deque[UsageEvent] = deque(maxlen=TASKS_KEPT)
        self._p95: Decimal | None = None
        self._mean: TaskUsage | None = None

    def take(self, event: UsageEvent) -> None:
        """One more was done."""
        self._events.append(event)
        self._p95 = self._mean = None

    def mean(self) -> TaskUsage | None:
        """One task on average; None while too few are known, or none said how long it took."""
        if self._mean is None and len(self._events) >= MEASURED_FROM:
            self._mean = _mean(self._events)
        return self._mean

    def expected(self, count: TokenCount, assumed: TaskUsage | None) -> Decimal:
        """Counted tokens to expect of a task that runs: nearest-rank p95 of the latest; while those
        are few, what was assumed, and at the least the largest of them.
        """
        if self._p95 is None:
            sizes = sorted(Tokens().plus(event.usage).counted(count) for event in self._events)
            rank = _P95 if len(sizes) >= MEASURED_FROM else 1
            self._p95 = sizes[ceil(rank * len(sizes)) - 1] if sizes else Decimal(0)
        if assumed is None or len(self._events) >= MEASURED_FROM:
            return self._p95
        tokens = Tokens(assumed.input_tokens, assumed.cached_input_tokens, assumed.output_tokens)
        return max(self._p95, tokens.counted(count))


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
        self._tasks = {pool.key: Tasks() for pool in fleet.pools}

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
                max(0, in_flight(pool.key))
                * self._tasks[pool.key].expected(account.count, pool.usage)
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


def _mean(events: Iterable[UsageEvent]) -> TaskUsage | None:
    timed = [event for event in events if event.seconds]
    if len(timed) < MEASURED_FROM:
        return None
    number = len(timed)
    seconds = Decimal(sum(event.seconds or 0.0 for event in timed) / number)
    return TaskUsage(
        input_tokens=round(sum(event.usage.input for event in timed) / number),
        cached_input_tokens=round(sum(event.usage.cached_input for event in timed) / number),
        output_tokens=round(sum(event.usage.output for event in timed) / number),
        calls=max(1, round(sum(event.usage.calls for event in timed) / number)),
        seconds=max(_THOUSANDTH, seconds.quantize(_THOUSANDTH)),
    )

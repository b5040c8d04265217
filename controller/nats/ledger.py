"""What usage events add up to: tokens, USD and tasks, and how fast they are spent."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from math import ceil, exp, log
from typing import Final, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import ModelTokens, TierUsage, TokensByModel, TokenUsage
from controller.model.scarcity import ModelTier, TaskUsage, TokenCount
from controller.model.worker_messages import UsageEvent, UsedTokens
from controller.planning.share.rows import Day, local_day

BURN_HALF_LIFE_S: Final = 600.0
"""Tokens are reported when a task ends, and tasks take up to half an hour: with a shorter half-life
the end of each long task would look like a burst.
"""

_THOUSANDTH: Final = Decimal("0.001")


class BurnRate:
    """Tokens per minute: a decaying average, halved in each half-life."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._at = 0.0

    def add(self, tokens: float, at: float) -> None:
        """Add tokens that were used at `at` (Unix seconds)."""
        self._sum = self._left(at) + tokens
        self._at = max(self._at, at)

    def per_minute(self, now: float) -> Decimal:
        """The rate at `now`."""
        rate = self._left(now) * 60 * log(2) / BURN_HALF_LIFE_S
        return Decimal(rate).quantize(_THOUSANDTH)

    def _left(self, at: float) -> float:
        return self._sum * exp(-log(2) * max(0.0, at - self._at) / BURN_HALF_LIFE_S)


T = TypeVar("T")


class Daily(Generic[T]):
    """One sum for each day: of the latest day that was added to, and of the day before."""

    def __init__(self, zone: ZoneInfo, nothing: T) -> None:
        """`nothing` is the sum of a day without anything."""
        self._zone = zone
        self._nothing = nothing
        self._sums: dict[float, T] = {}
        self._latest: Day | None = None

    def day(self, at: float) -> Day:
        """The day that this moment (Unix seconds) belongs to."""
        day = self._latest
        if day is None or not day.start <= at < day.end:
            day = self._latest = local_day(at, self._zone)
        return day

    def sum(self, at: float) -> T:
        """The sum of the day of this moment."""
        return self._sums.get(self.day(at).start, self._nothing)

    def put(self, at: float, total: T) -> None:
        """Replace the sum of the day of this moment."""
        day = self.day(at)
        if day.start not in self._sums:
            # the day before is kept: the engine's clock may be set back across midnight
            yesterday = local_day(day.start - 1, self._zone).start
            self._sums = {start: each for start, each in self._sums.items() if start >= yesterday}
        self._sums[day.start] = total


MOST_MODELS: Final = 16
"""So many models of a tenant are counted by name, in the order of their first event; what others
use is counted together.
"""
_PACE_DIGITS: Final = 2
_NOTHING: Final[Mapping[str, ModelTokens]] = {}


class ModelDays:
    """The tokens of one tenant by model and kind, unweighted. Models that are not `known`, which
    the fleet file does not name, count together under an empty name.
    """

    def __init__(self, timezone: str, known: AbstractSet[str]) -> None:
        self._known = known
        self._sums = Daily(ZoneInfo(timezone), _NOTHING)
        self._burn = BurnRate()
        self._told: tuple[Mapping[str, ModelTokens], TokensByModel] | None = None

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        return self._sums.day(at).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count an event that was reported at `at`."""
        sums, used = self._sums.sum(at), event.usage
        name = event.model if event.model in self._known else ""
        if name not in sums and len(sums) >= MOST_MODELS:
            name = ""
        before = sums.get(name) or ModelTokens(model=name)
        after = replace(
            before,
            input=before.input + used.input,
            cached_input=before.cached_input + used.cached_input,
            output=before.output + used.output,
            calls=before.calls + used.calls,
        )
        self._sums.put(at, {**sums, name: after})
        self._burn.add(used.input + used.cached_input + used.output, at)

    def used(self, now: float) -> TokensByModel | None:
        """The sums of the day, the most used model first, and the recent pace; None while nothing
        was used in the day. It is the same object while it says the same.
        """
        sums = self._sums.sum(now)
        if not sums:
            return None
        pace = _rounded(float(self._burn.per_minute(now)))
        if self._told is not None and self._told[0] is sums and self._told[1].per_minute == pace:
            return self._told[1]
        models = tuple(sorted(sums.values(), key=lambda each: (-each.total, each.model)))
        found = TokensByModel(models=models, per_minute=pace)
        self._told = sums, found
        return found


def _rounded(pace: float) -> int:
    """To two digits: a pace that only decays would be another one in each snapshot."""
    whole = round(pace)
    return round(whole, _PACE_DIGITS - len(str(whole)))


class Tokens(NamedTuple):
    """How many of each kind."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    def plus(self, used: UsedTokens) -> Tokens:
        """These and one task's."""
        return Tokens(
            self.input + used.input,
            self.cached_input + used.cached_input,
            self.output + used.output,
        )

    def counted(self, count: TokenCount) -> Decimal:
        """As a tenant's budget counts them."""
        return (
            self.input * count.input
            + self.cached_input * count.cached_input
            + self.output * count.output
        )


TASKS_KEPT: Final = 200
MEASURED_FROM: Final = 5
"""Fewer tasks than this say little about the next one."""
P95: Final = 0.95
SHORTEST_S: Final = Decimal("0.001")
"""A task that took no time would have no rate."""


class MeasuredTasks:
    """What the latest tasks of one pool took. Each event costs the same, however many are kept."""

    def __init__(self, count: TokenCount, assumed: TaskUsage | None) -> None:
        """`assumed` is what a task takes while too few are known."""
        self._count = count
        self._assumed = Decimal(0)
        if assumed is not None:
            self._assumed = Tokens(
                assumed.input_tokens, assumed.cached_input_tokens, assumed.output_tokens
            ).counted(count)
        self._sizes = SortedAmounts()
        self._timed: deque[UsageEvent] = deque()
        self._tokens, self._calls, self._milliseconds = Tokens(), 0, 0
        self._mean: TaskUsage | None = None

    def take(self, event: UsageEvent) -> None:
        """One more task is done."""
        self._sizes.add(Tokens().plus(event.usage).counted(self._count))
        self._mean = None
        if event.seconds:
            self._timed.append(event)
            self._add(event, 1)
        if len(self._timed) > TASKS_KEPT:
            self._add(self._timed.popleft(), -1)

    def expected(self) -> Decimal:
        """Counted tokens to expect of a running task: the 95th percentile of the latest tasks.
        While those are few, the larger of the assumed amount and the largest of them.
        """
        if len(self._sizes) >= MEASURED_FROM:
            return self._sizes.percentile(P95)
        return max(self._assumed, self._sizes.percentile(1))

    def mean(self) -> TaskUsage | None:
        """One task on average; None while too few tasks have reported how long they took."""
        if self._mean is None and len(self._timed) >= MEASURED_FROM:
            self._mean = self._mean_of(len(self._timed))
        return self._mean

    def _mean_of(self, number: int) -> TaskUsage:
        def mean(total: int) -> int:
            return int(_two_digits(Decimal(total) / number))

        seconds = _two_digits(Decimal(self._milliseconds) / number / 1000)
        return TaskUsage(
            input_tokens=mean(self._tokens.input),
            cached_input_tokens=mean(self._tokens.cached_input),
            output_tokens=mean(self._tokens.output),
            calls=max(1, mean(self._calls)),
            seconds=max(seconds, SHORTEST_S),
        )

    def _add(self, event: UsageEvent, sign: int) -> None:
        tokens, usage = self._tokens, event.usage
        self._tokens = Tokens(
            tokens.input + sign * usage.input,
            tokens.cached_input + sign * usage.cached_input,
            tokens.output + sign * usage.output,
        )
        self._calls += sign * usage.calls
        self._milliseconds += sign * round((event.seconds or 0) * 1000)


def _two_digits(amount: Decimal) -> Decimal:
    """Rounded, so that limits which depend on the mean do not move with every task."""
    return amount and amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1))


class SortedAmounts:
    """The latest amounts, in the order they came and in the order of their size."""

    def __init__(self) -> None:
        self._came: deque[Decimal] = deque()
        self._sorted: list[Decimal] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, amount: Decimal) -> None:
        """Add one amount and forget the oldest beyond those kept."""
        self._came.append(amount)
        insort(self._sorted, amount)
        if len(self._came) > TASKS_KEPT:
            del self._sorted[bisect_left(self._sorted, self._came.popleft())]

    def percentile(self, part: float) -> Decimal:
        """By nearest rank; 0 if there are no amounts."""
        return self._sorted[ceil(part * len(self._sorted)) - 1] if self._sorted else Decimal(0)


_TIERS: Final = {tier.value: tier for tier in ModelTier}
_NO_TIER: Final = TierUsage(tokens={})


class TierDays:
    """The tokens of one tenant by tier. Events of models whose tier is not known do not count."""

    def __init__(self, timezone: str) -> None:
        self._sums = Daily(ZoneInfo(timezone), _NO_TIER)

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        return self._sums.day(at).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count an event that was reported at `at`."""
        tier = _TIERS.get(event.tier)
        if tier is None:
            return
        known, used = self._sums.sum(at), event.usage
        tokens = known.tokens.get(tier, 0) + used.input + used.cached_input + used.output
        total = TierUsage(
            tokens={**known.tokens, tier: tokens}, saved_usd=known.saved_usd + event.saved_usd
        )
        self._sums.put(at, total)

    def used(self, now: float) -> TierUsage | None:
        """The sums of the day; None while nothing of a known tier was used in it."""
        known = self._sums.sum(now)
        return known if known.tokens else None


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

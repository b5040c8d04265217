"""What usage events add up to: tokens, USD and tasks, and how fast they are spent."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import ceil, exp, log
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import ModelTokens, TierUsage, TokensByModel, TokenUsage
from controller.model.scarcity import ModelTier, TaskUsage, TokenCount
from controller.model.worker_messages import ModelTerms, UsageEvent, UsedTokens
from controller.planning.provider_shares import model_terms
from controller.planning.share.rows import Day, local_day

BURN_HALF_LIFE_S: Final = 600.0
"""Tokens are reported when a task ends, and tasks take up to half an hour: with a shorter half-life
the end of each long task would look like a burst.
"""
LOOK_BACK_S: Final = 3600.0
"""Events are read at least this far back, even if the day has only begun: for the burn rate and the
tasks.
"""
MOST_MODELS: Final = 16
"""So many models of a tenant are counted by name, in the order of their first event; what others
use is counted together.
"""
TASKS_KEPT: Final = 200
MEASURED_FROM: Final = 5
"""Fewer tasks than this say little about the next one."""
P95: Final = 0.95
SHORTEST_S: Final = Decimal("0.001")
"""A task that took no time would have no rate."""
_THOUSANDTH: Final = Decimal("0.001")
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
EXPECTED_FROM_S: Final = 1800.0
"""What a day will cost is not foreseen before the tasks of so many seconds are known."""
_NANO: Final = 10**9
"""USD are added up as whole billionths, so that what has gone leaves nothing behind."""
_TIERS: Final = {tier.value: tier for tier in ModelTier}


def _counted(tokens: UsedTokens | ModelTokens, count: TokenCount) -> Decimal:
    """As a tenant's budget counts them."""
    return (
        tokens.input * count.input
        + tokens.cached_input * count.cached_input
        + tokens.output * count.output
    )


def _plus(known: ModelTokens, used: UsedTokens, usd: Decimal | None = None) -> ModelTokens:
    spent = known.usd if usd is None else (known.usd or 0.0) + float(usd)
    return replace(
        known,
        input=known.input + used.input,
        cached_input=known.cached_input + used.cached_input,
        output=known.output + used.output,
        calls=known.calls + used.calls,
        usd=spent,
    )


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


class Lately:
    """What was counted in the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, amount: int, at: float) -> None:
        """Add what was reported at `at` (Unix seconds)."""
        self._events.append((at, amount))
        self._sum += amount
        self.at(at)

    def at(self, now: float) -> int:
        """The amount of the seconds that end now."""
        while self._events and self._events[0][0] <= now - self._seconds:
            self._sum -= self._events.popleft()[1]
        return self._sum


class DaySums(NamedTuple):
    """What was used in one day: in all, by model and by tier, and in USD by pool."""

    all: ModelTokens = ModelTokens(model="")
    models: Mapping[str, ModelTokens] = {}
    tiers: TierUsage = TierUsage(tokens={})
    usd_by_pool: Mapping[PoolKey, float] = {}


_NOTHING: Final = DaySums()


class TenantUsage:
    """One tenant's tokens by days of its own time zone, of the latest day and the one before.

    Models that are not `known`, which the fleet file does not name, count together under an empty
    name; tiers count where they are known.
    """

    def __init__(
        self,
        tenant: Tenant,
        known: Mapping[str, ModelTerms],
        tasks: Mapping[PoolKey, MeasuredTasks],
    ) -> None:
        """`tasks` are those of the tenant's pools."""
        self.has_budget: Final = tenant.budget.tokens_per_day is not None
        self._tasks = tasks
        self._zone = ZoneInfo(tenant.timezone)
        self._count = tenant.budget.count
        self._known = known
        self._days: dict[float, DaySums] = {}
        self._latest: Day | None = None
        self._counted_burn, self._minute = BurnRate(), Lately(MINUTE_S)
        self._hour = Lately(HOUR_S)
        self._first_at: float | None = None
        self._told: tuple[DaySums, TokensByModel] | None = None

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        day = self._latest
        if day is None or not day.start <= at < day.end:
            day = self._latest = local_day(at, self._zone)
        return day.start

    def sums(self, at: float) -> DaySums:
        """Those of the day of this moment."""
        return self._days.get(self.day_start(at), _NOTHING)

    def take(self, event: UsageEvent, at: float) -> None:
        """Count an event that was reported at `at`."""
        sums, used = self.sums(at), event.usage
        tokens = used.input + used.cached_input + used.output
        name = event.model if event.model in self._known else ""
        if name not in sums.models and len(sums.models) >= MOST_MODELS:
            name = ""
        terms = self._known.get(name)
        usd = None if terms is None else terms.usd(used)
        model = _plus(sums.models.get(name) or ModelTokens(model=name), used, usd)
        tiers, tier = sums.tiers, _TIERS.get(event.tier)
        if tier is not None:
            tiers = TierUsage(
                tokens={**tiers.tokens, tier: tiers.tokens.get(tier, 0) + tokens},
                saved_usd=tiers.saved_usd + event.saved_usd,
            )
        start = self.day_start(at)
        if start not in self._days:
            # the day before is kept: the engine's clock may be set back across midnight
            yesterday = local_day(start - 1, self._zone).start
            self._days = {day: each for day, each in self._days.items() if day >= yesterday}
        by_pool = sums.usd_by_pool
        if usd is not None:
            key = pool_key(event.tenant, event.role)
            by_pool = {**by_pool, key: by_pool.get(key, 0.0) + float(usd)}
            self._hour.add(int(usd * _NANO), at)
        models = {**sums.models, name: model}
        self._days[start] = DaySums(_plus(sums.all, used), models, tiers, by_pool)
        self._first_at = at if self._first_at is None else min(self._first_at, at)
        self._counted_burn.add(float(_counted(used, self._count)), at)
        self._minute.add(tokens, at)

    def counted(self, now: float) -> Decimal:
        """Since the last reset, as the budget counts them."""
        return _counted(self.sums(now).all, self._count)

    def usage(self, now: float, in_flight: Callable[[PoolKey], int]) -> TokenUsage:
        """The totals. Tokens are reserved for each task `in_flight` of a pool, because what a task
        used is reported only when it ends.
        """
        reserved = (max(0, in_flight(key)) * each.expected() for key, each in self._tasks.items())
        return TokenUsage(
            used=self.counted(now),
            reserved=sum(reserved, Decimal(0)),
            burn_per_minute=self._counted_burn.per_minute(now),
        )

    def by_model(self, now: float) -> TokensByModel | None:
        """The sums of the day, the most used model first, and the tokens of the last minute; None
        while nothing was used in the day. It is the same object while it says the same.
        """
        sums = self.sums(now)
        if not sums.models:
            return None
        pace, expected_usd = self._minute.at(now), self._expected_usd(sums, now)
        if self._told is not None and self._told[0] is sums:
            told = self._told[1]
            if (told.per_minute, told.expected_usd) == (pace, expected_usd):
                return told
        models = tuple(sorted(sums.models.values(), key=lambda each: (-each.total, each.model)))
        found = TokensByModel(
            models=models,
            per_minute=pace,
            usd_by_pool=dict(sums.usd_by_pool),
            expected_usd=expected_usd,
        )
        self._told = sums, found
        return found

    def _expected_usd(self, sums: DaySums, now: float) -> float | None:
        """What the whole day will have cost if the rest is as the last hour was, to two digits."""
        known_s = 0.0 if self._first_at is None else min(now - self._first_at, HOUR_S)
        if known_s < EXPECTED_FROM_S or not sums.usd_by_pool:
            return None
        spent = Decimal(sum(sums.usd_by_pool.values()))
        left_s = local_day(now, self._zone).end - now
        return float(
            _two_digits(spent + Decimal(self._hour.at(now)) / _NANO * Decimal(left_s / known_s))
        )


class MeasuredTasks:
    """What the latest tasks of one pool took. Each event costs the same, however many are kept."""

    def __init__(self, count: TokenCount, assumed: TaskUsage | None) -> None:
        """`assumed` is what a task takes while too few are known."""
        self._count = count
        self._assumed = Decimal(0)
        if assumed is not None:
            tokens = UsedTokens(
                input=assumed.input_tokens,
                cached_input=assumed.cached_input_tokens,
                output=assumed.output_tokens,
            )
            self._assumed = _counted(tokens, count)
        self._sizes: deque[Decimal] = deque()
        self._sorted: list[Decimal] = []
        self._timed: deque[tuple[int, ...]] = deque()
        self._sums: tuple[int, ...] = (0,) * 5
        self._mean: TaskUsage | None = None

    def take(self, event: UsageEvent) -> None:
        """One more task is done."""
        used, size = event.usage, _counted(event.usage, self._count)
        self._mean = None
        self._sizes.append(size)
        insort(self._sorted, size)
        if len(self._sizes) > TASKS_KEPT:
            del self._sorted[bisect_left(self._sorted, self._sizes.popleft())]
        if event.seconds:
            milliseconds = round(event.seconds * 1000)
            took = (used.input, used.cached_input, used.output, used.calls, milliseconds)
            self._timed.append(took)
            gone = self._timed.popleft() if len(self._timed) > TASKS_KEPT else (0,) * 5
            pairs = zip(self._sums, took, gone, strict=True)
            self._sums = tuple(total + new - old for total, new, old in pairs)

    def expected(self) -> Decimal:
        """Counted tokens to expect of a running task: the 95th percentile of the latest tasks, by
        nearest rank. While those are few, the larger of the assumed amount and the largest of them.
        """
        known = len(self._sorted)
        if known >= MEASURED_FROM:
            return self._sorted[ceil(P95 * known) - 1]
        return max(self._assumed, *self._sorted[-1:], Decimal(0))

    def mean(self) -> TaskUsage | None:
        """One task on average; None while too few tasks have reported how long they took."""
        number = len(self._timed)
        if self._mean is None and number >= MEASURED_FROM:
            *numbers, milliseconds = (Decimal(total) / number for total in self._sums)
            fresh, cached, output, calls = (int(_two_digits(each)) for each in numbers)
            self._mean = TaskUsage(
                input_tokens=fresh,
                cached_input_tokens=cached,
                output_tokens=output,
                calls=max(1, calls),
                seconds=max(_two_digits(milliseconds / 1000), SHORTEST_S),
            )
        return self._mean


def _two_digits(amount: Decimal) -> Decimal:
    """Rounded, so that limits which depend on the mean do not move with every task."""
    return amount and amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1))


class UsageLedger:
    """The accounts of all tenants, filled from events; each event must be given once.

    There are none (`of`) where nothing is made of the events: without budgets and models.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.tenants = frozenset(tenant.name for tenant in fleet.tenants)
        counts = {tenant.name: tenant.budget.count for tenant in fleet.tenants}
        self._tasks: dict[PoolKey, MeasuredTasks] = {}
        tasks_of: defaultdict[str, dict[PoolKey, MeasuredTasks]] = defaultdict(dict)
        for pool in fleet.pools:
            tasks = MeasuredTasks(counts.get(pool.tenant, TokenCount()), pool.usage)
            self._tasks[pool.key] = tasks_of[pool.tenant][pool.key] = tasks
        # with one tier only there is nothing to compare
        self._has_tiers = len({model.tier for model in fleet.models}) > 1
        models = model_terms(fleet)
        self.of = {
            tenant.name: TenantUsage(tenant, models, tasks_of[tenant.name])
            for tenant in fleet.tenants
        }
        if not models and not any(each.has_budget for each in self.of.values()):
            self.of.clear()

    def since(self, now: float) -> float:
        """Events from before this moment have no influence on what is known at `now`."""
        return min(now - LOOK_BACK_S, *(each.day_start(now) for each in self.of.values()))

    def take(self, event: UsageEvent, at: float) -> None:
        """Count one event that was stored at `at` (Unix seconds)."""
        if event.tenant in self.of:
            self.of[event.tenant].take(event, at)
        if (tasks := self._tasks.get(pool_key(event.tenant, event.role))) is not None:
            tasks.take(event)

    def tiers(self, now: float, known_from: float) -> Mapping[str, TierUsage]:
        """What was used today of each class of models, of the tenants that used any. Events from
        before `known_from` may be missing.
        """
        return {
            name: replace(used, is_old=each.day_start(now) < known_from)
            for name, each in self.of.items()
            if self._has_tiers and (used := each.sums(now).tiers).tokens
        }

    def by_model(self, now: float, known_from: float) -> Mapping[str, TokensByModel]:
        """What was used today of each model, by kind, of the tenants that used any. Events from
        before `known_from` may be missing.
        """
        return {
            name: replace(used, is_old=True) if each.day_start(now) < known_from else used
            for name, each in self.of.items()
            if (used := each.by_model(now)) is not None
        }

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        tasks = self._tasks.get(pool)
        return None if tasks is None else tasks.mean()

"""What usage events add up to: tokens, USD and tasks, and how fast they are spent."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from math import ceil, exp, inf, log
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import (
    DaySpent,
    DaySums,
    ModelTokens,
    MonthUsd,
    TenantSpent,
    TierUsage,
    TokensByModel,
    TokenUsage,
)
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
OTHER_POOLS: Final = "other"
"""Roles that are no pools of the fleet are told apart while they are few, and then counted so."""
LATELY_PARTS: Final = 1000
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
    """The sum of the last so many seconds, in at most a thousand parts."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, amount: int, at: float) -> None:
        """Add what was reported at `at` (Unix seconds)."""
        last_at, last = self._events[-1] if self._events else (-inf, 0)
        if 0 <= at - last_at < self._seconds / LATELY_PARTS:
            self._events[-1] = last_at, last + amount
        else:
            self._events.append((at, amount))
        self._sum += amount
        self.at(at)

    def at(self, now: float) -> int:
        """The amount of the seconds that end now."""
        while self._events and self._events[0][0] <= now - self._seconds:
            self._sum -= self._events.popleft()[1]
        return self._sum


_NOTHING: Final = DaySums()
_Amount = TypeVar("_Amount", int, float)


def _sum(
    one: Mapping[Any, _Amount], other: Mapping[Any, _Amount], sign: int = 1
) -> dict[Any, _Amount]:
    """By key; with a `sign` of -1 the first less the other, and never below 0."""
    keys = {**one, **other} if sign > 0 else one
    return {key: max(0, one.get(key, 0) + sign * other.get(key, 0)) for key in keys}


def _tokens_sum(one: ModelTokens, other: ModelTokens, sign: int) -> ModelTokens:
    usd = (
        None if one.usd is None and other.usd is None else (one.usd or 0) + sign * (other.usd or 0)
    )
    return ModelTokens(
        model=one.model,
        input=max(0, one.input + sign * other.input),
        cached_input=max(0, one.cached_input + sign * other.cached_input),
        output=max(0, one.output + sign * other.output),
        calls=max(0, one.calls + sign * other.calls),
        usd=None if usd is None else max(0.0, usd),
    )


def _day_sum(one: DaySums, other: DaySums, sign: int = 1) -> DaySums:
    """Of both; with a `sign` of -1 the first less the other."""
    names = one.models | other.models
    none = {name: ModelTokens(model=name) for name in names}
    models = {
        name: _tokens_sum(
            one.models.get(name, none[name]), other.models.get(name, none[name]), sign
        )
        for name in names
    }
    tiers = TierUsage(
        tokens=_sum(one.tiers.tokens, other.tiers.tokens, sign),
        saved_usd=one.tiers.saved_usd + sign * other.tiers.saved_usd,
    )
    by_pool = _sum(one.usd_by_pool, other.usd_by_pool, sign)
    whole = _tokens_sum(one.all, other.all, sign)
    return DaySums(all=whole, models=models, tiers=tiers, usd_by_pool=by_pool)


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
        self._remembered: dict[float, DaySums] = {}  # of these, what the stream does not hold
        self._ended = MonthUsd()
        self._known_from = 0.0
        self._pools = frozenset(tasks)
        self._most_pools = len(tasks) + MOST_MODELS
        self._latest: Day | None = None
        self._counted_burn, self._minute = BurnRate(), Lately(MINUTE_S)
        self._hour = Lately(HOUR_S)
        self._first_at: float | None = None
        self._told: tuple[float, DaySums, TokensByModel | None] | None = None

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        day = self._latest
        if day is None or not day.start <= at < day.end:
            day = self._latest = local_day(at, self._zone)
        return day.start

    def sums(self, at: float) -> DaySums:
        """Those of the day of this moment."""
        return self._days.get(self.day_start(at), _NOTHING)

    def remembered(self, at: float) -> Decimal:
        """What of that the stream of usage does not hold, as the budget counts it."""
        known = self._remembered.get(self.day_start(at))
        return Decimal(0) if known is None else _counted(known.all, self._count)

    def begin(self, since: float) -> None:
        """Events from before this moment are not read."""
        self._known_from = since

    def stream_lost(self) -> None:
        """Another stream follows: what was counted so far is in none."""
        self._remembered = dict(self._days)

    def spent(self, stream: str, read: int = 0) -> TenantSpent:
        """The account for the next process, as TenantSpent has it."""
        days = tuple(
            DaySpent(start=day, sums=sums, remembered=self._remembered.get(day, _NOTHING))
            for day, sums in self._days.items()
        )
        since = self._ended.since or self._known_from
        ended = replace(self._ended, since=since)
        return TenantSpent(stream=stream, days=days, ended=ended, read=read)

    def go_on_from(
        self, left: TenantSpent, stream: str, now: float, *, is_anew: bool = False
    ) -> None:
        """Count on from an account. What it counted of another `stream` comes before ours; of ours
        the larger sum is right, or the one left where we read a part of the day. `is_anew`: the one
        left is, because what came after it is taken again.
        """
        today = self.day_start(now)
        yesterday = local_day(today - 1, self._zone).start
        self._ended = replace(left.ended, since=self._since(left.ended))
        for each in left.days:
            sums, known = self._days.get(each.start, _NOTHING), self._remembered.get(each.start)
            own = sums if known is None else _day_sum(sums, known, -1)
            is_same = left.stream == stream
            before = each.remembered if is_same else each.sums
            if known is not None and known.all.total > before.all.total:
                before = known
            found = _day_sum(before, own)
            is_less = found.all.total < each.sums.all.total
            if is_same and (is_less or each.start < self._known_from):
                found, before = each.sums, _day_sum(each.sums, own, -1)
            self._days[each.start] = each.sums if is_anew else found
            if before.all.total:
                self._remembered[each.start] = before
        if is_anew:
            self._days = {each.start: self._days[each.start] for each in left.days}
        self._forget_before(yesterday)
        if left.days and max(each.start for each in left.days) < yesterday:
            self._ended = replace(self._ended, has_gap=True)
        self._told = None

    def _since(self, left: MonthUsd) -> float:
        own = self._ended.since or self._known_from
        return min(own, left.since) if left.since else own

    def _forget_before(self, yesterday: float) -> None:
        """Only their USD stay, in the sum of their month."""
        for day in sorted(day for day in self._days if day < yesterday):
            self._ended = self._with_day(self._ended, day)
            del self._days[day]
            self._remembered.pop(day, None)

    def _with_day(self, month: MonthUsd, day: float) -> MonthUsd:
        """The sum with this day; a new one where the day begins another month."""
        name = f"{datetime.fromtimestamp(day, self._zone):%Y-%m}"
        sums = self._days.get(day, _NOTHING)
        if name < month.month:
            return month
        if month.month != name:
            is_later = bool(month.month) and month.month < name
            since = day if is_later else month.since or self._known_from
            month = MonthUsd(month=name, since=since)
        by_model = {each.model: each.usd for each in sums.models.values() if each.usd is not None}
        by_model = _sum(month.by_model, by_model)
        return replace(month, by_model=by_model, by_pool=_sum(month.by_pool, sums.usd_by_pool))

    def _month(self, now: float) -> MonthUsd | None:
        """Of the tenant's own calendar, today with it."""
        today = self.day_start(now)
        month = self._ended
        for day in sorted({today, *(each for each in self._days if each < today)}):
            month = self._with_day(month, day)
        first = datetime.fromtimestamp(today, self._zone).replace(day=1, hour=0, minute=0)
        month = replace(month, since=0.0) if month.since <= first.timestamp() else month
        return month if month.by_model else None

    def take(self, event: UsageEvent, at: float, *, is_anew: bool = False) -> None:
        """Count an event that was reported at `at`; one that `is_anew` for sums of days alone."""
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
            self._forget_before(local_day(start - 1, self._zone).start)
        by_pool = sums.usd_by_pool
        if usd is not None:
            key = pool_key(event.tenant, event.role)
            if key not in self._pools and key not in by_pool and len(by_pool) >= self._most_pools:
                key = pool_key(event.tenant, OTHER_POOLS)
            by_pool = {**by_pool, key: by_pool.get(key, 0.0) + float(usd)}
            if not is_anew:
                self._hour.add(int(usd * _NANO), at)
        models = {**sums.models, name: model}
        whole = _plus(sums.all, used)
        self._days[start] = DaySums(all=whole, models=models, tiers=tiers, usd_by_pool=by_pool)
        if is_anew:
            return
        self._first_at = at if self._first_at is None else min(self._first_at, at)
        self._counted_burn.add(float(_counted(used, self._count)), at)
        self._minute.add(tokens, at)

    def counted(self, now: float) -> Decimal:
        """Since the last reset, as the budget counts them."""
        return _counted(self.sums(now).all, self._count)

    def usage(self, now: float, in_flight: Callable[[PoolKey], int]) -> TokenUsage:
        """The totals, with tokens reserved for tasks `in_flight`, which tell at their end."""
        reserved = (max(0, in_flight(key)) * each.expected() for key, each in self._tasks.items())
        return TokenUsage(
            used=self.counted(now),
            reserved=sum(reserved, Decimal(0)),
            burn_per_minute=self._counted_burn.per_minute(now),
            remembered=self.remembered(now),
        )

    def by_model(self, now: float) -> TokensByModel | None:
        """The day's sums, the most used model first, the last minute's tokens; None for an unused
        month. The same object while equal.
        """
        day, sums = self.day_start(now), self.sums(now)
        pace, expected_usd = self._minute.at(now), self._expected_usd(sums, now)
        if self._told is not None and self._told[0] == day and self._told[1] is sums:
            told = self._told[2]
            if told is None or (told.per_minute, told.expected_usd) == (pace, expected_usd):
                return told
        month, found = self._month(now), None
        if sums.models or month is not None:
            models = sorted(sums.models.values(), key=lambda each: (-each.total, each.model))
            found = TokensByModel(
                models=tuple(models),
                per_minute=pace,
                usd_by_pool=dict(sums.usd_by_pool),
                expected_usd=expected_usd,
                month=month,
            )
        self._told = day, sums, found
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
        """Tokens to expect of a task: the 95th percentile (nearest rank) of the latest; of few, the
        larger of the assumed and the largest.
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
    """The accounts of all tenants, from events given once; none without use for them."""

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

    def take(self, event: UsageEvent, at: float, *, is_anew: bool = False) -> None:
        """Count one event that was stored at `at` (Unix seconds); for sums of days again."""
        if event.tenant in self.of:
            self.of[event.tenant].take(event, at, is_anew=is_anew)
        if (
            not is_anew
            and (tasks := self._tasks.get(pool_key(event.tenant, event.role))) is not None
        ):
            tasks.take(event)

    def tiers(self, now: float, known_from: float) -> Mapping[str, TierUsage]:
        """Today's use by class of models; events from before `known_from` may be missing."""
        return {
            name: replace(used, is_old=each.day_start(now) < known_from)
            for name, each in self.of.items()
            if self._has_tiers and (used := each.sums(now).tiers).tokens
        }

    def by_model(self, now: float, known_from: float) -> Mapping[str, TokensByModel]:
        """Today's use by model of tenants that used any this month; as for `tiers`."""
        return {
            name: replace(used, is_old=True) if each.day_start(now) < known_from else used
            for name, each in self.of.items()
            if (used := each.by_model(now)) is not None
        }

    def measured(self, pool: PoolKey) -> TaskUsage | None:
        """What one task of this pool takes on average; None before enough tasks are known."""
        tasks = self._tasks.get(pool)
        return None if tasks is None else tasks.mean()

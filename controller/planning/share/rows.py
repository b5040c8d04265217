"""All current limits that pools share, as rows: capacity, quotas, budgets, cost, rate limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, isfinite
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intent
from controller.model.observation import ClusterRoom, Observation, TenantObservation, TokenUsage
from controller.model.readings import Absent, Reading, last_known
from controller.model.scarcity import Budget, Capacity, LlmModel, Pacing, RateLimits, Resources
from controller.model.value import CPU, INT64_MAX, MEMORY, Value
from controller.planning.amounts import (
    HALF_FED,
    REPLICAS,
    Amount,
    AmountError,
    Row,
    SharingError,
    exact,
)
from controller.planning.inputs import Moment
from controller.planning.share.units import Field


class Day(NamedTuple):
    """From one local midnight to the next, in Unix seconds; usually 23, 24 or 25 hours."""

    start: float
    end: float


def local_day(now: float, zone: ZoneInfo) -> Day:
    """The day that `now` (Unix seconds) belongs to; days have no gaps and no overlaps.

    If the clocks skip midnight, the day begins at their jump. If midnight comes twice, the day
    begins at the first one, and the repeated hour belongs to the new day.
    """
    day = datetime.fromtimestamp(now, zone).date()
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    while now < start:
        day -= timedelta(days=1)
        start, end = _midnight(day, zone), start
    while now >= end:
        day += timedelta(days=1)
        start, end = end, _midnight(day + timedelta(days=1), zone)
    return Day(start, end)


def _midnight(day: date, zone: ZoneInfo) -> float:
    # PEP 495: a skipped time with fold 0 is read with the offset before the jump
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


FLEET_ROW: Final = "usd"
_MINUTES: Final = 60


def replica_usd_per_hour(
    pod_usd_per_hour: Decimal, tokens_per_minute: Amount = 0, usd_per_token: Decimal = Decimal(0)
) -> Fraction:
    """The pod's price per hour plus the price of the tokens that it burns in an hour, in USD.

    Raises AmountError for a number that is negative or not exact.
    """
    tokens = exact(tokens_per_minute, "tokens")
    burnt = _MINUTES * tokens * exact(usd_per_token, "price")
    return Fraction(exact(pod_usd_per_hour, "price") + burnt)


def cost_row(usd_per_hour: Decimal, tenant: str | None = None) -> Row:
    """A cost limit in USD per hour as a row: for a tenant's pools, or for the fleet if None. A
    replica uses its cost of it.
    """
    name = FLEET_ROW if tenant is None else f"{FLEET_ROW}:{tenant}"
    return Row(name=name, capacity=usd_per_hour, bound=Bound.COST, tenant=tenant or "")


class BudgetState(StrEnum):
    """OK below the budget's `warn` part, WARN from there on, HARD if a hard budget is spent."""

    OK = "ok"
    WARN = "warn"
    HARD = "hard"


class TokenUse(Value):
    """What was used of it: settled, `reserved` by running tasks, burnt per minute; and how long the
    period still lasts.
    """

    used: Amount
    reserved: Amount = 0
    burn_per_minute: Amount = 0
    minutes_to_reset: Amount = 1440


class BudgetStatus(Value):
    """The state of a budget.

    - `gone`: the part of the day's tokens that is used or reserved.
    - `pace`: tokens per minute that last until the reset; None at the reset itself.
    - `limit`: the pace that the tenant is held to; 0 if it is stopped, None if it is not held.
    - `exhausted_in`: minutes until nothing is left at the present burn, None if nothing burns.
    - `early`: by how many minutes that is before the reset, None if it is not.
    """

    state: BudgetState
    gone: Fraction
    pace: Fraction | None
    limit: Fraction | None
    exhausted_in: Fraction | None
    early: Fraction | None


def budget_status(budget: Budget, use: TokenUse) -> BudgetStatus:
    """The state of a budget after this use. Raises AmountError for a number that is negative or not
    exact, and for a budget without tokens per day.
    """
    if budget.tokens_per_day is None:
        raise AmountError("budget", "it says nothing of tokens")
    tokens, used = _exact(budget.tokens_per_day), _exact(use.used)
    rest = tokens - used - _exact(use.reserved)
    minutes, burn = _exact(use.minutes_to_reset), _exact(use.burn_per_minute)
    state, positive = _state(budget, tokens, rest), max(rest, Fraction(0))
    pace = positive / minutes if minutes else None
    exhausted_in = positive / burn if burn else None
    early = None if exhausted_in is None or exhausted_in >= minutes else minutes - exhausted_in
    return BudgetStatus(
        state=state,
        gone=(tokens - rest) / tokens if tokens else Fraction(1),
        pace=pace,
        limit=_limit(budget, state, pace),
        exhausted_in=exhausted_in,
        early=early,
    )


def budget_row(tenant: str, status: BudgetStatus) -> Row | None:
    """The budget's `limit` as a row in tokens per minute; None if there is no limit.

    A replica uses its burn of the row. While the tenant is not stopped, the first replica is
    granted even if the pace is below its burn.
    """
    if status.limit is None:
        return None
    return Row(
        name=f"budget:{tenant}",
        capacity=status.limit,
        bound=Bound.BUDGET,
        first_passes=status.state is not BudgetState.HARD,
        tenant=tenant,
    )


def _state(budget: Budget, tokens: Fraction, rest: Fraction) -> BudgetState:
    if rest <= 0:
        return BudgetState.HARD if budget.hard else BudgetState.WARN
    gone = tokens - rest
    return BudgetState.WARN if gone >= _exact(budget.warn) * tokens else BudgetState.OK


def _limit(budget: Budget, state: BudgetState, pace: Fraction | None) -> Fraction | None:
    if state is BudgetState.HARD:
        return Fraction(0)
    if budget.pacing is Pacing.NEVER or pace is None:
        return None
    if state is BudgetState.WARN:
        return pace
    return pace * _exact(budget.burst) if budget.pacing is Pacing.ALWAYS else None


def _exact(amount: Amount) -> Fraction:
    value = exact(amount, "budget")
    return value if isinstance(value, Fraction) else Fraction(value)


class CallRate(Value):
    """The calls and tokens per minute of one replica without throttling, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


def rate_key(model: LlmModel, tenant: str) -> str:
    """The key in the names of a model's rows: the model's name if its limits are shared by all
    tenants, else `MODEL/TENANT`.
    """
    return model.name if model.shared else f"{model.name}/{tenant}"


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """The calls per minute of one replica with all slots busy. Raises AmountError if a task takes
    no time.
    """
    seconds = exact(task_seconds, "task")
    if seconds == 0:
        raise AmountError("task", "a task that takes no time has no rate")
    return Fraction(60 * slots * exact(calls_per_task, "task")) / seconds


def rate_rows(
    key: str, limits: RateLimits, theta: Amount = HALF_FED, tenant: str = ""
) -> tuple[Row, ...]:
    """The limits of a key as soft rows: `rpm:KEY`, `tpm:KEY` (input and output tokens together),
    `itpm:KEY`, `otpm:KEY` and `parallel:KEY`; `tenant` is the only one that uses the key, if any.

    `theta` is the part of a replica's use that must be left to grant it. Raises AmountError for a
    number that is negative or not exact, and for a headroom above 1.
    """
    one_each = CallRate(calls=1, input_tokens=1, output_tokens=1)
    return tuple(
        Row(name=f"{name}:{key}", capacity=capacity, bound=Bound.RATE, soft=theta, tenant=tenant)
        for name, capacity, _ in _drawn(limits, one_each)
    )


def rate_uses(key: str, limits: RateLimits, replica: CallRate) -> dict[str, Amount]:
    """What one replica uses of each of these rows, by name. Raises AmountError like `rate_rows`."""
    return {f"{name}:{key}": use for name, _, use in _drawn(limits, replica)}


def _drawn(limits: RateLimits, replica: CallRate) -> Iterator[tuple[str, Fraction, Fraction]]:
    """(name, capacity, use of one replica) for each limit that is set and used."""
    usable = 1 - exact(limits.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than the whole limit")
    both: Amount = 0
    if limits.tokens_per_minute is not None:
        both = exact(replica.input_tokens, "tpm") + exact(replica.output_tokens, "tpm")
    for name, capacity, use, part in (
        ("rpm", limits.requests_per_minute, replica.calls, usable),
        ("tpm", limits.tokens_per_minute, both, usable),
        ("itpm", limits.input_tokens_per_minute, replica.input_tokens, usable),
        ("otpm", limits.output_tokens_per_minute, replica.output_tokens, usable),
        ("parallel", limits.parallel, replica.slots, 1),
    ):
        taken = exact(use, name)
        if capacity is not None and taken:
            yield name, Fraction(exact(capacity, name) * part), Fraction(taken)


_UNLIMITED = Resources()


class SharingTerms(NamedTuple):
    """A fleet's pools, tenants, models and limits.

    - `pools`: sorted by key; a pool's number is its index. `number_of` is the inverse.
    - `field`: the pools for allocation, or the error if a weight cannot be used.
    - `rate_rows`: the rows of the models' limits, or the error if a limit cannot be used.
    - `limited`: the names of tenants with a quota or budget in the fleet file.
    - `without_baseline`: a tenant that gets no replica before all floors, for a counterfactual.
    """

    pools: tuple[Pool, ...]
    number_of: Mapping[PoolKey, int]
    tenants: Mapping[str, Tenant]
    models: Mapping[str, LlmModel]
    capacity: Capacity
    field: Field | SharingError
    rate_rows: tuple[Row, ...] | SharingError
    limited: frozenset[str]
    without_baseline: str = ""

    def limited_tenants(self, seen: Mapping[str, TenantObservation]) -> Iterator[Tenant]:
        """The tenants with a quota or budget in the fleet file, or with an observed quota."""
        limited = self.limited
        for name, tenant in self.tenants.items():
            if name in limited or (
                (found := seen.get(name)) is not None and not isinstance(found.quota, Absent)
            ):
                yield tenant


LEDGER_LIMIT_S: Final = 600.0
"""If its usage ledger is older than this, a tenant with a hard budget does not grow."""
IMPLAUSIBLE_TOKENS: Final = 10**15
"""A count of tokens from this on is an error of the source: no tenant uses so many in a day."""
_MINUTE_S: Final = 60
_UNSEEN: Final = TenantObservation()
_NO_LIMIT: Final = Resources()
_NO_ROOM: Final = ClusterRoom()


class BudgetNow(NamedTuple):
    """The state of a tenant's budget, as of the start of a whole minute (`at`, Unix seconds)."""

    status: BudgetStatus
    at: float


class TenantScarcity(NamedTuple):
    """One tenant's limits; valid until `changes_at` (Unix seconds) for the observation `seen` and
    the budgets of the day that operators `asked` for.

    - `rows`: its quota, cost and budget rows.
    - `budget`: None without a token budget, or if its use is not known. `set_by`: the operator's
      budget that is in force.
    - `is_blind`: its budget is hard and its use is not known, so its pools do not grow.
    - `unreadable`: the name of a limit with an implausible number, else empty. With one, its pools
      do not grow.
    """

    seen: TenantObservation
    asked: tuple[Intent, ...]
    set_by: Intent | None
    rows: tuple[Row, ...]
    budget: BudgetNow | None
    is_blind: bool
    unreadable: str
    changes_at: float


class Scarcity(NamedTuple):
    """All rows at one moment.

    - `rows`: by name, sorted by name. `room`: the rows of physical room among them.
    - `classes`: the classes of nodes whose room is known.
    - `tenants`: the limits of each limited tenant. `restrained`: the names of tenants that may not
      grow, or whose budget is spent.
    - `unreadable`: the name of a cluster-wide limit with an implausible number, else empty. With
      one, no pool grows.
    """

    capacity: Reading[ClusterRoom]
    rows: Mapping[str, Row]
    room: tuple[Row, ...]
    classes: tuple[str, ...]
    tenants: Mapping[str, TenantScarcity]
    restrained: frozenset[str]
    unreadable: str

    def is_other_than(self, before: Scarcity) -> bool:
        """Whether the limits of any pool may differ from those in `before`."""
        return (
            self.rows is not before.rows
            or self.unreadable != before.unreadable
            or any(
                self.tenants.get(name) != before.tenants.get(name)
                for name in self.restrained | before.restrained
            )
        )


def scarcity_of(
    terms: SharingTerms,
    observation: Observation,
    now: float,
    kept: Scarcity | None,
    budgets: Iterable[Intent] = (),
) -> Scarcity:
    """The limits at `now` (Unix seconds), with the day's `budgets` that operators set; the same
    objects as in `kept` where nothing has changed. Raises SharingError if an input cannot be used.
    """
    asked: dict[str, tuple[Intent, ...]] = {}
    for budget in budgets:
        name = budget.scope.tenant or ""
        asked[name] = (*asked.get(name, ()), budget)
    same_room = kept is not None and (
        observation.capacity is kept.capacity
        or last_known(observation.capacity) == last_known(kept.capacity)
    )
    tenants: dict[str, TenantScarcity] = {}
    same = same_room
    for tenant in terms.limited_tenants(observation.tenants):
        seen = observation.tenants.get(tenant.name, _UNSEEN)
        before = None if kept is None else kept.tenants.get(tenant.name)
        found = _of_tenant(tenant, seen, asked.get(tenant.name, ()), now, before)
        tenants[tenant.name] = found
        same = same and before is not None and found.rows is before.rows and _alike(found, before)
    if same and kept is not None and len(tenants) == len(kept.tenants):
        return kept._replace(capacity=observation.capacity, tenants=tenants)
    return _assembled(terms, observation.capacity, tenants)


def _alike(found: TenantScarcity, before: TenantScarcity) -> bool:
    return (
        found.budget == before.budget
        and found.set_by == before.set_by
        and found.is_blind is before.is_blind
        and found.unreadable == before.unreadable
    )


def _assembled(
    terms: SharingTerms, capacity: Reading[ClusterRoom], tenants: Mapping[str, TenantScarcity]
) -> Scarcity:
    cluster = last_known(capacity) or _NO_ROOM
    room = tuple(_room(terms.capacity, cluster))
    rows = list(room)
    if terms.capacity.usd_per_hour is not None:
        rows.append(cost_row(terms.capacity.usd_per_hour))
    for found in tenants.values():
        rows.extend(found.rows)
    if isinstance(terms.rate_rows, SharingError):
        raise terms.rate_rows
    rows.extend(terms.rate_rows)
    unreadable = any(
        _is_unreadable(each) for each in (cluster.resources, *cluster.classes.values())
    )
    return Scarcity(
        capacity=capacity,
        rows={row.name: row for row in sorted(rows, key=_name)},
        room=room,
        classes=tuple(cluster.classes),
        tenants=tenants,
        restrained=frozenset(name for name, found in tenants.items() if _restrains(found)),
        unreadable="capacity" if unreadable else "",
    )


def _restrains(found: TenantScarcity) -> bool:
    spent = found.budget is not None and found.budget.status.state is BudgetState.HARD
    return spent or found.is_blind or bool(found.unreadable)


def _name(row: Row) -> str:
    return row.name


def _room(capacity: Capacity, cluster: ClusterRoom) -> Iterator[Row]:
    for name, amount in _least(capacity.resources, cluster.resources):
        yield Row(name=name, capacity=amount, bound=Bound.CAPACITY, fair=True)
    for node_class, resources in cluster.classes.items():
        for name, amount in _least(resources):
            yield Row(name=f"{name}@{node_class}", capacity=amount, bound=Bound.CAPACITY)


def _of_tenant(
    tenant: Tenant,
    seen: TenantObservation,
    asked: tuple[Intent, ...],
    now: float,
    before: TenantScarcity | None,
) -> TenantScarcity:
    if before is not None and asked == before.asked and _still_holds(tenant, before, seen, now):
        return before if before.seen is seen else before._replace(seen=seen)
    moment = Moment(now)
    quota = last_known(seen.quota) or _NO_LIMIT
    rows = [
        Row(
            name=f"quota-{name}:{tenant.name}",
            capacity=amount,
            bound=Bound.QUOTA,
            tenant=tenant.name,
        )
        for name, amount in _least(tenant.quota, quota)
    ]
    if tenant.budget.usd_per_hour is not None:
        rows.append(cost_row(tenant.budget.usd_per_hour, tenant.name))
    budget, is_blind, set_by = None, False, None
    if tenant.budget.tokens_per_day is not None:
        usage = _known_usage(seen.usage, moment)
        set_by = _in_force(asked, moment)
        if usage is None:
            is_blind = tenant.budget.hard
        else:
            budget = _budget_now(with_budget(tenant, set_by), usage, moment)
            row = budget_row(tenant.name, budget.status)
            if row is not None:
                rows.append(row)
    found = tuple(rows)
    if before is not None and before.rows == found:
        found = before.rows
    unreadable = "quota" if _is_unreadable(quota) else ""
    return TenantScarcity(
        seen, asked, set_by, found, budget, is_blind, unreadable, moment.changes_at
    )


def _in_force(asked: tuple[Intent, ...], moment: Moment) -> Intent | None:
    """The last that has not ended."""
    found = None
    for budget in asked:
        if budget.until is None or not moment.reached(budget.until):
            found = budget
    return found


def with_budget(tenant: Tenant, set_by: Intent | None) -> Tenant:
    """The tenant with the tokens that an operator gave it for the day, at least none."""
    if set_by is None:
        return tenant
    tokens = max(set_by.count, 0)
    return replace(tenant, budget=replace(tenant.budget, tokens_per_day=tokens))


def spends_budget(tenant: Tenant, planned: Scarcity, used: Decimal) -> bool:
    """Whether these tokens of the day spend a hard budget that was not spent when this was planned.

    False where the budget's use was not known then: its pools do not grow in any case.
    """
    known = planned.tenants.get(tenant.name)
    if known is None or known.budget is None or known.budget.status.state is BudgetState.HARD:
        return False
    budget = with_budget(tenant, known.set_by).budget
    return budget.hard and budget.tokens_per_day is not None and used >= budget.tokens_per_day


def _still_holds(
    tenant: Tenant, before: TenantScarcity, seen: TenantObservation, now: float
) -> bool:
    """Whether nothing but the reading's time has changed for the tenant."""
    if now >= before.changes_at:
        return False
    known = before.seen
    if seen is known:
        return True
    if before.budget is None and tenant.budget.tokens_per_day is not None:
        return False  # the ledger was too old; the same numbers, read later, may count
    return (
        (seen.quota is known.quota or seen.quota == known.quota)
        and type(seen.usage) is type(known.usage)
        and not isinstance(seen.usage, Absent)
        and not isinstance(known.usage, Absent)
        and seen.usage.value == known.usage.value
        and seen.usage.at >= known.usage.at
    )


def _budget_now(tenant: Tenant, usage: TokenUsage, moment: Moment) -> BudgetNow:
    """The state of the budget. The time until the reset is rounded up to whole minutes, so that the
    pace stays the same for a minute.
    """
    day = local_day(moment.now, ZoneInfo(tenant.timezone))
    minutes = max(ceil((day.end - moment.now) / _MINUTE_S), 0)
    moment.note(day.end - _MINUTE_S * (minutes - 1))
    status = budget_status(
        tenant.budget,
        TokenUse(
            used=usage.used,
            reserved=usage.reserved,
            burn_per_minute=usage.burn_per_minute,
            minutes_to_reset=minutes,
        ),
    )
    return BudgetNow(status, day.end - _MINUTE_S * minutes)


def _known_usage(reading: Reading[TokenUsage], moment: Moment) -> TokenUsage | None:
    """The last known usage; None if it is older than `LEDGER_LIMIT_S` or not plausible."""
    if isinstance(reading, Absent) or not isfinite(reading.at):
        return None  # without a finite time it would never expire
    if moment.passed(reading.at + LEDGER_LIMIT_S):
        return None
    usage = reading.value
    plausible = all(each.is_finite() and 0 <= each < IMPLAUSIBLE_TOKENS for each in _numbers(usage))
    return usage if plausible else None


def _numbers(usage: TokenUsage) -> Iterable[Decimal]:
    return usage.used, usage.reserved, usage.burn_per_minute


def _amounts(resources: Resources) -> tuple[int | None, ...]:
    return resources.replicas, resources.cpu_milli, resources.memory_bytes


def _is_unreadable(resources: Resources) -> bool:
    """Whether an amount is not a valid non-negative int64."""
    return any(each is not None and not 0 <= each <= INT64_MAX for each in _amounts(resources))


def _least(*all_resources: Resources) -> Iterator[tuple[str, int]]:
    """(name, smallest plausible amount) for each resource with at least one such amount."""
    for name, *amounts in zip((REPLICAS, CPU, MEMORY), *map(_amounts, all_resources), strict=True):
        known = [each for each in amounts if each is not None and 0 <= each <= INT64_MAX]
        if known:
            yield name, min(known)

"""All current limits that pools share, as rows: capacity, quotas, budgets, cost, rate limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, isfinite
from operator import attrgetter
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
from controller.model.value import CPU, INT64_MAX, MEMORY
from controller.planning.inputs import Moment
from controller.planning.share.units import Field
from controller.planning.values import (
    HALF_FED,
    REPLICAS,
    AmountError,
    Row,
    SharingError,
    exact,
)


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
"""The row of the fleet's cost limit in USD per hour; a tenant's is `usd:TENANT`."""


class BudgetState(StrEnum):
    """OK below the budget's `warn` part, WARN from there on, HARD if a hard budget is spent."""

    OK = "ok"
    WARN = "warn"
    HARD = "hard"


class BudgetStatus(NamedTuple):
    """The state of a budget, as of `at` (Unix seconds, the start of a whole minute).

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
    at: float


def budget_status(budget: Budget, usage: TokenUsage, minutes: int, at: float = 0.0) -> BudgetStatus:
    """The state of a budget with tokens per day after this usage, so many minutes before the reset.
    Raises AmountError for a number that is negative or not exact.
    """
    amounts = (budget.tokens_per_day or 0, usage.used, usage.reserved, usage.burn_per_minute)
    tokens, used, reserved, burn = (Fraction(exact(each, "budget")) for each in amounts)
    rest = tokens - used - reserved
    positive = max(rest, Fraction(0))
    pace = positive / minutes if minutes else None
    limit = None if budget.pacing is Pacing.NEVER else pace
    state = BudgetState.WARN
    if rest <= 0 and budget.hard:
        state, limit = BudgetState.HARD, Fraction(0)
    elif rest > 0 and tokens - rest < exact(budget.warn, "budget") * tokens:
        state = BudgetState.OK
        if limit is not None:
            is_always = budget.pacing is Pacing.ALWAYS
            limit = limit * exact(budget.burst, "budget") if is_always else None
    exhausted_in = positive / burn if burn else None
    early = None if exhausted_in is None or exhausted_in >= minutes else minutes - exhausted_in
    gone = (tokens - rest) / tokens if tokens else Fraction(1)
    return BudgetStatus(state, gone, pace, limit, exhausted_in, early, at)


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


def rate_key(model: LlmModel, tenant: str) -> str:
    """A model's key in names of rows: its name if limits are shared, else `MODEL/TENANT`."""
    return model.name if model.shared else f"{model.name}/{tenant}"


def rate_rows(key: str, limits: RateLimits, tenant: str = "") -> tuple[Row, ...]:
    """The limits of a key as soft rows: `rpm:KEY`, `tpm:KEY` (input and output tokens together),
    `itpm:KEY`, `otpm:KEY` and `parallel:KEY`; `tenant` is the only one that uses the key, if any.

    A replica is granted where `HALF_FED` of its use is left. Raises AmountError for a number that
    is negative or not exact, and for a headroom above 1.
    """
    usable = 1 - exact(limits.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than the whole limit")
    capacities = {
        "rpm": (limits.requests_per_minute, usable),
        "tpm": (limits.tokens_per_minute, usable),
        "itpm": (limits.input_tokens_per_minute, usable),
        "otpm": (limits.output_tokens_per_minute, usable),
        "parallel": (limits.parallel, 1),
    }
    return tuple(
        Row(
            name=f"{name}:{key}",
            capacity=Fraction(exact(limit, name) * part),
            bound=Bound.RATE,
            soft=HALF_FED,
            tenant=tenant,
        )
        for name, (limit, part) in capacities.items()
        if limit is not None
    )


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


LEDGER_LIMIT_S: Final = 600.0
"""If its usage ledger is older than this, a tenant with a hard budget does not grow."""
IMPLAUSIBLE_TOKENS: Final = 10**15
"""A count of tokens from this on is an error of the source: no tenant uses so many in a day."""
_MINUTE_S: Final = 60
_UNSEEN: Final = TenantObservation()


class TenantScarcity(NamedTuple):
    """One tenant's limits; valid until `changes_at` (Unix seconds) for an observation with the
    numbers of `seen` and the budgets of the day that operators `asked` for.

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
    budget: BudgetStatus | None
    is_blind: bool
    unreadable: str
    changes_at: float

    @property
    def is_spent(self) -> bool:
        """Whether a hard budget is spent."""
        return self.budget is not None and self.budget.state is BudgetState.HARD


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

    def changed_tenants(self, before: Scarcity) -> set[str] | None:
        """The tenants with other limits, besides rows, than in `before`; None if all may have."""
        if self.unreadable != before.unreadable or bool(self.rows) is not bool(before.rows):
            return None
        return {
            name
            for name in self.restrained | before.restrained
            if self.tenants.get(name) != before.tenants.get(name)
        }


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
    same = kept is not None and (
        observation.capacity is kept.capacity
        or last_known(observation.capacity) == last_known(kept.capacity)
    )
    tenants: dict[str, TenantScarcity] = {}
    for name, tenant in terms.tenants.items():
        seen = observation.tenants.get(name, _UNSEEN)
        if name in terms.limited or not isinstance(seen.quota, Absent):
            before = None if kept is None else kept.tenants.get(name)
            found = _of_tenant(tenant, seen, asked.get(name, ()), now, before)
            tenants[name] = found
            # all but the observation, what was asked and the time
            is_new = before is None or (found is not before and found[2:7] != before[2:7])
            same = same and not is_new
    if same and kept is not None and len(tenants) == len(kept.tenants):
        return kept._replace(capacity=observation.capacity, tenants=tenants)
    return _assembled(terms, observation.capacity, tenants)


def _assembled(
    terms: SharingTerms, capacity: Reading[ClusterRoom], tenants: Mapping[str, TenantScarcity]
) -> Scarcity:
    cluster = last_known(capacity) or ClusterRoom()
    room = tuple(_room(terms.capacity, cluster))
    rows = list(room)
    if (usd := terms.capacity.usd_per_hour) is not None:
        rows.append(Row(name=FLEET_ROW, capacity=usd, bound=Bound.COST))
    for found in tenants.values():
        rows.extend(found.rows)
    if isinstance(terms.rate_rows, SharingError):
        raise terms.rate_rows
    rows.extend(terms.rate_rows)
    unreadable = any(map(_is_unreadable, (cluster.resources, *cluster.classes.values())))
    return Scarcity(
        capacity=capacity,
        rows={row.name: row for row in sorted(rows, key=attrgetter("name"))},
        room=room,
        classes=tuple(cluster.classes),
        tenants=tenants,
        restrained=frozenset(
            name
            for name, found in tenants.items()
            if found.is_spent or found.is_blind or found.unreadable
        ),
        unreadable="capacity" if unreadable else "",
    )


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
        return before
    moment, name = Moment(now), tenant.name
    quota = last_known(seen.quota) or Resources()
    rows = [
        Row(name=f"quota-{kind}:{name}", capacity=amount, bound=Bound.QUOTA, tenant=name)
        for kind, amount in _least(tenant.quota, quota)
    ]
    if (usd := tenant.budget.usd_per_hour) is not None:
        rows.append(Row(name=f"{FLEET_ROW}:{name}", capacity=usd, bound=Bound.COST, tenant=name))
    budget, is_blind, set_by = None, False, None
    if tenant.budget.tokens_per_day is not None:
        usage = _known_usage(seen.usage, moment)
        in_force = [each for each in asked if each.until is None or not moment.reached(each.until)]
        set_by = in_force[-1] if in_force else None
        is_blind = usage is None and tenant.budget.hard
        if usage is not None:
            # the time until the reset in whole minutes, so that the pace stays the same for one
            day = local_day(now, ZoneInfo(tenant.timezone))
            minutes = max(ceil((day.end - now) / _MINUTE_S), 0)
            moment.note(day.end - _MINUTE_S * (minutes - 1))
            planned = with_budget(tenant, set_by).budget
            budget = budget_status(planned, usage, minutes, day.end - _MINUTE_S * minutes)
            if (row := budget_row(name, budget)) is not None:
                rows.append(row)
    found = tuple(rows)
    if before is not None and before.rows == found:
        found = before.rows
    unreadable = "quota" if _is_unreadable(quota) else ""
    return TenantScarcity(
        seen, asked, set_by, found, budget, is_blind, unreadable, moment.changes_at
    )


def with_budget(tenant: Tenant, set_by: Intent | None) -> Tenant:
    """The tenant with the tokens that an operator gave it for the day, at least none."""
    if set_by is None:
        return tenant
    tokens = max(set_by.count, 0)
    return replace(tenant, budget=replace(tenant.budget, tokens_per_day=tokens))


def spends_budget(tenant: Tenant, planned: Scarcity, used: Decimal) -> bool:
    """Whether these tokens spend a hard budget that was not spent when this was planned; False
    where its use was not known then: its pools do not grow in any case.
    """
    known = planned.tenants.get(tenant.name)
    if known is None or known.budget is None or known.is_spent:
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


def _known_usage(reading: Reading[TokenUsage], moment: Moment) -> TokenUsage | None:
    """The last known usage; None if it is older than `LEDGER_LIMIT_S` or not plausible."""
    if isinstance(reading, Absent) or not isfinite(reading.at):
        return None  # without a finite time it would never expire
    if moment.passed(reading.at + LEDGER_LIMIT_S):
        return None
    usage = reading.value
    numbers = usage.used, usage.reserved, usage.burn_per_minute
    plausible = all(each.is_finite() and 0 <= each < IMPLAUSIBLE_TOKENS for each in numbers)
    return usage if plausible else None


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

"""All current limits that pools share, as rows: capacity, quotas, budgets, cost, rate limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from math import ceil, isfinite
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Tenant
from controller.model.intents import DayBudget
from controller.model.observation import (
    ClusterRoom,
    Observation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Reading, Why, last_known
from controller.model.scarcity import Capacity, Resources
from controller.model.value import CPU, INT64_MAX, MEMORY
from controller.planning.allocation.values import Row, SharingError
from controller.planning.inputs import Moment
from controller.planning.share.budget import (
    BudgetState,
    BudgetStatus,
    TokenUse,
    budget_row,
    budget_status,
)
from controller.planning.share.calendar import local_day
from controller.planning.share.cost import cost_row
from controller.planning.share.sharing_terms import SharingTerms
from controller.planning.share.uses import REPLICAS

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
    asked: tuple[DayBudget, ...]
    set_by: DayBudget | None
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


NOTHING_SCARCE: Final = Scarcity(Absent(why=Why.NEVER_READ), {}, (), (), {}, frozenset(), "")


def scarcity_of(
    terms: SharingTerms,
    observation: Observation,
    now: float,
    kept: Scarcity | None,
    budgets: Iterable[DayBudget] = (),
) -> Scarcity:
    """The limits at `now` (Unix seconds), with the day's `budgets` that operators set; the same
    objects as in `kept` where nothing has changed. Raises SharingError if an input cannot be used.
    """
    asked: dict[str, tuple[DayBudget, ...]] = {}
    for budget in budgets:
        asked[budget.tenant] = (*asked.get(budget.tenant, ()), budget)
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
    asked: tuple[DayBudget, ...],
    now: float,
    before: TenantScarcity | None,
) -> TenantScarcity:
    if before is not None and asked == before.asked and _still_holds(tenant, before, seen, now):
        return before if before.seen is seen else before._replace(seen=seen)
    moment = Moment(now)
    quota = last_known(seen.quota) or _NO_LIMIT
    rows = [
        Row(name=f"quota-{name}:{tenant.name}", capacity=amount, bound=Bound.QUOTA)
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


def _in_force(asked: tuple[DayBudget, ...], moment: Moment) -> DayBudget | None:
    """The last that has not ended."""
    found = None
    for budget in asked:
        if budget.until is None or not moment.reached(budget.until):
            found = budget
    return found


def with_budget(tenant: Tenant, set_by: DayBudget | None) -> Tenant:
    """The tenant with the tokens that an operator gave it for the day, at least none."""
    if set_by is None:
        return tenant
    tokens = max(set_by.tokens, 0)
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

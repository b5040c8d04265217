"""What each pool asks for, and what one replica of it uses of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from controller.model.decision import Bound, Code, Reason
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.readings import last_known
from controller.model.scarcity import LlmModel, Price, Resources, TaskUsage, TokenCount
from controller.model.value import CPU, MEMORY
from controller.planning.share.rows import FLEET_ROW, Scarcity, rate_key
from controller.planning.values import (
    REPLICAS,
    Amount,
    Ceiling,
    Claim,
    Limits,
    ReplicaUses,
    SharingError,
    Target,
    because,
    exact,
)

# a measured number outside these limits is an error of its source
_MOST_COUNTED: Final = 10**12
_LEAST_SECONDS: Final = Decimal("0.001")
_LONGEST_SECONDS: Final = 10**9
_MOST_CPU_MILLI: Final = 10**9
_MOST_MEMORY_BYTES: Final = 2**60


class Sharer(msgspec.Struct, frozen=True, gc=False):
    """A pool in sharing: its claim, and the requests and task usage that its uses follow from."""

    claim: Claim
    requests: Resources | None = None
    usage: TaskUsage | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A pool in sharing; `target` holds if no row refuses, its reasons are of other limits."""

    sharer: Sharer
    target: Target


def fixed_sharer(pool: Pool, seen: PoolObservation | None, replicas: int) -> Sharer:
    """The sharer of a pool that is not decided now and keeps `replicas`."""
    claim = Claim.of_fixed(replicas, replicas, replicas, works=replicas > 0)
    requests, usage = requests_of(pool, seen), task_usage_of(pool, seen)
    return Sharer(
        claim,
        requests if requests is None or _are_possible(requests) else pool.requests,
        usage if usage is None or _is_possible(usage) else pool.usage,
    )


def entry_of(
    pool: Pool,
    seen: PoolObservation,
    limits: Limits,
    *,
    current: int,
    works: bool,
    scarcity: Scarcity,
) -> Entry:
    """The entry of a pool decided now; one that `works` gives its tenant a baseline."""
    replicas, bound, ceilings = limits.replicas, limits.bound, limits.ceilings
    reasons: tuple[Reason, ...] = ()
    for ceiling, code in _restraints(pool, limits, current, scarcity):
        ceilings = (*ceilings, ceiling)
        if code is not None and replicas > ceiling.limit:
            replicas, bound = ceiling.limit, ceiling.bound
            reasons = (*reasons, because(code, replicas, limit=ceiling.name))
    fixed, requests, usage = limits.held, requests_of(pool, seen), task_usage_of(pool, seen)
    subject, spent = "", _under_ceilings(replicas, limits, bound, ceilings)[2]
    spent = spent if limits.held else ()  # of one that is not held, the division says it
    if seen.stand_by is not None and not replicas:
        # those that stand by must hear of it, too
        no_more = (each.bound is Bound.BUDGET and not each.limit for each in ceilings)
        spent = (because(Code.BUDGET_SPENT, 0),) if any(no_more) else spent
    if usage is not None and not _is_possible(usage):
        subject = "its tasks' usage"
    elif requests is not None and not _are_possible(requests):
        subject = "its pods' requests"
    if scarcity.rows and subject:
        # with implausible numbers the pool's uses are not known: it keeps its size, capped by its
        # ceilings
        fixed, requests, usage = True, pool.requests, pool.usage
        if not limits.held:
            if replicas != current:
                reasons = (*reasons, because(Code.UNSHAREABLE, current, subject=subject))
            replicas, bound, spent = _under_ceilings(current, limits, bound, ceilings)
            current = replicas
    if spent:
        reasons += (*budget_setting(pool.tenant, scarcity), *spent)
    claim = _claim(limits, ceilings, current=current, works=works, fixed=fixed)
    return Entry(Sharer(claim, requests, usage), Target(replicas, bound, reasons))


def budget_setting(tenant: str, scarcity: Scarcity) -> tuple[Reason, ...]:
    """Who set the day's budget, where an operator did."""
    found = scarcity.tenants.get(tenant)
    if found is None or (asked := found.set_by) is None:
        return ()
    return (because(Code.BUDGET_SET, tokens=asked.count, who=asked.who, reason=asked.why),)


def task_usage_of(pool: Pool, seen: PoolObservation | None) -> TaskUsage | None:
    """The usage of one task: as measured, else from the fleet file; None if there is neither."""
    measured = None if seen is None else seen.task_usage
    return pool.usage if measured is None else measured


def requests_of(pool: Pool, seen: PoolObservation | None) -> Resources | None:
    """The requests of one replica: from the fleet file, else from the Deployment's pod template."""
    if pool.requests is not None or seen is None:
        return pool.requests
    workload = last_known(seen.workload)
    return None if workload is None else workload.requests


def _claim(
    limits: Limits, ceilings: tuple[Ceiling, ...], *, current: int, works: bool, fixed: bool
) -> Claim:
    demand, least = limits.recommendation, limits.min
    asked = max(demand, least) + limits.spares
    if fixed:
        return Claim.of_fixed(current, asked, demand, least, works=works)
    floor = least + limits.pinned
    lowest = min((Ceiling(limit=max(limits.max, least)), *ceilings), key=attrgetter("limit"))
    return Claim(
        floor=min(floor, lowest.limit),
        need=min(max(demand, floor), lowest.limit),
        want=min(asked, lowest.limit),
        asked=asked,
        demand=demand,
        current=current,
        min=least,
        works=works,
        has_spares=limits.spares > limits.pinned,
        ceiling=lowest,
    )


def _under_ceilings(
    replicas: int, limits: Limits, bound: Bound, ceilings: tuple[Ceiling, ...]
) -> tuple[int, Bound, tuple[Reason, ...]]:
    """`replicas` capped by max and all ceilings, the bound that applies, and the reason if that is
    a spent budget, because a spent budget is a ceiling without a code.
    """
    reasons: tuple[Reason, ...] = ()
    for ceiling in (Ceiling(limit=max(limits.max, limits.min)), *ceilings):
        if ceiling.limit < replicas:
            replicas, bound = ceiling.limit, ceiling.bound
            if bound is Bound.BUDGET:
                reasons = (because(Code.BUDGET_SPENT, replicas),)
    return replicas, bound, reasons


def _restraints(
    pool: Pool, limits: Limits, current: int, scarcity: Scarcity
) -> list[tuple[Ceiling, Code | None]]:
    """Ceilings that are not rows; one with a code applies, and gives a reason, always."""
    if not scarcity.unreadable and pool.tenant not in scarcity.restrained:
        return []
    found: list[tuple[Ceiling, Code | None]] = []
    most = max(current, limits.min)
    tenant = scarcity.tenants.get(pool.tenant)
    if tenant is not None:
        if tenant.is_blind:
            ceiling = Ceiling(limit=most, bound=Bound.BUDGET, name="ledger")
            found.append((ceiling, Code.USAGE_UNKNOWN))
        if tenant.unreadable:
            ceiling = Ceiling(limit=most, bound=Bound.QUOTA, name=tenant.unreadable)
            found.append((ceiling, Code.LIMIT_UNREADABLE))
        if tenant.is_spent:
            # a row cannot stop pools whose tokens per task are not known; this ceiling does
            found.append((Ceiling(limit=0, bound=Bound.BUDGET, name="budget"), None))
    if scarcity.unreadable:
        ceiling = Ceiling(limit=most, bound=Bound.CAPACITY, name=scarcity.unreadable)
        found.append((ceiling, Code.LIMIT_UNREADABLE))
    return found


def _is_possible(usage: TaskUsage) -> bool:
    """Whether this usage is plausible for one task."""
    counts = (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.calls)
    return (
        all(0 <= count <= _MOST_COUNTED for count in counts)
        and usage.seconds.is_finite()
        and _LEAST_SECONDS <= usage.seconds <= _LONGEST_SECONDS
    )


def _are_possible(requests: Resources) -> bool:
    """Whether these requests are plausible for one replica."""
    return all(
        each is None or 0 <= each <= most
        for each, most in (
            (requests.cpu_milli, _MOST_CPU_MILLI),
            (requests.memory_bytes, _MOST_MEMORY_BYTES),
        )
    )


MILLION: Final = 1_000_000
_FINE, _FINEST = 1_000, 1_000_000_000
_MOST_ALIKE: Final = 4_096
NO_USES: Final = ReplicaUses(MappingProxyType({}))
_Pairs = tuple[tuple[str, Amount], ...]


class KnownUses:
    """The uses of one replica for rows and classes of these names; equal uses are one object."""

    __slots__ = ("_alike", "_existing", "classes", "names")

    def __init__(self, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self.names, self.classes = names, classes
        self._existing = frozenset(names)
        self._alike: dict[tuple[_Pairs, ...], ReplicaUses] = {}

    def of(
        self,
        pool: Pool,
        requests: Resources | None,
        usage: TaskUsage | None,
        *,
        tenant: Tenant | None,
        model: LlmModel | None,
    ) -> ReplicaUses:
        """One replica's uses, of this pod and task. Raises SharingError if a task takes no time."""
        room = room_of(requests)
        everywhere = dict(room)
        for name, amount in room.items():
            everywhere[f"quota-{name}:{pool.tenant}"] = amount
        if usage is not None:
            everywhere.update(_token_uses(pool, usage, tenant, model))
        parts = (
            self._drawn(everywhere),
            *(
                self._drawn({f"{name}@{each}": amount for name, amount in room.items()})
                for each in pool.nodes
                if each in self.classes
            ),
        )
        if len(self._alike) > _MOST_ALIKE:
            self._alike.clear()  # a limit on its size, as measured uses change all the time
        alike = self._alike.get(parts)
        if alike is None:
            first, *flavors = (MappingProxyType(dict(part)) for part in parts)
            alike = self._alike[parts] = ReplicaUses(first, tuple(flavors))
        return alike

    def _drawn(self, amounts: Mapping[str, Amount]) -> _Pairs:
        """The amounts above zero of rows that exist."""
        return tuple(
            [
                (name, _plain(amount))
                for name, amount in amounts.items()
                if amount and name in self._existing
            ]
        )


def room_of(requests: Resources | None) -> dict[str, Amount]:
    """The physical room of one replica: 1 replica, and if known millicores and bytes."""
    amounts: dict[str, Amount] = {REPLICAS: 1}
    if requests is not None and requests.cpu_milli is not None:
        amounts[CPU] = requests.cpu_milli
    if requests is not None and requests.memory_bytes is not None:
        amounts[MEMORY] = requests.memory_bytes
    return amounts


def tasks_per_minute(pool: Pool, usage: TaskUsage) -> Fraction:
    """With all slots of a replica busy. Raises SharingError if a task takes no time."""
    if usage.seconds <= 0:
        raise SharingError(pool.key, "a task that takes no time has no rate")
    return Fraction(60 * pool.slots) / Fraction(usage.seconds)


def counted_tokens(usage: TaskUsage, count: TokenCount) -> Fraction:
    """The tokens of one task with the weights of the tenant's budget."""
    return Fraction(
        usage.input_tokens * count.input
        + usage.output_tokens * count.output
        + usage.cached_input_tokens * count.cached_input
    )


def usd_per_task(usage: TaskUsage, price: Price) -> Decimal:
    """The cost of one task's tokens in USD; prices are per million tokens."""
    cached = price.input if price.cached_input is None else price.cached_input
    return (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cached_input_tokens * cached
    ) / MILLION


def usd_per_hour(tasks_per_minute: Fraction, usage: TaskUsage, price: Price) -> Fraction:
    """Of one replica's tokens. Raises AmountError for a price below zero or not exact."""
    return Fraction(60 * tasks_per_minute * exact(usd_per_task(usage, price), "price"))


def _token_uses(
    pool: Pool, usage: TaskUsage, tenant: Tenant | None, model: LlmModel | None
) -> Iterator[tuple[str, Amount]]:
    """The replica's uses of budget, cost and rate rows, whether these rows exist or not."""
    tasks = tasks_per_minute(pool, usage)
    if tenant is not None:
        yield f"budget:{pool.tenant}", tasks * counted_tokens(usage, tenant.budget.count)
    if model is not None and model.price is not None:
        usd = usd_per_hour(tasks, usage, model.price)
        yield FLEET_ROW, usd
        yield f"{FLEET_ROW}:{pool.tenant}", usd
    if model is not None:
        key = rate_key(model, pool.tenant)
        yield f"rpm:{key}", tasks * usage.calls
        yield f"tpm:{key}", tasks * (usage.input_tokens + usage.output_tokens)
        yield f"itpm:{key}", tasks * usage.input_tokens
        yield f"otpm:{key}", tasks * usage.output_tokens
        yield f"parallel:{key}", pool.slots


def _plain(amount: Amount) -> Amount:
    """The amount in a form that is fast to calculate with.

    A whole number becomes an int. A fraction with a large denominator, as measured times give, is
    rounded up to billionths, because the common denominator of thousands of such fractions would be
    huge.
    """
    if not isinstance(amount, Fraction):
        return amount
    if amount.denominator == 1:
        return amount.numerator
    if amount.denominator <= _FINE:
        return amount
    return Fraction(ceil(amount * _FINEST), _FINEST)


class CostTerms(NamedTuple):
    """By tenant, for tenants with an alert: the alert, and the cost of one replica of each pool
    with all slots busy; both in USD per hour. A pool without model, price or usage costs nothing.
    """

    alerts: Mapping[str, Decimal]
    pools: Mapping[str, Mapping[PoolKey, Fraction]]


def cost_terms_of(fleet: Fleet) -> CostTerms:
    """The cost terms of this fleet."""
    prices = {model.name: model.price for model in fleet.models}
    alerts = {
        tenant.name: tenant.budget.usd_alert
        for tenant in fleet.tenants
        if tenant.budget.usd_alert is not None
    }
    pools: dict[str, dict[PoolKey, Fraction]] = {name: {} for name in alerts}
    for pool in fleet.pools:
        price, usage = prices.get(pool.model or ""), pool.usage
        if pool.tenant in alerts and price is not None and usage is not None and usage.seconds > 0:
            usd = usd_per_hour(tasks_per_minute(pool, usage), usage, price)
            if usd:
                pools[pool.tenant][pool.key] = usd
    return CostTerms(alerts, pools)


class ReplicaDraw(NamedTuple):
    """Calls and tokens per minute with all slots at work, and USD per hour (None: no price), for
    people to read; what limits count is in `uses`, exactly.
    """

    calls: float
    input_tokens: float
    output_tokens: float
    slots: int
    usd_per_hour: float | None


class KnownDraws:
    """What replicas draw, worked out once per pool for as long as its tasks' usage is the same."""

    def __init__(self, fleet: Fleet) -> None:
        self._models = {model.name: model for model in fleet.models}
        self._of: dict[PoolKey, tuple[TaskUsage | None, ReplicaDraw | None]] = {}

    def of(self, pool: Pool, seen: PoolObservation) -> ReplicaDraw | None:
        """What one replica of this pool draws; None where that is not known, or cannot be."""
        usage = task_usage_of(pool, seen)
        found = self._of.get(pool.key)
        if found is None or found[0] != usage:
            draw = _replica_draw(pool, usage, self._models.get(pool.model or ""))
            found = self._of[pool.key] = usage, draw
        return found[1]


def _replica_draw(
    pool: Pool, usage: TaskUsage | None, model: LlmModel | None
) -> ReplicaDraw | None:
    if model is None or usage is None or not usage.seconds.is_finite() or usage.seconds <= 0:
        return None
    tasks = tasks_per_minute(pool, usage)
    usd = None
    if model.price is not None:
        usd = float(usd_per_hour(tasks, usage, model.price))
    return ReplicaDraw(
        calls=float(tasks * usage.calls),
        input_tokens=float(tasks * usage.input_tokens),
        output_tokens=float(tasks * usage.output_tokens),
        slots=pool.slots,
        usd_per_hour=usd,
    )

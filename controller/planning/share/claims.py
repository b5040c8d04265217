"""What each pool asks of sharing."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from controller.model.decision import Bound, Code, Number, Reason
from controller.model.fleet import Pool
from controller.model.observation import PoolObservation
from controller.model.readings import last_known
from controller.model.scarcity import Resources, TaskUsage
from controller.planning.allocation.values import Ceiling
from controller.planning.limit.limits import Limits
from controller.planning.share.budget import BudgetState
from controller.planning.share.scarcity import Scarcity

# beyond these a measured number is an error of its source
_MOST_COUNTED: Final = 10**12
_LEAST_SECONDS: Final = Decimal("0.001")
_LONGEST_SECONDS: Final = 10**9
_MOST_CPU_MILLI: Final = 10**9
_MOST_MEMORY_BYTES: Final = 2**60


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One pool's part in sharing, in replicas.

    - `floor`, `need`, `want`: what it gets before every need, before every spare, and at most; all
      capped by its ceilings. `asked`: the most it asks for without them.
    - `demand`, `min`: its recommendation and its floor without pins.
    - `fixed`: it keeps `current`, even if others go short. `works`: it has work.
    - `ceiling`: the lowest of its ceilings, and `has_spares` whether the last replicas are spares
      for arrivals: they explain the result.
    """

    floor: int
    need: int
    want: int
    asked: int
    demand: int
    min: int
    current: int
    fixed: bool
    works: bool
    has_spares: bool
    ceiling: Ceiling | None


class Sharer(msgspec.Struct, frozen=True, gc=False):
    """A pool that takes part in sharing: its claim, and what decides what its replicas take."""

    claim: Claim
    requests: Resources | None = None
    usage: TaskUsage | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A pool as it enters sharing: its part, its size where no row refuses it anything, and why a
    limit without a row has changed that.
    """

    sharer: Sharer
    replicas: int
    bound: Bound
    reasons: tuple[Reason, ...] = ()


def fixed_sharer(pool: Pool, seen: PoolObservation | None, replicas: int) -> Sharer:
    """The part of a pool that is not decided now, and keeps what it has."""
    claim = Claim(
        floor=replicas,
        need=replicas,
        want=replicas,
        asked=replicas,
        demand=replicas,
        min=0,
        current=replicas,
        fixed=True,
        works=replicas > 0,
        has_spares=False,
        ceiling=None,
    )
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
    messages: int | None,
    scarcity: Scarcity,
) -> Entry:
    """The part of a pool that is decided now."""
    replicas, bound, ceilings = limits.replicas, limits.bound, limits.ceilings
    reasons: tuple[Reason, ...] = ()
    restraints = _restraints(pool, limits, current, scarcity)
    for ceiling, code in restraints:
        ceilings = (*ceilings, ceiling)
        if code is not None and replicas > ceiling.limit:
            replicas, bound = ceiling.limit, ceiling.bound
            numbers: dict[str, Number] = {"limit": ceiling.name}
            reasons = (*reasons, Reason(code=code, value=replicas, numbers=numbers))
    fixed, requests, usage = limits.held, requests_of(pool, seen), task_usage_of(pool, seen)
    if scarcity.rows and (subject := _unusable_numbers(requests, usage)):
        # a pool whose use of the rows is not known keeps what it has, as far as its ceilings let it
        fixed, requests, usage = True, pool.requests, pool.usage
        if not limits.held:
            if replicas != current:
                numbers = {"subject": subject}
                reasons = (*reasons, Reason(code=Code.UNSHAREABLE, value=current, numbers=numbers))
            replicas, bound, spent = _under_ceilings(current, limits, bound, ceilings)
            if spent:
                reasons += budget_setting(pool.tenant, scarcity)
            reasons += spent
            current = replicas
    claim = _claim(limits, ceilings, current=current, works=bool(messages), fixed=fixed)
    return Entry(Sharer(claim, requests, usage), replicas, bound, reasons)


def budget_setting(tenant: str, scarcity: Scarcity) -> tuple[Reason, ...]:
    """Who set the day's budget, where an operator did."""
    found = scarcity.tenants.get(tenant)
    if found is None or found.set_by is None:
        return ()
    asked = found.set_by
    numbers: dict[str, Number] = {"tokens": asked.tokens, "who": asked.who, "reason": asked.why}
    return (Reason(code=Code.BUDGET_SET, numbers=numbers),)


def task_usage_of(pool: Pool, seen: PoolObservation | None) -> TaskUsage | None:
    """What one task takes: as measured, else as the fleet file says."""
    measured = None if seen is None else seen.task_usage
    return pool.usage if measured is None else measured


def requests_of(pool: Pool, seen: PoolObservation | None) -> Resources | None:
    """What one replica takes of places, millicores and bytes: as its profile says, else as its
    Deployment's pods request.
    """
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
        floor = need = want = current
        lowest = None
    else:
        floor = least + limits.pinned
        need, want = max(demand, floor), asked
        lowest = Ceiling(limit=max(limits.max, least))
        for ceiling in ceilings:
            if ceiling.limit < lowest.limit:
                lowest = ceiling
        if lowest.limit < want:
            cap = lowest.limit
            floor, need, want = min(floor, cap), min(need, cap), cap
    return Claim(
        floor=floor,
        need=need,
        want=want,
        asked=asked,
        demand=demand,
        min=least,
        current=current,
        fixed=fixed,
        works=works,
        has_spares=limits.spares > limits.pinned,
        ceiling=lowest,
    )


def _under_ceilings(
    replicas: int, limits: Limits, bound: Bound, ceilings: tuple[Ceiling, ...]
) -> tuple[int, Bound, tuple[Reason, ...]]:
    """The size under max and all ceilings, the bound, and the reason of a spent budget, for which
    no row speaks.
    """
    reasons: tuple[Reason, ...] = ()
    for ceiling in (Ceiling(limit=max(limits.max, limits.min)), *ceilings):
        if ceiling.limit < replicas:
            replicas, bound = ceiling.limit, ceiling.bound
            if bound is Bound.BUDGET:
                reasons = (Reason(code=Code.BUDGET_SPENT, value=replicas),)
    return replicas, bound, reasons


def _restraints(
    pool: Pool, limits: Limits, current: int, scarcity: Scarcity
) -> list[tuple[Ceiling, Code | None]]:
    """Ceilings that come from no row: a budget that is spent or not known, a limit that cannot be
    one. With a code it holds also where nothing else is scarce.
    """
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
        if tenant.budget is not None and tenant.budget.status.state is BudgetState.HARD:
            # it stops pools too whose tasks' tokens are not known, which no row can count
            found.append((Ceiling(limit=0, bound=Bound.BUDGET, name="budget"), None))
    if scarcity.unreadable:
        ceiling = Ceiling(limit=most, bound=Bound.CAPACITY, name=scarcity.unreadable)
        found.append((ceiling, Code.LIMIT_UNREADABLE))
    return found


def _unusable_numbers(requests: Resources | None, usage: TaskUsage | None) -> str:
    """What was observed of the pool's use that cannot be; else nothing."""
    if usage is not None and not _is_possible(usage):
        return "its tasks' usage"
    if requests is not None and not _are_possible(requests):
        return "its pods' requests"
    return ""


def _is_possible(usage: TaskUsage) -> bool:
    """Whether a task can have taken that."""
    counts = (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.calls)
    return (
        all(0 <= count <= _MOST_COUNTED for count in counts)
        and usage.seconds.is_finite()
        and _LEAST_SECONDS <= usage.seconds <= _LONGEST_SECONDS
    )


def _are_possible(requests: Resources) -> bool:
    """Whether one replica can request that."""
    return all(
        each is None or 0 <= each <= most
        for each, most in (
            (requests.cpu_milli, _MOST_CPU_MILLI),
            (requests.memory_bytes, _MOST_MEMORY_BYTES),
        )
    )

"""What each pool asks for in sharing."""

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
from controller.planning.share.budget import BudgetState
from controller.planning.share.scarcity import Scarcity
from controller.planning.values import Limits

# a measured number outside these limits is an error of its source
_MOST_COUNTED: Final = 10**12
_LEAST_SECONDS: Final = Decimal("0.001")
_LONGEST_SECONDS: Final = 10**9
_MOST_CPU_MILLI: Final = 10**9
_MOST_MEMORY_BYTES: Final = 2**60


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What one pool asks for, in replicas.

    - `floor`: served before all needs. `need`: served before all spares. `want`: with spares, the
      most. All are capped by the pool's ceilings. `asked`: the most without them.
    - `demand`, `min`: the recommendation, and the floor without pins.
    - `fixed`: the pool keeps `current`, even if other pools get less. `works`: it has work.
    - `ceiling`: the lowest ceiling. `has_spares`: it asks for more spares than the pinned ones.
      Both only explain the result.
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
    """A pool that takes part in sharing: its claim, and the numbers from which its uses follow:
    the requests of one replica, and the token usage of one task.
    """

    claim: Claim
    requests: Resources | None = None
    usage: TaskUsage | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A pool as it enters sharing.

    `replicas` and `bound` are the result if no row refuses the pool anything; `reasons` are of the
    limits that are not rows.
    """

    sharer: Sharer
    replicas: int
    bound: Bound
    reasons: tuple[Reason, ...] = ()


def fixed_sharer(pool: Pool, seen: PoolObservation | None, replicas: int) -> Sharer:
    """The sharer of a pool that is not decided now and keeps `replicas`."""
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
    """The entry of a pool that is decided now.

    `current` is its present size in replicas, `messages` its work, None if not known.
    """
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
        # with implausible numbers the pool's uses are not known: it keeps its size, capped by its
        # ceilings
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
    """`replicas` capped by max and all ceilings, the bound that applies, and the reason if that is
    a spent budget, because a spent budget is a ceiling without a code.
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
    """Ceilings that are not rows: a budget that is spent or not known, and a limit with an
    implausible number. One with a code applies even if no row is short, and gives a reason.
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
            # a row cannot stop pools whose tokens per task are not known; this ceiling does
            found.append((Ceiling(limit=0, bound=Bound.BUDGET, name="budget"), None))
    if scarcity.unreadable:
        ceiling = Ceiling(limit=most, bound=Bound.CAPACITY, name=scarcity.unreadable)
        found.append((ceiling, Code.LIMIT_UNREADABLE))
    return found


def _unusable_numbers(requests: Resources | None, usage: TaskUsage | None) -> str:
    """Which numbers of the pool's use are implausible; empty if none are."""
    if usage is not None and not _is_possible(usage):
        return "its tasks' usage"
    if requests is not None and not _are_possible(requests):
        return "its pods' requests"
    return ""


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

"""Step 3, share: what several pools draw on is divided over all of them at once = the targets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from controller.model.decision import Bound, Code, Number
from controller.model.fleet import Pool
from controller.planning.allocation import (
    Allotment,
    Ceiling,
    Claim,
    SharingError,
    allocate,
)
from controller.planning.budget import BudgetState
from controller.planning.draft import Draft
from controller.planning.gates import stands_still
from controller.planning.scarcity import Scarcity

_CODES: Final[Mapping[Bound, Code]] = {
    Bound.QUOTA: Code.QUOTA,
    Bound.COST: Code.COST,
    Bound.RATE: Code.RATE,
    Bound.CAPACITY: Code.CAPACITY,
    Bound.BASELINE: Code.BASELINE,
}


class Standing:
    """A pool that is not decided now, but takes its part: its size and what is known of it."""

    __slots__ = ("pool", "replicas")

    def __init__(self, pool: Pool, replicas: int) -> None:
        self.pool = pool
        self.replicas = replicas


def share(drafts: Sequence[Draft], standing: Iterable[Standing], scarcity: Scarcity) -> None:
    """Set each target to what the rows allow. Raises SharingError for what cannot be shared by."""
    spent = {
        tenant for tenant, status in scarcity.budgets.items() if status.state is BudgetState.HARD
    }
    if scarcity.blind_budgets or spent:
        for draft in drafts:
            _hold_growth(draft, scarcity)
            _stop_spent(draft, spent)
    if not scarcity.rows:
        return
    claims = [_claim(draft, scarcity) for draft in drafts if not draft.left_alone]
    claims += [_fixed(each, scarcity) for each in standing]
    allotments = allocate(claims, scarcity.rows.values(), scarcity.tenant_weights)
    for draft in drafts:
        if not draft.left_alone:
            _take(draft, allotments[draft.pool.key], scarcity)


def keep_all(drafts: Iterable[Draft], error: SharingError) -> None:
    """The fleet's own numbers cannot be shared by: nothing grows and nothing is taken away."""
    for draft in drafts:
        if draft.replicas != draft.current and not draft.left_alone:
            draft.replicas = draft.target = draft.current
            draft.because(Code.UNSHAREABLE, draft.current, subject=error.subject)


def _hold_growth(draft: Draft, scarcity: Scarcity) -> None:
    """A hard budget whose ledger is silent: nobody knows what is left, so nothing more starts."""
    if draft.pool.tenant not in scarcity.blind_budgets or draft.left_alone:
        return
    most = max(draft.current, draft.min)
    draft.ceilings += (Ceiling(limit=most, bound=Bound.BUDGET, name="ledger"),)
    if draft.replicas > most:
        draft.replicas = draft.target = most
        draft.bound = Bound.BUDGET
        draft.because(Code.USAGE_UNKNOWN, draft.replicas)


def _stop_spent(draft: Draft, spent: Collection[str]) -> None:
    """A hard budget that is used up stops pools too whose tasks' tokens nobody knows: no row can
    count those.
    """
    if draft.pool.tenant in spent and not draft.left_alone:
        draft.ceilings += (Ceiling(limit=0, bound=Bound.BUDGET, name="budget"),)


def _claim(draft: Draft, scarcity: Scarcity) -> Claim:
    pool, uses = draft.pool, scarcity.replica(draft.pool)
    most = _most(max(draft.max, draft.min))
    return Claim(
        pool=pool.key,
        tenant=pool.tenant,
        tier=scarcity.tiers.get(pool.tenant, 0),
        demand=draft.recommendation,
        weight=scarcity.weights[pool.key],
        min=draft.min,
        pin=draft.pinned,
        warm=draft.spares,
        current=draft.current,
        fixed=stands_still(draft),
        has_work=bool(draft.work.messages),
        ceilings=most + draft.ceilings,
        uses=uses.everywhere,
        flavors=uses.flavors,
    )


@lru_cache(maxsize=1024)
def _most(replicas: int) -> tuple[Ceiling, ...]:
    return (Ceiling(limit=replicas),)


def _fixed(standing: Standing, scarcity: Scarcity) -> Claim:
    pool, uses = standing.pool, scarcity.replica(standing.pool)
    return Claim(
        pool=pool.key,
        tenant=pool.tenant,
        tier=scarcity.tiers.get(pool.tenant, 0),
        demand=standing.replicas,
        weight=scarcity.weights[pool.key],
        current=standing.replicas,
        fixed=True,
        uses=uses.everywhere,
        flavors=uses.flavors,
    )


def _take(draft: Draft, allotment: Allotment, scarcity: Scarcity) -> None:
    if allotment.replicas == draft.replicas:
        return
    held = stands_still(draft)
    draft.replicas = draft.target = allotment.replicas
    if held:
        return  # its gate says why
    draft.bound = allotment.bound
    if allotment.bound is Bound.BUDGET:
        _explain_budget(draft, scarcity)
    elif (code := _CODES.get(allotment.bound)) is not None:
        numbers: dict[str, Number] = {"row": allotment.limited_by}
        row = scarcity.rows.get(allotment.limited_by)
        if row is not None:
            numbers["capacity"] = float(row.capacity)
        draft.because(code, allotment.replicas, **numbers)


def _explain_budget(draft: Draft, scarcity: Scarcity) -> None:
    status = scarcity.budgets.get(draft.pool.tenant)
    if status is None or status.state is BudgetState.HARD:
        draft.because(Code.BUDGET_SPENT, draft.replicas)
        return
    numbers: dict[str, Number] = {
        "used_percent": round(float(status.gone) * 100, 1),
        "pace_per_minute": round(float(status.pace or 0), 1),
    }
    if status.exhausted_in is not None:
        numbers["exhausted_in_s"] = round(float(status.exhausted_in) * 60)
    if status.early is not None:
        numbers["early_s"] = round(float(status.early) * 60)
    draft.because(Code.BUDGET, draft.replicas, **numbers)

"""Step 3, share: divides all rows over all pools at once; the result is the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from controller.model.decision import Bound, Code, Number, Reason
from controller.model.fleet import Pool
from controller.planning.allocation.divide import divide, without_refusals
from controller.planning.allocation.field import Field
from controller.planning.allocation.owners import Owners, owners_of, same_rows
from controller.planning.allocation.rows import GRANTED, Rows, RowSupply, Wanted, supply_of
from controller.planning.allocation.tariff import Tariff, kinds_of
from controller.planning.allocation.values import (
    ClaimColumns,
    Division,
    ReplicaUses,
    Row,
    SharingError,
)
from controller.planning.share.budget import BudgetState
from controller.planning.share.claims import Claim, Entry, Sharer, budget_setting
from controller.planning.share.scarcity import Scarcity
from controller.planning.share.sharing_terms import SharingTerms
from controller.planning.share.uses import KnownUses
from controller.planning.values import Target

_CODES: Final[Mapping[Bound, Code]] = {
    Bound.QUOTA: Code.QUOTA,
    Bound.COST: Code.COST,
    Bound.RATE: Code.RATE,
    Bound.CAPACITY: Code.CAPACITY,
    Bound.BASELINE: Code.BASELINE,
}
_NO_USES: Final = ReplicaUses({})
_PROFILES_PER_POOL: Final = 2


class _Parts(NamedTuple):
    """The inputs of a division: the fields of `Shared` without its result."""

    rows: tuple[Row, ...]
    sharers: list[Sharer | None]
    known: KnownUses
    uses: list[ReplicaUses]
    tariff: Tariff
    profile_of: list[int]
    supply: RowSupply
    owners: Owners
    wanted: Wanted
    claims: ClaimColumns


class Shared(NamedTuple):
    """One division of all rows with all its inputs, so that the next one can reuse them.

    `sharers` (None for a pool that takes no part), `uses` and `profile_of` are by pool number.
    """

    rows: tuple[Row, ...]
    sharers: list[Sharer | None]
    known: KnownUses
    uses: list[ReplicaUses]
    tariff: Tariff
    profile_of: list[int]
    supply: RowSupply
    owners: Owners
    wanted: Wanted
    claims: ClaimColumns
    division: Division


def share(
    terms: SharingTerms,
    scarcity: Scarcity,
    changed: Mapping[int, Sharer | None],
    kept: Shared | None,
) -> Shared | None:
    """Divide all rows over all pools; None if there are no rows.

    `changed` are the pools, by number, whose sharer differs from `kept`; without `kept`, all that
    take part. Returns `kept` itself if nothing has changed. Raises SharingError if an input cannot
    be used.
    """
    if not scarcity.rows:
        return None
    if isinstance(terms.field, SharingError):
        raise terms.field
    rows = tuple(scarcity.rows.values())
    if kept is not None and not changed and (rows is kept.rows or rows == kept.rows):
        return kept
    sharers: list[Sharer | None] = [None] * len(terms.pools)
    if kept is not None:
        sharers = list(kept.sharers)
    for number, sharer in changed.items():
        sharers[number] = sharer
    shared = None
    if kept is not None and _fits(terms, scarcity, rows, kept):
        shared = _incremental_division(terms, rows, changed, kept, terms.field)
    return shared or _full_division(terms, scarcity, sharers, terms.field)


def _fits(terms: SharingTerms, scarcity: Scarcity, rows: tuple[Row, ...], kept: Shared) -> bool:
    """Whether the previous division can be reused: the rows have the same names and kinds, and not
    too many profiles are out of use.
    """
    return (
        tuple(scarcity.rows) == kept.known.names
        and scarcity.classes == kept.known.classes
        and kinds_of(rows) == kept.tariff.kinds
        and len(kept.tariff.profiles) <= _PROFILES_PER_POOL * len(terms.pools) + 1
    )


def target_of(
    number: int, entry: Entry, pool: Pool, shared: Shared | None, scarcity: Scarcity
) -> Target:
    """The pool's target after the division, with its bound and reasons; `number` is the pool's."""
    if shared is None or shared.division.have[number] == entry.replicas:
        return Target(entry.replicas, entry.bound, entry.reasons)
    replicas, claim = shared.division.have[number], entry.sharer.claim
    if claim.fixed:
        return Target(replicas, entry.bound, entry.reasons)  # its gate says why
    bound, name = _bound(number, claim, replicas, shared)
    if bound is Bound.BUDGET:
        set_by = budget_setting(pool.tenant, scarcity)
        reason = _budget_reason(pool.tenant, replicas, scarcity)
        return Target(replicas, bound, (*entry.reasons, *set_by, reason))
    if (code := _CODES.get(bound)) is not None:
        numbers: dict[str, Number] = {"row": name}
        row = scarcity.rows.get(name)
        if row is not None:
            numbers["capacity"] = float(row.capacity)
        reason = Reason(code=code, value=replicas, numbers=numbers)
    else:
        return Target(replicas, bound, entry.reasons)
    return Target(replicas, bound, (*entry.reasons, reason))


def _full_division(
    terms: SharingTerms, scarcity: Scarcity, sharers: list[Sharer | None], field: Field
) -> Shared:
    """A division computed without a previous one."""
    rows = tuple(scarcity.rows.values())
    known = KnownUses(tuple(scarcity.rows), scarcity.classes)
    uses = [
        _NO_USES if sharer is None else _uses(terms, known, pool, sharer)
        for pool, sharer in zip(terms.pools, sharers, strict=True)
    ]
    tariff = Tariff(zip((pool.key for pool in terms.pools), uses, strict=True), rows)
    profile_of = [
        tariff.profile_of(pool.key, each) or 0 for pool, each in zip(terms.pools, uses, strict=True)
    ]
    parts = _Parts(
        rows=rows,
        sharers=sharers,
        known=known,
        uses=uses,
        tariff=tariff,
        profile_of=profile_of,
        supply=supply_of(tariff, rows),
        owners=owners_of(field, tariff, profile_of),
        wanted=Wanted(len(rows)),
        claims=_columns(sharers),
    )
    for number, sharer in enumerate(sharers):
        if sharer is not None:
            parts.wanted.add(tariff, parts.profile_of[number], sharer.claim.want)
    return _divided(field, parts)


def _incremental_division(
    terms: SharingTerms,
    rows: tuple[Row, ...],
    changed: Mapping[int, Sharer | None],
    kept: Shared,
    field: Field,
) -> Shared | None:
    """A division that reuses `kept`: the rows have the same names, with other numbers or claims.
    None if a pool's new uses are not whole in the tariff's units.
    """
    tariff, known = kept.tariff, kept.known
    sharers, uses, profile_of = list(kept.sharers), list(kept.uses), list(kept.profile_of)
    wanted, profiles = kept.wanted.copy(), len(tariff.profiles)
    claims, fixed = _copied_columns(kept.claims), set(kept.claims.fixed)
    owners: Owners | None = kept.owners
    for number, sharer in changed.items():
        pool, before = terms.pools[number], sharers[number]
        if before is not None:
            wanted.add(tariff, profile_of[number], -before.claim.want)
        sharers[number] = sharer
        uses[number] = _NO_USES if sharer is None else _uses(terms, known, pool, sharer)
        profile = tariff.profile_of(pool.key, uses[number])
        if profile is None:
            return None
        if not same_rows(tariff, profile_of[number], profile):
            owners = None
        profile_of[number] = profile
        if sharer is not None:
            wanted.add(tariff, profile, sharer.claim.want)
        _set_claim(claims, fixed, number, sharer)
    supply = kept.supply
    if rows != kept.rows or len(tariff.profiles) != profiles:
        supply = supply_of(tariff, rows)
    parts = _Parts(
        rows=rows,
        sharers=sharers,
        known=known,
        uses=uses,
        tariff=tariff,
        profile_of=profile_of,
        supply=supply,
        owners=owners or owners_of(field, tariff, profile_of),
        wanted=wanted,
        claims=claims._replace(fixed=frozenset(fixed)),
    )
    return _divided(field, parts)


def _divided(field: Field, parts: _Parts) -> Shared:
    short = parts.wanted.short(parts.supply.left)
    if not short:
        return Shared(*parts, division=without_refusals(parts.claims))
    accounts = Rows(parts.supply, parts.tariff, parts.profile_of, short)
    return Shared(*parts, division=divide(field, parts.claims, accounts, parts.owners))


def _uses(terms: SharingTerms, known: KnownUses, pool: Pool, sharer: Sharer) -> ReplicaUses:
    return known.of(
        pool,
        sharer.requests,
        sharer.usage,
        tenant=terms.tenants.get(pool.tenant),
        model=terms.models.get(pool.model or ""),
    )


def _columns(sharers: Sequence[Sharer | None]) -> ClaimColumns:
    count = len(sharers)
    claims = ClaimColumns([0] * count, [0] * count, [0] * count, [0] * count, [False] * count)
    fixed: set[int] = set()
    for number, sharer in enumerate(sharers):
        _set_claim(claims, fixed, number, sharer)
    return claims._replace(fixed=frozenset(fixed))


def _copied_columns(claims: ClaimColumns) -> ClaimColumns:
    return ClaimColumns(
        list(claims.floors),
        list(claims.needs),
        list(claims.wants),
        list(claims.current),
        list(claims.works),
        claims.fixed,
    )


def _set_claim(claims: ClaimColumns, fixed: set[int], number: int, sharer: Sharer | None) -> None:
    """Write one pool into the lists of `claims`, and into `fixed`."""
    fixed.discard(number)
    if sharer is None:
        claims.floors[number] = claims.needs[number] = 0
        claims.wants[number] = claims.current[number] = 0
        claims.works[number] = False
        return
    claim = sharer.claim
    claims.floors[number], claims.needs[number] = claim.floor, claim.need
    claims.wants[number], claims.current[number] = claim.want, claim.current
    claims.works[number] = claim.works
    if claim.fixed:
        fixed.add(number)


def _bound(number: int, claim: Claim, replicas: int, shared: Shared) -> tuple[Bound, str]:
    """The rule that decided the size, and its row's or ceiling's name: the row that refused, the
    ceiling, or else what the pool asked for.
    """
    division, rows = shared.division, shared.rows
    if number in division.by_baseline:
        return Bound.BASELINE, rows[division.by_baseline[number]].name
    refused = division.refused_by[number]
    if refused != GRANTED:
        return rows[refused].bound, rows[refused].name
    ceiling = claim.ceiling
    if ceiling is not None and ceiling.limit < claim.asked:
        return ceiling.bound, ceiling.name
    if replicas <= claim.demand:
        return Bound.DEMAND, ""
    if replicas <= claim.min:
        return Bound.MIN, ""
    return (Bound.WARM if claim.has_spares else Bound.PIN), ""


def _budget_reason(tenant: str, replicas: int, scarcity: Scarcity) -> Reason:
    found = scarcity.tenants.get(tenant)
    now = None if found is None else found.budget
    if now is None or now.status.state is BudgetState.HARD:
        return Reason(code=Code.BUDGET_SPENT, value=replicas)
    status = now.status
    numbers: dict[str, Number] = {
        "used_percent": round(float(status.gone) * 100, 1),
        "pace_per_minute": round(float(status.pace or 0), 1),
    }
    if status.exhausted_in is not None:
        numbers["exhausted_at"] = round(now.at + float(status.exhausted_in) * 60)
    if status.early is not None:
        numbers["early_s"] = round(float(status.early) * 60)
    return Reason(code=Code.BUDGET, value=replicas, numbers=numbers)

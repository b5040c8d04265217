"""The next replicas of one tenant's pools in order, up to the first refusal by a row that the
tenant shares with others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from controller.planning.allocation.filling import Filling, Measured
from controller.planning.allocation.order import Order
from controller.planning.allocation.rows import GRANTED, use_of
from controller.planning.allocation.tariff import Uses


class Prospect(NamedTuple):
    """A tenant's next events in order; in each, a pool is given a replica or is refused.

    - `pools`, `refused_by`: each event's pool, and the row that refuses it or `GRANTED`.
    - `due`: the place of each event in the common order of all tenants' events; it never falls.
    - `drawn`: by shared row, the units that the first n events use, for n from 0.
    - `goes_on`: more events follow after these.
    """

    pools: list[int]
    refused_by: list[int]
    due: list[int]
    drawn: Mapping[int, list[int]]
    goes_on: bool


class _Events(NamedTuple):
    """The keys of an `Order`, with each key's pool and the row that refuses it, or `GRANTED`."""

    keys: list[int]
    pools: list[int]
    refused_by: list[int]


def prospect_of(
    filling: Filling,
    pools: Sequence[int],
    goal: Sequence[int],
    above: Sequence[int] | None,
    *,
    own: Collection[int],
    shared: Collection[int],
    strict: bool,
) -> Prospect:
    """The next events of `pools`, which are of one tenant.

    Of the rows that may refuse, only this tenant uses those in `own`; other tenants use those in
    `shared` too. The other arguments are those of `fill`. The result of the previous division is
    returned if all its inputs are the same.
    """
    rows, known = filling.rows, filling.owners.known
    tenant = filling.field.tenant_of[pools[0]]
    measured = filling.measure(tenant, pools, above)
    given = (
        pools,
        *(
            list(map(column.__getitem__, pools))
            for column in (filling.have, goal, filling.current, rows.profile_of)
        ),
        None if above is None else list(map(above.__getitem__, pools)),
        [(row, rows.left[row]) for row in own],
        shared,
        strict,
        measured,
    )
    if tenant not in known or known[tenant][0] != given:
        made = _prospect(
            filling, pools, goal, above, own=own, shared=shared, strict=strict, measured=measured
        )
        known[tenant] = given, made
    found: Prospect = known[tenant][1]
    return found


def _prospect(
    filling: Filling,
    pools: Sequence[int],
    goal: Sequence[int],
    above: Sequence[int] | None,
    *,
    own: Collection[int],
    shared: Collection[int],
    strict: bool,
    measured: Measured,
) -> Prospect:
    rows, pool_at = filling.rows, filling.field.pool_at
    order = Order(filling, pools, goal, above)
    order.head()
    keys, count = order.ahead[::-1], len(pool_at)
    events = _Events(keys, [pool_at[key % count] for key in keys], [GRANTED] * len(keys))
    if own:
        events = _refused(filling, events, pools, own, strict=strict)
    uses = {pool: rows.profiles[rows.profile_of[pool]].everywhere.takes for pool in pools}
    return Prospect(
        pools=events.pools,
        refused_by=events.refused_by,
        due=_due(filling, events, pools, measured),
        drawn={
            row: _sums(events, {pool: use_of(uses[pool], row) for pool in pools}, 0)
            for row in shared
        },
        goes_on=order.goes_on,
    )


def _refused(
    filling: Filling, events: _Events, pools: Sequence[int], own: Collection[int], *, strict: bool
) -> _Events:
    """The same events with refusals by the tenant's own rows; a refused pool has no later event."""
    rows = filling.rows
    left = {row: rows.left[row] for row in own}
    draws = {}
    for pool in pools:
        draw = rows.profiles[rows.profile_of[pool]].everywhere
        draws[pool] = _on(draw.takes, left), _on(draw.strict if strict else draw.lenient, left)
    if all(draw == draws[pools[0]] for draw in draws.values()):
        return _refused_together(events, *draws[pools[0]], left)
    found = _Events([], [], [])
    refused: set[int] = set()
    for key, pool in zip(events.keys, events.pools, strict=True):
        if pool in refused:
            continue
        uses, needs = draws[pool]
        refused_by = next((row for row, need in needs if left[row] < need), GRANTED)
        if refused_by == GRANTED:
            for row, use in uses:
                left[row] -= use
        else:
            refused.add(pool)
        found.keys.append(key)
        found.pools.append(pool)
        found.refused_by.append(refused_by)
    return found


def _refused_together(events: _Events, uses: Uses, needs: Uses, left: Mapping[int, int]) -> _Events:
    """`_refused` for pools with equal uses: all are refused when a row has too little left."""
    use_by_row = dict(uses)
    fits = {
        row: max((left[row] - need) // use_by_row[row] + 1, 0) if left[row] >= need else 0
        for row, need in needs
    }
    given = min(fits.values(), default=len(events.keys))
    if given >= len(events.keys):
        return events
    refused_by = next(row for row in fits if fits[row] == given)
    first = dict(zip(events.pools[given:][::-1], events.keys[given:][::-1], strict=True))
    refused = sorted(first, key=first.__getitem__)
    return _Events(
        events.keys[:given] + [first[pool] for pool in refused],
        events.pools[:given] + refused,
        events.refused_by[:given] + [refused_by] * len(refused),
    )


def _on(uses: Uses, rows: Collection[int]) -> Uses:
    return tuple([use for use in uses if use[0] in rows])


def _due(filling: Filling, events: _Events, pools: Sequence[int], measured: Measured) -> list[int]:
    field, (drawn, shares) = filling.field, measured
    tenant = field.tenant_of[pools[0]]
    columns = [
        _sums(events, {pool: shares[pool][number] for pool in pools}, begin)
        for number, begin in enumerate(drawn)
    ]
    largest: Iterable[int] = columns[0] if len(columns) == 1 else map(max, *columns)
    multiply, divide = field.tenant_divisors[tenant]
    count, tenants, rank = len(field.pool_at), len(field.tenant_at), field.tenant_ranks[tenant]
    due = [
        (2 * (level * multiply // divide) + (key // count & 1)) * tenants + rank
        for level, key in zip(largest, events.keys, strict=False)
    ]
    return list(accumulate(due, max))


def _sums(events: _Events, of_pool: Mapping[int, int], begin: int) -> list[int]:
    """The running sum of `of_pool` over the granted events, from `begin`: one more than events."""
    amounts: Iterable[int] = map(of_pool.__getitem__, events.pools)
    if events.refused_by and events.refused_by[-1] != GRANTED:
        amounts = [
            amount if refused == GRANTED else 0
            for amount, refused in zip(amounts, events.refused_by, strict=True)
        ]
    return list(accumulate(amounts, initial=begin))

"""What sharing needs of a fleet file, computed once per file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.observation import TenantObservation
from controller.model.readings import Absent
from controller.model.scarcity import Capacity, LlmModel, RateLimits, Resources
from controller.planning.allocation.field import Field, field_of
from controller.planning.allocation.values import Amount, Row, SharingError
from controller.planning.share.rates import rate_key, rate_rows

_NO_LIMIT = Resources()


class SharingTerms(NamedTuple):
    """A fleet's pools, tenants, models and limits.

    - `pools`: sorted by key; a pool's number is its index. `number_of` is the inverse.
    - `field`: the pools for allocation, or the error if a weight cannot be used.
    - `rate_rows`: the rows of the models' limits, or the error if a limit cannot be used.
    - `limited`: the names of tenants with a quota or budget in the fleet file.
    """

    pools: tuple[Pool, ...]
    number_of: Mapping[PoolKey, int]
    tenants: Mapping[str, Tenant]
    models: Mapping[str, LlmModel]
    capacity: Capacity
    field: Field | SharingError
    rate_rows: tuple[Row, ...] | SharingError
    limited: frozenset[str]

    def limited_tenants(self, seen: Mapping[str, TenantObservation]) -> Iterator[Tenant]:
        """The tenants with a quota or budget in the fleet file, or with an observed quota."""
        limited = self.limited
        for name, tenant in self.tenants.items():
            if name in limited or (
                (found := seen.get(name)) is not None and not isinstance(found.quota, Absent)
            ):
                yield tenant


def sharing_terms_of(fleet: Fleet) -> SharingTerms:
    """The sharing terms of this fleet. Never raises: an error becomes a field's value."""
    pools = tuple(sorted(fleet.pools, key=_key))
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    models = {model.name: model for model in fleet.models}
    return SharingTerms(
        pools=pools,
        number_of={pool.key: number for number, pool in enumerate(pools)},
        tenants=tenants,
        models=models,
        capacity=fleet.capacity,
        field=_field(pools, tenants),
        rate_rows=_rate_rows(pools, models),
        limited=frozenset(name for name, tenant in tenants.items() if _is_limited(tenant)),
    )


def _is_limited(tenant: Tenant) -> bool:
    budget = tenant.budget
    return (
        tenant.quota != _NO_LIMIT
        or budget.tokens_per_day is not None
        or budget.usd_per_hour is not None
    )


def _key(pool: Pool) -> PoolKey:
    return pool.key


def _field(pools: Sequence[Pool], tenants: Mapping[str, Tenant]) -> Field | SharingError:
    try:
        return field_of(
            [pool.key for pool in pools],
            tenants=[pool.tenant for pool in pools],
            tiers=[
                tenants[pool.tenant].tier.priority if pool.tenant in tenants else 0
                for pool in pools
            ],
            weights=[_plain_weight(pool.weight) for pool in pools],
            tenant_weights={name: tenant.weight for name, tenant in tenants.items()},
        )
    except SharingError as error:
        return error


def _rate_rows(
    pools: Sequence[Pool], models: Mapping[str, LlmModel]
) -> tuple[Row, ...] | SharingError:
    drawn: set[tuple[str, str]] = set()
    for pool in pools:
        model = models.get(pool.model or "")
        if model is not None and model.limits is not None:
            drawn.add((rate_key(model, pool.tenant), model.name))
    rows: list[Row] = []
    try:
        for key, name in sorted(drawn):
            rows.extend(rate_rows(key, models[name].limits or RateLimits()))
    except SharingError as error:
        return error
    return tuple(rows)


def _plain_weight(weight: Decimal) -> Amount:
    """A whole positive weight as an int; any other weight unchanged, even if it is not valid."""
    if weight.is_finite() and weight > 0 and weight == weight.to_integral_value():
        return int(weight)
    return weight

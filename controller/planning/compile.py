"""What the planner computes once from a fleet file and then takes as an input of every plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec.structs import replace

from controller.model.fleet import (
    QUEUE,
    AverageValueTarget,
    ExternalMetric,
    Fleet,
    NativeCosts,
    NativePreset,
    Pool,
    Rule,
    ScalingRules,
    Tenant,
)
from controller.model.ids import PoolKey
from controller.model.scarcity import LlmModel, RateLimits, Resources
from controller.model.value import MILLI
from controller.notation.formula import Formula, FormulaError, read_formula
from controller.planning.demand.learned import ASK_EVERY_S
from controller.planning.demand.native import CALM, PROMPT, THRIFTY
from controller.planning.inputs import Override, PoolTerms, ScheduledBounds, Tolerance
from controller.planning.share.claims import CostTerms, cost_terms_of
from controller.planning.share.rows import SharingTerms, rate_key, rate_rows
from controller.planning.share.units import Field, field_of
from controller.planning.values import Row, SharingError

COSTS: Final[Mapping[NativePreset, NativeCosts]] = MappingProxyType(
    {NativePreset.PROMPT: PROMPT, NativePreset.THRIFTY: THRIFTY, NativePreset.CALM: CALM}
)
_UTC: Final = ZoneInfo("UTC")
_TURNS: Final = 1024
_TOLERANCE: Final = Tolerance()


class FleetTerms(NamedTuple):
    """A fleet and all that the planner computes from it once.

    `pools` are the terms of each pool, `numbered` the same by pool number of `sharing`. `costs` are
    for cost alerts.
    """

    fleet: Fleet
    pools: Mapping[PoolKey, PoolTerms]
    numbered: tuple[PoolTerms, ...]
    sharing: SharingTerms
    costs: CostTerms


def compile_fleet(fleet: Fleet) -> FleetTerms:
    """The terms of a fleet. Never raises: an unusable value is refused by the step that uses it."""
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    shares = {served: pool.share for pool in fleet.pools for served in pool.serves}
    zones = {tenant.name: _zone(tenant.timezone) for tenant in fleet.tenants}
    pools = {
        pool.key: _pool_terms(
            pool, tenants.get(pool.tenant), zones.get(pool.tenant, _UTC), shares.get(pool.key)
        )
        for pool in fleet.pools
    }
    sharing = _sharing_terms(fleet)
    return FleetTerms(
        fleet=fleet,
        pools=pools,
        numbered=tuple(pools[pool.key] for pool in sharing.pools),
        sharing=sharing,
        costs=cost_terms_of(fleet),
    )


def without_baseline(terms: FleetTerms, tenant: str) -> FleetTerms:
    """The same terms, but this tenant gets no replica before all floors."""
    return terms._replace(sharing=terms.sharing._replace(without_baseline=tenant))


def _pool_terms(
    pool: Pool, tenant: Tenant | None, zone: ZoneInfo, share: float | None
) -> PoolTerms:
    behavior, warm, native = pool.behavior, pool.warm, pool.native
    specs = pool.metrics
    if not specs and pool.rule is Rule.HPA:  # it goes by the queue
        target = AverageValueTarget(milli=MILLI * max(pool.target, 1))
        specs = (ExternalMetric(name=QUEUE, target=target),)
    no_window = replace(behavior.scale_down, stabilization_window_s=0)
    return PoolTerms(
        pool=pool,
        override=Override(
            bounds=ScheduledBounds(pool.min, pool.max),
            blind=None if tenant is None else tenant.tier.blind,
        ),
        zone=zone,
        has_metrics=bool(pool.metrics) or pool.rule is Rule.HPA or pool.modifiers is not None,
        specs=specs,
        formula=_formula(pool),
        tolerance=Tolerance(
            down=_tolerance(behavior.scale_down, _TOLERANCE.down),
            up=_tolerance(behavior.scale_up, _TOLERANCE.up),
        ),
        needs_past=pool.rule is Rule.NATIVE or (warm is not None and warm.slo is not None),
        costs=COSTS[native] if isinstance(native, NativePreset) else native,
        turn_s=ASK_EVERY_S * (crc32(pool.key.encode()) % _TURNS) / _TURNS,
        learned_behavior=replace(behavior, scale_down=no_window),
        configured_spares=0 if warm is None else max(warm.replicas or 0, 0),
        standby_share=share,
    )


def _formula(pool: Pool) -> Formula | FormulaError | None:
    if pool.modifiers is None:
        return None
    try:
        return read_formula(pool.modifiers.formula)
    except FormulaError as error:
        return error


def _tolerance(rules: ScalingRules, default: float) -> float:
    return default if rules.tolerance is None else float(rules.tolerance)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # the fleet file's reader refuses such a name; a fleet built in code gets UTC
        return _UTC


def _sharing_terms(fleet: Fleet) -> SharingTerms:
    pools = tuple(sorted(fleet.pools, key=lambda pool: pool.key))
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
        limited=frozenset(
            name
            for name, tenant in tenants.items()
            if tenant.quota != Resources()
            or tenant.budget.tokens_per_day is not None
            or tenant.budget.usd_per_hour is not None
        ),
    )


def _field(pools: Sequence[Pool], tenants: Mapping[str, Tenant]) -> Field | SharingError:
    weights = [pool.weight for pool in pools]
    try:
        return field_of(
            [pool.key for pool in pools],
            [pool.tenant for pool in pools],
            [int(each) if each.is_finite() and each == int(each) else each for each in weights],
            tiers={name: tenant.tier.priority for name, tenant in tenants.items()},
            tenant_weights={name: tenant.weight for name, tenant in tenants.items()},
        )
    except SharingError as error:
        return error


def _rate_rows(
    pools: Sequence[Pool], models: Mapping[str, LlmModel]
) -> tuple[Row, ...] | SharingError:
    drawn: dict[str, tuple[RateLimits, str]] = {}
    for pool in pools:
        model = models.get(pool.model or "")
        if model is not None and model.limits is not None:
            tenant = "" if model.shared else pool.tenant
            drawn[rate_key(model, pool.tenant)] = model.limits, tenant
    try:
        found = [rate_rows(key, each, tenant=name) for key, (each, name) in sorted(drawn.items())]
    except SharingError as error:
        return error
    return tuple(chain.from_iterable(found))

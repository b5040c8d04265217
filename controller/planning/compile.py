"""What the planner computes once from a fleet file and then takes as an input of every plan."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec.structs import replace

from controller.model.fleet import (
    Behavior,
    Fleet,
    NativeCosts,
    NativePreset,
    Pool,
    Rule,
    ScalingRules,
    Tenant,
)
from controller.model.ids import PoolKey
from controller.model.metrics import QUEUE, AverageValueTarget, ExternalMetric, MetricSpec
from controller.model.value import MILLI
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.formula import Formula, compile_formula
from controller.planning.demand.learned import ASK_EVERY_S
from controller.planning.demand.native import CALM, PROMPT, THRIFTY
from controller.planning.inputs import Override, PoolTerms, ScheduledBounds, Tolerance
from controller.planning.share.reasons import CostTerms, cost_terms_of
from controller.planning.share.rows import SharingTerms, sharing_terms_of

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
    zones = {tenant.name: _zone(tenant.timezone) for tenant in fleet.tenants}
    pools = {
        pool.key: _pool_terms(pool, tenants.get(pool.tenant), zones.get(pool.tenant, _UTC))
        for pool in fleet.pools
    }
    sharing = sharing_terms_of(fleet)
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


def _pool_terms(pool: Pool, tenant: Tenant | None, zone: ZoneInfo) -> PoolTerms:
    behavior, warm = pool.behavior, pool.warm
    native = pool.native
    return PoolTerms(
        pool=pool,
        override=Override(
            bounds=ScheduledBounds(pool.min, pool.max),
            blind=None if tenant is None else tenant.tier.blind,
        ),
        zone=zone,
        has_metrics=bool(pool.metrics) or pool.rule is Rule.HPA or pool.modifiers is not None,
        specs=pool.metrics or _default_metrics(pool),
        formula=_formula(pool),
        tolerance=Tolerance(
            down=_tolerance(behavior.scale_down, _TOLERANCE.down),
            up=_tolerance(behavior.scale_up, _TOLERANCE.up),
        ),
        needs_past=pool.rule is Rule.NATIVE or (warm is not None and warm.slo is not None),
        costs=COSTS[native] if isinstance(native, NativePreset) else native,
        turn_s=ASK_EVERY_S * (crc32(pool.key.encode()) % _TURNS) / _TURNS,
        learned_behavior=_without_window_down(behavior),
        configured_spares=0 if warm is None else max(warm.replicas or 0, 0),
    )


def _default_metrics(pool: Pool) -> tuple[MetricSpec, ...]:
    """Rule hpa without metrics goes by the queue."""
    if pool.rule is not Rule.HPA:
        return ()
    target = AverageValueTarget(milli=MILLI * max(pool.target, 1))
    return (ExternalMetric(name=QUEUE, target=target),)


def _formula(pool: Pool) -> Formula | FormulaError | None:
    if pool.modifiers is None:
        return None
    try:
        return compile_formula(pool.modifiers.formula)
    except FormulaError as error:
        return error


def _tolerance(rules: ScalingRules, default: float) -> float:
    return default if rules.tolerance is None else float(rules.tolerance)


def _without_window_down(behavior: Behavior) -> Behavior:
    down = replace(behavior.scale_down, stabilization_window_s=0)
    return replace(behavior, scale_down=down)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # the fleet file's reader refuses such a name; a fleet built in code gets UTC
        return _UTC

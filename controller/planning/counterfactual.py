"""What a pool would get without one of the rules: the same plan made again with the rule lifted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from controller.model.decision import Bound, Decision, Gate
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.intents import Intents
from controller.model.limits import INT32_MAX
from controller.model.memory import Memory
from controller.model.observation import ClusterRoom, Observation
from controller.model.readings import Absent, Fresh, Reading
from controller.model.scarcity import Resources
from controller.model.value import Value
from controller.planning.compile import compile_fleet
from controller.planning.inputs import PAUSES, concerns
from controller.planning.planner import plan

World: TypeAlias = tuple[Observation, Fleet, Intents]
V = TypeVar("V", bound=Value)


class Counterfactual(Value):
    """A pool's target and next size (replicas) without the rule `lifted`, and the bound and gate
    that apply then.
    """

    lifted: Bound
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None = None


def counterfactuals(
    decision: Decision,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> tuple[Counterfactual, ...]:
    """The counterfactual of each rule that matters to this decision, in the order of `Bound`.

    The keyword arguments are the inputs of the plan that made `decision`; `now` in Unix seconds. A
    rule matters if the target or `next` would differ without it. The decision's bound always
    matters: if nothing differs without it, another rule limits just as much.
    """
    pool = next((pool for pool in fleet.pools if pool.key == decision.pool), None)
    if pool is None or decision.target is None:
        return ()
    world, found = (observation, fleet, intents), []
    for bound in Bound:
        without = lifted(bound, pool, *world)
        if all(new is old for new, old in zip(without, world, strict=True)):
            continue
        seen, changed_fleet, asked = without
        planned = plan(seen, compile_fleet(changed_fleet), asked, memory, now)
        other = planned.plan.decisions.get(pool.key)
        if other is None:
            continue
        moves = (other.target, other.next) != (decision.target, decision.next)
        if moves or bound is decision.bound:
            found.append(
                Counterfactual(
                    lifted=bound,
                    target=other.target,
                    next=other.next,
                    bound=other.bound,
                    gate=other.gate,
                )
            )
    return tuple(found)


def lifted(
    bound: Bound, pool: Pool, observation: Observation, fleet: Fleet, intents: Intents
) -> World:
    """The observation, the fleet and the intents without this rule of this pool.

    A rule that several pools share (quota, budget, cost, rate, capacity) is lifted for all of them.
    Unchanged values are returned as the same objects; without such a rule, all three are. `demand`
    and `baseline` cannot be lifted.
    """
    lift = _LIFTS.get(bound)
    world = (observation, fleet, intents)
    return world if lift is None else lift(pool, *world)


def sentence(without: Counterfactual) -> str:
    """The counterfactual as text, for example `without the budget: 7 (bound by max)`."""
    number = "?" if without.target is None else f"{without.target:,}"
    text = f"without {_NAMES[without.lifted]}: {number}"
    if without.next is not None and without.next != without.target:
        text += f", next {without.next:,}"
    if without.bound is not Bound.DEMAND:
        text += f" (bound by {without.bound})"
    return text


_NAMES: Final[Mapping[Bound, str]] = MappingProxyType(
    {
        Bound.DEMAND: "the demand",
        Bound.MIN: "min",
        Bound.MAX: "max",
        Bound.SCHEDULE: "the schedule",
        Bound.PIN: "the pin",
        Bound.BASELINE: "the baseline",
        Bound.WARM: "warm spares",
        Bound.PAUSE: "the pause",
        Bound.CAP: "the cap",
        Bound.NO_GROWTH: "the ban on growth",
        Bound.QUOTA: "the quota",
        Bound.BUDGET: "the budget",
        Bound.COST: "the cost limit",
        Bound.RATE: "the rate limit",
        Bound.CAPACITY: "the capacity limit",
    }
)


def _without_min(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    return seen, _with_pool(fleet, pool, min=0), intents


def _without_max(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    return seen, _with_pool(fleet, pool, max=INT32_MAX), intents


def _without_schedule(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    return seen, _with_pool(fleet, pool, schedules=()), intents


def _without_warm(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    return seen, _with_pool(fleet, pool, warm=None), intents


def _without_pin(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    pins = tuple(pin for pin in intents.pins if pin.pool != pool.key)
    return seen, fleet, _changed(intents, pins=pins)


def _without_pause(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    pauses = tuple(pause for pause in intents.pauses if not concerns(pause.scope, pool))
    return _without_halts(pool, seen), fleet, _changed(intents, pauses=pauses)


def _without_cap(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    caps = tuple(cap for cap in intents.caps if cap.pool != pool.key)
    return seen, fleet, _changed(intents, caps=caps)


def _without_no_growth(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    left = tuple(held for held in intents.no_growths if not concerns(held.scope, pool))
    return seen, fleet, _changed(intents, no_growths=left)


def _without_halts(pool: Pool, seen: Observation) -> Observation:
    """The observation without the annotations that pause the pool's Deployment."""
    observed = seen.pools.get(pool.key)
    if observed is None or isinstance(observed.workload, Absent):
        return seen
    workload = observed.workload.value
    if PAUSES.isdisjoint(workload.annotations):
        return seen
    kept = {name: text for name, text in workload.annotations.items() if name not in PAUSES}
    reading = replace(observed.workload, value=replace(workload, annotations=kept))
    return replace(seen, pools={**seen.pools, pool.key: replace(observed, workload=reading)})


def _without_quota(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    tenant = seen.tenants.get(pool.tenant)
    if tenant is not None:
        read = _changed(tenant, quota=_unlimited(tenant.quota, Resources()))
        seen = seen if read is tenant else _with_tenant_seen(seen, pool.tenant, read)
    return seen, _with_tenant(fleet, pool, lambda _: {"quota": Resources()}), intents


def _without_budget(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    def unbudgeted(tenant: Tenant) -> dict[str, Any]:
        return {"budget": _changed(tenant.budget, tokens_per_day=None)}

    return seen, _with_tenant(fleet, pool, unbudgeted), intents


def _without_cost(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    def uncosted(tenant: Tenant) -> dict[str, Any]:
        return {"budget": _changed(tenant.budget, usd_per_hour=None)}

    fleet = _with_tenant(fleet, pool, uncosted)
    capacity = _changed(fleet.capacity, usd_per_hour=None)
    return seen, _changed(fleet, capacity=capacity), intents


def _without_rate(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    models = tuple(
        _changed(model, limits=None) if model.name == pool.model else model
        for model in fleet.models
    )
    return seen, _changed(fleet, models=models), intents


def _without_capacity(_: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    seen = _changed(seen, capacity=_unlimited(seen.capacity, ClusterRoom()))
    capacity = _changed(fleet.capacity, resources=Resources(), node_classes=())
    pools = tuple(_changed(pool, nodes=()) for pool in fleet.pools)
    return seen, _changed(fleet, capacity=capacity, pools=pools), intents


_LIFTS: Final[Mapping[Bound, Callable[[Pool, Observation, Fleet, Intents], World]]] = (
    MappingProxyType(
        {
            Bound.MIN: _without_min,
            Bound.MAX: _without_max,
            Bound.SCHEDULE: _without_schedule,
            Bound.PIN: _without_pin,
            Bound.WARM: _without_warm,
            Bound.PAUSE: _without_pause,
            Bound.CAP: _without_cap,
            Bound.NO_GROWTH: _without_no_growth,
            Bound.QUOTA: _without_quota,
            Bound.BUDGET: _without_budget,
            Bound.COST: _without_cost,
            Bound.RATE: _without_rate,
            Bound.CAPACITY: _without_capacity,
        }
    )
)


def _unlimited(reading: Reading[V], unlimited: V) -> Reading[V]:
    """The reading with its limit replaced by `unlimited`; an Absent one is returned itself."""
    if isinstance(reading, Absent):
        return reading
    return Fresh(value=unlimited, at=reading.at)


def _with_pool(fleet: Fleet, pool: Pool, **fields: object) -> Fleet:
    pools = tuple(
        _changed(other, **fields) if other.key == pool.key else other for other in fleet.pools
    )
    return _changed(fleet, pools=pools)


def _with_tenant(fleet: Fleet, pool: Pool, fields: Callable[[Tenant], dict[str, Any]]) -> Fleet:
    tenants = tuple(
        _changed(tenant, **fields(tenant)) if tenant.name == pool.tenant else tenant
        for tenant in fleet.tenants
    )
    return _changed(fleet, tenants=tenants)


def _with_tenant_seen(seen: Observation, name: str, tenant: Any) -> Observation:
    return replace(seen, tenants={**seen.tenants, name: tenant})


def _changed(value: V, **fields: object) -> V:
    """The value with these fields; the same object if they are equal already."""
    if all(getattr(value, name) == field for name, field in fields.items()):
        return value
    return replace(value, **fields)

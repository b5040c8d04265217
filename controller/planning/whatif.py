"""What would be otherwise: without a rule, with an intent or without it, and at later times. Each
answer is the same plan, made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from math import inf, nextafter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, Intents, Scope, gathered, key_of
from controller.model.limits import INT32_MAX
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    TenantObservation,
    TokenUsage,
)
from controller.model.readings import Absent, Fresh, Reading, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import PoolView, Snapshot
from controller.model.value import Value
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.demand.learned import cold_start_s
from controller.planning.inputs import PAUSES, concerns
from controller.planning.planner import Planned, plan
from controller.planning.share.calendar import local_day

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
    return seen, fleet, _replaced(intents, pins=pins)


def _without_pause(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    pauses = tuple(pause for pause in intents.pauses if not concerns(pause.scope, pool))
    return _without_halts(pool, seen), fleet, _replaced(intents, pauses=pauses)


def _without_cap(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    caps = tuple(cap for cap in intents.caps if cap.pool != pool.key)
    return seen, fleet, _replaced(intents, caps=caps)


def _without_no_growth(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    left = tuple(held for held in intents.no_growths if not concerns(held.scope, pool))
    return seen, fleet, _replaced(intents, no_growths=left)


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
        read = _replaced(tenant, quota=_unlimited(tenant.quota, Resources()))
        seen = seen if read is tenant else _with_tenant_seen(seen, pool.tenant, read)
    return seen, _with_tenant(fleet, pool, lambda _: {"quota": Resources()}), intents


def _without_budget(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    def unbudgeted(tenant: Tenant) -> dict[str, Any]:
        return {"budget": _replaced(tenant.budget, tokens_per_day=None)}

    return seen, _with_tenant(fleet, pool, unbudgeted), intents


def _without_cost(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    def uncosted(tenant: Tenant) -> dict[str, Any]:
        return {"budget": _replaced(tenant.budget, usd_per_hour=None)}

    fleet = _with_tenant(fleet, pool, uncosted)
    capacity = _replaced(fleet.capacity, usd_per_hour=None)
    return seen, _replaced(fleet, capacity=capacity), intents


def _without_rate(pool: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    models = tuple(
        _replaced(model, limits=None) if model.name == pool.model else model
        for model in fleet.models
    )
    return seen, _replaced(fleet, models=models), intents


def _without_capacity(_: Pool, seen: Observation, fleet: Fleet, intents: Intents) -> World:
    seen = _replaced(seen, capacity=_unlimited(seen.capacity, ClusterRoom()))
    capacity = _replaced(fleet.capacity, resources=Resources(), node_classes=())
    pools = tuple(_replaced(pool, nodes=()) for pool in fleet.pools)
    return seen, _replaced(fleet, capacity=capacity, pools=pools), intents


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
        _replaced(other, **fields) if other.key == pool.key else other for other in fleet.pools
    )
    return _replaced(fleet, pools=pools)


def _with_tenant(fleet: Fleet, pool: Pool, fields: Callable[[Tenant], dict[str, Any]]) -> Fleet:
    tenants = tuple(
        _replaced(tenant, **fields(tenant)) if tenant.name == pool.tenant else tenant
        for tenant in fleet.tenants
    )
    return _replaced(fleet, tenants=tenants)


def _with_tenant_seen(seen: Observation, name: str, tenant: Any) -> Observation:
    return replace(seen, tenants={**seen.tenants, name: tenant})


def _replaced(value: V, **fields: object) -> V:
    """The value with these fields; the same object if they are equal already."""
    if all(getattr(value, name) == field for name, field in fields.items()):
        return value
    return replace(value, **fields)


MOST_STEPS: Final = 8
"""So many times are tried: each costs a plan of the fleet."""


class NextChange(Value):
    """The next size (replicas) of a pool, and when it comes (Unix seconds) if no reading and no
    intent changes until then. `ends` is the rule that holds it until then, None where that is not
    one rule with a time.
    """

    at: float
    before: int
    after: int
    ends: Code | None = None


def next_change(
    pool: Pool,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> NextChange | None:
    """The next change of a pool that stays as it is now; None for one that changes now, cannot be
    known, or does not change at any of the next times.

    The keyword arguments are the inputs of a plan; `now` in Unix seconds.
    """
    terms = compile_fleet(fleet)
    planned = plan(observation, terms, intents, memory, now)
    held = planned.plan.decisions.get(pool.key)
    if held is None or held.next is None or held.next != held.current:
        return None
    observation = replace(observation, clock_step_s=0.0)  # the clock has made its step by now
    for _ in range(MOST_STEPS):
        at = _changes_at(planned, terms, pool)
        if at == inf:
            break
        planned = plan(observation, terms, intents, planned.memory, at)
        found = _changed(planned, held, at)
        if found is not None:
            return found
    return _after_an_end(held, pool.tenant, observation, terms, intents, memory, now)


def _changes_at(planned: Planned, terms: FleetTerms, pool: Pool) -> float:
    """When one of the pool's rules, or a limit of its tenant, gives another answer."""
    kept = planned.kept
    if kept is None:  # not all pools were observed: then only the reasons say when they end
        return min(_ends_of_reasons(planned, pool.key), default=inf)
    limits = kept.scarcity.tenants.get(pool.tenant)
    number = terms.sharing.number_of[pool.key]
    return min(kept.times[number], inf if limits is None else limits.changes_at)


def _ends_of_reasons(planned: Planned, key: PoolKey) -> Iterator[float]:
    decision = planned.plan.decisions.get(key)
    for reason in () if decision is None else decision.reasons:
        until = reason.numbers.get("until")
        if isinstance(until, float) and until >= planned.plan.at:
            yield nextafter(until, inf)


def _changed(planned: Planned, held: Decision, at: float) -> NextChange | None:
    other = planned.plan.decisions.get(held.pool)
    if held.next is None or other is None or other.next is None or other.next == held.next:
        return None
    return NextChange(at=at, before=held.next, after=other.next, ends=_ends(held, other))


def _ends(held: Decision, other: Decision) -> Code | None:
    """The last rule with an end that no longer holds."""
    left = {reason.code for reason in other.reasons}
    gone = [reason for reason in held.reasons if reason.code not in left]
    timed = [reason for reason in gone if "until" in reason.numbers]
    last = next(reversed(timed or gone), None)
    return None if last is None else last.code


def _after_an_end(  # noqa: PLR0917 - what a plan is a function of
    held: Decision,
    tenant: str,
    observation: Observation,
    terms: FleetTerms,
    intents: Intents,
    memory: Memory,
    now: float,
) -> NextChange | None:
    """The change when an intent ends or the tenant's day does, which may be hours away: with the
    day its tokens begin anew.
    """
    day_ends = local_day(now, terms.pools[held.pool].zone).end
    for at in sorted({day_ends, *_ends_of_intents(intents, now)}):
        later = nextafter(at, inf)
        seen = _new_day(observation, tenant, later) if at >= day_ends else observation
        found = _changed(plan(seen, terms, intents, memory, later), held, at)
        if found is not None:
            return found
    return None


def _ends_of_intents(intents: Intents, now: float) -> Iterator[float]:
    for intent in intents:
        if intent.until is not None and intent.until > now:
            yield intent.until


def _new_day(observation: Observation, tenant: str, at: float) -> Observation:
    seen = observation.tenants.get(tenant, TenantObservation())
    usage = Fresh(value=TokenUsage(used=Decimal(0)), at=at)
    return replace(observation, tenants={**observation.tenants, tenant: replace(seen, usage=usage)})


class Starting(Value):
    """The replicas of a pool that are not ready yet, and the seconds after which the last of them
    is, counted from their start: one cold start, or where they start one after the other
    (`one_by_one`) one for each.
    """

    replicas: int
    ready_s: float
    one_by_one: bool = False


class Outlook(Value):
    """A pool as of `now` (Unix seconds): its sizes without one of its rules, its next change, None
    where none can be foreseen, and its replicas that start, None where there are none.
    """

    now: float
    without: tuple[Counterfactual, ...]
    next: NextChange | None = None
    starting: Starting | None = None


def outlook_of(
    key: PoolKey,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> Outlook | None:
    """The outlook of one pool; None for a pool that the fleet does not have, or that was not seen.

    The keyword arguments are the inputs of a plan.
    """
    pool = next((pool for pool in fleet.pools if pool.key == key), None)
    planned = plan(observation, compile_fleet(fleet), intents, memory, now)
    decision = planned.plan.decisions.get(key)
    if pool is None or decision is None:
        return None
    without = counterfactuals(
        decision, observation=observation, fleet=fleet, intents=intents, memory=memory, now=now
    )
    change = next_change(
        pool, observation=observation, fleet=fleet, intents=intents, memory=memory, now=now
    )
    starting = starting_of(decision, observation.pools[key], memory.pools.get(key))
    return Outlook(now=now, without=without, next=change, starting=starting)


def starting_of(
    decision: Decision, seen: PoolObservation, memory: PoolMemory | None
) -> Starting | None:
    """The replicas that the pool shall have and that are not ready yet; None if there are none, or
    if pods crash or fit nowhere, so that nothing says when they will be.
    """
    workload, pods = last_known(seen.workload), last_known(seen.pods)
    if workload is None or decision.next is None or decision.next <= workload.ready:
        return None
    if pods is not None and (pods.unscheduled or pods.crashing):
        return None
    missing = decision.next - workload.ready
    cold_s = cold_start_s(seen, None if memory is None else memory.native)
    starts = missing if workload.one_by_one else 1
    return Starting(replicas=missing, ready_s=starts * cold_s, one_by_one=workload.one_by_one)


class PoolEffect(Value):
    """One pool of which something changes, in replicas.

    - `starts`: they start now. `goes`: idle ones that go now. `finishes`: busy ones that go when
      they have finished. `follows`: idle ones that cannot go before these: those below a busy pod
      of a StatefulSet, and those of a Deployment in a rollout.
    - `waits`: they would start and do not. `stays`: they would go and do not.
    - `target_before`, `target_after`: None where nobody can know.
    """

    pool: PoolKey
    current: int
    target_before: int | None
    target_after: int | None
    starts: int = 0
    goes: int = 0
    finishes: int = 0
    waits: int = 0
    stays: int = 0
    follows: int = 0


class Effect(Value):
    """What changes now. `concerned`: the pools that the intent is about. `unknown`: those of them
    that are not known well enough to say. `changed`: the pools, of the whole fleet, for which
    something changes.
    """

    concerned: tuple[PoolKey, ...]
    unknown: tuple[PoolKey, ...]
    changed: tuple[PoolEffect, ...]

    def words(self) -> str:
        """The numbers in one line: `3 pools, 11 idle replicas go now, 4 busy ones finish first`."""
        parts = [_counted(len(self.concerned), "pool")]
        for name, (one, several) in _WORDS.items():
            count = sum(getattr(each, name) for each in self.changed)
            if count:
                parts.append(f"{_counted(count, 'replica')} {one if count == 1 else several}")
        moved = any(each.target_before != each.target_after for each in self.changed)
        if len(parts) == 1:
            parts.append("only targets change now" if moved else "nothing changes now")
        others = {each.pool for each in self.changed}.difference(self.concerned)
        if others:
            parts.append(f"{_counted(len(others), 'other pool')} among them")
        if self.unknown:
            parts.append(f"{len(self.unknown):,} not known well enough to say")
        return ", ".join(parts)


_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "starts": ("starts now", "start now"),
        "goes": ("idle now goes", "idle now go"),
        "finishes": ("busy now finishes first", "busy now finish first"),
        "follows": ("idle now goes after them", "idle now go after them"),
        "waits": ("that would start does not", "that would start do not"),
        "stays": ("that would go stays", "that would go stay"),
    }
)
"""Of one replica and of several."""


def changed_intents(intents: Intents, key: IntentKey, intent: Intent | None) -> Intents:
    """These intents with this one at its key, or with none there."""
    others = [each for each in intents if key_of(each) != key]
    return gathered(others if intent is None else [*others, intent])


def effect_of(
    key: IntentKey,
    intent: Intent | None,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> Effect:
    """What changes now if `intent` is put at `key`, or taken away from there if it is None; all
    others are what a plan is made of.
    """
    terms = compile_fleet(fleet)
    asked = changed_intents(intents, key, intent)
    without = plan(observation, terms, intents, memory, now).plan.decisions
    within = plan(observation, terms, asked, memory, now).plan.decisions
    concerned = tuple(pool.key for pool in fleet.pools if concerns(key.scope, pool))
    return Effect(
        concerned=concerned,
        unknown=tuple(
            pool for pool in concerned if pool not in within or within[pool].next is None
        ),
        changed=tuple(
            _effects(
                (observation.pools.get(pool.key), without.get(pool.key), within.get(pool.key))
                for pool in fleet.pools
            )
        ),
    )


def _effects(
    seen: Iterable[tuple[PoolObservation | None, Decision | None, Decision | None]],
) -> Iterator[PoolEffect]:
    for pool, before, after in seen:
        if pool is None or before is None or after is None:
            continue
        if before.next is None or after.next is None or after.current is None:
            continue
        if (before.next, before.target) == (after.next, after.target):
            continue
        current = after.current
        was, will = _leaving(before, pool), _leaving(after, pool)
        yield PoolEffect(
            pool=after.pool,
            current=current,
            target_before=before.target,
            target_after=after.target,
            starts=max(after.next - max(current, before.next), 0),
            goes=max(min(current, before.next) - after.next, 0) + max(will.goes - was.goes, 0),
            finishes=max(will.finishes - was.finishes, 0),
            waits=max(before.next - max(current, after.next), 0),
            stays=max(min(current, after.next) - before.next, 0),
            follows=max(will.follows - was.follows, 0),
        )


class _Leaving(NamedTuple):
    """Replicas above the target that a scale-down under way removes, as in PoolEffect."""

    goes: int = 0
    finishes: int = 0
    follows: int = 0


def _leaving(decision: Decision, seen: PoolObservation) -> _Leaving:
    """The replicas that go after this tick. Idle workers that are told to stop are drained within
    a moment, so they count as gone.
    """
    if decision.gate is not Gate.BUSY or decision.next is None or decision.target is None:
        return _Leaving()
    surplus = max(decision.next - decision.target, 0)
    reason = next((each for each in reversed(decision.reasons) if each.code in _BUSY), None)
    if reason is None:
        return _Leaving(finishes=surplus)
    busy = int(reason.numbers["busy"]) if "busy" in reason.numbers else _busy_workers(seen)
    finishes = min(busy, surplus)
    if reason.code is not Code.DRAINING:
        return _Leaving(finishes=finishes, follows=surplus - finishes)
    removed = max((decision.current or 0) - decision.next, 0)
    going = int(reason.numbers["going"]) - removed - finishes
    return _Leaving(goes=max(min(going, surplus - finishes), 0), finishes=finishes)


_BUSY: Final = frozenset(
    {
        Code.BUSY,
        Code.DRAINING,
        Code.BUSY_AT_THE_TOP,
        Code.BUSY_SOMEWHERE,
        Code.ROLLING_OUT,
        Code.ROLLOUT_PAUSED,
    }
)
"""Why replicas above the target stay for now."""


def _busy_workers(seen: PoolObservation) -> int:
    workers = None if seen.workers is None else last_known(seen.workers)
    return 0 if workers is None else sum(state.busy > 0 for state in workers.states)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Estimate(Value):
    """The pools that an intent is about, their replicas that are ready, and how many of those work.
    `unknown`: pools of which that is not known.
    """

    pools: int
    ready: int
    busy: int
    unknown: int = 0

    def words(self) -> str:
        """`3 pools, 11 replicas ready, 4 of them busy; an estimate: …`."""
        parts = [
            f"{self.pools:,} pool{'' if self.pools == 1 else 's'}",
            f"{self.ready:,} replica{'' if self.ready == 1 else 's'} ready",
            f"{self.busy:,} of them busy",
        ]
        if self.unknown:
            parts.append(f"{self.unknown:,} not known")
        return f"{', '.join(parts)}; an estimate: the controller did not say what changes"


def estimate_of(scope: Scope, snapshot: Snapshot) -> Estimate:
    """What an intent for this scope is about."""
    views = [view for view in snapshot.pools if _is_in(scope, view)]
    known = [each for each in map(_at_work, views) if each is not None]
    return Estimate(
        pools=len(views),
        ready=sum(ready for ready, _ in known),
        busy=sum(busy for _, busy in known),
        unknown=len(views) - len(known),
    )


def _is_in(scope: Scope, view: PoolView) -> bool:
    if scope.pool is not None:
        return view.key == scope.pool
    return scope.tenant in {None, view.tenant}


def _at_work(view: PoolView) -> tuple[int, int] | None:
    """Replicas that are ready, and the least that can hold what is in flight; None if one of both
    is not known.
    """
    workload = last_known(view.observation.workload)
    queue = last_known(view.observation.queue)
    if workload is None or queue is None:
        return None
    return workload.ready, min(workload.ready, -(-queue.in_flight // max(view.slots, 1)))

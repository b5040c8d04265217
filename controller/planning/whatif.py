"""What would be otherwise: without a rule, with an intent or without it, and at later times. Each
answer is the same plan, made again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from math import inf, nextafter
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypedDict, TypeVar, Unpack

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, IntentKind, Intents
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
from controller.model.value import INT32_MAX, Value
from controller.planning.compile import FleetTerms, compile_fleet, without_baseline
from controller.planning.demand.learned import cold_start_s
from controller.planning.explain import sentence
from controller.planning.inputs import PAUSES, Moment, PoolTerms, bounds_now, concerns
from controller.planning.memo import Planned
from controller.planning.planner import plan
from controller.planning.share.rows import local_day

World: TypeAlias = tuple[Observation, Fleet, Intents]
V = TypeVar("V", bound=Value)


class Inputs(TypedDict):
    """What a plan is made of; `now` in Unix seconds."""

    observation: Observation
    fleet: Fleet
    intents: Intents
    memory: Memory
    now: float


class Counterfactual(Value):
    """A pool's target and next size (replicas) without the rule `lifted`, its bound and gate."""

    lifted: Bound
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None = None


def counterfactuals(decision: Decision, **made_of: Unpack[Inputs]) -> tuple[Counterfactual, ...]:
    """The counterfactual of each rule that matters to this decision, in the order of `Bound`.

    The keyword arguments are the inputs of the plan that made `decision`. A rule matters if the
    target or `next` would differ without it. The decision's bound always matters: if nothing
    differs without it, another rule limits just as much.
    """
    fleet, memory, now = made_of["fleet"], made_of["memory"], made_of["now"]
    pool = next((pool for pool in fleet.pools if pool.key == decision.pool), None)
    if pool is None or decision.target is None:
        return ()
    world, found = (made_of["observation"], fleet, made_of["intents"]), []
    for bound in Bound:
        without = lifted(bound, pool, *world)
        seen, changed_fleet, asked = without
        if bound is Bound.BASELINE:
            terms = without_baseline(compile_fleet(fleet), pool.tenant)
        elif all(new is old for new, old in zip(without, world, strict=True)):
            continue
        else:
            terms = compile_fleet(changed_fleet)
        planned = plan(seen, terms, asked, memory, now)
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
    cannot be lifted, and `baseline` stands in no value of a fleet: `compile.without_baseline`.
    """
    seen = observation
    if (fields := _OF_POOL.get(bound)) is not None:
        fleet = _changed_fleet(fleet, "pools", lambda each: each.key == pool.key, **fields)
    elif (kind := _OF_INTENTS.get(bound)) is not None:
        left = [each for each in intents if each.kind is not kind or not concerns(each.scope, pool)]
        if len(left) < len(intents.asked):
            intents = Intents(asked=tuple(left))
        seen = _without_halts(pool, seen) if bound is Bound.PAUSE else seen
    elif bound is Bound.RATE:
        fleet = _changed_fleet(fleet, "models", lambda each: each.name == pool.model, limits=None)
    elif bound is Bound.CAPACITY:
        seen = _replaced(seen, capacity=_unlimited(seen.capacity, ClusterRoom()))
        capacity = _replaced(fleet.capacity, resources=Resources(), node_classes=())
        fleet = _changed_fleet(_replaced(fleet, capacity=capacity), "pools", nodes=())
    else:
        seen, fleet = _without_limit(bound, pool.tenant, seen, fleet)
    return seen, fleet, intents


def _without_limit(
    bound: Bound, name: str, seen: Observation, fleet: Fleet
) -> tuple[Observation, Fleet]:
    """Without a limit that the pools of one tenant share."""
    tenant = next((each for each in fleet.tenants if each.name == name), None)
    fields: dict[str, object] = {}
    if bound is Bound.QUOTA:
        fields["quota"] = Resources()
        found = seen.tenants.get(name)
        if found is not None:
            read = _replaced(found, quota=_unlimited(found.quota, Resources()))
            tenants = seen.tenants if read is found else {**seen.tenants, name: read}
            seen = _replaced(seen, tenants=tenants)
    elif bound is Bound.COST:
        capacity = _replaced(fleet.capacity, usd_per_hour=None)
        fleet = _replaced(fleet, capacity=capacity)
    if tenant is not None and bound in _OF_BUDGET:
        fields["budget"] = _replaced(tenant.budget, **{_OF_BUDGET[bound]: None})
    return seen, _changed_fleet(fleet, "tenants", lambda each: each.name == name, **fields)


_OF_POOL: Final[Mapping[Bound, dict[str, object]]] = MappingProxyType(
    {
        Bound.MIN: {"min": 0},
        Bound.MAX: {"max": INT32_MAX},
        Bound.SCHEDULE: {"schedules": ()},
        Bound.WARM: {"warm": None},
    }
)
"""The rules of one pool, and its fields without them."""
_OF_INTENTS: Final[Mapping[Bound, IntentKind]] = MappingProxyType(
    {
        Bound.PIN: IntentKind.PIN,
        Bound.PAUSE: IntentKind.PAUSE,
        Bound.CAP: IntentKind.CAP,
        Bound.NO_GROWTH: IntentKind.NO_GROWTH,
    }
)
_OF_BUDGET: Final[Mapping[Bound, str]] = MappingProxyType(
    {Bound.BUDGET: "tokens_per_day", Bound.COST: "usd_per_hour"}
)


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


def _unlimited(reading: Reading[V], unlimited: V) -> Reading[V]:
    """The reading with its limit replaced by `unlimited`; an Absent one is returned itself."""
    if isinstance(reading, Absent):
        return reading
    return Fresh(value=unlimited, at=reading.at)


def _changed_fleet(
    fleet: Fleet, kind: str, which: Callable[[Any], bool] = lambda _: True, **fields: object
) -> Fleet:
    """The fleet, with these fields in those of its pools, tenants or models."""
    items = (_replaced(each, **fields) if which(each) else each for each in getattr(fleet, kind))
    return _replaced(fleet, **{kind: tuple(items)})


def _replaced(value: V, **fields: object) -> V:
    """The value with these fields; the same object if they are equal already."""
    if all(getattr(value, name) == field for name, field in fields.items()):
        return value
    return replace(value, **fields)


MOST_STEPS: Final = 64
"""So many times at which a rule gives another answer are tried, beside the ends that have a time: a
quiet pool is looked at ever more seldom, so that these reach for days.
"""
_WAITS: Final = frozenset({Gate.BUSY, Gate.ROOM})
"""On the way to the target, as far as tasks that end or replicas that leave let the pool."""
_MINUTE_S: Final = 60
_WEEK_MINUTES: Final = 7 * 24 * 60


class NextChange(Value):
    """A pool's next size (replicas) and when it begins to come (Unix seconds) if no input changes;
    `at` is None where only ending tasks or leaving replicas let it come, `ends` the rule that holds
    it.
    """

    at: float | None
    before: int
    after: int
    ends: Code | None = None


def next_change(pool: Pool, **made_of: Unpack[Inputs]) -> NextChange | None:
    """The next change of a pool that stays as it is now; None for one that changes now, cannot be
    known, or does not change at any of the next times.

    The keyword arguments are the inputs of a plan.
    """
    terms, intents, now = compile_fleet(made_of["fleet"]), made_of["intents"], made_of["now"]
    observation, memory = made_of["observation"], made_of["memory"]
    planned = plan(observation, terms, intents, memory, now)
    held = planned.plan.decisions.get(pool.key)
    if held is None or held.next is None or held.next != held.current:
        return None
    if held.gate in _WAITS and held.target is not None:
        return NextChange(at=None, before=held.next, after=held.target, ends=held.reasons[-1].code)
    observation = replace(observation, clock_step_s=0.0)  # the clock has made its step by now
    # an intent ends, or the tenant's day does, which may be hours away, or a schedule opens
    of_pool = terms.pools[held.pool]
    day_ends = local_day(now, of_pool.zone).end
    ends = {each.until for each in intents if each.until is not None}
    scheduled = next(_scheduled(of_pool, now), inf)
    times = sorted({day_ends, scheduled, *ends, *_ends_of_reasons(planned, pool.key)})
    steps, at = MOST_STEPS, now
    while True:
        end = next((each for each in times if each > at), inf)
        soon = _changes_at(planned, terms, pool) if steps else inf
        at, steps = min(soon, end), steps - (soon <= end)
        if at == inf:
            return None
        later = at if at == soon else nextafter(at, inf)
        observation = _read_at(later, observation, pool.tenant if at >= day_ends else None)
        before = planned.plan.decisions[held.pool]
        planned = plan(observation, terms, intents, planned.memory, later, planned.kept)
        if (found := _changed(planned, held, before, at)) is not None:
            return found


def _changes_at(planned: Planned, terms: FleetTerms, pool: Pool) -> float:
    """When a rule changes its answer; the budget's pace counts as it is now."""
    kept = planned.kept
    if kept is None:  # not all pools were observed: then only the reasons say when they end
        return min(_ends_of_reasons(planned, pool.key), default=inf)
    return kept.times[terms.sharing.number_of[pool.key]]


def _scheduled(terms: PoolTerms, now: float) -> Iterator[float]:
    """The minutes of the next week at which schedules give the pool other bounds."""
    pool, first = terms.pool, int(now // _MINUTE_S)
    before = None
    for minute in range(first, first + _WEEK_MINUTES if pool.schedules else first):
        at = Moment(float(minute * _MINUTE_S))
        found = bounds_now(pool.min, pool.max, pool.schedules, terms.zone, at)
        if before not in {None, found}:
            yield at.now
        before = found


def _ends_of_reasons(planned: Planned, key: PoolKey) -> Iterator[float]:
    decision = planned.plan.decisions.get(key)
    for reason in () if decision is None else decision.reasons:
        until = reason.numbers.get("until")
        if isinstance(until, float) and until >= planned.plan.at:
            yield nextafter(until, inf)


def _changed(planned: Planned, held: Decision, before: Decision, at: float) -> NextChange | None:
    """The change, and the last rule with an end that no longer holds since the decision before."""
    other = planned.plan.decisions.get(held.pool)
    if other is None or held.next is None:
        return None
    after = other.target if other.gate in _WAITS else other.next
    if after is None or after == held.next:
        return None
    left = {reason.code for reason in other.reasons}
    gone = [reason for reason in before.reasons if reason.code not in left]
    timed = [reason for reason in gone if "until" in reason.numbers]
    last = next(reversed(timed or gone), None)
    ends = None if last is None else last.code
    return NextChange(at=at, before=held.next, after=after, ends=ends)


def _read_at(at: float, observation: Observation, new_day: str | None) -> Observation:
    """What is used, as read at this time; a new day's tokens begin anew."""

    def read(name: str, seen: TenantObservation) -> TenantObservation:
        if not isinstance(seen.usage, Fresh):
            return seen
        used = TokenUsage(used=Decimal(0)) if name == new_day else seen.usage.value
        return replace(seen, usage=Fresh(value=used, at=at))

    tenants = {name: read(name, each) for name, each in observation.tenants.items()}
    return replace(observation, tenants=tenants)


class Starting(Value):
    """Replicas not ready, and seconds until the last is: one start, or one each in turn."""

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


def outlook_of(key: PoolKey, **made_of: Unpack[Inputs]) -> Outlook | None:
    """The outlook of one pool, from a plan's inputs; None for one unknown or not seen."""
    fleet, observation, memory = made_of["fleet"], made_of["observation"], made_of["memory"]
    pool = next((pool for pool in fleet.pools if pool.key == key), None)
    planned = plan(observation, compile_fleet(fleet), made_of["intents"], memory, made_of["now"])
    decision = planned.plan.decisions.get(key)
    if pool is None or decision is None:
        return None
    return Outlook(
        now=made_of["now"],
        without=counterfactuals(decision, **made_of),
        next=next_change(pool, **made_of),
        starting=starting_of(decision, observation.pools[key], memory.pools.get(key)),
    )


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
    """What changes now: the pools `concerned`, those of them `unknown`, all pools `changed`;
    `held`: why a pool gets nothing, or not all, of what is asked for.
    """

    concerned: tuple[PoolKey, ...]
    unknown: tuple[PoolKey, ...]
    changed: tuple[PoolEffect, ...]
    held: str = ""

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
        return ", ".join(parts) + (f": {self.held}" if self.held else "")


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
    others = [each for each in intents if each.key != key]
    return Intents(asked=tuple(others if intent is None else [*others, intent]))


def effect_of(key: IntentKey, intent: Intent | None, **made_of: Unpack[Inputs]) -> Effect:
    """What changes if `intent` is put at `key`, or with None taken away from there."""
    fleet, observation, intents = made_of["fleet"], made_of["observation"], made_of["intents"]
    terms, memory, now = compile_fleet(fleet), made_of["memory"], made_of["now"]
    asked = changed_intents(intents, key, intent)
    without = plan(observation, terms, intents, memory, now).plan.decisions
    within = plan(observation, terms, asked, memory, now).plan.decisions
    concerned = tuple(pool.key for pool in fleet.pools if concerns(key.scope, pool))
    effects = (
        _pool_effect(observation.pools.get(pool.key), without.get(pool.key), within.get(pool.key))
        for pool in fleet.pools
    )
    changed = tuple(each for each in effects if each is not None)
    held = [
        _held(intent, each, without.get(each.key), within.get(each.key), now)
        for each in fleet.pools
        if each.key == key.scope.pool
    ]
    if key.scope.pool is None:
        decided = within if intent is None else without
        known = [decided[each] for each in concerned if each in decided]
        stops = {Code.FROZEN} if changed else {Code.FROZEN, Code.PAUSED, Code.BUDGET_SPENT}
        held = [_stopped(known, stops, now)]
        if not changed:
            held = [held[0] or _NOTHING[None if intent is None else intent.kind]]
    return Effect(
        concerned=concerned,
        unknown=tuple(key for key in concerned if key not in within or within[key].next is None),
        changed=changed,
        held="".join(held),
    )


_NOTHING: Final = {
    None: "they need no other size without it",
    IntentKind.FREEZE: "none of them changes its size now",
    IntentKind.PAUSE: "they are at zero or stopped already",
    IntentKind.NO_GROWTH: "none of them grows now",
    IntentKind.BUDGET: "a day's tokens hold none of them now",
}


def _stopped(decisions: Sequence[Decision], by: Collection[Code], now: float) -> str:
    """What stops all of these pools already; empty where nothing does, or not the same."""
    found = [[each for each in decision.reasons if each.code in by][-1:] for decision in decisions]
    # what it makes of one pool stands behind the colon
    words = {sentence(each, now).rpartition(": ")[0] for last in found for each in last}
    return "".join(words) if all(found) and len(words) == 1 else ""


def _held(
    intent: Intent | None, pool: Pool, before: Decision | None, after: Decision | None, now: float
) -> str:
    """Why a pool gets nothing, or not all, of what is asked for; empty where it does."""
    if before is None or after is None or not after.reasons:
        return ""
    kind, is_pin = intent and intent.kind, intent is not None and intent.kind is IntentKind.PIN
    most = (intent.count if intent else 0) + ((before.target or 0) if is_pin else 0)
    if most > pool.max and kind in {IntentKind.PIN, IntentKind.CAP}:
        return f"its max is {pool.max:,}"
    changes = (before.next, before.target) != (after.next, after.target)
    is_short = is_pin and after.bound is not Bound.PIN
    return "" if changes and not is_short else sentence(after.reasons[-1], now)


def _pool_effect(
    seen: PoolObservation | None, before: Decision | None, after: Decision | None
) -> PoolEffect | None:
    if seen is None or before is None or after is None:
        return None
    current, was, will = after.current, before.next, after.next
    if was is None or will is None or current is None:
        return None
    if (was, before.target) == (will, after.target):
        return None
    left, leaves = _leaving(before, seen), _leaving(after, seen)
    goes, finishes, follows = (max(new - old, 0) for new, old in zip(leaves, left, strict=True))
    return PoolEffect(
        pool=after.pool,
        current=current,
        target_before=before.target,
        target_after=after.target,
        starts=max(will - max(current, was), 0),
        goes=max(min(current, was) - will, 0) + goes,
        finishes=finishes,
        waits=max(was - max(current, will), 0),
        stays=max(min(current, will) - was, 0),
        follows=follows,
    )


def _leaving(decision: Decision, seen: PoolObservation) -> tuple[int, int, int]:
    """Replicas above the target that go, finish, follow; told idle workers count as gone."""
    if decision.gate is not Gate.BUSY or decision.next is None or decision.target is None:
        return 0, 0, 0
    surplus = max(decision.next - decision.target, 0)
    reason = next((each for each in reversed(decision.reasons) if each.code in _BUSY), None)
    if reason is None:
        return 0, surplus, 0
    workers = None if seen.workers is None else last_known(seen.workers)
    states = () if workers is None else workers.states
    busy = int(reason.numbers.get("busy", sum(state.busy > 0 for state in states)))
    finishes = min(busy, surplus)
    if reason.code is not Code.DRAINING:
        return 0, finishes, surplus - finishes
    removed = max((decision.current or 0) - decision.next, 0)
    going = int(reason.numbers["going"]) - removed - finishes
    return max(min(going, surplus - finishes), 0), finishes, 0


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


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
